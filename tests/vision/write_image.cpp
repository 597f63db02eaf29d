#include "support/catch.hpp"

#include <blip/vision/read_image.hpp>
#include <blip/vision/write_image.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace {

blip::Image photo() {
    return blip::read_image(std::filesystem::path(BLIP_TEST_DATA_DIR) / "formats" /
                            "ll.webp.rgb.png");
}

double mean_difference(blip::Image const& a, blip::Image const& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        sum += std::abs(static_cast<int>(a.data()[i]) - static_cast<int>(b.data()[i]));
    return sum / static_cast<double>(a.size());
}

} // namespace

TEST_CASE("PNG gives back the same picture") {
    auto const image = photo();
    CHECK((blip::decode_image(blip::encode_image(image, blip::ImageFormat::png)) == image));
    auto const stored = blip::encode_image(image, blip::ImageFormat::png, {.png_compression = 0});
    CHECK(stored.size() > blip::encode_image(image, blip::ImageFormat::png).size());
    CHECK((blip::decode_image(stored) == image));
}

TEST_CASE("JPEG is close, and closer with higher quality") {
    auto const image = photo();
    auto difference = [&](int quality) {
        auto const bytes =
            blip::encode_image(image, blip::ImageFormat::jpeg, {.jpeg_quality = quality});
        return mean_difference(blip::decode_image(bytes), image);
    };
    CHECK(difference(95) < 4);
    CHECK(difference(95) < difference(30));
}

TEST_CASE("write_image chooses the format by the ending") {
    auto const folder = std::filesystem::temp_directory_path() / "blip_write_image_test";
    std::filesystem::create_directories(folder);
    auto const image = photo();
    blip::write_image(folder / "a.PNG", image);
    CHECK((blip::read_image(folder / "a.PNG") == image));
    blip::write_image(folder / "a.jpg", image);
    std::ifstream file(folder / "a.jpg", std::ios::binary);
    CHECK(file.get() == 0xFF);
    CHECK(file.get() == 0xD8);
    CHECK_THROWS_AS(blip::write_image(folder / "a.tiff", image), blip::ArgumentError);
    CHECK_THROWS_AS(blip::write_image(folder / "none" / "a.png", image), blip::FileError);
    std::filesystem::remove_all(folder);
}

TEST_CASE("Arrays that are no pictures and odd options are refused") {
    blip::Image const grey(blip::Image::shape_type{4, 4, 1});
    CHECK_THROWS_AS(blip::encode_image(grey, blip::ImageFormat::png), blip::ArgumentError);
    CHECK_THROWS_AS(blip::encode_image(photo(), blip::ImageFormat::jpeg, {.jpeg_quality = 0}),
                    blip::ArgumentError);
    CHECK_THROWS_AS(blip::encode_image(photo(), blip::ImageFormat::png, {.png_compression = 10}),
                    blip::ArgumentError);
}
