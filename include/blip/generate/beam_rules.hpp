#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include <blip/config/generation.hpp>
#include <blip/generate/hypothesis.hpp>

namespace blip {

/// How long a beam search goes on and what it divides by.
struct BeamLimits {
    std::size_t beams;
    double length_penalty;
    EarlyStopping early_stopping;
    std::size_t prompt_length;
    std::size_t max_length;
};

namespace detail {

/// A sequence that a beam search is still extending.
template <class Score>
struct OpenBeam {
    std::vector<int> ids;
    std::vector<double> token_log_probabilities;
    Score sum = 0; ///< of processed log-probabilities
};

/// One token after one open beam.
template <class Score>
struct BeamCandidate {
    std::size_t beam;
    int token;
    bool is_end;
    Score sum;
    double log_probability; ///< of the token under the model's own distribution
};

/// The open beam `parent` with the candidate's token added.
template <class Score>
OpenBeam<Score> extend(OpenBeam<Score> parent, BeamCandidate<Score> const& candidate) {
    parent.ids.push_back(candidate.token);
    parent.token_log_probabilities.push_back(candidate.log_probability);
    parent.sum = candidate.sum;
    return parent;
}

template <class Score>
Hypothesis closed(OpenBeam<Score> beam, std::size_t prompt_length, double score, bool finished) {
    double total = 0;
    for (double value : beam.token_log_probabilities)
        total += value;
    return {std::move(beam.ids),
            static_cast<int>(prompt_length),
            std::move(beam.token_log_probabilities),
            total,
            score,
            finished};
}

/// One item's finished sequences as transformers 4.15 keeps them: scores are divided by
/// length^penalty where the length counts the prompt but not the end token.
template <class Score>
class SalesforceBeams {
public:
    explicit SalesforceBeams(BeamLimits const& limits) : limits_(limits) {}

    /// Takes the candidates, best first, of open beams that hold `length` ids each; returns those
    /// that go on. None left or `done()` afterwards ends the item.
    std::vector<BeamCandidate<Score>> step(std::span<OpenBeam<Score> const> open,
                                           std::span<BeamCandidate<Score> const> candidates,
                                           std::size_t length) {
        std::vector<BeamCandidate<Score>> kept;
        for (std::size_t rank = 0; rank < candidates.size() && kept.size() < limits_.beams;
             ++rank) {
            auto const& candidate = candidates[rank];
            if (!candidate.is_end)
                kept.push_back(candidate);
            else if (rank < limits_.beams)
                add(extend(open[candidate.beam], candidate), normalised(candidate.sum, length),
                    true);
        }
        done_ = finished_.size() >= limits_.beams &&
                (limits_.early_stopping == EarlyStopping::when_filled ||
                 worst_ >= normalised(candidates.front().sum, bound_length(length)));
        return kept;
    }

    bool done() const { return done_; }

    /// Counts the open beams as sequences too: at maximum length, or when the search must stop.
    void close(std::span<OpenBeam<Score> const> open) {
        for (auto const& beam : open)
            add(beam, normalised(beam.sum, beam.ids.size()), false);
    }

    /// The list, best first; of equal scores the later found comes first.
    std::vector<Hypothesis> take() {
        std::reverse(finished_.begin(), finished_.end());
        std::stable_sort(finished_.begin(), finished_.end(), higher_score);
        return std::move(finished_);
    }

private:
    static bool higher_score(Hypothesis const& a, Hypothesis const& b) { return a.score > b.score; }

    double normalised(Score sum, std::size_t length) const {
        return static_cast<double>(sum) /
               std::pow(static_cast<double>(length), limits_.length_penalty);
    }

    std::size_t bound_length(std::size_t length) const {
        bool const longest =
            limits_.early_stopping == EarlyStopping::never && limits_.length_penalty > 0;
        return longest ? limits_.max_length : length;
    }

    void add(OpenBeam<Score> const& beam, double score, bool finished) {
        bool const full = finished_.size() >= limits_.beams;
        if (full && !(score > worst_))
            return;
        // Of equally bad entries the oldest goes.
        if (full)
            finished_.erase(std::min_element(
                finished_.begin(), finished_.end(),
                [](Hypothesis const& a, Hypothesis const& b) { return a.score < b.score; }));
        finished_.push_back(closed(beam, limits_.prompt_length, score, finished));
        worst_ = score;
        for (auto const& hypothesis : finished_)
            worst_ = std::min(worst_, hypothesis.score);
    }

    BeamLimits limits_;
    std::vector<Hypothesis> finished_;
    double worst_ = 0;
    bool done_ = false;
};

/// One item's finished sequences as transformers 5.23 keeps them: float32 scores are divided by
/// length^penalty where the length counts generated tokens only, the end token included.
class HuggingFaceBeams {
public:
    explicit HuggingFaceBeams(BeamLimits const& limits) : limits_(limits) {}

    /// As in SalesforceBeams. A sequence that reaches the maximum length is finished here at once.
    std::vector<BeamCandidate<float>> step(std::span<OpenBeam<float> const> open,
                                           std::span<BeamCandidate<float> const> candidates,
                                           std::size_t length) {
        bool const last = length + 1 >= limits_.max_length;
        std::vector<BeamCandidate<float>> kept;
        for (std::size_t rank = 0; rank < candidates.size(); ++rank) {
            auto const& candidate = candidates[rank];
            if (last || candidate.is_end) {
                if (rank < limits_.beams)
                    add(extend(open[candidate.beam], candidate), candidate.is_end);
            } else if (kept.size() < limits_.beams) {
                kept.push_back(candidate);
            }
        }
        if (finished_.size() >= limits_.beams) {
            bool const longest =
                limits_.early_stopping == EarlyStopping::never && limits_.length_penalty > 0;
            done_ = limits_.early_stopping == EarlyStopping::when_filled || kept.empty() ||
                    !(normalised(kept.front().sum, longest ? limits_.max_length : length + 1) >
                      static_cast<float>(finished_.back().score));
        }
        return kept;
    }

    bool done() const { return done_; }

    void close(std::span<OpenBeam<float> const> open) {
        for (auto const& beam : open)
            add(beam, false);
    }

    /// The list, best first; of equal scores the earlier found comes first.
    std::vector<Hypothesis> take() { return std::move(finished_); }

private:
    float normalised(float sum, std::size_t length) const {
        auto const generated = static_cast<double>(length - limits_.prompt_length);
        return generated == 0
                   ? 0.0f
                   : sum / static_cast<float>(std::pow(generated, limits_.length_penalty));
    }

    void add(OpenBeam<float> const& beam, bool finished) {
        auto const score = static_cast<double>(normalised(beam.sum, beam.ids.size()));
        auto const place =
            std::find_if(finished_.begin(), finished_.end(),
                         [&](Hypothesis const& other) { return score > other.score; });
        finished_.insert(place, closed(beam, limits_.prompt_length, score, finished));
        if (finished_.size() > limits_.beams)
            finished_.pop_back();
    }

    BeamLimits limits_;
    std::vector<Hypothesis> finished_;
    bool done_ = false;
};

} // namespace detail

} // namespace blip
