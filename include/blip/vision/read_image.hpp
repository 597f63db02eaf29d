#pragma once

#include <blip/core/error.hpp>
#include <blip/vision/bmp.hpp>
#include <blip/vision/encoded_image.hpp>
#include <blip/vision/gif.hpp>
#include <blip/vision/image.hpp>
#include <blip/vision/jpeg.hpp>
#include <blip/vision/png.hpp>
#include <blip/vision/webp.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace blip {

namespace detail {

/// What bytes that are no known picture most likely are, for the message.
inline std::string describe_unknown(std::string_view head) {
    auto starts = [&](std::string_view magic) { return head.substr(0, magic.size()) == magic; };
    if (starts("version https://git-lfs"))
        return "it is a Git LFS pointer: run `git lfs pull`";
    if (starts("<"))
        return "it looks like a web page or an SVG: the download may have failed";
    if (starts("II*") || starts("MM"))
        return "it looks like a TIFF: save it as PNG or JPEG";
    if (head.size() >= 12 && head.substr(4, 4) == "ftyp")
        return "it looks like HEIC, AVIF or a film: save a picture of it as PNG or JPEG";
    if (starts("%PDF"))
        return "it looks like a PDF: save the page as PNG or JPEG";
    return "save it as PNG or JPEG";
}

/// What the first bytes of a file say it is.
enum class PictureFormat { jpeg, png, gif, webp, bmp, unknown };

inline PictureFormat recognise_picture(std::span<std::byte const> bytes) {
    std::string const head(reinterpret_cast<char const*>(bytes.data()),
                           std::min<std::size_t>(bytes.size(), 32));
    auto starts = [&](std::string_view magic) { return head.compare(0, magic.size(), magic) == 0; };
    if (starts("\xFF\xD8\xFF"))
        return PictureFormat::jpeg;
    if (starts("\x89PNG\r\n\x1A\n"))
        return PictureFormat::png;
    if (starts("GIF87a") || starts("GIF89a"))
        return PictureFormat::gif;
    if (starts("RIFF") && head.size() >= 12 && head.compare(8, 4, "WEBP") == 0)
        return PictureFormat::webp;
    return starts("BM") ? PictureFormat::bmp : PictureFormat::unknown;
}

inline void require_some_bytes(EncodedImage const& encoded, ReadOptions const& options) {
    auto const bytes = encoded.bytes;
    if (bytes.size() > options.max_bytes)
        throw LimitError(join(encoded.name, ": ", bytes.size(), " bytes, more than the limit of ",
                              options.max_bytes,
                              ". Raise ReadOptions::max_bytes if you trust the file."));
    if (bytes.empty())
        throw FormatError(join(encoded.name, ": the file is empty. Get a complete copy."));
}

inline Image decode_image(EncodedImage const& encoded, ReadOptions const& options) {
    require_some_bytes(encoded, options);
    switch (recognise_picture(encoded.bytes)) {
    case PictureFormat::jpeg:
        return decode_jpeg(encoded, options);
    case PictureFormat::png:
        return decode_png(encoded, options);
    case PictureFormat::gif:
        return decode_gif(encoded, options);
    case PictureFormat::webp:
        return decode_webp(encoded, options);
    case PictureFormat::bmp:
        return decode_bmp(encoded, options);
    case PictureFormat::unknown:
        break;
    }
    std::string const head(reinterpret_cast<char const*>(encoded.bytes.data()),
                           std::min<std::size_t>(encoded.bytes.size(), 32));
    throw FormatError(join(encoded.name, ": not a JPEG, PNG, BMP, GIF or WebP picture; ",
                           describe_unknown(head), "."));
}

inline std::vector<std::byte> read_picture_file(std::filesystem::path const& path,
                                                std::size_t max_bytes) {
    std::error_code failure;
    auto const status = std::filesystem::status(path, failure);
    if (!std::filesystem::exists(status))
        throw FileError(join(path.string(), ": there is no such file. Check the path."));
    if (std::filesystem::is_directory(status))
        throw FileError(join(path.string(), ": this is a folder. Name one picture in it."));
    std::ifstream file(path, std::ios::binary);
    if (!file)
        throw FileError(join(path.string(), ": cannot be opened. Check its permissions."));
    std::vector<std::byte> bytes;
    auto const expected = std::filesystem::file_size(path, failure);
    constexpr std::size_t block = std::size_t{1} << 16;
    std::size_t used = 0;
    std::size_t want = failure ? block : static_cast<std::size_t>(expected) + 1;
    while (file) {
        if (want > max_bytes - std::min(used, max_bytes) + 1)
            want = max_bytes - std::min(used, max_bytes) + 1;
        bytes.resize(used + want);
        file.read(reinterpret_cast<char*>(bytes.data() + used), static_cast<std::streamsize>(want));
        used += static_cast<std::size_t>(file.gcount());
        if (used > max_bytes)
            throw LimitError(join(path.string(), ": more than the limit of ", max_bytes,
                                  " bytes. Raise ReadOptions::max_bytes if you trust the file."));
        want = block;
    }
    if (file.bad())
        throw FileError(join(path.string(), ": cannot be read to its end. Check the disk."));
    bytes.resize(used);
    return bytes;
}

} // namespace detail

/// Decodes a JPEG, PNG, BMP, GIF (first frame) or WebP held in memory to [height, width, 3]. The
/// bytes decide the format. Values are those of Pillow's `Image.open(...).convert("RGB")`: alpha is
/// dropped, not blended.
/// @throws FormatError for bytes that are no picture, damaged or truncated; LimitError beyond the
/// limits in `options`.
inline Image decode_image(std::span<std::byte const> bytes, ReadOptions const& options = {}) {
    return detail::decode_image({bytes, "The picture in memory"}, options);
}

/// Reads a picture file, see decode_image. The name's ending does not matter.
/// @throws FileError when the file cannot be read, FormatError, LimitError
inline Image read_image(std::filesystem::path const& path, ReadOptions const& options = {}) {
    auto const bytes = detail::read_picture_file(path, options.max_bytes);
    return detail::decode_image({bytes, path.string()}, options);
}

} // namespace blip
