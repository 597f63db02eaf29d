#include "support/catch.hpp"

#include <blip/vision/read_image.hpp>
#include <blip/vision/write_image.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

fs::path data_folder() {
    return BLIP_TEST_DATA_DIR;
}

std::vector<std::byte> bytes_of(fs::path const& path) {
    std::ifstream file(path, std::ios::binary);
    std::vector<char> const text{std::istreambuf_iterator<char>(file), {}};
    auto const bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> bytes_of_text(std::string_view text) {
    auto const bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

bool is_readable(fs::path const& path) {
#if defined(BLIP_HAS_WEBP) && BLIP_HAS_WEBP
    static_cast<void>(path);
    return true;
#else
    return path.extension() != ".webp";
#endif
}

/// Decodes hostile bytes: an image or an Error are both fine, all else is not.
bool decodes(std::span<std::byte const> bytes) {
    try {
        auto const image = blip::decode_image(
            bytes, {.orientation = blip::Orientation::upright, .max_pixels = 1'000'000});
        return blip::image_size(image).height > 0;
    } catch (blip::Error const& error) {
        CHECK(std::string(error.what()).size() > 20);
        return false;
    }
}

} // namespace

TEST_CASE("Every format decodes to Pillow's bytes") {
    std::size_t compared = 0;
    for (auto const& entry : fs::directory_iterator(data_folder() / "formats")) {
        auto expected = entry.path();
        expected += ".rgb.png";
        if (!fs::exists(expected) || !is_readable(entry.path()))
            continue;
        INFO(entry.path());
        auto const stem = entry.path().stem().string();
        bool const is_oriented = stem.size() == 2 && stem[0] == 'o';
        auto const orientation =
            is_oriented ? blip::Orientation::upright : blip::Orientation::as_stored;
        auto const image = blip::read_image(entry.path(), {.orientation = orientation});
        CHECK((image == blip::read_image(expected)));
        CHECK((image == blip::decode_image(bytes_of(entry.path()), {.orientation = orientation})));
        ++compared;
    }
    CHECK(compared >= 30);
}

TEST_CASE("EXIF orientation is applied only on request") {
    for (std::string const ending : {".jpg", ".png"}) {
        auto const plain = blip::read_image(data_folder() / "formats" / ("o1" + ending));
        auto const turned = data_folder() / "formats" / ("o6" + ending);
        CHECK((blip::read_image(turned) == plain));
        auto const upright = blip::read_image(turned, {.orientation = blip::Orientation::upright});
        CHECK((upright == blip::apply_orientation(plain, 6)));
        CHECK(blip::image_size(upright).height == blip::image_size(plain).width);
    }
    CHECK_THROWS_AS(blip::apply_orientation(blip::make_image({1, 1}), 9), blip::ArgumentError);
}

TEST_CASE("Limits hold before memory is taken") {
    auto const path = data_folder() / "formats" / "o1.png";
    auto const size = blip::image_size(blip::read_image(path));
    auto const pixels = size.height * size.width;
    CHECK_NOTHROW(blip::read_image(path, {.max_pixels = pixels}));
    for (std::string const name : {"o1.png", "o1.jpg", "P.bmp", "p5.gif"})
        CHECK_THROWS_AS(
            blip::read_image(data_folder() / "formats" / name, {.max_pixels = pixels - 1}),
            blip::LimitError);
    auto const bytes = bytes_of(path);
    CHECK_NOTHROW(blip::read_image(path, {.max_bytes = bytes.size()}));
    CHECK_THROWS_AS(blip::read_image(path, {.max_bytes = bytes.size() - 1}), blip::LimitError);
    CHECK_THROWS_AS(blip::decode_image(bytes, {.max_bytes = bytes.size() - 1}), blip::LimitError);

    // A BMP header that claims 2^31 - 1 pixels on each side.
    auto bomb = bytes_of(data_folder() / "formats" / "RGB.bmp");
    for (std::size_t i : {18u, 22u})
        for (std::size_t k = 0; k < 4; ++k)
            bomb[i + k] = k == 3 ? std::byte{0x7F} : std::byte{0xFF};
    CHECK_THROWS_AS(blip::decode_image(bomb), blip::LimitError);
}

TEST_CASE("Errors name the file and what it is") {
    CHECK_THROWS_AS(blip::read_image("no/such/picture.jpg"), blip::FileError);
    CHECK_THROWS_WITH(blip::read_image("no/such/picture.jpg"), Contains("no/such/picture.jpg"));
    CHECK_THROWS_WITH(blip::read_image(data_folder()), Contains("folder"));
    CHECK_THROWS_WITH(blip::read_image(data_folder() / "formats" / "SOURCE.txt"),
                      Contains("SOURCE.txt") && Contains("not a JPEG"));
    CHECK_THROWS_AS(blip::decode_image({}), blip::FormatError);
    CHECK_THROWS_WITH(blip::decode_image(bytes_of_text("<!DOCTYPE html>")), Contains("web page"));
    CHECK_THROWS_WITH(blip::decode_image(bytes_of_text("version https://git-lfs.github.com")),
                      Contains("git lfs pull"));
}

TEST_CASE("Truncated pictures are errors") {
    for (std::string const name : {"o1.jpg", "l.jpg", "o1.png", "P.bmp", "p200.gif", "ll.webp"}) {
        if (!is_readable(name))
            continue;
        auto const bytes = bytes_of(data_folder() / "formats" / name);
        for (std::size_t tenth = 0; tenth < 10; ++tenth) {
            INFO(name << " " << tenth);
            CHECK_THROWS_AS(blip::decode_image(std::span(bytes).first(bytes.size() * tenth / 10)),
                            blip::FormatError);
        }
    }
}

TEST_CASE("Hostile files give an image or an error") {
    std::size_t decoded = 0, refused = 0;
    for (auto const& entry : fs::recursive_directory_iterator(data_folder() / "fuzz")) {
        auto const ending = entry.path().extension();
        if (ending != ".png" && ending != ".jpg")
            continue;
        INFO(entry.path());
        bool const decodes_well = decodes(bytes_of(entry.path()));
        ++(decodes_well ? decoded : refused);
        // PngSuite marks its damaged files with a leading x.
        if (ending == ".png")
            CHECK(decodes_well == (entry.path().filename().string()[0] != 'x'));
    }
    CHECK(decoded > 10);
    CHECK(refused > 10);
}

TEST_CASE("Single damaged bytes give an image or an error") {
    std::size_t tried = 0;
    for (std::string const name :
         {"p16.bmp", "p5.gif", "trans.gif", "o6.jpg", "short.png", "a.webp"}) {
        auto const bytes = bytes_of(data_folder() / "formats" / name);
        for (std::size_t i = 0; i < bytes.size(); i += 1 + bytes.size() / 250)
            for (auto value : {0x00, 0x7F, 0xFF}) {
                auto damaged = bytes;
                damaged[i] = static_cast<std::byte>(value);
                decodes(damaged);
                ++tried;
            }
    }
    CHECK(tried > 1000);
}
