#include <blip/io/zip.hpp>
#include <blip/io/zip_writer.hpp>

#include "io/files.hpp"
#include "support/catch.hpp"

#include <zlib.h>

using namespace blip;
using namespace blip::test;

namespace {

struct Piece {
    std::string name;
    std::string content;
    std::string packed = content;
    std::uint16_t method = 0;
    std::uint16_t flags = 0;
    std::uint32_t size = static_cast<std::uint32_t>(content.size());
};

std::string u16(std::size_t value) {
    return little_endian(static_cast<std::uint16_t>(value));
}
std::string u32(std::size_t value) {
    return little_endian(static_cast<std::uint32_t>(value));
}
std::string u64(std::size_t value) {
    return little_endian(std::uint64_t{value});
}

std::uint32_t checksum(std::string const& text) {
    return static_cast<std::uint32_t>(
        ::crc32_z(0, reinterpret_cast<Bytef const*>(text.data()), text.size()));
}

enum class Width { narrow, wide };

/// An archive as a description of the format has it, so that single fields can be wrong.
std::string archive(std::vector<Piece> const& pieces, Width width = Width::narrow) {
    std::string text;
    std::string directory;
    for (auto const& piece : pieces) {
        auto const header = text.size();
        auto const middle =
            u16(20) + u16(piece.flags) + u16(piece.method) + u32(0) + u32(checksum(piece.content));
        text += u32(0x04034B50) + middle + u32(piece.packed.size()) + u32(piece.size) +
                u16(piece.name.size()) + u16(0) + piece.name + piece.packed;
        bool const wide = width == Width::wide;
        auto const extra =
            wide ? u16(1) + u16(24) + u64(piece.size) + u64(piece.packed.size()) + u64(header) : "";
        directory += u32(0x02014B50) + u16(45) + middle +
                     u32(wide ? 0xFFFFFFFF : piece.packed.size()) +
                     u32(wide ? 0xFFFFFFFF : piece.size) + u16(piece.name.size()) +
                     u16(extra.size()) + u16(0) + u16(0) + u16(0) + u32(0) +
                     u32(wide ? 0xFFFFFFFF : header) + piece.name + extra;
    }
    auto const begin = text.size();
    text += directory;
    if (width == Width::wide) {
        auto const end = text.size();
        text += u32(0x06064B50) + u64(44) + u16(45) + u16(45) + u32(0) + u32(0) +
                u64(pieces.size()) + u64(pieces.size()) + u64(directory.size()) + u64(begin) +
                u32(0x07064B50) + u32(0) + u64(end) + u32(1);
        return text + u32(0x06054B50) + u16(0) + u16(0) + u16(0xFFFF) + u16(0xFFFF) +
               u32(0xFFFFFFFF) + u32(0xFFFFFFFF) + u16(0);
    }
    return text + u32(0x06054B50) + u16(0) + u16(0) + u16(pieces.size()) + u16(pieces.size()) +
           u32(directory.size()) + u32(begin) + u16(0);
}

std::string deflated(std::string const& content) {
    std::string packed(content.size() + 1000, '\0');
    ::z_stream stream{};
    ::deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
    stream.avail_in = static_cast<uInt>(content.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    ::deflate(&stream, Z_FINISH);
    packed.resize(stream.total_out);
    ::deflateEnd(&stream);
    return packed;
}

Piece packed_piece(std::string name, std::string const& content) {
    return {.name = std::move(name),
            .content = content,
            .packed = deflated(content),
            .method = 8,
            .flags = 0,
            .size = static_cast<std::uint32_t>(content.size())};
}

std::string text_of(std::span<std::byte const> bytes) {
    return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}

std::string failure(std::string const& text) {
    return message_of<FormatError>([&] { ZipArchive(bytes_of(text), "file"); });
}

} // namespace

TEST_CASE("stored entries are found in place") {
    for (auto const width : {Width::narrow, Width::wide}) {
        auto const text = archive({{"a/one", "first"}, {"a/two", ""}}, width);
        ZipArchive const zip(bytes_of(text), "file");
        REQUIRE(zip.entries().size() == 2);
        REQUIRE(zip.find("a/one") != nullptr);
        CHECK(text_of(zip.find("a/one")->stored) == "first");
        CHECK_NOTHROW(zip.verify(*zip.find("a/one")));
        CHECK(zip.find("a/two")->stored.empty());
        CHECK(zip.find("a/three") == nullptr);
    }
    auto const empty = archive({});
    CHECK(ZipArchive(bytes_of(empty), "file").entries().empty());
    CHECK(failure(archive({{"a", "b"}}) + "rest").find("its end is missing") != std::string::npos);
}

TEST_CASE("deflated entries are unpacked within limits") {
    std::string content;
    for (int i = 0; i < 50'000; ++i)
        content += std::to_string(i);
    auto const text = archive({packed_piece("x", content)});
    ZipArchive const zip(bytes_of(text), "file");
    auto const& entry = zip.entries()[0];
    CHECK(text_of(zip.inflate(entry, content.size())) == content);
    CHECK_THROWS_AS(zip.inflate(entry, content.size() - 1), LimitError);

    auto damaged = packed_piece("x", content);
    damaged.packed[100] = static_cast<char>(damaged.packed[100] ^ 0x55);
    auto shorter = packed_piece("x", content);
    shorter.size -= 1;
    auto longer = packed_piece("x", content);
    longer.size += 1;
    auto other = packed_piece("x", content);
    other.content = "another checksum";
    auto bomb = packed_piece("x", "small");
    bomb.size = 1'000'000'000;
    for (auto const& piece : {damaged, shorter, longer, other, bomb}) {
        auto const wrong = archive({piece});
        ZipArchive const archive_of_one(bytes_of(wrong), "file");
        CHECK_THROWS_AS(archive_of_one.inflate(archive_of_one.entries()[0], 2'000'000'000),
                        FormatError);
    }
}

TEST_CASE("inconsistent archives are refused") {
    CHECK(contains(failure("PK"), "only 2 bytes"));
    CHECK(contains(failure(std::string(100, 'x')), "its end is missing"));
    CHECK(contains(failure(archive({{"a", "1"}, {"a", "2"}})), "occurs twice"));
    CHECK(contains(failure(archive({{.name = "a", .content = "1", .flags = 1}})), "encrypted"));
    CHECK(contains(failure(archive({{.name = "a", .content = "1", .method = 12}})), "method 12"));
    CHECK(contains(failure(archive({{.name = "a", .content = "1", .size = 5}})), "two sizes"));

    auto const good = archive({{"name", "1"}});
    auto renamed = good;
    renamed[30] = 'N';
    CHECK(contains(failure(renamed), "described differently"));
    auto overlapping = archive({{"a", "11111"}, {"b", "22222"}});
    auto const second = overlapping.find("b22222");
    auto const directory = overlapping.rfind("PK\x01\x02");
    overlapping.replace(directory + 42, 4, u32(second - 30 - 3));
    CHECK_FALSE(failure(overlapping).empty());
}

TEST_CASE("damaged archives give an error or a value") {
    for (auto const width : {Width::narrow, Width::wide}) {
        auto const text =
            archive({{"a/one", "first"}, packed_piece("a/two", std::string(300, 'x'))}, width);
        auto const read = [](std::span<std::byte const> bytes) {
            ZipArchive const zip(bytes, "file");
            for (auto const& entry : zip.entries())
                if (entry.method == ZipEntry::Method::deflated)
                    zip.inflate(entry, 1 << 20);
                else
                    zip.verify(entry);
        };
        CHECK_NOTHROW(read(bytes_of(text)));
        CHECK(readable_beginnings(text, read) == 0);
        CHECK(failures_after_damage(text, read) > 100);
    }
}

TEST_CASE("the writer's archives are aligned and carry checksums") {
    TemporaryFolder const folder;
    {
        FileWriter file(folder / "f.zip");
        detail::ZipWriter zip(file);
        for (std::size_t size : {std::size_t{0}, std::size_t{5}, std::size_t{1000}}) {
            std::string const content(size, 'q');
            zip.begin(join("folder/", size), size);
            zip.write(bytes_of(content));
            zip.end();
        }
        zip.finish();
        file.commit();
    }
    auto const text = content_of(folder / "f.zip");
    ZipArchive const zip(bytes_of(text), "f.zip");
    REQUIRE(zip.entries().size() == 3);
    for (auto const& entry : zip.entries()) {
        CHECK_NOTHROW(zip.verify(entry));
        CHECK((entry.stored.data() - bytes_of(text).data()) % 64 == 0);
    }
    CHECK(text_of(zip.find("folder/5")->stored) == "qqqqq");
}
