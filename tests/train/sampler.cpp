#include <support/catch.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include <blip/train/sampler.hpp>

using namespace blip;

TEST_CASE("a permutation meets every number once") {
    for (std::uint64_t size : {1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000, 4096, 5000})
        for (std::uint64_t seed = 0; seed < 3; ++seed) {
            Permutation const permutation(size, {seed, 5});
            std::vector<int> met(size);
            for (std::uint64_t i = 0; i < size; ++i) {
                auto const at = permutation(i);
                REQUIRE(at < size);
                ++met[at];
            }
            CHECK(std::all_of(met.begin(), met.end(), [](int count) { return count == 1; }));
        }
    CHECK_THROWS_AS(Permutation(0, {1, 1}), ArgumentError);
    CHECK_THROWS_AS(Permutation(UINT64_MAX, {1, 1}), ArgumentError);
    std::uint64_t const huge = std::uint64_t{1} << 62;
    CHECK(Permutation(huge, {1, 1})(huge - 1) < huge);
}

TEST_CASE("every order of a few numbers is equally likely") {
    std::map<std::vector<std::uint64_t>, int> orders;
    constexpr int count = 24000;
    for (std::uint64_t seed = 0; seed < count; ++seed) {
        Permutation const permutation(4, {seed, 9});
        ++orders[{permutation(0), permutation(1), permutation(2), permutation(3)}];
    }
    REQUIRE(orders.size() == 24);
    double statistic = 0;
    for (auto const& [order, times] : orders)
        statistic += (times - count / 24.0) * (times - count / 24.0) / (count / 24.0);
    CHECK(statistic < 49.7); // 23 degrees of freedom, one in a thousand
}

TEST_CASE("a permutation of many is spread like chance") {
    // The mean distance of neighbours is a third of the size.
    constexpr std::uint64_t size = 50000;
    Permutation const permutation(size, {77, 1});
    double distance = 0, along = 0;
    for (std::uint64_t i = 0; i + 1 < size; ++i) {
        auto const a = static_cast<double>(permutation(i)),
                   b = static_cast<double>(permutation(i + 1));
        distance += std::abs(a - b) / size / size;
        along += (a / size - 0.5) * (static_cast<double>(i) / size - 0.5) * 12 / size;
    }
    CHECK(distance == Approx(1.0 / 3).margin(0.005));
    CHECK(along == Approx(0).margin(0.02));
}

TEST_CASE("one source: every pass is another order of the whole") {
    MixedOrder const order({{10, 0}}, 3);
    std::vector<std::vector<std::uint64_t>> passes;
    for (std::uint64_t pass = 0; pass < 5; ++pass) {
        std::vector<std::uint64_t> met;
        for (std::uint64_t i = 0; i < 10; ++i) {
            auto const draw = order.at(10 * pass + i);
            CHECK(draw.source == 0);
            CHECK(draw.pass == pass);
            met.push_back(draw.index);
        }
        passes.push_back(met);
        std::sort(met.begin(), met.end());
        for (std::uint64_t i = 0; i < 10; ++i)
            CHECK(met[i] == i);
    }
    CHECK(std::set(passes.begin(), passes.end()).size() == 5);
    CHECK(order.epoch_samples() == 10);
    CHECK(order.steps_per_epoch(4) == 2);
    CHECK(order.steps_per_epoch(64) == 1);
    CHECK(MixedOrder({{10, 0}}, 3).at(7) == order.at(7));
    int same = 0;
    for (std::uint64_t i = 0; i < 10; ++i)
        same += MixedOrder({{10, 0}}, 4).at(i) == order.at(i) ? 1 : 0;
    CHECK(same < 10);
}

TEST_CASE("sources without weights are one list") {
    MixedOrder const order({{3, 0}, {5, 0}, {2, 0}}, 8);
    for (std::uint64_t pass = 0; pass < 3; ++pass) {
        std::set<std::pair<std::size_t, std::uint64_t>> met;
        for (std::uint64_t i = 0; i < 10; ++i) {
            auto const draw = order.at(10 * pass + i);
            CHECK(draw.index < std::array<std::uint64_t, 3>{3, 5, 2}[draw.source]);
            met.insert({draw.source, draw.index});
        }
        CHECK(met.size() == 10);
    }
}

TEST_CASE("weights mix sources, and each goes through passes of its own") {
    constexpr std::uint64_t block = 1 << 16;
    std::vector<SourceShare> const shares{{1000, 1}, {30000, 2.5}, {7, 1e-9}};
    MixedOrder const order(shares, 21);
    std::vector<std::map<std::uint64_t, std::map<std::uint64_t, int>>> met(3);
    std::vector<std::uint64_t> first(3), all(3);
    for (std::uint64_t number = 0; number < 2 * block; ++number) {
        auto const draw = order.at(number);
        REQUIRE(draw.index < shares[draw.source].size);
        ++met[draw.source][draw.pass][draw.index];
        all[draw.source] += 1;
        first[draw.source] += number < 700 ? 1 : 0;
    }
    CHECK(all[0] == Approx(2 * block / 3.5).margin(2));
    CHECK(all[1] == Approx(2 * block * 2.5 / 3.5).margin(2));
    CHECK(all[2] == 2);
    CHECK(first[0] == Approx(200).margin(40)); // mixed from the start
    for (std::size_t source = 0; source < 3; ++source)
        for (auto const& [pass, counts] : met[source])
            for (auto const& [index, count] : counts)
                REQUIRE(count == 1);
    // All but the pass that is under way are whole.
    CHECK(met[0].size() == 38);
    for (std::uint64_t pass = 0; pass < 37; ++pass)
        CHECK(met[0][pass].size() == 1000);
}

TEST_CASE("replacements and keys are functions of number and attempt") {
    MixedOrder const order({{1000, 1}, {5, 1}}, 2);
    for (std::uint64_t number = 0; number < 50; ++number) {
        auto const draw = order.at(number);
        for (std::uint64_t attempt = 1; attempt < 4; ++attempt) {
            auto const other = order.at(number, attempt);
            CHECK(other == order.at(number, attempt));
            CHECK(other.source == draw.source);
            CHECK(other.index < (draw.source == 0 ? 1000u : 5u));
        }
    }
    std::set<std::uint64_t> streams;
    for (std::uint64_t number = 0; number < 100; ++number)
        for (std::uint64_t attempt = 0; attempt < 5; ++attempt)
            streams.insert(order.key(number, attempt).stream);
    CHECK(streams.size() == 500);
}

TEST_CASE("an order of nothing is refused") {
    CHECK_THROWS_AS(MixedOrder({}, 1), ArgumentError);
    CHECK_THROWS_AS(MixedOrder({{0, 0}}, 1), ArgumentError);
    CHECK_THROWS_AS(MixedOrder({{5, 1}, {5, 0}}, 1), ArgumentError);
    CHECK_THROWS_AS(MixedOrder({{5, -1}}, 1), ArgumentError);
    CHECK_THROWS_AS(MixedOrder({{5, NAN}}, 1), ArgumentError);
    CHECK_THROWS_AS(MixedOrder({{5, HUGE_VAL}}, 1), ArgumentError);
}
