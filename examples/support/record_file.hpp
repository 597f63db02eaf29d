#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "record.hpp"

namespace support {

/// Reads back what an earlier run has written, to find out how far it came.
class RecordReader {
public:
    /// Throws FileError, or FormatError when the file was not begun by `format`.
    RecordReader(std::filesystem::path path, RecordFormat const& format)
        : path_(std::move(path)), format_(format), file_(path_, std::ios::binary) {
        if (!file_)
            throw blip::FileError(
                blip::join(path_.string(), ": cannot be opened. Check its permissions."));
        auto const header = format.header();
        std::string found(header.size(), '\0');
        file_.read(found.data(), static_cast<std::streamsize>(found.size()));
        found.resize(static_cast<std::size_t>(file_.gcount()));
        if (!header.starts_with(found))
            throw blip::FormatError(blip::join(
                path_.string(), ": cannot be continued: it does not begin as files of this format ",
                "do. Choose its --format, another --output, or --force to replace it"));
        if (found.size() < header.size())
            at_end_ = true;
        else
            end_ = header.size();
    }

    /// Reads the next record's rows, which must be those of `key`; false when they are not all
    /// there. Throws FormatError when they are of another.
    bool read(Key const& key) {
        auto const start = format_.row_start(key);
        auto& [end, failed] = pending_;
        end = end_;
        failed = false;
        for (std::size_t row = 0; row < format_.rows_per_record() && !failed; ++row) {
            if (!read_row())
                return false;
            if (!row_.starts_with(std::string_view(start).substr(0, longest_start)))
                throw blip::FormatError(
                    blip::join(path_.string(), ": cannot be continued: its entry ", records_ + 1,
                               " is of another picture than ", key.front(),
                               ". Name the same inputs and options as in the run that wrote it, or "
                               "--force to ",
                               "replace it"));
            end += row_size_;
            failed = start.size() < row_.size() &&
                     format_.is_error(std::string_view(row_).substr(start.size()));
        }
        return true;
    }

    /// Counts what was read last as done.
    void take() {
        ++records_;
        errors_ += pending_.failed ? 1 : 0;
        end_ = pending_.end;
    }

    /// Throws FormatError when there are records after those taken.
    void expect_end() {
        if (read_row())
            throw blip::FormatError(
                blip::join(path_.string(),
                           ": cannot be continued: it has more entries than there are inputs (",
                           records_, "). Name the same inputs as in the run that wrote it"));
    }

    std::uint64_t records() const { return records_; }
    std::uint64_t errors() const { return errors_; }
    /// Where the rows that were taken end; what follows is torn or not wanted.
    std::uint64_t end() const { return end_; }

private:
    struct Pending {
        std::uint64_t end = 0;
        bool failed = false;
    };
    static constexpr std::size_t longest_start = std::size_t{1} << 16;

    /// Reads a complete row; only its beginning is kept.
    bool read_row() {
        row_.clear();
        row_size_ = 0;
        if (at_end_)
            return false;
        bool quoted = false;
        for (int letter = file_.get(); letter != std::ifstream::traits_type::eof();
             letter = file_.get()) {
            ++row_size_;
            if (row_.size() < longest_start + 16)
                row_ += static_cast<char>(letter);
            quoted = quoted != (letter == '"' && format_.has_quoted_breaks());
            if (letter == '\n' && !quoted) {
                auto const footer = format_.footer_start();
                at_end_ = !footer.empty() && row_.starts_with(footer);
                return !at_end_;
            }
        }
        at_end_ = true;
        return false;
    }

    std::filesystem::path path_;
    RecordFormat const& format_;
    std::ifstream file_;
    std::string row_;
    std::uint64_t row_size_ = 0;
    std::uint64_t end_ = 0;
    std::uint64_t records_ = 0;
    std::uint64_t errors_ = 0;
    Pending pending_;
    bool at_end_ = false;
};

/// What an output file that exists already means.
enum class Existing { refuse, replace };

/// Records on their way to a file or to standard output. Rows are handed to the system with every
/// flush, so a killed program leaves at most one torn row.
class RecordFile {
public:
    /// To standard output.
    explicit RecordFile(std::unique_ptr<RecordFormat> format)
        : format_(std::move(format)), name_("standard output"), stream_(stdout) {
        put(format_->header());
    }

    /// To a new file. Throws FileError.
    RecordFile(std::filesystem::path const& path, std::unique_ptr<RecordFormat> format,
               Existing existing)
        : format_(std::move(format)), name_(path.string()) {
        open(existing == Existing::refuse ? "wbx" : "wb");
        put(format_->header());
    }

    /// Goes on after what `reader` has taken of `path`. Throws FileError.
    RecordFile(std::filesystem::path const& path, std::unique_ptr<RecordFormat> format,
               RecordReader const& reader)
        : format_(std::move(format)), name_(path.string()), records_(reader.records()) {
        std::error_code problem;
        std::filesystem::resize_file(path, reader.end(), problem);
        if (problem)
            throw blip::FileError(blip::join(name_, ": cannot be written: ", problem.message()));
        open("ab");
        if (reader.end() == 0)
            put(format_->header());
    }

    RecordFile(RecordFile const&) = delete;
    RecordFile& operator=(RecordFile const&) = delete;
    ~RecordFile() {
        if (stream_ != nullptr && stream_ != stdout)
            std::fclose(stream_);
    }

    void write(Record const& record) { put(format_->rows(record, records_++)); }

    void flush() {
        if (std::fflush(stream_) != 0)
            fail();
    }

    /// Writes what ends the file; nothing may be written after it.
    void finish() {
        put(format_->footer(records_));
        flush();
    }

    RecordFormat const& format() const { return *format_; }

private:
    void open(char const* mode) {
        stream_ = std::fopen(name_.c_str(), mode);
        if (stream_ == nullptr && errno == EEXIST)
            throw blip::FileError(
                blip::join(name_, ": exists already. --resume continues it, --force replaces it"));
        if (stream_ == nullptr)
            fail();
    }

    void put(std::string const& text) {
        if (std::fwrite(text.data(), 1, text.size(), stream_) != text.size())
            fail();
    }

    [[noreturn]] void fail() const {
        throw blip::FileError(
            blip::join(name_, ": cannot be written: ", std::generic_category().message(errno)));
    }

    std::unique_ptr<RecordFormat> format_;
    std::string name_;
    std::FILE* stream_ = nullptr;
    std::uint64_t records_ = 0;
};

} // namespace support
