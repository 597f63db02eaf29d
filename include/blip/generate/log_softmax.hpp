#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <type_traits>

#include <blip/core/error.hpp>

namespace blip {

namespace detail {

/// Loops of constant length vectorise in every optimised build, and the order of summation does not
/// depend on the instruction set.
inline constexpr std::size_t sum_lanes = 64;
inline constexpr std::size_t sum_block = 512;

/// Smallest exponent that is told apart: exp(-87) is nothing beside exp(0), even in double.
inline constexpr int least_exponent = -87;

/// exp(x) for least_exponent <= x <= 0 within 2e-7 relative, by 2^n times a Taylor polynomial on
/// |r| <= ln(2)/2, free of branches and calls so that loops over it vectorise. NaN stays.
inline float exp_of_nonpositive(float x) {
    constexpr float to_integer = 12582912.0f; // 1.5 * 2^23: adding it rounds to a whole number
    float const shifted = x * 1.44269504089f + to_integer;
    float const n = shifted - to_integer;
    float const r = (x - n * 0.693145751953125f) - n * 1.42860682030941723e-6f;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    auto const exponent = (std::bit_cast<std::uint32_t>(shifted) + 127u) << 23;
    return p * std::bit_cast<float>(exponent);
}

inline double exp_of_nonpositive(double x) {
    return std::exp(x);
}

/// Largest value; NaN is passed over.
template <class T>
T largest(std::span<T const> x) {
    std::array<T, sum_lanes> most;
    most.fill(-std::numeric_limits<T>::infinity());
    std::size_t i = 0;
    for (; i + sum_lanes <= x.size(); i += sum_lanes) {
        T const* const part = x.data() + i;
        for (std::size_t lane = 0; lane < sum_lanes; ++lane)
            most[lane] = part[lane] > most[lane] ? part[lane] : most[lane];
    }
    for (; i < x.size(); ++i)
        most[0] = x[i] > most[0] ? x[i] : most[0];
    return *std::max_element(most.begin(), most.end());
}

/// Sum of exp(x - most), block by block: few terms are added in T before they are added in double.
template <class T>
double sum_of_exp(std::span<T const> x, T most) {
    std::array<T, sum_block> terms;
    double sum = 0;
    std::size_t i = 0;
    for (; i + sum_block <= x.size(); i += sum_block) {
        T const* const part = x.data() + i;
        // Two loops: compilers turn a bound inside the second into a branch.
        for (std::size_t k = 0; k < sum_block; ++k)
            terms[k] = std::max(part[k] - most, T{least_exponent});
        for (std::size_t k = 0; k < sum_block; ++k)
            terms[k] = exp_of_nonpositive(terms[k]);
        for (std::size_t first = sum_lanes; first < sum_block; first += sum_lanes)
            for (std::size_t lane = 0; lane < sum_lanes; ++lane)
                terms[lane] += terms[first + lane];
        sum = std::accumulate(terms.begin(), terms.begin() + sum_lanes, sum);
    }
    for (; i < x.size(); ++i)
        sum += static_cast<double>(exp_of_nonpositive(std::max(x[i] - most, T{least_exponent})));
    return sum;
}

} // namespace detail

/// log(sum(exp(x))). Throws ArgumentError when that is no finite number: a NaN or +infinity in x,
/// or nothing but -infinity.
template <class T>
    requires std::is_floating_point_v<T>
double log_sum_exp(std::span<T const> x) {
    T const most = detail::largest(x);
    double const result = static_cast<double>(most) + std::log(detail::sum_of_exp(x, most));
    if (!std::isfinite(result))
        throw ArgumentError(join("soft-max over ", x.size(),
                                 " scores: they must hold no NaN or +infinity and at least one "
                                 "finite number; check the model's weights and inputs"));
    return result;
}

/// log_probabilities[i] = log(exp(x[i]) / sum(exp(x))); both spans have one size and may be the
/// same memory. Returns log_sum_exp(x). Throws as it does.
template <class T>
double log_softmax(std::span<T const> x, std::span<T> log_probabilities) {
    double const total = log_sum_exp(x);
    T const shift = static_cast<T>(total);
    std::size_t i = 0;
    for (; i + detail::sum_lanes <= x.size(); i += detail::sum_lanes) {
        // Through a buffer: the spans may be the same memory.
        std::array<T, detail::sum_lanes> part;
        for (std::size_t lane = 0; lane < detail::sum_lanes; ++lane)
            part[lane] = x.data()[i + lane] - shift;
        std::copy(part.begin(), part.end(),
                  log_probabilities.begin() + static_cast<std::ptrdiff_t>(i));
    }
    for (; i < x.size(); ++i)
        log_probabilities[i] = x[i] - shift;
    return total;
}

} // namespace blip
