#include <support/catch.hpp>

#if defined(BLIP_HAS_LIBAV) && BLIP_HAS_LIBAV

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <blip/vision/frames.hpp>
#include <support/tiny_models.hpp>

using namespace blip;

namespace {

/// A film of plain grey frames in the simplest format that libav reads, YUV4MPEG2.
std::string film(std::vector<int> const& levels) {
    std::string bytes = "YUV4MPEG2 W16 H8 F25:1 Ip A1:1 C420jpeg\n";
    for (int const level : levels)
        bytes += "FRAME\n" + std::string(16 * 8, static_cast<char>(level)) +
                 std::string(2 * 8 * 4, static_cast<char>(128));
    return bytes;
}

std::filesystem::path write(std::filesystem::path const& path, std::string const& bytes) {
    std::ofstream(path, std::ios::binary).write(bytes.data(), std::ssize(bytes));
    return path;
}

std::vector<int> greys(std::filesystem::path const& path, FrameOptions const& options) {
    std::vector<int> found;
    for (auto const& frame : read_frames(path, options)) {
        CHECK(frame.shape() == Image::shape_type{8, 16, 3});
        CHECK(frame(0, 0, 0) == frame(7, 15, 2));
        found.push_back(frame(0, 0, 0));
    }
    return found;
}

} // namespace

TEST_CASE("a video's frames are sampled and converted to RGB") {
    test::Folder const folder;
    std::vector<int> levels;
    for (int i = 0; i < 20; ++i)
        levels.push_back(20 + 10 * i);
    auto const path = write(folder.path / "film: one.bin", film(levels));
    auto const all = greys(path, {.wanted = 0});
    REQUIRE(all.size() == 20);
    for (std::size_t i = 1; i < all.size(); ++i)
        CHECK(all[i] > all[i - 1]);
    CHECK(std::abs(all.front() - 20) < 25); // full or limited range, as libav takes it
    auto const eight = greys(path, {.wanted = 8});
    REQUIRE(eight.size() == 8);
    for (std::size_t i = 0; i < 8; ++i)
        CHECK(eight[i] == all[2 * i]);
    CHECK(greys(path, {.wanted = 40}) == std::vector<int>(40, all[0]));
    CHECK_THROWS_AS(greys(path, {.wanted = 0, .read = {.max_pixels = 100}}), LimitError);
    CHECK_THROWS_AS(greys(path, {.wanted = 0, .max_total_bytes = 1000}), LimitError);
}

TEST_CASE("what libav cannot read is a readable error") {
    test::Folder const folder;
    CHECK_THROWS_WITH(read_frames(write(folder.path / "a.mp4", std::string(500, 'x'))),
                      Catch::Contains("a.mp4") && Catch::Contains("libav"));
    // A playlist is no film: nothing that it names is opened.
    auto const other = write(folder.path / "film.y4m", film({50, 60}));
    auto const list =
        write(folder.path / "list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n" +
                                             other.string() + "\n#EXT-X-ENDLIST\n");
    CHECK_THROWS_AS(read_frames(list), FormatError);
    auto const header_only = write(folder.path / "header.y4m", "YUV4MPEG2 W16 H8 F25:1 Ip A1:1\n");
    CHECK_THROWS_AS(read_frames(header_only), FormatError);
}

#endif
