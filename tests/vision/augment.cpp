#include <support/catch.hpp>
#include <support/pictures.hpp>

#include <cmath>
#include <cstdint>

#include <blip/vision/augment.hpp>
#include <blip/vision/crop.hpp>
#include <blip/vision/preprocess.hpp>

using namespace blip;
using test::same;

namespace {

/// Red is the row, green the column.
Image ramp(std::size_t height, std::size_t width) {
    Image image = make_image({height, width});
    for (std::size_t y = 0; y < height; ++y)
        for (std::size_t x = 0; x < width; ++x) {
            image(y, x, 0) = static_cast<std::uint8_t>(y);
            image(y, x, 1) = static_cast<std::uint8_t>(x);
            image(y, x, 2) = 100;
        }
    return image;
}

} // namespace

TEST_CASE("a crop is the part that its box names") {
    auto const part = crop(ramp(20, 30), {5, 7, 4, 6});
    CHECK(part.shape()[0] == 4);
    CHECK(part.shape()[1] == 6);
    CHECK(part(0, 0, 0) == 5);
    CHECK(part(0, 0, 1) == 7);
    CHECK(part(3, 5, 0) == 8);
    CHECK(part(3, 5, 1) == 12);
    CHECK(same(crop(ramp(4, 4), {0, 0, 4, 4}), ramp(4, 4)));
    for (Box const box : {Box{0, 0, 5, 4}, Box{1, 0, 4, 4}, Box{0, 4, 1, 1}, Box{0, 0, 0, 4},
                          Box{SIZE_MAX, 0, 2, 2}, Box{0, SIZE_MAX, 2, 2}})
        CHECK_THROWS_AS(crop(ramp(4, 4), box), ArgumentError);
}

TEST_CASE("a mirrored picture mirrored again is the picture") {
    auto const image = ramp(5, 8);
    auto const flipped = flip_horizontally(image);
    CHECK(flipped(2, 0, 1) == 7);
    CHECK(flipped(2, 0, 0) == 2);
    CHECK(flipped(2, 7, 1) == 0);
    CHECK(same(flip_horizontally(flipped), image));
}

TEST_CASE("random boxes follow the distribution of RandomResizedCrop") {
    ImageSize const size{480, 640};
    double area = 0, log_ratio = 0, log_square = 0;
    double left = 0;
    int whole = 0;
    constexpr int count = 20000;
    for (std::uint64_t i = 0; i < count; ++i) {
        auto const box = random_crop_box(size, 0.2, 0.6, {11, i});
        REQUIRE(box.height >= 1);
        REQUIRE(box.width >= 1);
        REQUIRE(box.y + box.height <= size.height);
        REQUIRE(box.x + box.width <= size.width);
        double const share = static_cast<double>(box.height * box.width) / (480.0 * 640.0);
        double const ratio =
            std::log(static_cast<double>(box.width) / static_cast<double>(box.height));
        CHECK(share > 0.197);
        CHECK(share < 0.603);
        CHECK(std::abs(ratio) < std::log(4.0 / 3.0) + 0.01);
        area += share / count;
        log_ratio += ratio / count;
        log_square += ratio * ratio / count;
        left +=
            static_cast<double>(box.x) / static_cast<double>(size.width - box.width + 1) / count;
        whole += box == Box{0, 0, 480, 640} ? 1 : 0;
    }
    // At a share of 0.6 every ratio but the tallest fits into 4:3, so nothing is drawn again.
    CHECK(area == Approx(0.4).margin(0.004));
    CHECK(log_ratio == Approx(0).margin(0.006));
    CHECK(log_square == Approx(std::pow(std::log(4.0 / 3.0), 2) / 3).epsilon(0.03));
    CHECK(left == Approx(0.5).margin(0.01));
    CHECK(whole == 0);
    CHECK(random_crop_box(size, 0.2, 1, {1, 2}) == random_crop_box(size, 0.2, 1, {1, 2}));
}

TEST_CASE("what never fits becomes the middle with the nearest ratio") {
    CHECK(random_crop_box({100, 1000}, 1, 1, {1, 1}) == Box{0, 433, 100, 133});
    CHECK(random_crop_box({1000, 99}, 1, 1, {1, 1}) == Box{434, 0, 132, 99});
    CHECK(random_crop_box({10, 10}, 4, 4, {1, 1}) == Box{0, 0, 10, 10});
    for (std::size_t height = 1; height <= 12; ++height)
        for (std::size_t width = 1; width <= 12; ++width)
            for (std::uint64_t i = 0; i < 20; ++i) {
                auto const box = random_crop_box({height, width}, 0.01, 1, {2, i});
                CHECK(crop(ramp(height, width), box).size() > 0);
            }
    CHECK_THROWS_AS(random_crop_box({10, 10}, 0, 1, {1, 1}), ArgumentError);
    CHECK_THROWS_AS(random_crop_box({10, 10}, 0.5, 0.2, {1, 1}), ArgumentError);
    CHECK_THROWS_AS(random_crop_box({10, 10}, 0.5, HUGE_VAL, {1, 1}), ArgumentError);
    CHECK_THROWS_AS(random_crop_box({10, 0}, 0.5, 1, {1, 1}), ArgumentError);
}

TEST_CASE("augmentation is a function of its key and gives the asked size") {
    auto const image = ramp(60, 80);
    int flipped = 0;
    for (std::uint64_t i = 0; i < 200; ++i) {
        auto const result = augment(image, {}, 32, {5, i});
        REQUIRE(image_size(result) == ImageSize{32, 32});
        CHECK(same(result, augment(image, {}, 32, {5, i})));
        auto const plain = augment(image, {.rand_augment = false}, 32, {5, i});
        flipped += plain(16, 2, 1) > plain(16, 29, 1) ? 1 : 0;
    }
    CHECK(flipped == Approx(100).margin(30));
    CHECK(!same(augment(image, {}, 32, {5, 1}), augment(image, {}, 32, {5, 2})));
    CHECK(same(augment(image, Augment::none(), 24, {5, 1}), resize_bicubic(image, {24, 24})));
    CHECK_THROWS_AS(augment(image, {}, 0, {5, 1}), ArgumentError);
}

TEST_CASE("preprocessing keeps the pixels of an augmented picture") {
    auto const result = augment(ramp(60, 80), {}, 32, {9, 9});
    auto const pixels =
        preprocess(result, {.size = 32, .mean = {0, 0, 0}, .std = {1, 1, 1}, .rescale = 1});
    for (std::size_t y = 0; y < 32; ++y)
        for (std::size_t x = 0; x < 32; ++x)
            for (std::size_t c = 0; c < 3; ++c)
                REQUIRE(pixels(0, c, y, x) == static_cast<float>(result(y, x, c)));
}
