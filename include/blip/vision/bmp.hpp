#pragma once

#include <blip/core/error.hpp>
#include <blip/vision/encoded_image.hpp>
#include <blip/vision/image.hpp>
#include <blip/vision/palette.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace blip::detail {

/// What the headers of a BMP say.
struct BmpHeader {
    std::size_t size = 0; ///< of the second header
    std::size_t pixels = 0;
    std::uint32_t width = 0, height = 0;
    bool top_down = false;
    std::uint32_t bits = 0;
    std::uint32_t compression = 0;
    std::uint32_t colors = 0;
};

/// The values of a BMP's compression field that this reader knows.
enum BmpCompression : std::uint32_t { bmp_plain = 0, bmp_rle8 = 1, bmp_rle4 = 2, bmp_masks = 3 };

inline BmpHeader read_bmp_header(EncodedImage const& encoded) {
    BmpHeader header;
    header.pixels = encoded.little32(10);
    header.size = encoded.little32(14);
    if (header.size == 12) {
        header.width = encoded.little16(18);
        header.height = encoded.little16(20);
        header.bits = encoded.little16(24);
    } else if (header.size >= 40 && header.size <= 124) {
        header.width = encoded.little32(18);
        header.height = encoded.little32(22);
        header.top_down = (header.height >> 31) != 0;
        if (header.top_down)
            header.height = 0u - header.height;
        header.bits = encoded.little16(28);
        header.compression = encoded.little32(30);
        header.colors = encoded.little32(46);
    } else {
        encoded.unsupported(join("a BMP with a header of ", header.size, " bytes"));
    }
    auto const bits = header.bits;
    bool const known_depth =
        bits == 1 || bits == 4 || bits == 8 || bits == 16 || bits == 24 || bits == 32;
    bool const fits = header.compression == bmp_plain ||
                      (header.compression == bmp_rle8 && bits == 8) ||
                      (header.compression == bmp_rle4 && bits == 4) ||
                      (header.compression == bmp_masks && (bits == 16 || bits == 32));
    if (!known_depth || !fits)
        encoded.unsupported(
            join("a BMP with ", bits, " bits per pixel and compression ", header.compression));
    return header;
}

/// Takes one channel out of a 16- or 32-bit pixel and scales it to 0..255.
struct BmpChannel {
    std::uint32_t mask = 0;

    std::uint8_t operator()(std::uint32_t pixel) const {
        if (mask == 0)
            return 0;
        auto const shift = std::countr_zero(mask);
        std::uint64_t const value = (pixel & mask) >> shift;
        return static_cast<std::uint8_t>(value * 255 / (mask >> shift));
    }
};

inline std::array<BmpChannel, 3> read_bmp_channels(EncodedImage const& encoded,
                                                   BmpHeader const& header) {
    if (header.compression != bmp_masks)
        return header.bits == 16 ? std::array<BmpChannel, 3>{{{0x7C00}, {0x03E0}, {0x001F}}}
                                 : std::array<BmpChannel, 3>{{{0xFF0000}, {0xFF00}, {0xFF}}};
    std::array<BmpChannel, 3> channels;
    for (std::size_t i = 0; i < 3; ++i) {
        auto const mask = encoded.little32(54 + 4 * i);
        bool const has_gap =
            mask != 0 && !std::has_single_bit((mask >> std::countr_zero(mask)) + std::uint64_t{1});
        if (has_gap)
            encoded.unsupported("a BMP whose color masks have gaps");
        channels[i].mask = mask;
    }
    return channels;
}

inline Palette read_bmp_palette(EncodedImage const& encoded, BmpHeader const& header) {
    std::size_t const entry_bytes = header.size == 12 ? 3 : 4;
    std::size_t const most = std::size_t{1} << header.bits;
    std::size_t const count =
        header.colors == 0 ? most : std::min<std::size_t>(header.colors, most);
    Palette palette{};
    for (std::size_t i = 0; i < count; ++i)
        for (std::size_t channel = 0; channel < 3; ++channel)
            palette[i][channel] = encoded.byte(14 + header.size + entry_bytes * i + 2 - channel);
    return palette;
}

/// Expands run-length encoded palette indices, rows from the bottom as stored; what the runs skip
/// is index 0.
inline std::vector<std::uint8_t> decode_bmp_runs(EncodedImage const& encoded,
                                                 BmpHeader const& header, ImageSize size) {
    std::vector<std::uint8_t> indices(size.height * size.width);
    std::size_t offset = header.pixels;
    std::size_t x = 0, y = 0;
    bool const nibbles = header.compression == bmp_rle4;
    auto put = [&](std::uint32_t index) {
        if (x < size.width)
            indices[y * size.width + x++] = static_cast<std::uint8_t>(index);
    };
    auto nibble_of = [&](std::uint32_t byte, std::size_t i) {
        return nibbles ? (i % 2 == 0 ? byte >> 4 : byte & 15) : byte;
    };
    while (y < size.height) {
        std::size_t const count = encoded.byte(offset);
        std::uint32_t const value = encoded.byte(offset + 1);
        offset += 2;
        if (count != 0) {
            for (std::size_t i = 0; i < count; ++i)
                put(nibble_of(value, i));
        } else if (value == 0) {
            x = 0;
            ++y;
        } else if (value == 1) {
            break;
        } else if (value == 2) {
            x = std::min<std::size_t>(x + encoded.byte(offset), size.width);
            y += encoded.byte(offset + 1);
            offset += 2;
        } else {
            std::size_t const bytes = nibbles ? (value + 1) / 2 : value;
            encoded.require(offset, bytes);
            for (std::size_t i = 0; i < value; ++i)
                put(nibble_of(encoded.byte(offset + (nibbles ? i / 2 : i)), i));
            offset += bytes + bytes % 2;
        }
    }
    return indices;
}

/// Decodes a BMP of 1, 4, 8 (palette, also run-length encoded), 16, 24 or 32 bits per pixel; alpha
/// is dropped.
/// @throws FormatError, LimitError
inline Image decode_bmp(EncodedImage const& encoded, ReadOptions const& options) {
    auto const header = read_bmp_header(encoded);
    auto const size = checked_size(encoded, header.height, header.width, options);
    auto const stride = (std::uint64_t{header.width} * header.bits + 31) / 32 * 4;
    bool const has_runs = header.compression == bmp_rle8 || header.compression == bmp_rle4;
    if (!has_runs)
        encoded.require(header.pixels, static_cast<std::size_t>(stride * header.height));
    auto const palette = header.bits <= 8 ? read_bmp_palette(encoded, header) : Palette{};
    auto const channels =
        header.bits > 8 ? read_bmp_channels(encoded, header) : std::array<BmpChannel, 3>{};
    auto const indices =
        has_runs ? decode_bmp_runs(encoded, header, size) : std::vector<std::uint8_t>{};

    Image image = make_image(size);
    for (std::size_t y = 0; y < size.height; ++y) {
        std::size_t const stored = header.top_down ? y : size.height - 1 - y;
        std::size_t const row = header.pixels + stored * static_cast<std::size_t>(stride);
        auto* target = image.data() + 3 * y * size.width;
        for (std::size_t x = 0; x < size.width; ++x, target += 3) {
            if (has_runs) {
                std::copy_n(palette[indices[stored * size.width + x]].data(), 3, target);
            } else if (header.bits <= 8) {
                std::size_t const bit = x * header.bits;
                auto const shift = 8 - header.bits - bit % 8;
                auto const index =
                    (encoded.byte(row + bit / 8) >> shift) & ((1u << header.bits) - 1);
                std::copy_n(palette[index].data(), 3, target);
            } else if (header.bits == 24) {
                for (std::size_t channel = 0; channel < 3; ++channel)
                    target[channel] = encoded.byte(row + 3 * x + 2 - channel);
            } else {
                auto const pixel = header.bits == 16 ? encoded.little16(row + 2 * x)
                                                     : encoded.little32(row + 4 * x);
                for (std::size_t channel = 0; channel < 3; ++channel)
                    target[channel] = channels[channel](pixel);
            }
        }
    }
    return image;
}

} // namespace blip::detail
