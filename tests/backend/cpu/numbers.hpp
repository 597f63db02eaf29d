#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/core/random.hpp>

namespace blip::test {

/// Numbers uniform in [-1, 1), the same for a seed everywhere.
inline std::vector<float> numbers(std::size_t count, std::uint64_t seed) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i)
        values[i] = static_cast<float>(2 * random_uniform({seed, 0}, i) - 1);
    return values;
}

/// Largest |a - b| / (1 + |b|).
template <class A, class B>
double largest_difference(A const& a, B const& b) {
    double largest = a.size() == b.size() ? 0 : HUGE_VAL;
    for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
        double const expected = static_cast<double>(b[i]);
        double const difference =
            std::fabs(static_cast<double>(a[i]) - expected) / (1 + std::fabs(expected));
        // A NaN must not pass as "not larger".
        largest = difference <= largest ? largest : std::isnan(difference) ? HUGE_VAL : difference;
    }
    return largest;
}

template <class T>
std::vector<double> doubles(std::vector<T> const& x) {
    return {x.begin(), x.end()};
}

} // namespace blip::test
