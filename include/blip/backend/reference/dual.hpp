#pragma once

#include <cmath>
#include <compare>
#include <numbers>

namespace blip {

/// A number with its derivative along one direction: a + a'ε with ε² = 0. Run a forward pass on
/// duals and `slope` is the exact directional derivative of every result.
struct Dual {
    double value = 0;
    double slope = 0;

    constexpr Dual() = default;
    constexpr Dual(double v) : value(v) {}
    constexpr Dual(double v, double s) : value(v), slope(s) {}

    constexpr Dual& operator+=(Dual b) { return *this = {value + b.value, slope + b.slope}; }
    constexpr Dual& operator-=(Dual b) { return *this = {value - b.value, slope - b.slope}; }
    constexpr Dual& operator*=(Dual b) {
        return *this = {value * b.value, slope * b.value + value * b.slope};
    }
    constexpr Dual& operator/=(Dual b) {
        double const q = value / b.value;
        return *this = {q, (slope - q * b.slope) / b.value};
    }

    friend constexpr Dual operator-(Dual a) { return {-a.value, -a.slope}; }
    friend constexpr Dual operator+(Dual a, Dual b) { return a += b; }
    friend constexpr Dual operator-(Dual a, Dual b) { return a -= b; }
    friend constexpr Dual operator*(Dual a, Dual b) { return a *= b; }
    friend constexpr Dual operator/(Dual a, Dual b) { return a /= b; }

    /// Comparisons look at values only: a branch is taken where the real computation takes it.
    friend constexpr auto operator<=>(Dual a, Dual b) { return a.value <=> b.value; }
    friend constexpr bool operator==(Dual a, Dual b) { return a.value == b.value; }

    explicit constexpr operator double() const { return value; }
    explicit constexpr operator float() const { return static_cast<float>(value); }
};

inline Dual exp(Dual a) {
    double const e = std::exp(a.value);
    return {e, e * a.slope};
}
inline Dual log(Dual a) {
    return {std::log(a.value), a.slope / a.value};
}
inline Dual sqrt(Dual a) {
    double const r = std::sqrt(a.value);
    return {r, a.slope / (2 * r)};
}
inline Dual erf(Dual a) {
    double const factor = 2 * std::numbers::inv_sqrtpi;
    return {std::erf(a.value), factor * std::exp(-a.value * a.value) * a.slope};
}

} // namespace blip
