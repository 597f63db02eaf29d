#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <blip/generate/sequences.hpp>

namespace blip {

/// Settings of `greedy`.
struct GreedyOptions {
    SearchRules rules = {};
    SearchWatch watch = {};
};

/// For every prompt the sequence that takes, step by step, the token with the highest logit after
/// the rules' penalties and bans; the lower id wins a tie. Prompts may differ in length; finished
/// items leave the batch. Throws ArgumentError for prompts and rules that do not fit, and whatever
/// `next` throws.
template <NextScores S>
std::vector<Hypothesis> greedy(S& next, std::span<std::vector<int> const> prompts,
                               GreedyOptions const& options) {
    using scalar = typename S::scalar;
    auto const choose = [](std::size_t, std::size_t, std::size_t,
                           std::span<scalar> scores) -> std::optional<int> {
        scalar const most = detail::largest(std::span<scalar const>(scores));
        if (most == detail::forbidden<scalar>)
            return std::nullopt;
        return static_cast<int>(std::find(scores.begin(), scores.end(), most) - scores.begin());
    };
    auto lists = detail::extend_sequences(next, prompts, options.rules, options.watch, 1, choose);
    std::vector<Hypothesis> results;
    results.reserve(lists.size());
    for (auto& list : lists)
        results.push_back(std::move(list.front()));
    return results;
}

} // namespace blip
