#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/core/random.hpp>
#include <blip/generate/sequences.hpp>

namespace blip {

/// Settings of `sample`. The authors' captioner samples with top-p 0.9, top-k 50 (their library's
/// default) and repetition penalty 1.1.
struct SampleOptions {
    SearchRules rules = {};
    int count = 1;          ///< samples per item
    double temperature = 1; ///< logits are divided by it before top-k
    int top_k = 50;         ///< see `keep_top_k`; 0: off
    double top_p = 0.9;     ///< see `keep_top_p`; 1: off
    std::uint64_t seed = 0;
    /// What random numbers know each item by, so that an item draws the same in any batch; empty:
    /// 0, 1, 2, ...
    std::vector<std::uint64_t> item_numbers = {};
    SearchWatch watch = {};
};

/// Draws a token with probability proportional to exp(score): the first, by id, at which the
/// cumulative share exceeds `uniform` in [0, 1). None when all scores are -infinity.
template <class T>
std::optional<int> draw_token(std::span<T const> scores, double uniform) {
    T const most = detail::largest(scores);
    if (most == detail::forbidden<T>)
        return std::nullopt;
    double total = 0;
    for (T score : scores)
        if (score != detail::forbidden<T>)
            total += std::exp(static_cast<double>(score - most));
    double const target = uniform * total;
    double sum = 0;
    std::optional<int> token;
    for (std::size_t id = 0; id < scores.size() && !(token && sum > target); ++id) {
        if (scores[id] == detail::forbidden<T>)
            continue;
        sum += std::exp(static_cast<double>(scores[id] - most));
        token = static_cast<int>(id);
    }
    return token;
}

/// For every prompt `count` sequences whose tokens are drawn, one by one, from the model's
/// distribution after the rules' penalties and bans, temperature, top-k and top-p. Each draw is a
/// pure function of seed, item number, sample and step (through `random_uniform`) and of the
/// scores: results depend neither on the other items nor on `count`. Returns [items][count]. Throws
/// ArgumentError for prompts, rules and settings that do not fit, and whatever `next` throws.
template <NextScores S>
std::vector<std::vector<Hypothesis>> sample(S& next, std::span<std::vector<int> const> prompts,
                                            SampleOptions const& options) {
    using scalar = typename S::scalar;
    if (options.count < 1)
        throw ArgumentError(join("sampling: count is ", options.count, ", expected at least 1"));
    if (!options.item_numbers.empty() && options.item_numbers.size() != prompts.size())
        throw ArgumentError(join("sampling: ", options.item_numbers.size(), " item numbers for ",
                                 prompts.size(), " prompts"));
    auto const choose = [&](std::size_t item, std::size_t copy, std::size_t step,
                            std::span<scalar> scores) -> std::optional<int> {
        if (detail::largest(std::span<scalar const>(scores)) == detail::forbidden<scalar>)
            return std::nullopt;
        if (options.temperature != 1)
            divide_by_temperature(scores, options.temperature);
        keep_top_k(scores, options.top_k);
        keep_top_p(scores, options.top_p);
        auto const number = options.item_numbers.empty() ? item : options.item_numbers[item];
        auto const key = split(split({options.seed, 0}, number), copy);
        return draw_token(std::span<scalar const>(scores), random_uniform(key, step));
    };
    return detail::extend_sequences(next, prompts, options.rules, options.watch,
                                    static_cast<std::size_t>(options.count), choose);
}

} // namespace blip
