#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <blip/backend/cpu/activation.hpp>
#include <blip/backend/cpu/cross_entropy.hpp>
#include <blip/backend/cpu/dropout.hpp>
#include <blip/backend/cpu/rows.hpp>

#include "backend/cpu/numbers.hpp"
#include "support/catch.hpp"

using namespace blip;
using blip::test::numbers;

namespace {

template <class Function>
float lane_of(Function function, float x) {
    float all[cpu::lanes];
    cpu::store(all, function(cpu::broadcast(x)));
    for (float value : all)
        if (!std::isnan(value))
            REQUIRE(value == all[0]);
    return all[0];
}

float exponential(float x) {
    return lane_of([](cpu::Floats v) { return cpu::exponential(v); }, x);
}

} // namespace

TEST_CASE("The exponential is good to one and a half units in the last place") {
    double worst = 0;
    for (double x = -87; x < 88.5; x += 0.00371) {
        auto const argument = static_cast<float>(x);
        double const exact = std::exp(static_cast<double>(argument));
        worst = std::max(worst, std::fabs(exponential(argument) / exact - 1));
    }
    REQUIRE(worst < 1.5 * 0x1p-23);
    REQUIRE(exponential(0.0f) == 1.0f);
    REQUIRE(exponential(-200.0f) == 0.0f);
    REQUIRE(exponential(-std::numeric_limits<float>::infinity()) == 0.0f);
    REQUIRE(std::isinf(exponential(89.0f)));
    REQUIRE(std::isinf(exponential(std::numeric_limits<float>::infinity())));
    REQUIRE(std::isnan(exponential(std::numeric_limits<float>::quiet_NaN())));
}

TEST_CASE("The GELU and its slope agree with erf in double") {
    for (double x = -12; x < 12; x += 0.00173) {
        auto const argument = static_cast<float>(x);
        auto const u = static_cast<double>(argument);
        double const share = 0.5 * std::erfc(-u / std::sqrt(2.0));
        double const y = lane_of([](cpu::Floats v) { return cpu::gelu(v); }, argument);
        INFO(u);
        REQUIRE(std::fabs(y - u * share) <= 1e-8 + 8e-7 * std::fabs(u * share));
        double const slope = share + u * std::exp(-u * u / 2) / std::sqrt(2 * std::acos(-1.0));
        double const found = lane_of([](cpu::Floats v) { return cpu::gelu_slope(v); }, argument);
        REQUIRE(std::fabs(found - slope) < 4e-7);
    }
}

TEST_CASE("Transposing sixteen rows gives their columns") {
    auto const values = numbers(256, 5);
    cpu::Floats rows[cpu::lanes];
    for (std::size_t r = 0; r < 16; ++r)
        rows[r] = cpu::load(values.data() + 16 * r);
    cpu::transpose(rows);
    for (std::size_t r = 0; r < 16; ++r) {
        float row[16];
        cpu::store(row, rows[r]);
        for (std::size_t c = 0; c < 16; ++c)
            REQUIRE(row[c] == values[16 * c + r]);
    }
}

TEST_CASE("Masked loads and stores touch only their lanes") {
    auto const values = numbers(16, 6);
    for (std::size_t count = 0; count <= 17; ++count) {
        std::vector<float> to(16, 9.0f);
        std::size_t const present = std::min<std::size_t>(count, 16);
        // Exactly as long as the mask says: a sanitizer sees one float too many.
        std::vector<float> const from(values.begin(),
                                      values.begin() + static_cast<std::ptrdiff_t>(present));
        cpu::Mask const mask = cpu::first_lanes(count);
        float all[16];
        cpu::store(all, cpu::load(from.data(), mask));
        cpu::store(to.data(), cpu::broadcast(1.0f), mask);
        for (std::size_t i = 0; i < 16; ++i) {
            REQUIRE(all[i] == (i < present ? values[i] : 0.0f));
            REQUIRE(to[i] == (i < present ? 1.0f : 9.0f));
        }
    }
}

TEST_CASE("Dropout keeps what the random words say, wherever it begins") {
    RandomKey const key{7, 0xFFFFFFFF12345678u};
    for (double probability : {0.1, 0.5, 0.0})
        for (std::uint64_t first : {0ull, 1ull, 3ull, 63ull, 64ull, 0xFFFFFFFDull * 4}) {
            cpu::DropoutRule const rule(probability, key);
            std::vector<float> factors(333);
            cpu::dropout_factors(rule, first, factors.size(), factors.data());
            for (std::size_t i = 0; i < factors.size(); ++i) {
                bool const kept = random_bits(key, first + i) >= probability * 0x1p32;
                REQUIRE(factors[i] == (kept ? static_cast<float>(1 / (1 - probability)) : 0.0f));
            }
        }
}

TEST_CASE("Elementwise dropout shares its fate in groups") {
    cpu::Engine engine(2);
    auto const x = numbers(10007, 8);
    for (std::size_t group : {1u, 3u, 64u, 20000u}) {
        std::vector<float> y(x.size());
        cpu::dropout(engine, x.data(), x.size(), group, 0.3, {1, 2}, y.data());
        for (std::size_t i = 0; i < x.size(); ++i) {
            bool const kept = random_bits({1, 2}, i / group) >= 0.3 * 0x1p32;
            REQUIRE(y[i] == (kept ? x[i] * static_cast<float>(1 / 0.7) : 0.0f));
        }
    }
}

TEST_CASE("Sums of columns and scattered rows do not depend on threads") {
    cpu::Engine one(1), three(3);
    auto const x = numbers(1000 * 77, 9);
    for (std::size_t width : {77u, 128u, 300u}) {
        std::size_t const rows = 200, stride = width + 9;
        std::vector<float> a(width, 1.0f), b(width, 1.0f), plain(width, 1.0f);
        cpu::add_column_sums(one, rows, width, {x.data(), stride}, a.data());
        cpu::add_column_sums(three, rows, width, {x.data(), stride}, b.data());
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t c = 0; c < width; ++c)
                plain[c] += x[r * stride + c];
        REQUIRE(a == plain);
        REQUIRE(b == plain);
    }
    std::vector<int> ids(1000), positions(1000);
    for (std::size_t i = 0; i < ids.size(); ++i) {
        ids[i] = static_cast<int>(i % 5);
        positions[i] = static_cast<int>(i % 3);
    }
    std::vector<float> table_a(5 * 77), table_b(5 * 77), positions_a(3 * 77), positions_b(3 * 77);
    cpu::embed_backward(one, 1000, 77, ids.data(), positions.data(), 2, {x.data(), 77},
                        table_a.data(), positions_a.data());
    cpu::embed_backward(three, 1000, 77, ids.data(), positions.data(), 2, {x.data(), 77},
                        table_b.data(), positions_b.data());
    REQUIRE(table_a == table_b);
    REQUIRE(positions_a == positions_b);
    REQUIRE(table_a[2 * 77] == 0.0f);
    REQUIRE(table_a[1 * 77] != 0.0f);
}
