#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include <blip/generate/hypothesis.hpp>

namespace blip::test {

/// A language whose next-token logits are a fixed hash of all ids so far, plus `slope` per id for
/// the end token.
struct HashedLanguage {
    int vocabulary = 24;
    std::uint32_t seed = 0;
    std::optional<int> end = {};
    double slope = 0;

    std::vector<float> logits(std::span<int const> ids) const {
        std::uint32_t state = 2166136261u ^ seed;
        for (int id : ids) {
            state = (state ^ static_cast<std::uint32_t>(id + 1)) * 16777619u;
            state ^= state >> 15;
        }
        std::vector<float> result;
        for (int id = 0; id < vocabulary; ++id) {
            std::uint32_t x = state + static_cast<std::uint32_t>(id) * 0x9E3779B9u;
            x = (x ^ x >> 16) * 0x7feb352du;
            x = (x ^ x >> 15) * 0x846ca68bu;
            x ^= x >> 16;
            double value = 6.0 * (static_cast<double>(x >> 8) / 16777216.0);
            if (id == end)
                value += slope * static_cast<double>(ids.size());
            result.push_back(static_cast<float>(value));
        }
        return result;
    }
};

/// Offers any function of the ids, `logits(ids)` -> [vocabulary], to a search as scores of rows.
template <class T, class Language>
class RowScores {
public:
    using scalar = T;

    RowScores(Language language, std::vector<std::vector<int>> prompts)
        : language_(std::move(language)), rows_(std::move(prompts)) {}

    int vocabulary() const { return language_.vocabulary; }

    void start(std::span<T> logits) {
        if (calls++ != 0)
            throw std::logic_error("start comes first and once");
        fill(logits);
    }

    void advance(std::span<int const> parents, std::span<int const> tokens, std::span<T> logits) {
        if (calls++ == 0 || parents.empty() || parents.size() != tokens.size())
            throw std::logic_error("advance needs rows and a start");
        std::vector<std::vector<int>> rows;
        for (std::size_t r = 0; r < parents.size(); ++r) {
            rows.push_back(rows_.at(static_cast<std::size_t>(parents[r])));
            rows.back().push_back(tokens[r]);
        }
        rows_ = std::move(rows);
        fill(logits);
    }

    int calls = 0;
    std::vector<std::size_t> row_counts = {};

private:
    void fill(std::span<T> logits) {
        auto const width = static_cast<std::size_t>(language_.vocabulary);
        if (logits.size() != rows_.size() * width)
            throw std::logic_error("logits must be [rows, vocabulary]");
        row_counts.push_back(rows_.size());
        for (std::size_t r = 0; r < rows_.size(); ++r) {
            auto const row = language_.logits(rows_[r]);
            for (std::size_t id = 0; id < width; ++id)
                logits[r * width + id] = static_cast<T>(row[id]);
        }
    }

    Language language_;
    std::vector<std::vector<int>> rows_;
};

template <class T, class Language>
RowScores<T, Language> row_scores(Language language, std::vector<std::vector<int>> prompts) {
    return {std::move(language), std::move(prompts)};
}

/// Equal in every member, to the bit.
inline bool same(Hypothesis const& a, Hypothesis const& b) {
    return a.ids == b.ids && a.prompt_length == b.prompt_length &&
           a.token_log_probabilities == b.token_log_probabilities &&
           a.log_probability == b.log_probability && a.score == b.score && a.finished == b.finished;
}

} // namespace blip::test
