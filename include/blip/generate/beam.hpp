#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/generate/beam_rules.hpp>
#include <blip/generate/hypothesis.hpp>
#include <blip/generate/log_softmax.hpp>
#include <blip/generate/next_scores.hpp>
#include <blip/generate/search_rules.hpp>
#include <blip/generate/top_entries.hpp>

namespace blip {

/// Which published beam search is followed; see `detail::SalesforceBeams` and
/// `detail::HuggingFaceBeams` for the difference.
enum class BeamRule {
    salesforce,  ///< transformers 4.15, which the authors' release pins; scores in the model's type
    hugging_face ///< transformers 5.23; float32 scores whatever the model computes in
};

/// Settings of `beam_search`.
struct BeamOptions {
    SearchRules rules = {};
    int beams = 3;
    int results = 1;           ///< sequences returned per item, at most `beams`
    double length_penalty = 1; ///< exponent of the length that sums are divided by; 0: none
    EarlyStopping early_stopping = EarlyStopping::off;
    BeamRule rule = BeamRule::salesforce;
    SearchWatch watch = {}; ///< the callback sees every beam that stays open, best first
};

namespace detail {

template <class Score, class Beams, NextScores S>
std::vector<std::vector<Hypothesis>>
search_beams(S& next, std::span<std::vector<int> const> prompts, BeamOptions const& options) {
    using scalar = typename S::scalar;
    auto const beams = static_cast<std::size_t>(options.beams);
    int const vocabulary = next.vocabulary();
    auto const width = static_cast<std::size_t>(vocabulary);
    ResolvedRules const resolved(options.rules, prompts, vocabulary);
    Watcher watcher(options.watch);

    struct Item {
        Beams finished;
        std::vector<OpenBeam<Score>> open;
        std::size_t max_length;
        std::size_t first_row;
    };
    std::vector<Item> items;
    for (auto const& prompt : prompts) {
        std::size_t const max_length = length_limit(options.rules, prompt.size());
        BeamLimits const limits{beams, options.length_penalty, options.early_stopping,
                                prompt.size(), max_length};
        items.push_back({Beams(limits), {{prompt, {}, Score{0}}}, max_length, items.size()});
    }

    std::vector<scalar> logits(watcher.stopped() ? 0 : items.size() * width);
    std::vector<Score> scores(width);
    std::vector<double> totals;
    TopEntries<Score> top(2 * beams);
    std::vector<BeamCandidate<Score>> candidates;

    /// The 2 * beams best continuations of an item's open beams; forbidden ones are none.
    auto const find_candidates = [&](Item const& item) {
        top.clear();
        totals.clear();
        candidates.clear();
        auto const row = [&](std::size_t beam) {
            return std::span<scalar const>(logits).subspan((item.first_row + beam) * width, width);
        };
        for (std::size_t beam = 0; beam < item.open.size(); ++beam) {
            auto const raw = row(beam);
            if constexpr (std::is_same_v<scalar, Score>) {
                totals.push_back(log_softmax(raw, std::span(scores)));
            } else {
                totals.push_back(log_sum_exp(raw));
                for (std::size_t i = 0; i < width; ++i)
                    scores[i] = static_cast<Score>(raw[i]);
                log_softmax(std::span<Score const>(scores), std::span(scores));
            }
            resolved.process(std::span(scores), item.open[beam].ids);
            top.offer(scores, item.open[beam].sum, static_cast<std::int64_t>(beam * width));
        }
        for (auto const& [sum, index] : top.sorted()) {
            auto const beam = static_cast<std::size_t>(index) / width;
            auto const id = static_cast<std::size_t>(index) % width;
            int const token = static_cast<int>(id);
            candidates.push_back({beam, token, resolved.is_end(token), sum,
                                  static_cast<double>(row(beam)[id]) - totals[beam]});
        }
    };

    if (!items.empty() && !watcher.stopped())
        next.start(std::span(logits));
    while (!watcher.stopped()) {
        std::vector<int> parents, tokens;
        for (std::size_t i = 0; i < items.size(); ++i) {
            Item& item = items[i];
            if (item.open.empty())
                continue;
            find_candidates(item);
            if (candidates.empty()) {
                item.finished.close(item.open);
                item.open.clear();
                continue;
            }
            auto const kept =
                item.finished.step(item.open, candidates, item.open.front().ids.size());
            std::vector<OpenBeam<Score>> open;
            for (auto const& candidate : kept) {
                open.push_back(extend(item.open[candidate.beam], candidate));
                watcher.show({static_cast<int>(i), static_cast<int>(open.size()) - 1,
                              open.back().ids, candidate.token, candidate.log_probability});
            }
            bool const longest = !open.empty() && open.front().ids.size() >= item.max_length;
            if (longest && !item.finished.done())
                item.finished.close(open);
            if (longest || item.finished.done())
                open.clear();
            std::size_t const first_row = parents.size();
            for (std::size_t beam = 0; beam < open.size(); ++beam) {
                parents.push_back(static_cast<int>(item.first_row + kept[beam].beam));
                tokens.push_back(kept[beam].token);
            }
            item.first_row = first_row;
            item.open = std::move(open);
        }
        if (parents.empty() || watcher.stopped())
            break;
        logits.resize(parents.size() * width);
        next.advance(std::span<int const>(parents), std::span<int const>(tokens),
                     std::span(logits));
    }

    std::vector<std::vector<Hypothesis>> results;
    for (auto& item : items) {
        item.finished.close(item.open);
        auto list = item.finished.take();
        list.resize(std::min(list.size(), static_cast<std::size_t>(options.results)));
        results.push_back(std::move(list));
    }
    return results;
}

} // namespace detail

/// For every prompt the best sequences that a search with `beams` parallel beams finds, best first,
/// at most `results` (with `results` = `beams` the whole list of finished sequences). Step by step
/// the 2 * beams best continuations of all open beams are ranked by the sum of their
/// log-probabilities after the rules' penalties and bans (which are not normalised again); of equal
/// sums the earlier beam, then the lower id wins. A continuation that is forbidden is never taken,
/// so an item may have fewer than `beams` open beams. Prompts may differ in length; finished items
/// leave the batch. Throws ArgumentError for prompts, rules and settings that do not fit, and
/// whatever `next` throws.
template <NextScores S>
std::vector<std::vector<Hypothesis>> beam_search(S& next, std::span<std::vector<int> const> prompts,
                                                 BeamOptions const& options) {
    using scalar = typename S::scalar;
    if (options.beams < 1)
        throw ArgumentError(join("beam search: ", options.beams, " beams, expected at least 1"));
    if (options.results < 1 || options.results > options.beams)
        throw ArgumentError(join("beam search: ", options.results, " results wanted of ",
                                 options.beams, " beams, expected 1 to ", options.beams));
    if (!std::isfinite(options.length_penalty))
        throw ArgumentError("beam search: the length penalty is not a finite number");
    if (options.rule == BeamRule::hugging_face)
        return detail::search_beams<float, detail::HuggingFaceBeams>(next, prompts, options);
    return detail::search_beams<scalar, detail::SalesforceBeams<scalar>>(next, prompts, options);
}

} // namespace blip
