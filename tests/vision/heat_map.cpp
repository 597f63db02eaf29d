#include <support/catch.hpp>

#include <blip/core/random.hpp>
#include <blip/vision/heat_map.hpp>

#include <limits>

using namespace blip;

namespace {

GridMap map_of(std::size_t height, std::size_t width, auto const& value) {
    GridMap map(GridMap::shape_type{height, width});
    for (std::size_t y = 0; y < height; ++y)
        for (std::size_t x = 0; x < width; ++x)
            map(y, x) = static_cast<float>(value(y, x));
    return map;
}

Image grey(std::size_t height, std::size_t width) {
    Image image = make_image({height, width});
    for (std::size_t i = 0; i < image.size(); ++i)
        image.data()[i] = static_cast<std::uint8_t>(60 + i % 100);
    return image;
}

} // namespace

TEST_CASE("the jet colours are those of its published stops") {
    auto const is = [](float x, std::array<float, 3> colour) {
        auto const found = jet_colour(x);
        for (std::size_t c = 0; c < 3; ++c)
            CHECK(found[c] == Approx(colour[c]).margin(1e-6));
    };
    is(0, {0, 0, 0.5f});
    is(0.125f, {0, 0, 1});
    is(0.375f, {0.0806452f, 1, 0.8870968f});
    is(0.66f, {1, 0.9259259f, 0});
    is(1, {0.5f, 0, 0});
}

TEST_CASE("a spread map covers 0 to 1 and keeps its shape") {
    auto const map = map_of(4, 6, [](auto y, auto x) { return 10 + 3 * x + y; });
    auto const spread = spread_map(map, {40, 60});
    CHECK(spread.shape()[0] == 40);
    CHECK(spread.shape()[1] == 60);
    CHECK(*std::min_element(spread.begin(), spread.end()) == 0);
    CHECK(*std::max_element(spread.begin(), spread.end()) == 1);
    CHECK(spread(0, 0) == 0);
    CHECK(spread(39, 59) == 1);
    for (std::size_t x = 1; x < 60; ++x)
        CHECK(spread(20, x) >= spread(20, x - 1));
    // Only the shape counts: neither offset nor scale.
    auto const other = spread_map(map_of(4, 6, [](auto y, auto x) { return 3 * x + y; }), {40, 60});
    for (std::size_t i = 0; i < spread.size(); ++i)
        CHECK(other.data()[i] == Approx(spread.data()[i]).margin(1e-5));
}

TEST_CASE("without a blur a map of its picture's size is only scaled") {
    auto const map = map_of(5, 7, [](auto y, auto x) { return random_uniform({y, x}, 0); });
    auto const spread = spread_map(map, {5, 7}, {.blur = 0});
    auto const [least, most] = std::minmax_element(map.begin(), map.end());
    for (std::size_t i = 0; i < map.size(); ++i)
        CHECK(spread.data()[i] == Approx((map.data()[i] - *least) / (*most - *least)).margin(1e-6));
}

TEST_CASE("the blur is a Gaussian of two percent of the longer side") {
    // One bright pixel; sigma is 2.
    auto const map = map_of(41, 100, [](auto y, auto x) { return y == 20 && x == 50 ? 1 : 0; });
    auto const spread = spread_map(map, {41, 100});
    for (std::size_t x = 44; x <= 56; ++x) {
        double const d = (static_cast<double>(x) - 50) / 2;
        CHECK(spread(20, x) == Approx(std::exp(-d * d / 2)).margin(2e-3));
        CHECK(spread(20, x) == Approx(spread(20, 100 - x)).margin(1e-6));
    }
    // A border mirrors: a bright edge stays as bright as it was, and a blur keeps sums.
    detail::Blur const blur(3);
    std::vector<float> line{5, 0, 0, 1, 0, 0, 0, 2}, blurred(8);
    blur(line, blurred);
    double before = 0, after = 0;
    for (std::size_t i = 0; i < 8; ++i) {
        before += double(line[i]);
        after += double(blurred[i]);
    }
    CHECK(after == Approx(before));
    std::vector<float> const flat(8, 4.0f);
    blur(flat, blurred);
    for (float value : blurred)
        CHECK(value == Approx(4));
}

TEST_CASE("a map over a very large picture is that over a smaller one, enlarged") {
    auto const map = map_of(6, 8, [](auto y, auto x) { return random_uniform({y, x}, 1); });
    std::size_t const side = detail::longest_blurred;
    auto const large = spread_map(map, {3 * side / 2, 2 * side});
    auto const small = spread_map(map, {3 * side / 4, side});
    REQUIRE(large.shape()[0] == 3 * side / 2);
    REQUIRE(large.shape()[1] == 2 * side);
    float worst = 0;
    for (std::size_t y = 0; y < large.shape()[0]; ++y)
        for (std::size_t x = 0; x < large.shape()[1]; ++x)
            worst = std::max(worst, std::abs(large(y, x) - small(y / 2, x / 2)));
    CHECK(worst < 5e-3f);
    // A strip keeps one row.
    CHECK(spread_map(map, {1, 3 * side}).size() == 3 * side);
}

TEST_CASE("an overlay leaves what the map leaves and colours the rest") {
    auto const image = grey(30, 50);
    CHECK((overlay(image, map_of(3, 3, [](auto, auto) { return 0.3; })) == image));
    auto const map = map_of(3, 3, [](auto y, auto x) { return y == 0 && x == 2 ? 1 : 0; });
    auto const spread = spread_map(map, {30, 50});
    auto const shown = overlay(image, map);
    auto const half = overlay(image, map, {.weight = 0.5});
    std::size_t hottest = 0, coldest = 0;
    for (std::size_t i = 0; i < spread.size(); ++i) {
        float const m = spread.data()[i];
        hottest = m > spread.data()[hottest] ? i : hottest;
        coldest = m < spread.data()[coldest] ? i : coldest;
        double const w = std::pow(double(m), 0.7);
        for (std::size_t c = 0; c < 3; ++c) {
            double const picture = image.data()[3 * i + c];
            double const colour = 255 * double(jet_colour(m)[c]);
            CHECK(std::abs(shown.data()[3 * i + c] - ((1 - w) * picture + w * colour)) < 0.51);
            CHECK(std::abs(half.data()[3 * i + c] - ((1 - w / 2) * picture + w / 2 * colour)) <
                  0.51);
        }
    }
    // The hottest place, in the upper right, is the colour alone: dark red. The coldest is the
    // picture alone.
    CHECK(hottest / 50 < 10);
    CHECK(hottest % 50 > 33);
    CHECK(int(shown.data()[3 * hottest]) == 128);
    CHECK(int(shown.data()[3 * hottest + 1]) == 0);
    CHECK(int(shown.data()[3 * hottest + 2]) == 0);
    for (std::size_t c = 0; c < 3; ++c)
        CHECK(shown.data()[3 * coldest + c] == image.data()[3 * coldest + c]);
}

TEST_CASE("heat maps that cannot be shown say so") {
    auto const image = grey(4, 4);
    CHECK_THROWS_AS(overlay(image, GridMap(GridMap::shape_type{0, 3})), ArgumentError);
    CHECK_THROWS_AS(
        overlay(image,
                map_of(2, 2, [](auto, auto) { return std::numeric_limits<double>::quiet_NaN(); })),
        ArgumentError);
    auto const map = map_of(2, 2, [](auto y, auto x) { return y + x; });
    CHECK_THROWS_AS(overlay(image, map, {.blur = -1}), ArgumentError);
    CHECK_THROWS_AS(overlay(image, map, {.power = 0}), ArgumentError);
    CHECK_THROWS_AS(overlay(image, map, {.weight = 2}), ArgumentError);
}
