#include "support/catch.hpp"

#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "../../examples/support/inputs.hpp"

namespace {

namespace fs = std::filesystem;

/// A folder that lives as long as the test.
struct Folder {
    fs::path path =
        fs::temp_directory_path() / ("blip_inputs_" + std::to_string(std::random_device{}()));
    Folder() { fs::create_directories(path); }
    ~Folder() { fs::remove_all(path); }

    std::string add(std::string const& name, std::string const& text = "x") const {
        fs::create_directories((path / name).parent_path());
        std::ofstream(path / name, std::ios::binary) << text;
        return (path / name).string();
    }
};

std::vector<std::string> all(support::Inputs inputs, fs::path const& root) {
    std::vector<std::string> names;
    while (auto const input = inputs.next()) {
        CHECK(input->index == names.size());
        names.push_back(input->path.lexically_relative(root).string());
    }
    return names;
}

} // namespace

TEST_CASE("a folder gives its pictures by name") {
    Folder const folder;
    for (auto const* name : {"b.JPG", "a.png", "c.txt", ".hidden.png", "sub/d.webp", "a/z.gif"})
        folder.add(name);
    auto const root = folder.path.string();
    using Names = std::vector<std::string>;
    CHECK(all(support::Inputs({root}), folder.path) == Names{"a.png", "b.JPG"});
    CHECK(all(support::Inputs({root}, support::Subfolders::enter), folder.path) ==
          Names{"a/z.gif", "a.png", "b.JPG", "sub/d.webp"});
    CHECK(support::count_inputs({root}, support::Subfolders::skip, {}) == 2u);
    CHECK(support::count_inputs({root}, support::Subfolders::enter, {}) == 4u);
}

TEST_CASE("links to folders are not followed in circles") {
    Folder const folder;
    folder.add("a.png");
    fs::create_directory_symlink(folder.path, folder.path / "loop");
    CHECK(all(support::Inputs({folder.path.string()}, support::Subfolders::enter), folder.path) ==
          std::vector<std::string>{"a.png"});
}

TEST_CASE("a folder larger than the window comes out whole and in order") {
    Folder const folder;
    std::vector<std::string> expected;
    for (int i = 0; i < 57; ++i) {
        auto const name = std::to_string(100 + (i * 31) % 57) + ".png";
        folder.add(name);
        expected.push_back(name);
    }
    std::sort(expected.begin(), expected.end());
    for (std::size_t window : {1u, 2u, 10u, 19u, 56u, 57u, 58u}) {
        support::SortedFolder sorted(folder.path, support::Subfolders::skip, window);
        std::vector<std::string> names;
        while (auto const entry = sorted.next())
            names.push_back(entry->name);
        CHECK(names == expected);
    }
}

TEST_CASE("lists give a path a line, files themselves, and numbers go on") {
    Folder const folder;
    auto const list = folder.add("list.txt", "\xEF\xBB\xBFone.jpg\r\n\ntwo words.jpg\nlast.jpg");
    support::Inputs inputs({"first.jpg", "@" + list, "end.png"});
    std::vector<std::string> paths;
    while (auto const input = inputs.next()) {
        CHECK(input->index == paths.size());
        paths.push_back(input->path.string());
    }
    CHECK(paths ==
          std::vector<std::string>{"first.jpg", "one.jpg", "two words.jpg", "last.jpg", "end.png"});
    CHECK(support::count_inputs({"first.jpg", "@" + list, "end.png"}, support::Subfolders::skip,
                                {}) == 5u);
    CHECK_FALSE(support::count_inputs({"-"}, support::Subfolders::skip, {}));
}

TEST_CASE("unusable lists are refused") {
    Folder const folder;
    CHECK_THROWS_AS(support::Inputs({"@" + (folder.path / "none").string()}), blip::FileError);
    CHECK_THROWS_AS(support::Inputs({"@" + folder.path.string()}), blip::FileError);
    auto const list = folder.add("list.txt", std::string(1 << 20, 'x'));
    support::Inputs inputs({"@" + list});
    CHECK_THROWS_AS(inputs.next(), blip::LimitError);
}
