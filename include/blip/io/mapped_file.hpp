#pragma once

#include <blip/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#define BLIP_HAS_POSIX_FILES 1
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#else
#define BLIP_HAS_POSIX_FILES 0
#endif

namespace blip {

/// The bytes of one file, mapped read-only, so that large tensors are used where the kernel caches
/// them. Where memory maps are missing, the file is read into memory. The file must not be
/// shortened by others while it is mapped.
class MappedFile {
public:
    MappedFile() = default;

    /// Maps the regular file `path`; an empty file gives an empty span.
    /// Throws FileError when it is missing, a folder, not readable or cannot be mapped.
    explicit MappedFile(std::filesystem::path path) : path_(std::move(path)) { open(); }

    MappedFile(MappedFile&& other) noexcept { swap(other); }
    MappedFile& operator=(MappedFile&& other) noexcept {
        MappedFile(std::move(other)).swap(*this);
        return *this;
    }
    MappedFile(MappedFile const&) = delete;
    MappedFile& operator=(MappedFile const&) = delete;
    ~MappedFile() { close(); }

    std::span<std::byte const> bytes() const { return bytes_; }
    std::filesystem::path const& path() const { return path_; }

    /// Whether `range` lies in this file's bytes.
    bool contains(std::span<std::byte const> range) const {
        auto const begin = reinterpret_cast<std::uintptr_t>(bytes_.data());
        auto const first = reinterpret_cast<std::uintptr_t>(range.data());
        return first >= begin && first - begin <= bytes_.size() &&
               range.size() <= bytes_.size() - (first - begin);
    }

    /// Says that `range` (part of bytes()) has been used up: its memory may be given back. The
    /// bytes stay valid and are read again from the file when touched. Only whole pages are
    /// affected.
    void release(std::span<std::byte const> range) const { advise(range, Advice::release); }

    /// Says that `range` (part of bytes()) is read next, so that reading ahead starts now.
    void will_need(std::span<std::byte const> range) const { advise(range, Advice::will_need); }

private:
    enum class Advice { release, will_need };

    void swap(MappedFile& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(bytes_, other.bytes_);
        std::swap(copy_, other.copy_);
    }

#if BLIP_HAS_POSIX_FILES
    void open() {
        int const descriptor = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (descriptor < 0) {
            int const cause = errno;
            throw FileError(
                join("cannot open ", path_.string(), ": ", std::generic_category().message(cause)));
        }
        struct ::stat information {};
        char const* problem = nullptr;
        int cause = 0;
        void* address = MAP_FAILED;
        if (::fstat(descriptor, &information) != 0)
            problem = "cannot be examined", cause = errno;
        else if (S_ISDIR(information.st_mode))
            problem = "is a folder, expected a file";
        else if (!S_ISREG(information.st_mode))
            problem = "is not a regular file";
        else if (information.st_size > 0) {
            address = ::mmap(nullptr, static_cast<std::size_t>(information.st_size), PROT_READ,
                             MAP_PRIVATE, descriptor, 0);
            if (address == MAP_FAILED)
                problem = "cannot be mapped into memory", cause = errno;
        }
        ::close(descriptor);
        if (problem != nullptr)
            throw FileError(
                join(path_.string(), " ", problem,
                     cause != 0 ? ": " + std::generic_category().message(cause) : std::string()));
        if (address != MAP_FAILED)
            bytes_ = {static_cast<std::byte const*>(address),
                      static_cast<std::size_t>(information.st_size)};
    }

    void close() {
        if (!bytes_.empty())
            ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
    }

    void advise(std::span<std::byte const> range, Advice advice) const {
        if (range.empty() || !contains(range))
            return;
        auto const page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        auto begin = static_cast<std::size_t>(range.data() - bytes_.data());
        auto end = begin + range.size();
        if (advice == Advice::release) {
            begin = (begin + page - 1) / page * page;
            end = end == bytes_.size() ? end : end / page * page;
        } else {
            begin = begin / page * page;
        }
        if (begin < end)
            ::madvise(const_cast<std::byte*>(bytes_.data()) + begin, end - begin,
                      advice == Advice::release ? MADV_DONTNEED : MADV_WILLNEED);
    }
#else
    void open() {
        std::error_code problem;
        if (std::filesystem::is_directory(path_, problem))
            throw FileError(join(path_.string(), " is a folder, expected a file"));
        std::ifstream stream(path_, std::ios::binary | std::ios::ate);
        if (!stream)
            throw FileError(join("cannot open ", path_.string()));
        copy_.resize(static_cast<std::size_t>(stream.tellg()));
        stream.seekg(0);
        if (!stream.read(reinterpret_cast<char*>(copy_.data()),
                         static_cast<std::streamsize>(copy_.size())))
            throw FileError(join("cannot read ", path_.string()));
        bytes_ = copy_;
    }

    void close() {}
    void advise(std::span<std::byte const>, Advice) const {}
#endif

    std::filesystem::path path_;
    std::span<std::byte const> bytes_;
    std::vector<std::byte> copy_;
};

} // namespace blip
