#pragma once

#include <blip/core/error.hpp>
#include <blip/io/mapped_file.hpp>
#include <blip/io/tensor_view.hpp>

#include <zlib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace blip {

/// What the rows of a row file are.
enum class RowKind : std::uint32_t {
    image_vectors = 1, ///< projected, normalised features of pictures: [1, projection]
    text_vectors = 2,  ///< of texts
    image_states = 3   ///< states of the image encoder: [tokens, width]
};

/// Whose rows they are and what one row looks like; all of it is in the header of the file.
struct RowLayout {
    RowKind kind = RowKind::image_vectors;
    DataType type = DataType::f32; ///< f32 or f16
    std::uint64_t length = 1;      ///< a row is [length, width] numbers
    std::uint64_t width = 0;
    std::uint64_t model = 0; ///< fingerprint of the weights that computed the rows

    std::uint64_t numbers() const { return length * width; }
    std::uint64_t row_bytes() const { return numbers() * (type == DataType::f16 ? 2 : 4); }

    friend bool operator==(RowLayout const&, RowLayout const&) = default;
};

/// `RowLayout::model` for people.
inline std::string model_number(std::uint64_t model) {
    std::array<char, 16> digits{};
    auto const end = std::to_chars(digits.data(), digits.data() + digits.size(), model, 16).ptr;
    return {digits.data(), end};
}

// The format, version 1, little-endian; checksums are CRC-32.
//
//   0     "BLIPROWS", u32 version, u32 kind, u32 element type (0 f32, 1 f16), u32 0, u64 length,
//         u64 width, u64 model, u32 0, u32 checksum of the 52 bytes before
//   512   commit, and another at 1024: u64 number, u64 end, u64 segments, u64 rows, u32 0,
//         u32 checksum of the 36 bytes before. The readable one with the higher number counts.
//   4096  segments up to the commit's end, each:
//         u64 rows, u64 bytes of its labels, u32 checksum of its rows' numbers, u32 checksum of
//         its label table and labels, zeros up to 60, u32 checksum of the 60 bytes before;
//         the rows; zeros to a multiple of 64; u64 end of each label; the labels; zeros likewise.
//
// An append writes a segment behind the last one, flushes it, and only then writes the commit that
// does not count yet. Whatever interrupts it, one of the two commits is whole.

namespace detail {

inline constexpr std::size_t row_header_bytes = 56, row_commit_bytes = 40, row_segment_bytes = 64;
inline constexpr std::array<std::uint64_t, 2> row_commit_places{512, 1024};
inline constexpr std::uint64_t row_data_begin = 4096;
inline constexpr std::string_view row_magic = "BLIPROWS";
inline constexpr std::uint32_t row_version = 1;

inline std::uint32_t row_checksum(std::span<std::byte const> bytes, std::uint32_t before = 0) {
    return static_cast<std::uint32_t>(
        ::crc32_z(before, reinterpret_cast<unsigned char const*>(bytes.data()), bytes.size()));
}

template <class T>
T row_field(std::span<std::byte const> bytes, std::size_t at) {
    T value;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

constexpr std::uint64_t to_line(std::uint64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/// Which part of the file counts.
struct RowCommit {
    std::uint64_t number = 0;
    std::uint64_t end = row_data_begin;
    std::uint64_t segments = 0;
    std::uint64_t rows = 0;
};

inline RowLayout read_row_layout(std::span<std::byte const> bytes, std::string const& file) {
    std::string_view const start(reinterpret_cast<char const*>(bytes.data()),
                                 std::min(bytes.size(), row_magic.size()));
    if (start != row_magic)
        throw FormatError(join(file,
                               ": this is no file of vectors or states of this library: it "
                               "does not begin with \"",
                               row_magic, "\""));
    if (bytes.size() < row_data_begin)
        throw FormatError(join(file, ": ", bytes.size(), " bytes, expected at least ",
                               row_data_begin, "; the file is incomplete"));
    if (auto const version = row_field<std::uint32_t>(bytes, 8); version != row_version)
        throw FormatError(join(file, ": version ", version, " of the format, this library reads ",
                               row_version, "; index the collection again"));
    if (row_field<std::uint32_t>(bytes, row_header_bytes - 4) !=
        row_checksum(bytes.first(row_header_bytes - 4)))
        throw FormatError(join(file, ": the header is damaged; index the collection again"));
    auto const kind = row_field<std::uint32_t>(bytes, 12);
    auto const type = row_field<std::uint32_t>(bytes, 16);
    if (kind < 1 || kind > 3 || type > 1)
        throw FormatError(join(file, ": unknown kind of rows ", kind, " or of elements ", type));
    RowLayout layout{.kind = RowKind{kind},
                     .type = type == 0 ? DataType::f32 : DataType::f16,
                     .length = row_field<std::uint64_t>(bytes, 24),
                     .width = row_field<std::uint64_t>(bytes, 32),
                     .model = row_field<std::uint64_t>(bytes, 40)};
    constexpr std::uint64_t most = 1u << 20;
    if (layout.length < 1 || layout.length > most || layout.width < 1 || layout.width > most)
        throw FormatError(join(file, ": rows of ", layout.length, " x ", layout.width,
                               " numbers, expected 1 to ", most, " each"));
    return layout;
}

inline std::optional<RowCommit> read_row_commit(std::span<std::byte const> bytes) {
    if (row_field<std::uint32_t>(bytes, row_commit_bytes - 4) !=
        row_checksum(bytes.first(row_commit_bytes - 4)))
        return std::nullopt;
    return RowCommit{row_field<std::uint64_t>(bytes, 0), row_field<std::uint64_t>(bytes, 8),
                     row_field<std::uint64_t>(bytes, 16), row_field<std::uint64_t>(bytes, 24)};
}

inline RowCommit latest_row_commit(std::span<std::byte const> bytes, std::string const& file) {
    std::optional<RowCommit> latest;
    for (auto const place : row_commit_places) {
        auto const commit = read_row_commit(bytes.subspan(place, row_commit_bytes));
        if (commit && (!latest || commit->number > latest->number))
            latest = commit;
    }
    if (!latest)
        throw FormatError(join(file, ": neither record of what was written is whole; index the "
                                     "collection again"));
    if (latest->end < row_data_begin || latest->end > bytes.size() ||
        latest->segments > bytes.size() / row_segment_bytes)
        throw FormatError(join(file, ": ", latest->segments, " parts up to byte ", latest->end,
                               ", but the file has ", bytes.size(), "; it is incomplete"));
    return *latest;
}

} // namespace detail

/// Rows of one file that lie one after another, with their labels.
class RowSegment {
public:
    RowSegment(std::span<std::byte const> numbers, std::span<std::byte const> ends,
               std::string_view labels, std::uint32_t checksum)
        : numbers_(numbers), ends_(ends), labels_(labels), checksum_(checksum) {}

    std::size_t rows() const { return ends_.size() / sizeof(std::uint64_t); }

    /// [rows, length, width] in the file's element type, aligned to 64 bytes.
    std::span<std::byte const> numbers() const { return numbers_; }

    std::string_view label(std::size_t row) const {
        auto const begin = row == 0 ? 0 : end(row - 1);
        return labels_.substr(begin, end(row) - begin);
    }

    /// Bytes of the labels and of the table of their ends.
    std::size_t label_table_bytes() const { return ends_.size() + labels_.size(); }

    /// Whether the numbers are those that were written; reads them all.
    bool is_whole() const { return detail::row_checksum(numbers_) == checksum_; }

private:
    std::size_t end(std::size_t row) const {
        return static_cast<std::size_t>(
            detail::row_field<std::uint64_t>(ends_, row * sizeof(std::uint64_t)));
    }

    std::span<std::byte const> numbers_;
    std::span<std::byte const> ends_;
    std::string_view labels_;
    std::uint32_t checksum_;
};

/// Reads a row file from `bytes`, which must stay where they are: header, parts and labels are
/// checked completely; of the numbers, only that they are there (RowSegment::is_whole checks
/// them). `file` begins every message. Throws FormatError.
class RowFileView {
public:
    RowFileView(std::span<std::byte const> bytes, std::string const& file)
        : layout_(detail::read_row_layout(bytes, file)) {
        auto const commit = detail::latest_row_commit(bytes, file);
        segments_.reserve(static_cast<std::size_t>(commit.segments));
        std::uint64_t position = detail::row_data_begin;
        for (std::uint64_t i = 0; i < commit.segments; ++i) {
            rows_ += read_segment(bytes.first(static_cast<std::size_t>(commit.end)), position,
                                  join(file, ": part ", i + 1, " of ", commit.segments));
        }
        if (position != commit.end || rows_ != commit.rows)
            throw FormatError(join(file, ": its parts hold ", rows_, " rows and end at byte ",
                                   position, ", expected ", commit.rows, " rows and ", commit.end));
    }

    RowLayout const& layout() const { return layout_; }
    std::span<RowSegment const> segments() const { return segments_; }
    std::uint64_t rows() const { return rows_; }

private:
    std::uint64_t read_segment(std::span<std::byte const> bytes, std::uint64_t& position,
                               std::string const& where) {
        auto const incomplete = [&](char const* what) {
            return FormatError(join(where, ": its ", what, " do not fit into the file"));
        };
        auto const take = [&](std::uint64_t size, char const* what) {
            if (size > bytes.size() - position)
                throw incomplete(what);
            auto const part =
                bytes.subspan(static_cast<std::size_t>(position), static_cast<std::size_t>(size));
            position = std::min<std::uint64_t>(bytes.size(), detail::to_line(position + size));
            return part;
        };
        auto const head = take(detail::row_segment_bytes, "first bytes");
        if (detail::row_field<std::uint32_t>(head, 60) != detail::row_checksum(head.first(60)))
            throw FormatError(join(where, ": its head is damaged"));
        auto const rows = detail::row_field<std::uint64_t>(head, 0);
        auto const label_bytes = detail::row_field<std::uint64_t>(head, 8);
        if (rows > bytes.size() / layout_.row_bytes())
            throw incomplete("rows");
        auto const numbers = take(rows * layout_.row_bytes(), "rows");
        if (rows > bytes.size() / sizeof(std::uint64_t) || label_bytes > bytes.size())
            throw incomplete("labels");
        auto const table = take(rows * sizeof(std::uint64_t) + label_bytes, "labels");
        if (detail::row_field<std::uint32_t>(head, 20) != detail::row_checksum(table))
            throw FormatError(join(where, ": its labels are damaged"));
        auto const ends = table.first(static_cast<std::size_t>(rows) * sizeof(std::uint64_t));
        std::uint64_t last = 0;
        for (std::size_t row = 0; row < rows; ++row) {
            auto const end = detail::row_field<std::uint64_t>(ends, row * sizeof(std::uint64_t));
            if (end < last || end > label_bytes)
                throw FormatError(join(where, ": label ", row, " ends at byte ", end, ", expected ",
                                       last, " to ", label_bytes));
            last = end;
        }
        segments_.emplace_back(
            numbers, ends,
            std::string_view(reinterpret_cast<char const*>(table.data()) + ends.size(),
                             static_cast<std::size_t>(label_bytes)),
            detail::row_field<std::uint32_t>(head, 16));
        return rows;
    }

    RowLayout layout_;
    std::vector<RowSegment> segments_;
    std::uint64_t rows_ = 0;
};

/// A row file that is mapped into memory: its rows are used where the kernel caches them. What is
/// appended to the file later is not seen.
class RowFile {
public:
    /// Throws FileError and FormatError.
    explicit RowFile(std::filesystem::path const& path)
        : file_(path), view_(file_.bytes(), path.string()) {}

    RowFileView const& view() const { return view_; }
    RowLayout const& layout() const { return view_.layout(); }
    std::uint64_t rows() const { return view_.rows(); }
    MappedFile const& file() const { return file_; }

    /// Reads every row. Throws FormatError when one is not as it was written.
    void verify() const {
        for (auto const& segment : view_.segments())
            if (!segment.is_whole())
                throw FormatError(join(file_.path().string(),
                                       ": numbers are damaged; index the collection again"));
    }

private:
    MappedFile file_;
    RowFileView view_;
};

} // namespace blip
