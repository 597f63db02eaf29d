#include <support/catch.hpp>
#include <support/golden.hpp>
#include <support/pictures.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <blip/vision/affine.hpp>
#include <blip/vision/rand_augment.hpp>

using namespace blip;
using test::same;

namespace {

std::map<std::string, AugmentOperation> const names{
    {"Identity", AugmentOperation::identity},
    {"AutoContrast", AugmentOperation::auto_contrast},
    {"Brightness", AugmentOperation::brightness},
    {"Sharpness", AugmentOperation::sharpness},
    {"Equalize", AugmentOperation::equalize},
    {"ShearX", AugmentOperation::shear_x},
    {"ShearY", AugmentOperation::shear_y},
    {"TranslateX", AugmentOperation::translate_x},
    {"TranslateY", AugmentOperation::translate_y},
    {"Rotate", AugmentOperation::rotate},
    {"Solarize", AugmentOperation::solarize},
    {"Posterize", AugmentOperation::posterize},
    {"Color", AugmentOperation::color},
    {"Contrast", AugmentOperation::contrast},
};

Image noise(std::size_t height, std::size_t width, int low = 0) {
    Image image = make_image({height, width});
    for (std::size_t i = 0; i < image.size(); ++i)
        image.data()[i] = static_cast<std::uint8_t>(
            low + static_cast<int>(random_bits({7, 1}, i) % static_cast<unsigned>(256 - low)));
    return image;
}

} // namespace

#if BLIP_HAS_GOLDEN_RANDAUGMENT

namespace {

Image golden_picture(test::GoldenTensors const& tensors, std::string const& name) {
    auto const& view = tensors.file().at(name);
    REQUIRE(view.shape.size() == 3);
    Image image = make_image(
        {static_cast<std::size_t>(view.shape[0]), static_cast<std::size_t>(view.shape[1])});
    auto const values = tensors.integers(name);
    REQUIRE(values.size() == image.size());
    std::transform(values.begin(), values.end(), image.data(),
                   [](std::int64_t value) { return static_cast<std::uint8_t>(value); });
    return image;
}

} // namespace

TEST_CASE("every operation of RandAugment is the release's, byte for byte", "[golden]") {
    test::GoldenTensors const inputs("randaugment", "inputs.safetensors");
    test::GoldenTensors const expected("randaugment", "expected.safetensors");
    int compared = 0, intended = 0;
    for (auto const& single : test::golden_json("randaugment").at("single")) {
        auto const tensor = single.at("tensor").get<std::string>();
        INFO(tensor);
        auto const picture = golden_picture(inputs, single.at("picture").get<std::string>());
        auto const operation = names.at(single.at("op").get<std::string>());
        auto const level = single.at("level").get<double>();
        auto const uniform = single.at("uniform").get<double>();
        CHECK(same(apply_operation(picture, operation, level, uniform),
                   golden_picture(expected, tensor)));
        ++compared;
        if (expected.has(tensor + ".intended")) {
            CHECK(same(apply_operation(picture, operation, level, uniform, AutoContrast::intended),
                       golden_picture(expected, tensor + ".intended")));
            ++intended;
        }
    }
    CHECK(compared > 0);
    CHECK(intended > 0);
}

TEST_CASE("chains of RandAugment with given draws are the release's", "[golden]") {
    test::GoldenTensors const inputs("randaugment", "inputs.safetensors");
    test::GoldenTensors const expected("randaugment", "expected.safetensors");
    int compared = 0;
    for (auto const& chain : test::golden_json("randaugment").at("chains")) {
        auto const tensor = chain.at("tensor").get<std::string>();
        INFO(tensor);
        std::vector<AugmentOperation> operations;
        for (auto const& name : chain.at("ops"))
            operations.push_back(names.at(name.get<std::string>()));
        auto const uniforms = chain.at("uniforms").get<std::vector<double>>();
        std::size_t next = 0;
        auto const result = rand_augment(golden_picture(inputs, "square"), operations, {},
                                         [&] { return uniforms.at(next++); });
        CHECK(next == uniforms.size());
        CHECK(same(result, golden_picture(expected, tensor)));
        ++compared;
    }
    CHECK(compared > 0);
}

#endif

TEST_CASE("a warp samples where its map says") {
    auto const image = noise(9, 14);
    CHECK(same(warp_affine(image, {1, 0, 0, 0, 1, 0}), image));
    auto const moved = warp_affine(image, {1, 0, 3, 0, 1, -2}, 17);
    for (std::size_t y = 0; y < 9; ++y)
        for (std::size_t x = 0; x < 14; ++x)
            for (std::size_t c = 0; c < 3; ++c)
                CHECK(moved(y, x, c) == (x >= 3 && y + 2 < 9 ? image(y + 2, x - 3, c) : 17));
    // Half a pixel to the right: the mean of two neighbours, halves up.
    auto const half = warp_affine(image, {1, 0, 0.5, 0, 1, 0});
    CHECK(half(4, 5, 1) == (image(4, 4, 1) + image(4, 5, 1) + 1) / 2);
    // A quarter turn about the middle maps the right edge onto the top.
    auto const turned = warp_affine(image, rotation_about_middle({9, 14}, 180));
    CHECK(turned(1, 1, 0) == image(8, 13, 0));
    CHECK_THROWS_AS(warp_affine(image, {1, 0, HUGE_VAL, 0, 1, 0}), ArgumentError);
    // A map that cannot be undone takes every value from one place, as OpenCV does.
    CHECK(warp_affine(image, {0, 0, 5, 0, 0, 5})(3, 3, 2) == image(0, 0, 2));
    // Far away there is only the border.
    CHECK(warp_affine(image, {1, 0, 1e12, 0, 1, 0})(1, 1, 0) == 128);
}

TEST_CASE("operations keep the size and the smallest pictures") {
    for (auto const& image : {noise(1, 1), noise(1, 5), noise(7, 1), noise(2, 2), noise(33, 17)})
        for (auto const& [name, operation] : names)
            for (double const level : {0.0, 5.0, 10.0}) {
                INFO(name);
                auto const result = apply_operation(image, operation, level, 0.7);
                CHECK(image_size(result) == image_size(image));
            }
    CHECK_THROWS_AS(apply_operation(noise(2, 2), AugmentOperation::rotate, 10.5, 0), ArgumentError);
    CHECK_THROWS_AS(apply_operation(make_image({0, 2}), AugmentOperation::rotate, 5, 0),
                    ArgumentError);
}

TEST_CASE("at level 5 brightness and sharpness change nothing") {
    auto const image = noise(12, 9);
    CHECK(same(apply_operation(image, AugmentOperation::brightness, 5, 0), image));
    CHECK(same(apply_operation(image, AugmentOperation::sharpness, 5, 0), image));
    CHECK(!same(apply_operation(image, AugmentOperation::sharpness, 6, 0), image));
}

TEST_CASE("auto contrast turns a channel without black white, unless mended") {
    auto const image = noise(20, 20, 40);
    auto const released = operations::auto_contrast(image);
    CHECK(std::all_of(released.begin(), released.end(), [](int v) { return v == 255; }));
    auto const mended = operations::auto_contrast(image, AutoContrast::intended);
    CHECK(*std::min_element(mended.begin(), mended.end()) == 0);
    CHECK(*std::max_element(mended.begin(), mended.end()) == 255);
    // A channel of one value stays.
    Image flat = make_image({3, 3});
    std::fill(flat.begin(), flat.end(), std::uint8_t{90});
    CHECK(same(operations::auto_contrast(flat), flat));
    CHECK(same(operations::equalize(flat), flat));
}

TEST_CASE("RandAugment is a function of its key and draws every operation equally") {
    auto const image = noise(16, 16);
    CHECK(same(rand_augment(image, {}, {3, 4}), rand_augment(image, {}, {3, 4})));
    int changed = 0, inverted = 0, translated = 0;
    std::array const choices{AugmentOperation::solarize, AugmentOperation::translate_x};
    for (std::uint64_t i = 0; i < 400; ++i) {
        changed += !same(rand_augment(image, {}, {1, i}), image) ? 1 : 0;
        auto const one = rand_augment(
            image, {.operations = 1, .level = 0, .probability = 1, .choices = choices}, {2, i});
        // At level 0 solarize inverts all and a translation by 0 nothing.
        inverted += one(0, 0, 0) == 255 - image(0, 0, 0) ? 1 : 0;
        translated += same(one, image) ? 1 : 0;
    }
    // Two draws of which 7 in 10 change something, each carried out half of the time: 1 - 0.65^2.
    CHECK(changed == Approx(400 * 0.5775).margin(45));
    CHECK(inverted + translated == 400);
    CHECK(inverted == Approx(200).margin(45));
    CHECK(same(rand_augment(image, {.operations = 0}, {1, 1}), image));
    CHECK_THROWS_AS(rand_augment(image, {.choices = {}}, {1, 1}), ArgumentError);
}
