#include "support/catch.hpp"
#include "support/golden.hpp"
#include "support/sha256.hpp"

#include <blip/vision/preprocess.hpp>
#include <blip/vision/read_image.hpp>
#include <blip/vision/resize.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

namespace {

using blip::test::golden_file;
using blip::test::golden_json;
using blip::test::GoldenTensors;

/// The list of pictures.json, whose outermost value is an array.
nlohmann::json golden_pictures() {
    std::ifstream file(golden_file("preprocessing", "pictures.json"));
    return nlohmann::json::parse(file);
}

/// Where a picture of a golden case lies: in the case, or at the same path in the test data.
std::filesystem::path picture_path(nlohmann::json const& picture, std::string const& name) {
    if (picture.value("in_data_folder", name.rfind("pictures/", 0) != 0))
        return std::filesystem::path(BLIP_TEST_DATA_DIR) / name;
    return golden_file("preprocessing", name);
}

std::vector<std::uint8_t> bytes_of(blip::Image const& image) {
    return {image.data(), image.data() + image.size()};
}

blip::Image golden_image(GoldenTensors const& tensors, std::string const& name) {
    auto const& view = tensors.file().at(name);
    blip::Image image = blip::make_image(
        {static_cast<std::size_t>(view.shape.at(0)), static_cast<std::size_t>(view.shape.at(1))});
    REQUIRE(view.type == blip::DataType::u8);
    auto const values = view.contiguous_bytes();
    REQUIRE(values.size() == image.size());
    std::memcpy(image.data(), values.data(), values.size());
    return image;
}

double largest_difference(std::span<float const> actual, std::vector<float> const& expected) {
    REQUIRE(actual.size() == expected.size());
    double largest = 0;
    for (std::size_t i = 0; i < expected.size(); ++i)
        largest = std::max(largest, std::abs(double{actual[i]} - double{expected[i]}));
    return largest;
}

} // namespace

TEST_CASE("SHA-256 of the standard's example") {
    CHECK(blip::test::sha256(std::as_bytes(std::span("abc", 3))) ==
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("Pictures decode and resize to Pillow's bytes", "[golden]") {
    GoldenTensors const expected("preprocessing", "expected.safetensors");
    std::size_t checked = 0;
    for (auto const& picture : golden_pictures()) {
        auto const name = picture.at("picture").get<std::string>();
        INFO(name);
        auto const image = blip::read_image(picture_path(picture, name));
        CHECK(blip::image_size(image).height == picture.at("height").get<std::size_t>());
        CHECK(blip::image_size(image).width == picture.at("width").get<std::size_t>());
        CHECK(blip::test::sha256_of(image) == picture.at("sha256_rgb").get<std::string>());
        for (auto const& [side, digest] : picture.at("resized").items()) {
            INFO(side);
            auto const size = static_cast<std::size_t>(std::stoul(side));
            CHECK(blip::test::sha256_of(blip::resize_bicubic(image, {size, size})) ==
                  digest.get<std::string>());
        }
        auto const tensor = "decoded." + std::filesystem::path(name).filename().string();
        if (expected.has(tensor))
            CHECK((image == golden_image(expected, tensor)));
        ++checked;
    }
    CHECK(checked > 0);
}

TEST_CASE("Synthetic resizes equal Pillow's", "[golden]") {
    GoldenTensors const inputs("preprocessing", "inputs.safetensors");
    GoldenTensors const expected("preprocessing", "expected.safetensors");
    auto const resizes = golden_json("preprocessing").at("synthetic_resizes");
    REQUIRE(!resizes.empty());
    for (auto const& resize : resizes) {
        auto const name = "resize" + std::to_string(resize.at("index").get<int>());
        INFO(name);
        auto const image = golden_image(inputs, name);
        CHECK((blip::resize_bicubic(image, {resize.at("out_height").get<std::size_t>(),
                                            resize.at("out_width").get<std::size_t>()}) ==
               golden_image(expected, name)));
    }
}

TEST_CASE("Normalised pictures equal torchvision's", "[golden]") {
    GoldenTensors const expected("preprocessing", "expected.safetensors");
    std::size_t checked = 0;
    for (auto const& picture : golden_pictures()) {
        auto const name = picture.at("picture").get<std::string>();
        auto const file = std::filesystem::path(name).filename().string();
        for (auto const& tensor : expected.file().tensors()) {
            std::string const start = "normalised", end = "." + file;
            if (tensor.name.rfind(start, 0) != 0 || tensor.name.size() < end.size() ||
                tensor.name.substr(tensor.name.size() - end.size()) != end)
                continue;
            INFO(tensor.name);
            auto const size = static_cast<std::size_t>(tensor.shape.at(1));
            auto const pixels =
                blip::preprocess(blip::read_image(picture_path(picture, name)), {.size = size});
            CHECK(largest_difference({pixels.data(), pixels.size()},
                                     expected.floats(tensor.name)) <= 1e-6);
            ++checked;
        }
    }
    CHECK(checked > 0);
}

TEST_CASE("Preprocessing equals transformers' Pillow image processor", "[golden]") {
    GoldenTensors const expected("hf_image_processor", "expected.safetensors");
    auto const pictures = golden_json("hf_image_processor").at("pictures");
    REQUIRE(!pictures.empty());
    for (std::size_t i = 0; i < pictures.size(); ++i) {
        auto const name = pictures[i].at("picture").get<std::string>();
        INFO(name);
        auto const image = blip::read_image(picture_path(pictures[i], name));
        auto const& reference = pictures[i].at("pil");
        auto const size = reference.at("shape").at(1).get<std::size_t>();
        auto const pixels = blip::preprocess(image, {.size = size});
        CHECK(blip::test::sha256_of(pixels) == reference.at("sha256_float32").get<std::string>());

        for (auto const& tensor : expected.file().tensors()) {
            auto const suffix = "_" + std::to_string(i);
            bool const is_mine = tensor.name.rfind("pil_", 0) == 0 &&
                                 tensor.name.find("rows") == std::string::npos &&
                                 tensor.name.substr(tensor.name.rfind('_')) == suffix;
            if (!is_mine)
                continue;
            auto const small =
                blip::preprocess(image, {.size = static_cast<std::size_t>(tensor.shape.at(1))});
            CHECK(largest_difference({small.data(), small.size()}, expected.floats(tensor.name)) <=
                  1e-6);
        }
    }
}

TEST_CASE("A batch holds what its pictures give alone") {
    std::array<blip::Image, 2> images{blip::make_image({5, 9}), blip::make_image({20, 7})};
    for (auto& image : images)
        for (std::size_t i = 0; i < image.size(); ++i)
            image.data()[i] = static_cast<std::uint8_t>(i * 37 % 251);
    blip::Preprocess const how{.size = 12};
    auto const batch = blip::preprocess(images, how);
    CHECK((batch.shape() == blip::Pixels::shape_type{2, 3, 12, 12}));
    for (std::size_t i = 0; i < images.size(); ++i) {
        std::vector<float> alone(blip::preprocessed_size(how));
        blip::preprocess(images[i], how, alone);
        CHECK(std::equal(alone.begin(), alone.end(), batch.data() + i * alone.size()));
    }
}

TEST_CASE("Each byte is scaled, shifted and divided") {
    blip::Image image = blip::make_image({1, 1});
    image(0, 0, 0) = 0;
    image(0, 0, 1) = 128;
    image(0, 0, 2) = 255;
    auto const pixels = blip::preprocess(
        image, {.size = 1, .mean = {0.5f, 0.25f, 0.0f}, .std = {0.5f, 0.25f, 2.0f}});
    CHECK(pixels(0, 0, 0, 0) == -1.0f);
    CHECK(pixels(0, 1, 0, 0) == Approx((128.0 / 255.0 - 0.25) / 0.25));
    CHECK(pixels(0, 2, 0, 0) == 0.5f);
}

TEST_CASE("A constant picture stays constant at any size") {
    blip::Image image = blip::make_image({13, 29});
    std::fill(image.begin(), image.end(), std::uint8_t{201});
    for (blip::ImageSize const size : {blip::ImageSize{1, 1}, {5, 70}, {64, 3}, {13, 8}, {90, 29}})
        for (auto const value : bytes_of(blip::resize_bicubic(image, size)))
            REQUIRE(value == 201);
}

TEST_CASE("Sizes that make no sense are refused") {
    auto const image = blip::make_image({2, 2});
    CHECK_THROWS_AS(blip::resize_bicubic(image, {0, 4}), blip::ArgumentError);
    CHECK_THROWS_AS(blip::resize_bicubic(blip::Image{}, {4, 4}), blip::ArgumentError);
    CHECK_THROWS_AS(blip::preprocess(image, {.size = 0}), blip::ArgumentError);
    CHECK_THROWS_AS(blip::preprocess(image, {.std = {1.0f, 0.0f, 1.0f}}), blip::ArgumentError);
    std::vector<float> too_small(11);
    CHECK_THROWS_AS(blip::preprocess(image, {.size = 2}, too_small), blip::ArgumentError);
}
