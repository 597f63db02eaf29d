#pragma once

#include <blip/io/row_file.hpp>
#include <blip/io/write_file.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#if BLIP_HAS_POSIX_FILES
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace blip {

namespace detail {

template <class T>
void put_row_field(std::span<std::byte> bytes, std::size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

inline std::vector<std::byte> row_header(RowLayout const& layout) {
    if (layout.width < 1 || layout.length < 1 ||
        (layout.type != DataType::f32 && layout.type != DataType::f16))
        throw ArgumentError(join("rows of ", layout.length, " x ", layout.width, " ",
                                 name_of(layout.type), "; expected float32 or float16 numbers"));
    std::vector<std::byte> bytes(row_header_bytes);
    std::memcpy(bytes.data(), row_magic.data(), row_magic.size());
    put_row_field(bytes, 8, row_version);
    put_row_field(bytes, 12, static_cast<std::uint32_t>(layout.kind));
    put_row_field(bytes, 16, std::uint32_t{layout.type == DataType::f16 ? 1u : 0u});
    put_row_field(bytes, 24, layout.length);
    put_row_field(bytes, 32, layout.width);
    put_row_field(bytes, 40, layout.model);
    put_row_field(bytes, row_header_bytes - 4,
                  row_checksum(std::span(bytes).first(row_header_bytes - 4)));
    return bytes;
}

inline std::vector<std::byte> row_commit(RowCommit const& commit) {
    std::vector<std::byte> bytes(row_commit_bytes);
    put_row_field(bytes, 0, commit.number);
    put_row_field(bytes, 8, commit.end);
    put_row_field(bytes, 16, commit.segments);
    put_row_field(bytes, 24, commit.rows);
    put_row_field(bytes, row_commit_bytes - 4,
                  row_checksum(std::span(bytes).first(row_commit_bytes - 4)));
    return bytes;
}

/// Ends of the labels, then the labels.
template <class Labels>
std::vector<std::byte> row_label_table(Labels const& labels) {
    std::vector<std::byte> table(std::size(labels) * sizeof(std::uint64_t));
    std::uint64_t end = 0;
    std::size_t row = 0;
    for (std::string_view const label : labels) {
        end += label.size();
        put_row_field(table, row++ * sizeof end, end);
    }
    table.reserve(table.size() + end);
    for (std::string_view const label : labels) {
        auto const bytes = std::as_bytes(std::span(label));
        table.insert(table.end(), bytes.begin(), bytes.end());
    }
    return table;
}

inline std::vector<std::byte> row_segment_head(std::uint64_t rows, std::uint32_t numbers_checksum,
                                               std::span<std::byte const> table) {
    std::vector<std::byte> head(row_segment_bytes);
    put_row_field(head, 0, rows);
    put_row_field(head, 8, std::uint64_t{table.size() - rows * sizeof(std::uint64_t)});
    put_row_field(head, 16, numbers_checksum);
    put_row_field(head, 20, row_checksum(table));
    put_row_field(head, 60, row_checksum(std::span(head).first(60)));
    return head;
}

} // namespace detail

/// Writes a row file of one segment, which appears whole or not at all. `blocks`: the rows' bytes,
/// part after part. Throws FileError; ArgumentError when they are not `labels.size()` rows.
template <class Labels>
void write_row_file(std::filesystem::path const& path, RowLayout const& layout,
                    std::span<std::span<std::byte const> const> blocks, Labels const& labels) {
    std::uint64_t const rows = std::size(labels);
    std::uint64_t bytes = 0;
    std::uint32_t checksum = 0;
    for (auto const block : blocks) {
        bytes += block.size();
        checksum = detail::row_checksum(block, checksum);
    }
    if (bytes != rows * layout.row_bytes())
        throw ArgumentError(join("write_row_file: ", bytes, " bytes for ", rows, " labels of ",
                                 layout.row_bytes(), " bytes each"));
    auto const table = detail::row_label_table(labels);
    std::vector<std::byte> const zeros(detail::row_data_begin);
    FileWriter writer(path);
    auto const pad_to = [&](std::uint64_t end) {
        writer.write(std::span(zeros).first(static_cast<std::size_t>(end - writer.size())));
    };
    detail::RowCommit commit{.number = 1};
    if (rows > 0)
        commit = {1,
                  detail::to_line(
                      detail::to_line(detail::row_data_begin + detail::row_segment_bytes + bytes) +
                      table.size()),
                  1, rows};
    writer.write(detail::row_header(layout));
    pad_to(detail::row_commit_places[0]);
    writer.write(detail::row_commit(commit));
    pad_to(detail::row_data_begin);
    if (rows > 0) {
        writer.write(detail::row_segment_head(rows, checksum, table));
        for (auto const block : blocks)
            writer.write(block);
        pad_to(detail::to_line(writer.size()));
        writer.write(table);
        pad_to(commit.end);
    }
    writer.commit();
}

/// Appends rows to a row file while others may read it: it never becomes shorter. A program that is
/// killed leaves the file as the last finished append() left it. One writer at a time: a second is
/// refused, also when both start together and there is no file yet.
class RowFileWriter {
public:
    /// Opens `path`, or creates it with no rows. Throws FileError, FormatError, and ArgumentError
    /// when the file has another layout or is of another model.
    RowFileWriter(std::filesystem::path path, RowLayout layout)
        : path_(std::move(path)), layout_(layout) {
        do {
            create();
            stream_.reset(std::fopen(path_.string().c_str(), "r+b"));
            if (!stream_)
                detail::throw_write_error(path_, "append to");
#if BLIP_HAS_POSIX_FILES
            if (::flock(::fileno(stream_.get()), LOCK_EX | LOCK_NB) != 0)
                throw FileError(
                    join(path_.string(), ": another program is appending to this file"));
#endif
        } while (!is_in_place());
        RowFile const file(path_);
        if (file.layout() != layout_)
            throw ArgumentError(join(path_.string(), ": holds ", describe(file.layout()),
                                     ", expected ", describe(layout_)));
        commit_ = detail::latest_row_commit(file.file().bytes(), path_.string());
        auto const segments = file.view().segments();
        before_ = segments.empty() ? 0 : commit_.rows - segments.back().rows();
    }

    RowLayout const& layout() const {
        return layout_;
    }
    std::uint64_t size() const {
        return commit_.rows;
    }
    /// Rows that there were before the last append.
    std::uint64_t before_last_append() const {
        return before_;
    }

    /// Appends labels.size() rows; when it returns they are on the disk. Throws FileError;
    /// ArgumentError when `numbers` are not as many rows as labels.
    template <class Labels>
    void append(std::span<std::byte const> numbers, Labels const& labels) {
        std::uint64_t const rows = std::size(labels);
        if (numbers.size() != rows * layout_.row_bytes())
            throw ArgumentError(join(path_.string(), ": ", numbers.size(), " bytes for ", rows,
                                     " rows of ", layout_.row_bytes(), " each"));
        if (rows == 0)
            return;
        auto const table = detail::row_label_table(labels);
        auto const head = detail::row_segment_head(rows, detail::row_checksum(numbers), table);
        auto const middle =
            detail::to_line(commit_.end + detail::row_segment_bytes + numbers.size());
        detail::RowCommit const next{commit_.number + 1, detail::to_line(middle + table.size()),
                                     commit_.segments + 1, commit_.rows + rows};
        // Over what an interrupted append may have left behind the end.
        write(commit_.end, head);
        auto const numbers_begin = commit_.end + detail::row_segment_bytes;
        write(numbers_begin, numbers);
        write_zeros(numbers_begin + numbers.size(), middle);
        write(middle, table);
        write_zeros(middle + table.size(), next.end);
        detail::flush_to_disk(stream_.get(), path_);
        before_ = commit_.rows;
        write_commit(next);
    }

    template <class Labels>
    void append(std::span<float const> numbers, Labels const& labels) {
        append(std::as_bytes(numbers), labels);
    }

    /// Drops what follows the first `rows` rows, which must be where an append() ended: for two
    /// files that are written together when a program was killed between the two. Who has them
    /// mapped sees other rows in their place after the next append. Throws FileError and
    /// ArgumentError.
    void keep(std::uint64_t rows) {
        RowFile const file(path_);
        detail::RowCommit next{.number = commit_.number + 1};
        std::uint64_t before = 0;
        for (auto const& segment : file.view().segments()) {
            if (next.rows == rows)
                break;
            auto const labels = segment.label_table_bytes();
            before = next.rows;
            next.end = detail::to_line(
                detail::to_line(next.end + detail::row_segment_bytes + segment.numbers().size()) +
                labels);
            next.rows += segment.rows();
            ++next.segments;
        }
        if (next.rows != rows)
            throw ArgumentError(join(path_.string(), ": has no end of an append at row ", rows,
                                     " of ", commit_.rows));
        write_commit(next);
        before_ = before;
    }

private:
    static std::string describe(RowLayout const& layout) {
        constexpr std::string_view kinds[] = {"image vectors", "text vectors", "image states"};
        return join(kinds[static_cast<std::uint32_t>(layout.kind) - 1], " of ", layout.length,
                    " x ", layout.width, " ", name_of(layout.type), " by model ",
                    model_number(layout.model));
    }

    /// Into the place of the commit that does not count any more.
    void write_commit(detail::RowCommit const& next) {
        write(detail::row_commit_places[next.number % 2 == 1 ? 0 : 1], detail::row_commit(next));
        detail::flush_to_disk(stream_.get(), path_);
        commit_ = next;
    }

    /// Makes a file of no rows unless there is a file. Of two programs that do so at a time one
    /// makes it, and both go on with the same.
    void create() const {
        std::error_code problem;
        if (std::filesystem::exists(path_, problem))
            return;
        auto own = path_;
        std::uint64_t const address = reinterpret_cast<std::uintptr_t>(this);
#if BLIP_HAS_POSIX_FILES
        own += join(".", ::getpid(), "-", address, ".new");
#else
        own += join(".", address, ".new");
#endif
        write_row_file(own, layout_, {}, std::vector<std::string>{});
        // A link is refused where the name is taken; a move would replace the other's file.
        std::filesystem::create_hard_link(own, path_, problem);
        std::error_code ignored;
        if (problem && !std::filesystem::exists(path_, ignored))
            std::filesystem::rename(own, path_, problem); // a file system without links
        std::filesystem::remove(own, ignored);
        if (problem && !std::filesystem::exists(path_, ignored))
            throw FileError(join("cannot make ", path_.string(), ": ", problem.message()));
    }

    /// Whether the file that was opened and locked is still the one of that name.
    bool is_in_place() const {
#if BLIP_HAS_POSIX_FILES
        struct stat opened {
        }, named{};
        return ::fstat(::fileno(stream_.get()), &opened) == 0 &&
               ::stat(path_.string().c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
               opened.st_dev == named.st_dev;
#else
        return true;
#endif
    }

    void write_zeros(std::uint64_t begin, std::uint64_t end) {
        write(begin, std::vector<std::byte>(static_cast<std::size_t>(end - begin)));
    }

    void write(std::uint64_t place, std::span<std::byte const> bytes) {
#if BLIP_HAS_POSIX_FILES
        bool const there = ::fseeko(stream_.get(), static_cast<off_t>(place), SEEK_SET) == 0;
#else
        bool const there = std::fseek(stream_.get(), static_cast<long>(place), SEEK_SET) == 0;
#endif
        if (!there || std::fwrite(bytes.data(), 1, bytes.size(), stream_.get()) != bytes.size())
            detail::throw_write_error(path_, "append to");
    }

    struct Close {
        void operator()(std::FILE* stream) const { std::fclose(stream); }
    };

    std::filesystem::path path_;
    RowLayout layout_;
    detail::RowCommit commit_;
    std::uint64_t before_ = 0;
    std::unique_ptr<std::FILE, Close> stream_;
};

} // namespace blip
