#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/generate/log_softmax.hpp>
#include <blip/generate/top_entries.hpp>

/// Each function changes the next-token scores of one row [vocabulary], logits or
/// log-probabilities, in place; what it forbids becomes -infinity. Searches apply them in the order
/// in which they stand here, as transformers does.

namespace blip {

namespace detail {

template <class T>
inline constexpr T forbidden = -std::numeric_limits<T>::infinity();

inline void check_id(int id, std::size_t vocabulary) {
    if (id < 0 || static_cast<std::size_t>(id) >= vocabulary)
        throw ArgumentError(
            join("generation: id ", id, " is outside the vocabulary of ", vocabulary));
}

} // namespace detail

/// Every token that occurs in `ids`, once each: score * penalty where the score is negative, else
/// score / penalty. Throws ArgumentError for a penalty that is not positive or an id outside the
/// row.
template <class T>
void penalize_repetition(std::span<T> scores, std::span<int const> ids, double penalty) {
    if (!(penalty > 0) || !std::isfinite(penalty))
        throw ArgumentError(join("generation: repetition penalty ", penalty,
                                 " is not a positive number (1 penalises nothing)"));
    T const factor = static_cast<T>(penalty);
    std::vector<T> penalized;
    penalized.reserve(ids.size());
    for (int id : ids) {
        detail::check_id(id, scores.size());
        T const score = scores[static_cast<std::size_t>(id)];
        penalized.push_back(score < 0 ? score * factor : score / factor);
    }
    for (std::size_t i = 0; i < ids.size(); ++i)
        scores[static_cast<std::size_t>(ids[i])] = penalized[i];
}

/// Forbids every token that would complete a run of `size` tokens which `ids` already contains; 0
/// forbids nothing. Throws ArgumentError for a negative size or an id outside the row.
template <class T>
void forbid_repeated_ngrams(std::span<T> scores, std::span<int const> ids, int size) {
    if (size < 0)
        throw ArgumentError(join("generation: no-repeat n-gram size ", size, " is negative"));
    auto const n = static_cast<std::size_t>(size);
    if (n == 0 || ids.size() < n)
        return;
    auto const suffix = ids.last(n - 1);
    for (std::size_t first = 0; first + n <= ids.size(); ++first) {
        if (!std::equal(suffix.begin(), suffix.end(), ids.begin() + static_cast<int>(first)))
            continue;
        int const id = ids[first + n - 1];
        detail::check_id(id, scores.size());
        scores[static_cast<std::size_t>(id)] = detail::forbidden<T>;
    }
}

/// Forbids the end token while fewer than `min_length` ids, prompt included, are there. Throws
/// ArgumentError for an end token outside the row.
template <class T>
void forbid_early_end(std::span<T> scores, std::size_t length, int min_length, int end) {
    detail::check_id(end, scores.size());
    if (min_length > 0 && length < static_cast<std::size_t>(min_length))
        scores[static_cast<std::size_t>(end)] = detail::forbidden<T>;
}

/// Throws ArgumentError for a temperature that is not positive.
template <class T>
void divide_by_temperature(std::span<T> scores, double temperature) {
    if (!(temperature > 0) || !std::isfinite(temperature))
        throw ArgumentError(join("generation: temperature ", temperature,
                                 " is not a positive number; for the most probable text use greedy "
                                 "search"));
    T const divisor = static_cast<T>(temperature);
    for (T& score : scores)
        score /= divisor;
}

/// Keeps what is at least the k-th largest score, so ties with it stay; 0 keeps everything. Throws
/// ArgumentError for a negative k.
template <class T>
void keep_top_k(std::span<T> scores, int k) {
    if (k < 0)
        throw ArgumentError(join("generation: top-k ", k, " is negative (0 keeps all tokens)"));
    if (k == 0 || static_cast<std::size_t>(k) >= scores.size())
        return;
    TopEntries<T> top(static_cast<std::size_t>(k));
    top.offer(scores);
    auto const best = top.sorted();
    if (best.size() < static_cast<std::size_t>(k))
        return;
    T const least = best.back().value;
    for (T& score : scores)
        score = score < least ? detail::forbidden<T> : score;
}

/// Keeps the most probable tokens up to and including the first with which their probabilities sum
/// to more than p; of equal scores the lower id counts as more probable. 1 keeps everything. Throws
/// ArgumentError for p outside (0, 1].
template <class T>
void keep_top_p(std::span<T> scores, double p) {
    if (!(p > 0 && p <= 1))
        throw ArgumentError(join("generation: top-p ", p, " is not in (0, 1]"));
    if (p == 1 || scores.empty())
        return;
    double const total = log_sum_exp(std::span<T const>(scores));
    // The nucleus is mostly small: look at few entries first and at more when they do not suffice.
    for (std::size_t k = 64;; k *= 8) {
        TopEntries<T> top(std::min(k, scores.size()));
        top.offer(scores);
        auto const best = top.sorted();
        std::size_t kept = 0;
        for (double sum = 0; kept < best.size() && sum <= p; ++kept)
            sum += std::exp(static_cast<double>(best[kept].value) - total);
        if (kept == best.size() && k <= best.size() && k < scores.size())
            continue;
        std::fill(scores.begin(), scores.end(), detail::forbidden<T>);
        for (auto const& entry : best.first(kept))
            scores[static_cast<std::size_t>(entry.index)] = entry.value;
        return;
    }
}

} // namespace blip
