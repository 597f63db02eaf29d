#include <support/catch.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <set>
#include <utility>

#include <blip/core/random.hpp>

using namespace blip;
using Block = std::array<std::uint32_t, 4>;

TEST_CASE("Philox-4x32-10 gives the published answers") {
    // Known answers of the Random123 distribution: counter words c0 c1 c2 c3, key words k0 k1.
    CHECK(random_block({0, 0}, 0) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    std::uint64_t const ones = ~std::uint64_t{0};
    CHECK(random_block({ones, ones}, ones) ==
          Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    // Digits of π.
    CHECK(random_block({0x299f31d0a4093822, 0x0370734413198a2e}, 0x85a308d3243f6a88) ==
          Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("random bits are the words of the blocks in order") {
    RandomKey const key{12, 34};
    for (std::uint64_t i = 0; i < 12; ++i)
        CHECK(random_bits(key, i) == random_block(key, i / 4)[i % 4]);
    static_assert(random_bits({0, 0}, 1) == 0xe169c58d);
}

TEST_CASE("random numbers are uniform in [0, 1)") {
    int const n = 100000;
    std::array<int, 20> histogram{};
    double sum = 0, square = 0;
    for (int i = 0; i < n; ++i) {
        double const x = random_uniform({3, 4}, static_cast<std::uint64_t>(i));
        REQUIRE((x >= 0 && x < 1));
        ++histogram[static_cast<std::size_t>(x * 20)];
        sum += x;
        square += x * x;
    }
    // Six standard deviations each; 19 degrees of freedom exceed 60 once in two hundred thousand.
    CHECK(std::abs(sum / n - 0.5) < 6 * std::sqrt(1.0 / 12 / n));
    CHECK(std::abs(square / n - 1.0 / 3) < 6 * std::sqrt(4.0 / 45 / n));
    double chi = 0;
    for (int count : histogram)
        chi += (count - n / 20.0) * (count - n / 20.0) / (n / 20.0);
    CHECK(chi < 60);
}

TEST_CASE("split keys draw from streams of their own") {
    std::set<std::pair<std::uint64_t, std::uint64_t>> streams;
    for (std::uint64_t seed = 0; seed < 4; ++seed)
        for (std::uint64_t part = 0; part < 1000; ++part) {
            auto const key = split({seed, 0}, part);
            CHECK(key.seed == seed);
            streams.insert({key.seed, key.stream});
            auto const nested = split(key, 0);
            streams.insert({nested.seed, nested.stream});
        }
    CHECK(streams.size() == 8000);
    auto const a = split({1, 2}, 3), b = split({1, 2}, 3);
    CHECK((a.seed == b.seed && a.stream == b.stream));
}
