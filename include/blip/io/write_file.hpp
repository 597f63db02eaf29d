#pragma once

#include <blip/core/error.hpp>
#include <blip/io/mapped_file.hpp>

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace blip {

namespace detail {

[[noreturn]] inline void throw_write_error(std::filesystem::path const& path, char const* what) {
    int const cause = errno;
    throw FileError(
        join("cannot ", what, " ", path.string(), ": ", std::generic_category().message(cause)));
}

inline std::filesystem::path temporary_sibling(std::filesystem::path const& path) {
    std::random_device random;
    auto sibling = path;
    sibling += join(".", random(), random(), ".partial");
    return sibling;
}

inline void flush_to_disk(std::FILE* stream, std::filesystem::path const& path) {
    if (std::fflush(stream) != 0)
        throw_write_error(path, "write");
#if BLIP_HAS_POSIX_FILES
    if (::fsync(::fileno(stream)) != 0 && errno != EINVAL)
        throw_write_error(path, "flush");
#endif
}

inline void flush_folder(std::filesystem::path const& file) {
#if BLIP_HAS_POSIX_FILES
    auto const folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
    int const descriptor = ::open(folder.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0) {
        ::fsync(descriptor);
        ::close(descriptor);
    }
#else
    static_cast<void>(file);
#endif
}

} // namespace detail

/// Writes a file that appears whole or not at all: bytes go to a temporary file in the same folder,
/// which commit() flushes to disk and renames. Without commit() nothing is left behind.
class FileWriter {
public:
    /// Throws FileError when the folder is missing or not writable.
    explicit FileWriter(std::filesystem::path path)
        : path_(std::move(path)), temporary_(detail::temporary_sibling(path_)) {
        std::error_code ignored;
        if (std::filesystem::is_directory(path_, ignored))
            throw FileError(join("cannot write ", path_.string(), ": it is a folder"));
        // "x" refuses a file that somebody else created under the temporary name.
        stream_ = std::fopen(temporary_.string().c_str(), "wbx");
        if (stream_ == nullptr)
            detail::throw_write_error(path_, "write");
    }

    FileWriter(FileWriter const&) = delete;
    FileWriter& operator=(FileWriter const&) = delete;
    ~FileWriter() { discard(); }

    void write(std::span<std::byte const> bytes) {
        if (!bytes.empty() && std::fwrite(bytes.data(), 1, bytes.size(), stream_) != bytes.size())
            detail::throw_write_error(path_, "write");
        written_ += bytes.size();
    }

    void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

    /// Bytes written so far.
    std::size_t size() const { return written_; }

    /// Makes the file appear under its name, replacing an older one. Call once, at the end.
    void commit() {
        detail::flush_to_disk(stream_, path_);
        bool const closed = std::fclose(std::exchange(stream_, nullptr)) == 0;
        std::error_code problem;
        if (closed)
            std::filesystem::rename(temporary_, path_, problem);
        if (!closed || problem) {
            std::error_code ignored;
            std::filesystem::remove(temporary_, ignored);
            throw FileError(join("cannot write ", path_.string(), ": ",
                                 problem ? problem.message() : "closing it failed"));
        }
        detail::flush_folder(path_);
    }

private:
    void discard() noexcept {
        if (stream_ == nullptr)
            return;
        std::fclose(stream_);
        std::error_code ignored;
        std::filesystem::remove(temporary_, ignored);
    }

    std::filesystem::path path_;
    std::filesystem::path temporary_;
    std::FILE* stream_ = nullptr;
    std::size_t written_ = 0;
};

/// Writes `text` as the whole content of `path`, atomically. Throws FileError.
inline void write_file(std::filesystem::path const& path, std::string_view text) {
    FileWriter writer(path);
    writer.write(text);
    writer.commit();
}

/// Appends one line (`line` without its end) to a log such as JSON lines, creating the file if
/// needed. A line that an interrupted program left unfinished is ended first, so that what follows
/// stays readable. Throws FileError; ArgumentError when `line` holds a line break.
inline void append_line(std::filesystem::path const& path, std::string_view line) {
    if (line.find('\n') != std::string_view::npos)
        throw ArgumentError("append_line: the line holds a line break");
    std::FILE* const stream = std::fopen(path.string().c_str(), "a+b");
    if (stream == nullptr)
        detail::throw_write_error(path, "write");
    bool const unfinished = std::fseek(stream, -1, SEEK_END) == 0 && std::fgetc(stream) != '\n';
    std::fseek(stream, 0, SEEK_END);
    auto const record = join(unfinished ? "\n" : "", line, "\n");
    bool const written = std::fwrite(record.data(), 1, record.size(), stream) == record.size();
    if (std::fclose(stream) != 0 || !written)
        detail::throw_write_error(path, "write");
}

} // namespace blip
