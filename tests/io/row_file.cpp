#include <support/catch.hpp>

#include <blip/io/row_file_writer.hpp>
#include <io/files.hpp>

#include <atomic>
#include <barrier>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <optional>
#include <thread>

namespace {

using namespace blip;
using namespace blip::test;

RowLayout vectors_of(std::uint64_t width) {
    return {.width = width, .model = 0x1234};
}

std::vector<float> numbers(std::size_t count, float first) {
    std::vector<float> values(count);
    std::iota(values.begin(), values.end(), first);
    return values;
}

std::vector<std::string> names(std::size_t count, std::string const& prefix) {
    std::vector<std::string> labels;
    for (std::size_t i = 0; i < count; ++i)
        labels.push_back(i % 3 == 2 ? std::string() : prefix + std::to_string(i));
    return labels;
}

/// All rows and labels of a file, in order.
struct Content {
    std::vector<float> values;
    std::vector<std::string> labels;
    bool operator==(Content const&) const = default;
};

Content content(RowFileView const& view) {
    Content result;
    for (auto const& segment : view.segments()) {
        CHECK(reinterpret_cast<std::uintptr_t>(segment.numbers().data()) % 64 == 0);
        CHECK(segment.is_whole());
        std::vector<float> values(segment.numbers().size() / sizeof(float));
        std::memcpy(values.data(), segment.numbers().data(), segment.numbers().size());
        result.values.insert(result.values.end(), values.begin(), values.end());
        for (std::size_t row = 0; row < segment.rows(); ++row)
            result.labels.emplace_back(segment.label(row));
    }
    return result;
}

/// A file of two appends, and what it holds after the first and after both.
struct TwoAppends {
    TemporaryFolder folder;
    std::filesystem::path path = folder / "rows";
    Content first, both;
    std::string first_bytes;

    TwoAppends() {
        RowFileWriter writer(path, vectors_of(5));
        auto const add = [&](std::size_t rows, float start) {
            auto const values = numbers(rows * 5, start);
            auto const labels = names(rows, "r" + std::to_string(start));
            writer.append(std::span<float const>(values), labels);
            both.values.insert(both.values.end(), values.begin(), values.end());
            both.labels.insert(both.labels.end(), labels.begin(), labels.end());
        };
        add(7, 0);
        first = both;
        first_bytes = content_of(path);
        add(4, 100);
    }
};

void write_raw(std::filesystem::path const& path, std::string const& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

} // namespace

TEST_CASE("rows come back as they were appended") {
    TwoAppends const file;
    RowFile const read(file.path);
    CHECK(read.layout() == vectors_of(5));
    CHECK(read.rows() == 11);
    CHECK(content(read.view()) == file.both);
    CHECK_NOTHROW(read.verify());
}

TEST_CASE("a file without rows is a file") {
    TemporaryFolder const folder;
    RowFileWriter writer(folder / "rows", vectors_of(3));
    CHECK(writer.size() == 0);
    CHECK(RowFile(folder / "rows").rows() == 0);
    writer.append(std::span<float const>(), names(0, ""));
    CHECK(RowFile(folder / "rows").view().segments().empty());
}

TEST_CASE("a file written at once holds what an appended one does") {
    TwoAppends const file;
    auto const path = file.folder / "once";
    std::span<float const> const all(file.both.values);
    std::vector<std::span<std::byte const>> const blocks{std::as_bytes(all.first(10)),
                                                         std::as_bytes(all.subspan(10))};
    write_row_file(path, vectors_of(5), blocks, file.both.labels);
    RowFile const read(path);
    CHECK(read.view().segments().size() == 1);
    CHECK(content(read.view()) == file.both);
    read.verify();
}

TEST_CASE("an append that is killed anywhere leaves the rows before it") {
    TwoAppends const file;
    auto const whole = content_of(file.path);
    // Its writes come in this order: data behind the end, then the commit. Any part of the data may
    // be missing or nonsense until the commit is there.
    std::size_t const end = file.first_bytes.size();
    for (std::size_t written = end; written <= whole.size(); written += 37) {
        auto bytes = file.first_bytes + whole.substr(end, written - end);
        bytes.append(written % 2 == 0 ? 0 : 100, '\x5A');
        RowFileView const view(bytes_of(bytes), "killed");
        CHECK(view.rows() == 7);
    }
    // A commit that is half written does not count.
    std::size_t place = 0;
    for (std::size_t const candidate : {512, 1024})
        if (file.first_bytes.substr(candidate, 40) != whole.substr(candidate, 40))
            place = candidate;
    REQUIRE(place != 0);
    for (std::size_t written = 0; written < 40; ++written) {
        auto bytes = whole;
        bytes.replace(place, 40, file.first_bytes.substr(place, 40));
        bytes.replace(place, written, whole.substr(place, written));
        auto const path = file.folder / "half";
        write_raw(path, bytes);
        bool const same = bytes == whole; // the bytes left out may be the same
        CHECK(RowFile(path).rows() == (same ? 11 : 7));
        if (same)
            continue;
        // Appending goes on from there.
        {
            RowFileWriter writer(path, vectors_of(5));
            CHECK(writer.size() == 7);
            writer.append(std::span<float const>(file.both.values).subspan(35),
                          std::span(file.both.labels).subspan(7));
        }
        CHECK(content(RowFile(path).view()) == file.both);
    }
}

TEST_CASE("rows can be dropped back to the end of an append") {
    TwoAppends const file;
    {
        RowFileWriter writer(file.path, vectors_of(5));
        CHECK(writer.before_last_append() == 7);
        CHECK_THROWS_AS(writer.keep(3), ArgumentError);
        CHECK_THROWS_AS(writer.keep(12), ArgumentError);
        writer.keep(11);
        writer.keep(7);
        CHECK(writer.size() == 7);
        CHECK(writer.before_last_append() == 0);
        CHECK(content(RowFile(file.path).view()) == file.first);
        writer.append(std::span<float const>(file.both.values).subspan(35),
                      std::span(file.both.labels).subspan(7));
        CHECK(content(RowFile(file.path).view()) == file.both);
        CHECK(writer.before_last_append() == 7);
        writer.keep(0);
        CHECK(writer.before_last_append() == 0);
    }
    CHECK(RowFile(file.path).rows() == 0);
}

TEST_CASE("a mapped file keeps its rows while others append") {
    TwoAppends const file;
    RowFile const before(file.path);
    RowFileWriter writer(file.path, vectors_of(5));
    writer.append(std::span<float const>(file.both.values).first(5), names(1, "late"));
    CHECK(content(before.view()) == file.both);
    CHECK(RowFile(file.path).rows() == 12);
}

TEST_CASE("a file never becomes shorter under those who have mapped it") {
    TwoAppends const file;
    auto const size = std::filesystem::file_size(file.path);
    RowFile const before(file.path);
    RowFileWriter writer(file.path, vectors_of(5));
    writer.keep(7);
    CHECK(content(before.view()) == file.both);
    CHECK(std::filesystem::file_size(file.path) == size);
    writer.append(std::span<float const>(file.both.values).first(5), names(1, "late"));
    CHECK(std::filesystem::file_size(file.path) >= size);
    CHECK(RowFile(file.path).rows() == 8);
}

TEST_CASE("of programs that start to write one file together, one writes") {
    TwoAppends const file;
    for (int round = 0; round < 20; ++round) {
        auto const path = file.folder / ("together" + std::to_string(round));
        std::barrier start(4), end(4);
        std::atomic<int> writers = 0;
        {
            std::vector<std::jthread> threads;
            for (int i = 0; i < 4; ++i)
                threads.emplace_back([&] {
                    std::optional<RowFileWriter> writer;
                    start.arrive_and_wait();
                    try {
                        writer.emplace(path, vectors_of(5));
                        writer->append(std::span<float const>(file.both.values).first(5),
                                       names(1, "mine"));
                        ++writers;
                    } catch (FileError const&) {
                    }
                    end.arrive_and_wait();
                });
        }
        CHECK(writers == 1);
        CHECK(RowFile(path).rows() == 1);
    }
}

TEST_CASE("two programs do not append to one file") {
    TwoAppends const file;
    RowFileWriter const writer(file.path, vectors_of(5));
    CHECK(contains(message_of<FileError>([&] { RowFileWriter(file.path, vectors_of(5)); }),
                   "another program is appending"));
}

TEST_CASE("a file of another layout is refused") {
    TwoAppends const file;
    auto other = vectors_of(5);
    other.model = 7;
    auto const message = message_of<ArgumentError>([&] { RowFileWriter(file.path, other); });
    INFO(message);
    CHECK(contains(message, "image vectors of 1 x 5 float32 by model 1234"));
    CHECK(contains(message, "by model 7"));
    RowFileWriter writer(file.path, vectors_of(5));
    CHECK_THROWS_AS(writer.append(std::span<float const>(file.both.values).first(6), names(1, "")),
                    ArgumentError);
    CHECK_THROWS_AS(RowFileWriter(file.folder / "new", vectors_of(0)), ArgumentError);
}

TEST_CASE("damaged row files are one readable error") {
    TwoAppends const file;
    auto const whole = content_of(file.path);
    auto const read = [&](std::string const& bytes) {
        return message_of<FormatError>([&] { RowFileView(bytes_of(bytes), "f"); });
    };
    CHECK(readable_beginnings(
              whole, [](std::span<std::byte const> bytes) { RowFileView(bytes, "f"); }) == 0);
    CHECK(contains(read("a picture, maybe"), "does not begin with \"BLIPROWS\""));
    // Any byte of header, heads and labels that differs is noticed; of the numbers, by verify().
    std::size_t noticed = 0;
    for (std::size_t at = 0; at < whole.size(); ++at) {
        auto bytes = whole;
        bytes[at] = static_cast<char>(bytes[at] ^ 0x41);
        try {
            RowFileView const view(bytes_of(bytes), "f");
            if (view.rows() == 7) {
                CHECK((at >= 512 && at < 1064));
                ++noticed;
                continue;
            }
            CHECK(view.rows() == 11);
            bool numbers_whole = true;
            for (auto const& segment : view.segments())
                numbers_whole = numbers_whole && segment.is_whole();
            // The rest is padding, or the older commit.
            noticed += numbers_whole ? 0 : 1;
        } catch (FormatError const&) {
            ++noticed;
        }
    }
    std::size_t const labels = file.both.labels.size() * 8;
    CHECK(noticed >= 56 + 40 + 2 * 64 + 11 * 5 * 4 + labels);

    auto with_valid_checksums = [&](std::size_t at, auto value, std::size_t begin,
                                    std::size_t size) {
        auto bytes = whole;
        std::memcpy(bytes.data() + at, &value, sizeof value);
        auto const sum = detail::row_checksum(bytes_of(bytes).subspan(begin, size - 4));
        std::memcpy(bytes.data() + begin + size - 4, &sum, 4);
        return read(bytes);
    };
    CHECK(contains(with_valid_checksums(8, std::uint32_t{2}, 0, 56), "version 2"));
    CHECK(contains(with_valid_checksums(12, std::uint32_t{9}, 0, 56), "unknown kind of rows 9"));
    CHECK(contains(with_valid_checksums(32, ~std::uint64_t{0}, 0, 56), "numbers, expected 1 to"));
    CHECK(contains(with_valid_checksums(24, std::uint64_t{0}, 0, 56), "rows of 0 x 5"));
    // The commit that counts is the third, in the first place.
    CHECK(contains(with_valid_checksums(520, ~std::uint64_t{0}, 512, 40), "it is incomplete"));
    CHECK(contains(with_valid_checksums(528, ~std::uint64_t{0}, 512, 40), "it is incomplete"));
    CHECK(contains(with_valid_checksums(528, std::uint64_t{1}, 512, 40), "its parts hold 7 rows"));
    CHECK(contains(with_valid_checksums(528, std::uint64_t{3}, 512, 40), "do not fit"));
    CHECK(contains(with_valid_checksums(536, std::uint64_t{12}, 512, 40), "expected 12 rows"));
    for (std::uint64_t const rows : {std::uint64_t{1} << 62, ~std::uint64_t{0}, std::uint64_t{8}})
        CHECK(!with_valid_checksums(4096, rows, 4096, 64).empty());
    for (std::uint64_t const bytes :
         {std::uint64_t{1} << 62, ~std::uint64_t{0}, std::uint64_t{999}})
        CHECK(contains(with_valid_checksums(4104, bytes, 4096, 64), "part 1 of 2: its labels"));
}

TEST_CASE("labels that do not lie in a row file are refused") {
    TemporaryFolder const folder;
    auto const path = folder / "rows";
    std::vector<float> const one(2, 1.0f);
    std::vector<std::span<std::byte const>> const blocks{std::as_bytes(std::span(one))};
    write_row_file(path, vectors_of(2), blocks, std::vector<std::string>{"label"});
    auto bytes = content_of(path);
    std::size_t const table = 4096 + 64 + 64;
    for (std::uint64_t const end : {std::uint64_t{6}, ~std::uint64_t{0}}) {
        std::memcpy(bytes.data() + table, &end, 8);
        auto const sum = detail::row_checksum(bytes_of(bytes).subspan(table, 13));
        std::memcpy(bytes.data() + 4096 + 20, &sum, 4);
        auto const head = detail::row_checksum(bytes_of(bytes).subspan(4096, 60));
        std::memcpy(bytes.data() + 4096 + 60, &head, 4);
        CHECK(contains(message_of<FormatError>([&] { RowFileView(bytes_of(bytes), "f"); }),
                       "label 0 ends at byte"));
    }
}
