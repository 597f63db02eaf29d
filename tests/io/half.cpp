#include <blip/io/half.hpp>

#include "support/catch.hpp"

#include <cmath>
#include <limits>
#include <random>

using namespace blip;

namespace {

/// The value of a binary16 pattern by the definition of the format.
double defined_half(unsigned bits) {
    int const exponent = static_cast<int>(bits >> 10 & 31u);
    double const fraction = bits & 1023u;
    double const magnitude = exponent == 0    ? std::ldexp(fraction, -24)
                             : exponent == 31 ? (fraction == 0 ? HUGE_VAL : std::nan(""))
                                              : std::ldexp(1024 + fraction, exponent - 25);
    return (bits & 0x8000u) != 0 ? -magnitude : magnitude;
}

} // namespace

TEST_CASE("every half has its defined value and comes back") {
    for (unsigned bits = 0; bits < 0x10000; ++bits) {
        float const value = half_to_float(static_cast<std::uint16_t>(bits));
        double const expected = defined_half(bits);
        if (std::isnan(expected)) {
            REQUIRE(std::isnan(value));
            REQUIRE(std::isnan(half_to_float(float_to_half(value))));
            continue;
        }
        REQUIRE(static_cast<double>(value) == expected);
        REQUIRE(std::signbit(value) == ((bits & 0x8000u) != 0));
        REQUIRE(float_to_half(value) == bits);
    }
}

TEST_CASE("floats go to the nearest half, ties to even") {
    for (unsigned bits = 0; bits + 1 < 0x7C00; ++bits) {
        auto const below = half_to_float(static_cast<std::uint16_t>(bits));
        auto const above = half_to_float(static_cast<std::uint16_t>(bits + 1));
        float const middle = (below + above) / 2;
        REQUIRE(float_to_half(middle) == (bits % 2 == 0 ? bits : bits + 1));
        REQUIRE(float_to_half(std::nextafter(middle, 0.0f)) == bits);
        REQUIRE(float_to_half(std::nextafter(middle, 1e9f)) == bits + 1);
    }
    CHECK(float_to_half(65519.996f) == 0x7BFF);
    CHECK(float_to_half(65520.0f) == 0x7C00);
    CHECK(float_to_half(-1e30f) == 0xFC00);
    CHECK(float_to_half(std::numeric_limits<float>::infinity()) == 0x7C00);
    CHECK(float_to_half(std::numeric_limits<float>::denorm_min()) == 0);
}

TEST_CASE("every bfloat16 comes back and floats go to the nearest") {
    for (unsigned bits = 0; bits < 0x10000; ++bits) {
        float const value = bfloat16_to_float(static_cast<std::uint16_t>(bits));
        if (std::isnan(value))
            REQUIRE(std::isnan(bfloat16_to_float(float_to_bfloat16(value))));
        else
            REQUIRE(float_to_bfloat16(value) == bits);
    }
    CHECK(float_to_bfloat16(1.00390625f) == 0x3F80); // 1 + 2^-8, half way, to even
    CHECK(float_to_bfloat16(1.01171875f) == 0x3F82); // 1 + 3 * 2^-8
    CHECK(float_to_bfloat16(std::nextafter(1.00390625f, 2.0f)) == 0x3F81);
    CHECK(float_to_bfloat16(std::numeric_limits<float>::max()) == 0x7F80);
}
