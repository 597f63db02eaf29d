#include <support/catch.hpp>

#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "../../examples/support/caption_arguments.hpp"

namespace {

/// A folder with one file, removed at the end.
struct Folder {
    std::filesystem::path path = std::filesystem::temp_directory_path() /
                                 ("blip-arguments-" + std::to_string(std::random_device{}()));
    std::filesystem::path file = path / "photo.jpg";
    Folder() {
        std::filesystem::create_directories(path);
        std::ofstream(file) << "picture";
    }
    ~Folder() { std::filesystem::remove_all(path); }
};

} // namespace

TEST_CASE("a random model is never written over something else") {
    Folder const folder;
    support::CaptionArguments a;
    a.random_model = (folder.path / "new").string();
    CHECK_NOTHROW(a.check());
    a.random_model = folder.path.string();
    CHECK_THROWS_AS(a.check(), support::UsageError);
}

TEST_CASE("results are never written over an input") {
    Folder const folder;
    support::CaptionArguments a;
    a.model = "model";
    a.paths = {folder.file.string()};
    a.output = (folder.path / "captions.txt").string();
    CHECK_NOTHROW(a.check());
    a.output = (folder.path / "." / "photo.jpg").string();
    CHECK_THROWS_AS(a.check(), support::UsageError);
}
