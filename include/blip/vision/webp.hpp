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
#include <utility>
#include <vector>

#include <webp/decode.h>

namespace blip::detail {

/// Calls f(content) for every chunk called `tag` of a WebP container, until it returns true.
inline void for_each_webp_chunk(EncodedImage const& encoded, std::string_view tag, auto const& f) {
    auto const bytes = encoded.bytes;
    for (std::size_t offset = 12; offset + 8 <= bytes.size();) {
        std::size_t const length = encoded.little32(offset + 4);
        if (length > bytes.size() - offset - 8)
            break;
        if (std::memcmp(bytes.data() + offset, tag.data(), 4) == 0 &&
            f(bytes.subspan(offset + 8, length)))
            return;
        offset += 8 + length + length % 2;
    }
}

/// The content of the first chunk called `tag`; empty when there is none.
inline std::span<std::byte const> find_webp_chunk(EncodedImage const& encoded,
                                                  std::string_view tag) {
    std::span<std::byte const> found;
    for_each_webp_chunk(encoded, tag, [&](std::span<std::byte const> content) {
        found = content;
        return true;
    });
    return found;
}

/// Three bytes, lowest first.
inline std::size_t webp_little24(EncodedImage const& encoded, std::span<std::byte const> chunk,
                                 std::size_t offset) {
    EncodedImage const part{chunk, encoded.name};
    return std::size_t{part.little16(offset)} | std::size_t{part.byte(offset + 2)} << 16;
}

/// Size of an animation's pictures.
inline ImageSize webp_canvas(EncodedImage const& encoded, ReadOptions const& options) {
    auto const canvas = find_webp_chunk(encoded, "VP8X");
    return checked_size(encoded, webp_little24(encoded, canvas, 7) + 1,
                        webp_little24(encoded, canvas, 4) + 1, options);
}

/// Where a frame of an animation lies, how it is drawn, and its own bytes.
struct WebpFrame {
    std::size_t left = 0, top = 0;
    bool blends = false;   ///< over what is there; otherwise it replaces that, alpha included
    bool disposes = false; ///< its place is emptied before the next frame
    std::span<std::byte const> data;
};

inline WebpFrame read_webp_frame(EncodedImage const& encoded, std::span<std::byte const> chunk) {
    constexpr std::size_t header = 16;
    EncodedImage const part{chunk, encoded.name};
    part.require(header, 1);
    std::uint32_t const flags = part.byte(15);
    return {2 * webp_little24(encoded, chunk, 0), 2 * webp_little24(encoded, chunk, 3),
            (flags & 2) == 0, (flags & 1) != 0, chunk.subspan(header)};
}

/// Size of one lossy or lossless WebP bitstream.
inline ImageSize webp_frame_size(EncodedImage const& encoded, std::span<std::byte const> frame,
                                 ReadOptions const& options) {
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(reinterpret_cast<std::uint8_t const*>(frame.data()), frame.size(),
                        &features) != VP8_STATUS_OK)
        encoded.damaged("cannot decode this WebP: its header is not valid");
    return checked_size(encoded, static_cast<std::uint64_t>(std::max(features.height, 0)),
                        static_cast<std::uint64_t>(std::max(features.width, 0)), options);
}

/// Decodes a bitstream without its alpha.
inline Image decode_webp_frame(EncodedImage const& encoded, std::span<std::byte const> frame,
                               ReadOptions const& options) {
    auto const size = webp_frame_size(encoded, frame, options);
    Image image = make_image(size);
    if (WebPDecodeRGBInto(reinterpret_cast<std::uint8_t const*>(frame.data()), frame.size(),
                          image.data(), image.size(), static_cast<int>(3 * size.width)) == nullptr)
        encoded.damaged("cannot decode this WebP: its data is truncated or not valid");
    return image;
}

/// Decodes a bitstream into `pixels`: red, green, blue, alpha.
inline ImageSize decode_webp_pixels(EncodedImage const& encoded, std::span<std::byte const> frame,
                                    ReadOptions const& options, std::vector<std::uint8_t>& pixels) {
    auto const size = webp_frame_size(encoded, frame, options);
    pixels.resize(4 * size.height * size.width);
    if (WebPDecodeRGBAInto(reinterpret_cast<std::uint8_t const*>(frame.data()), frame.size(),
                           pixels.data(), pixels.size(),
                           static_cast<int>(4 * size.width)) == nullptr)
        encoded.damaged("cannot decode this WebP: its data is truncated or not valid");
    return size;
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
        auto const size = webp_canvas(encoded, options);
        auto const where = read_webp_frame(encoded, animation);
        std::size_t const left = where.left, top = where.top;
        auto const frame = decode_webp_frame(encoded, where.data, options);
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

/// A colour with its opacity over another, as libwebp mixes them for animations: opacities and
/// products of 8 bits. A frame's own red, green and blue stay where nothing is below them.
inline void blend_webp_pixel(std::uint8_t const* over, std::uint8_t* under) {
    std::uint32_t const alpha = over[3];
    if (alpha == 0)
        return;
    std::uint32_t const below = under[3] * (256 - alpha) >> 8;
    std::uint32_t const sum = alpha + below;
    std::uint32_t const scale = (1u << 24) / sum;
    if (alpha == 255 || below == 0) {
        std::copy_n(over, 4, under);
        return;
    }
    for (int channel = 0; channel < 3; ++channel)
        under[channel] = static_cast<std::uint8_t>(
            (over[channel] * alpha + under[channel] * below) * scale >> 24);
    under[3] = static_cast<std::uint8_t>(sum);
}

/// How many frames a WebP holds.
inline std::size_t count_webp_frames(EncodedImage const& encoded) {
    std::size_t count = 0;
    for_each_webp_chunk(encoded, "ANMF", [&](auto) {
        ++count;
        return false;
    });
    return std::max<std::size_t>(count, 1);
}

/// Calls f(frame) with every frame of an animation as it is shown, from the first, until f returns
/// false. Alpha is dropped at the end, as of a still WebP.
/// @throws FormatError, LimitError
inline void decode_webp_frames(EncodedImage const& encoded, ReadOptions const& options,
                               auto const& f) {
    if (find_webp_chunk(encoded, "ANMF").empty()) {
        f(decode_webp(encoded, options));
        return;
    }
    auto const size = webp_canvas(encoded, options);
    std::vector<std::uint8_t> canvas(4 * size.height * size.width), picture;
    ImageSize part{};
    WebpFrame previous{};
    bool first = true;
    // `change` is given the canvas and the frame's row, pixel by pixel.
    auto const visit = [&](WebpFrame const& where, auto const& change) {
        for (std::size_t y = 0; y < part.height; ++y)
            for (std::size_t x = 0; x < part.width; ++x)
                change(canvas.data() + 4 * ((where.top + y) * size.width + where.left + x),
                       4 * (y * part.width + x));
    };
    for_each_webp_chunk(encoded, "ANMF", [&](std::span<std::byte const> chunk) {
        auto const frame = read_webp_frame(encoded, chunk);
        if (!first && previous.disposes)
            visit(previous, [](std::uint8_t* pixel, std::size_t) { std::fill_n(pixel, 4, 0); });
        part = decode_webp_pixels(encoded, frame.data, options, picture);
        if (frame.left + part.width > size.width || frame.top + part.height > size.height)
            encoded.damaged("a frame of the WebP does not fit its canvas");
        bool const blends = frame.blends && !first;
        visit(frame, [&](std::uint8_t* pixel, std::size_t at) {
            if (blends)
                blend_webp_pixel(picture.data() + at, pixel);
            else
                std::copy_n(picture.data() + at, 4, pixel);
        });
        first = false;
        previous = frame;
        Image image = make_image(size);
        for (std::size_t i = 0; i < size.height * size.width; ++i)
            std::copy_n(canvas.data() + 4 * i, 3, image.data() + 3 * i);
        if (options.orientation == Orientation::upright)
            image = apply_orientation(image, exif_orientation(find_webp_chunk(encoded, "EXIF")));
        return !f(std::move(image));
    });
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

inline std::size_t count_webp_frames(EncodedImage const&) {
    return 1;
}

inline void decode_webp_frames(EncodedImage const& encoded, ReadOptions const& options,
                               auto const&) {
    decode_webp(encoded, options);
}

} // namespace blip::detail

#endif
