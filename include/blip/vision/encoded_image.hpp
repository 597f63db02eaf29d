#pragma once

#include <blip/core/error.hpp>
#include <blip/vision/image.hpp>

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace blip {

/// Whether the camera's note about how it was held turns the picture.
enum class Orientation {
    as_stored, ///< pixels as the file holds them: what the BLIP release and Pillow do by default
    upright    ///< turned and mirrored as the file's EXIF orientation says
};

/// How to read a picture, and how much of the machine a file may claim.
struct ReadOptions {
    Orientation orientation = Orientation::as_stored;
    /// Largest height times width; twice Pillow's MAX_IMAGE_PIXELS, where Pillow refuses.
    std::size_t max_pixels = 178'956'970;
    /// Largest size of the encoded file in bytes.
    std::size_t max_bytes = std::size_t{512} << 20;
};

namespace detail {

/// The bytes of one encoded picture and how messages call it.
struct EncodedImage {
    std::span<std::byte const> bytes;
    std::string name;

    std::uint8_t byte(std::size_t offset) const {
        require(offset, 1);
        return std::to_integer<std::uint8_t>(bytes[offset]);
    }

    std::uint32_t little16(std::size_t offset) const {
        require(offset, 2);
        return std::to_integer<std::uint32_t>(bytes[offset]) |
               std::to_integer<std::uint32_t>(bytes[offset + 1]) << 8;
    }

    std::uint32_t little32(std::size_t offset) const {
        return little16(offset) | little16(offset + 2) << 16;
    }

    /// @throws FormatError when fewer than `count` bytes follow `offset`.
    void require(std::size_t offset, std::size_t count) const {
        if (offset > bytes.size() || count > bytes.size() - offset)
            throw FormatError(join(name, ": the file ends too early: ", count,
                                   " bytes expected at byte ", offset, ", but it has only ",
                                   bytes.size(), ". It is truncated; get a complete copy."));
    }

    [[noreturn]] void damaged(std::string const& why) const {
        throw FormatError(join(name, ": ", why, ". The file is damaged; get a good copy."));
    }

    [[noreturn]] void unsupported(std::string const& why) const {
        throw FormatError(join(name, ": ", why, " is not supported. Save it as PNG or JPEG."));
    }
};

/// Refuses empty and oversized pictures; call before any memory depends on the size.
inline ImageSize checked_size(EncodedImage const& encoded, std::uint64_t height,
                              std::uint64_t width, ReadOptions const& options) {
    if (height == 0 || width == 0)
        encoded.damaged(join("the header claims ", width, " x ", height, " pixels"));
    if (width > options.max_pixels / height)
        throw LimitError(join(encoded.name, ": the header claims ", width, " x ", height,
                              " pixels, more than the limit of ", options.max_pixels,
                              ". Raise ReadOptions::max_pixels if you trust the file."));
    return {static_cast<std::size_t>(height), static_cast<std::size_t>(width)};
}

/// Runs `steps`, which call a C library whose error handler jumps to `jump`; false after such a
/// jump. Nothing with a destructor may live in `steps`: a jump skips destructors, so the caller
/// owns every object.
template <class Steps>
bool completes(std::jmp_buf& jump, Steps const& steps) {
    if (setjmp(jump) != 0)
        return false;
    steps();
    return true;
}

} // namespace detail
} // namespace blip
