#pragma once

#include <blip/core/error.hpp>
#include <blip/vision/encoded_image.hpp>
#include <blip/vision/image.hpp>

#if defined(BLIP_HAS_WEBP) && BLIP_HAS_WEBP

#include <blip/vision/orientation.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include <webp/decode.h>

namespace blip::detail {

/// The content of the first chunk called `tag` of a WebP container; empty when there is none.
inline std::span<std::byte const> find_webp_chunk(EncodedImage const& encoded,
                                                  std::string_view tag) {
    auto const bytes = encoded.bytes;
    for (std::size_t offset = 12; offset + 8 <= bytes.size();) {
        std::size_t const length = encoded.little32(offset + 4);
        if (length > bytes.size() - offset - 8)
            break;
        if (std::memcmp(bytes.data() + offset, tag.data(), 4) == 0)
            return bytes.subspan(offset + 8, length);
        offset += 8 + length + length % 2;
    }
    return {};
}

/// Decodes one lossy or lossless WebP bitstream without its alpha.
inline Image decode_webp_frame(EncodedImage const& encoded, std::span<std::byte const> frame,
                               ReadOptions const& options) {
    auto const* data = reinterpret_cast<std::uint8_t const*>(frame.data());
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(data, frame.size(), &features) != VP8_STATUS_OK)
        encoded.damaged("cannot decode this WebP: its header is not valid");
    auto const size =
        checked_size(encoded, static_cast<std::uint64_t>(std::max(features.height, 0)),
                     static_cast<std::uint64_t>(std::max(features.width, 0)), options);
    Image image = make_image(size);
    if (WebPDecodeRGBInto(data, frame.size(), image.data(), image.size(),
                          static_cast<int>(3 * size.width)) == nullptr)
        encoded.damaged("cannot decode this WebP: its data is truncated or not valid");
    return image;
}

/// Decodes a WebP; of an animation the first frame, on black where the frame leaves the canvas
/// open. Alpha is dropped.
/// @throws FormatError, LimitError
inline Image decode_webp(EncodedImage const& encoded, ReadOptions const& options) {
    auto const animation = find_webp_chunk(encoded, "ANMF");
    Image image;
    if (animation.empty()) {
        image = decode_webp_frame(encoded, encoded.bytes, options);
    } else {
        auto little24 = [&](std::span<std::byte const> chunk, std::size_t offset) {
            EncodedImage const part{chunk, encoded.name};
            return std::size_t{part.little16(offset)} | std::size_t{part.byte(offset + 2)} << 16;
        };
        auto const canvas = find_webp_chunk(encoded, "VP8X");
        auto const size =
            checked_size(encoded, little24(canvas, 7) + 1, little24(canvas, 4) + 1, options);
        std::size_t const left = 2 * little24(animation, 0), top = 2 * little24(animation, 3);
        constexpr std::size_t frame_header = 16;
        EncodedImage{animation, encoded.name}.require(frame_header, 1);
        auto const frame = decode_webp_frame(encoded, animation.subspan(frame_header), options);
        auto const part = image_size(frame);
        if (left + part.width > size.width || top + part.height > size.height)
            encoded.damaged("the WebP's first frame does not fit its canvas");
        image = make_image(size);
        std::fill(image.begin(), image.end(), std::uint8_t{0});
        for (std::size_t y = 0; y < part.height; ++y)
            std::copy_n(frame.data() + 3 * y * part.width, 3 * part.width,
                        image.data() + 3 * ((top + y) * size.width + left));
    }
    if (options.orientation == Orientation::as_stored)
        return image;
    return apply_orientation(image, exif_orientation(find_webp_chunk(encoded, "EXIF")));
}

} // namespace blip::detail

#else

namespace blip::detail {

/// Stands in for the WebP decoder in a build without libwebp.
/// @throws FormatError always
[[noreturn]] inline Image decode_webp(EncodedImage const& encoded, ReadOptions const&) {
    throw FormatError(join(encoded.name,
                           ": this is a WebP, and this program was built without "
                           "libwebp. Build with libwebp, or save it as PNG or JPEG."));
}

} // namespace blip::detail

#endif
