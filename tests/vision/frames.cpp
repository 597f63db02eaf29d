#include <support/catch.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>
#include <vector>

#include <blip/model/golden_cases.hpp>
#include <blip/vision/frames.hpp>
#include <blip/vision/write_image.hpp>
#include <support/golden.hpp>
#include <support/tiny_models.hpp>

using namespace blip;

namespace {

using Bytes = std::vector<std::uint8_t>;

std::vector<Image> decode(Bytes const& bytes, FrameOptions const& options) {
    return decode_frames(std::as_bytes(std::span(bytes)), options);
}

/// Codes of 3 bits, as a GIF of at most 4 colours has them, with a clear code before each so that
/// their width never grows; lowest bit first, in one block.
void append_pixels(Bytes& file, std::initializer_list<int> colors) {
    Bytes data;
    unsigned bits = 0;
    int count = 0;
    auto const put = [&](int code) {
        bits |= static_cast<unsigned>(code) << count;
        for (count += 3; count >= 8; count -= 8, bits >>= 8)
            data.push_back(static_cast<std::uint8_t>(bits & 255));
    };
    for (int const color : colors) {
        put(4);
        put(color);
    }
    put(5);
    data.push_back(static_cast<std::uint8_t>(bits & 255));
    file.push_back(2);
    file.push_back(static_cast<std::uint8_t>(data.size()));
    file.insert(file.end(), data.begin(), data.end());
    file.push_back(0);
}

/// A frame of the animation below; `transparent` -1: none.
void append_frame(Bytes& file, int disposal, int transparent, Bytes const& place,
                  std::initializer_list<int> colors) {
    file.insert(file.end(), {0x21, 0xF9, 4,
                             static_cast<std::uint8_t>(disposal << 2 | (transparent >= 0 ? 1 : 0)),
                             5, 0, static_cast<std::uint8_t>(std::max(transparent, 0)), 0, 0x2C});
    for (auto const value : place)
        file.insert(file.end(), {value, 0});
    file.push_back(0);
    append_pixels(file, colors);
}

/// 3 x 1 pixels; colours 0 black, 1 red, 2 green, 3 blue; background colour 2.
Bytes animation(int disposal_of_second) {
    Bytes file{'G', 'I', 'F', '8', '9', 'a', 3, 0, 1, 0, 0x81, 2, 0};
    file.insert(file.end(), {0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255});
    append_frame(file, 1, -1, {0, 0, 3, 1}, {1, 2, 3});
    append_frame(file, disposal_of_second, 3, {1, 0, 2, 1}, {1, 3});
    append_frame(file, 0, 0, {0, 0, 1, 1}, {2});
    file.push_back(0x3B);
    return file;
}

/// Frames of one row, as letters: k black, r red, g green, b blue.
std::vector<std::string> letters(std::vector<Image> const& frames) {
    std::vector<std::string> rows;
    for (auto const& frame : frames) {
        std::string row;
        for (std::size_t x = 0; x < frame.shape()[1]; ++x)
            row += frame(0, x, 0) ? 'r' : frame(0, x, 1) ? 'g' : frame(0, x, 2) ? 'b' : 'k';
        rows.push_back(row);
    }
    return rows;
}

using Rows = std::vector<std::string>;

void write_file_bytes(std::filesystem::path const& path, Bytes const& bytes) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<char const*>(bytes.data()), std::ssize(bytes));
}

Image plain(std::uint8_t value) {
    Image image = make_image({2, 3});
    std::fill(image.begin(), image.end(), value);
    return image;
}

} // namespace

TEST_CASE("frames of a clip are sampled by a floored step") {
    CHECK(sample_frames(100, 8) == std::vector<std::size_t>{0, 12, 24, 36, 48, 60, 72, 84});
    CHECK(sample_frames(7, 4) == std::vector<std::size_t>{0, 1, 2, 3});
    CHECK(sample_frames(7, 8) == std::vector<std::size_t>(8, 0));
    CHECK(sample_frames(1, 1) == std::vector<std::size_t>{0});
    CHECK_THROWS_AS(sample_frames(0, 8), ArgumentError);
    CHECK_THROWS_AS(sample_frames(8, 0), ArgumentError);
}

#if BLIP_HAS_GOLDEN_RETRIEVAL_EVAL
TEST_CASE("frames are sampled as in the authors' release", "[golden]") {
    auto const json = test::golden_json("retrieval_eval");
    for (auto const& one : json["frame_indices"])
        CHECK(sample_frames(one["frames_in_clip"].get<std::size_t>(),
                            one["wanted"].get<std::size_t>()) ==
              one["indices"].get<std::vector<std::size_t>>());
}
#endif

TEST_CASE("names are ordered as people number files") {
    std::vector<std::string> names{"frame10.png",
                                   "frame9.png",
                                   "frame1.png",
                                   "a2b10",
                                   "a2b9",
                                   "frame010.png",
                                   "frame",
                                   "Frame",
                                   "99999999999999999999999",
                                   "100000000000000000000000",
                                   "frame1b.png",
                                   ""};
    std::sort(names.begin(), names.end(), natural_less);
    CHECK(names == std::vector<std::string>{"", "99999999999999999999999",
                                            "100000000000000000000000", "Frame", "a2b9", "a2b10",
                                            "frame", "frame1.png", "frame1b.png", "frame9.png",
                                            "frame010.png", "frame10.png"});
}

TEST_CASE("an animated GIF is drawn frame over frame") {
    FrameOptions const all{.wanted = 0};
    // The second frame's last pixel is transparent, then the third draws the first pixel.
    CHECK(letters(decode(animation(1), all)) == Rows{"rgb", "rrb", "grb"});
    // Cleared to the colour of its transparency, blue.
    CHECK(letters(decode(animation(2), all)) == Rows{"rgb", "rrb", "gbb"});
    // Taken back.
    CHECK(letters(decode(animation(3), all)) == Rows{"rgb", "rrb", "ggb"});
    CHECK(letters(decode(animation(1), {.wanted = 1})) == Rows{"rgb"});
    CHECK(letters(decode(animation(1), {.wanted = 2})) == Rows{"rgb", "rrb"});
    CHECK(letters(decode(animation(1), {.wanted = 4})) == Rows{"rgb", "rgb", "rgb", "rgb"});
}

TEST_CASE("a truncated animation is refused, wherever it ends") {
    auto const whole = animation(2);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        Bytes const part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK_THROWS_AS(decode(part, {.wanted = 0}), FormatError);
    }
    CHECK_THROWS_AS(decode(whole, {.wanted = 0, .max_total_bytes = 20}), LimitError);
    CHECK_THROWS_AS(decode(whole, {.wanted = 0, .read = {.max_pixels = 2}}), LimitError);
    CHECK_THROWS_AS(decode(whole, {.wanted = 0, .read = {.max_bytes = 10}}), LimitError);
}

TEST_CASE("the first frame of an animation is what a still reader sees") {
    std::filesystem::path const folder = std::filesystem::path(BLIP_TEST_DATA_DIR) / "formats";
    std::vector<std::string> names{"anim.gif", "l.gif", "o1.png", "1.bmp"};
#if defined(BLIP_HAS_WEBP) && BLIP_HAS_WEBP
    names.insert(names.end(), {"anim.webp", "animl.webp", "a.webp"});
#endif
    for (auto const& name : names) {
        INFO(name);
        auto const frames = read_frames(folder / name, {.wanted = 0});
        CHECK((frames.front() == read_image(folder / name)));
        CHECK((frames.size() > 1) == name.starts_with("anim"));
        for (auto const& frame : frames)
            CHECK(frame.shape() == frames.front().shape());
    }
}

TEST_CASE("frames of a folder come in the order of their numbers") {
    test::Folder const folder;
    for (int i = 1; i <= 12; ++i)
        write_image(folder.path / ("f" + std::to_string(i) + ".png"),
                    plain(static_cast<std::uint8_t>(i)));
    write_file_bytes(folder.path / "notes.txt", {'x'});
    write_file_bytes(folder.path / ".hidden.png", {'x'});
    std::filesystem::create_directory(folder.path / "f0.png");
    auto const values = [&](FrameOptions const& options) {
        std::vector<int> found;
        for (auto const& frame : read_frames(folder.path, options))
            found.push_back(frame(0, 0, 0));
        return found;
    };
    CHECK(values({.wanted = 0}) == std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
    CHECK(values({.wanted = 4}) == std::vector<int>{1, 4, 7, 10});
    CHECK(values({.wanted = 16}) == std::vector<int>(16, 1));
    // A frame that is not wanted is not read.
    write_file_bytes(folder.path / "f2.png", {'x'});
    CHECK(values({.wanted = 4}) == std::vector<int>{1, 4, 7, 10});
    CHECK_THROWS_AS(values({.wanted = 0}), FormatError);
}

TEST_CASE("links to nothing and in circles among frames are errors of this library") {
    for (auto const* target : {"nowhere.png", "f2.png"}) {
        test::Folder const folder;
        write_image(folder.path / "f1.png", plain(1));
        std::filesystem::create_symlink(target, folder.path / "f2.png");
        CHECK_THROWS_AS(read_frames(folder.path, {.wanted = 0}), FileError);
    }
}

TEST_CASE("what is no clip says what it is") {
    test::Folder const folder;
    CHECK_THROWS_WITH(read_frames(folder.path), Catch::Contains("no pictures in this folder"));
    CHECK_THROWS_AS(read_frames(folder.path / "none.gif"), FileError);
    write_file_bytes(folder.path / "empty.gif", {});
    CHECK_THROWS_AS(read_frames(folder.path / "empty.gif"), FormatError);
    write_file_bytes(folder.path / "text.mp4", Bytes(100, 'x'));
    CHECK_THROWS_WITH(read_frames(folder.path / "text.mp4"), Catch::Contains("libav"));
}
