#pragma once

#include <blip/io/mapped_file.hpp>
#include <blip/io/write_file.hpp>

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace blip::test {

/// A folder that exists as long as this object.
class TemporaryFolder {
public:
    TemporaryFolder() {
        std::random_device random;
        path_ = std::filesystem::temp_directory_path() / join("blip_test_", random(), random());
        std::filesystem::create_directories(path_);
    }
    TemporaryFolder(TemporaryFolder const&) = delete;
    TemporaryFolder& operator=(TemporaryFolder const&) = delete;
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
    std::filesystem::path const& path() const { return path_; }

private:
    std::filesystem::path path_;
};

inline std::filesystem::path test_data(std::string_view name) {
    return std::filesystem::path(BLIP_TEST_DATA_DIR) / name;
}

inline std::string content_of(std::filesystem::path const& path) {
    MappedFile const file(path);
    return {reinterpret_cast<char const*>(file.bytes().data()), file.bytes().size()};
}

inline std::span<std::byte const> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

/// The value's bytes as they lie in little-endian files.
template <class T>
std::string little_endian(T value) {
    std::string text(sizeof(T), '\0');
    std::memcpy(text.data(), &value, sizeof(T));
    return text;
}

/// The message of the blip::Error that `action` throws; empty when it throws none.
template <class Failure, class Action>
std::string message_of(Action&& action) {
    try {
        action();
    } catch (Failure const& error) {
        return error.what();
    }
    return {};
}

inline bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

/// Calls `read` with every beginning of `text`, in memory of exactly that size so that a sanitizer
/// sees each byte read beyond it; every one must fail with an Error. Returns how many did not.
template <class Read>
std::size_t readable_beginnings(std::string const& text, Read&& read) {
    std::size_t readable = 0;
    for (std::size_t size = 0; size < text.size(); ++size) {
        std::vector<char> const part(text.begin(),
                                     text.begin() + static_cast<std::ptrdiff_t>(size));
        try {
            read(std::as_bytes(std::span(part)));
            ++readable;
        } catch (Error const&) {
        }
    }
    return readable;
}

/// Calls `read` with `text` after each byte is changed in three ways; it may succeed or fail with an
/// Error. Returns how many calls failed.
template <class Read>
std::size_t failures_after_damage(std::string const& text, Read&& read) {
    std::size_t failures = 0;
    for (std::size_t place = 0; place < text.size(); ++place)
        for (int const change : {0x01, 0x80, 0xFF}) {
            std::vector<char> damaged(text.begin(), text.end());
            damaged[place] = static_cast<char>(damaged[place] ^ change);
            try {
                read(std::as_bytes(std::span(std::as_const(damaged))));
            } catch (Error const&) {
                ++failures;
            }
        }
    return failures;
}

} // namespace blip::test
