#include <blip/io/mapped_file.hpp>

#include "io/files.hpp"
#include "support/catch.hpp"

using namespace blip;
using namespace blip::test;

TEST_CASE("a mapped file shows the file's bytes") {
    TemporaryFolder const folder;
    std::string content(100'000, 'x');
    content[0] = 'a';
    content.back() = 'z';
    write_file(folder / "file", content);
    MappedFile file(folder / "file");
    CHECK(file.path() == folder / "file");
    REQUIRE(file.bytes().size() == content.size());
    CHECK(std::memcmp(file.bytes().data(), content.data(), content.size()) == 0);

    auto const* const begin = file.bytes().data();
    MappedFile const moved = std::move(file);
    CHECK(moved.bytes().data() == begin);
    CHECK(moved.contains(moved.bytes().subspan(10, 20)));
    CHECK_FALSE(moved.contains(std::as_bytes(std::span(content))));
}

TEST_CASE("released bytes can still be read") {
    TemporaryFolder const folder;
    std::string content;
    for (int i = 0; i < 50'000; ++i)
        content += static_cast<char>(i * 7 % 251);
    write_file(folder / "file", content);
    MappedFile const file(folder / "file");
    file.will_need(file.bytes());
    file.release(file.bytes());
    file.release(file.bytes().subspan(1, 9000));
    file.release({});
    CHECK(std::memcmp(file.bytes().data(), content.data(), content.size()) == 0);
}

TEST_CASE("an empty file has no bytes") {
    TemporaryFolder const folder;
    write_file(folder / "empty", "");
    CHECK(MappedFile(folder / "empty").bytes().empty());
}

TEST_CASE("files that cannot be mapped are named with the reason") {
    TemporaryFolder const folder;
    auto const message = [](std::filesystem::path const& path) {
        return message_of<FileError>([&] { MappedFile file(path); });
    };
    CHECK(contains(message(folder / "missing.bin"), "missing.bin"));
    CHECK(contains(message(folder / "missing.bin"), "No such file"));
    CHECK(contains(message(folder.path()), "is a folder, expected a file"));
    CHECK(contains(message("/dev/null"), "not a regular file"));
    write_file(folder / "secret", "text");
    std::filesystem::permissions(folder / "secret", std::filesystem::perms::none);
    // The superuser may read everything.
    if (::geteuid() != 0)
        CHECK(contains(message(folder / "secret"), "Permission denied"));
}
