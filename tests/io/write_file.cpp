#include <blip/io/write_file.hpp>

#include "io/files.hpp"
#include "support/catch.hpp"

using namespace blip;
using namespace blip::test;

namespace {

std::size_t files_in(TemporaryFolder const& folder) {
    auto const entries = std::filesystem::directory_iterator(folder.path());
    return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

} // namespace

TEST_CASE("a written file replaces the older one as a whole") {
    TemporaryFolder const folder;
    write_file(folder / "file", "the older and longer content");
    write_file(folder / "file", "new");
    CHECK(content_of(folder / "file") == "new");
    CHECK(files_in(folder) == 1);
}

TEST_CASE("without commit nothing changes and nothing is left behind") {
    TemporaryFolder const folder;
    write_file(folder / "file", "old");
    {
        FileWriter writer(folder / "file");
        writer.write("half of the n");
        CHECK(writer.size() == 13);
        CHECK(files_in(folder) == 2);
    }
    CHECK(content_of(folder / "file") == "old");
    CHECK(files_in(folder) == 1);
}

TEST_CASE("unwritable places are named") {
    TemporaryFolder const folder;
    CHECK(contains(message_of<FileError>([&] { write_file(folder / "no/such/file", "x"); }),
                   "no/such/file"));
    std::filesystem::create_directory(folder / "folder");
    CHECK(contains(message_of<FileError>([&] { write_file(folder / "folder", "x"); }),
                   "it is a folder"));
    CHECK(files_in(folder) == 1);
}

TEST_CASE("appended lines survive an interrupted program") {
    TemporaryFolder const folder;
    auto const path = folder / "log.jsonl";
    append_line(path, "{\"step\": 1}");
    append_line(path, "{\"step\": 2}");
    CHECK(content_of(path) == "{\"step\": 1}\n{\"step\": 2}\n");
    write_file(path, "{\"step\": 1}\n{\"st");
    append_line(path, "{\"step\": 3}");
    CHECK(content_of(path) == "{\"step\": 1}\n{\"st\n{\"step\": 3}\n");
    CHECK_THROWS_AS(append_line(path, "two\nlines"), ArgumentError);
    CHECK_THROWS_AS(append_line(folder / "no/such/log", "line"), FileError);
}
