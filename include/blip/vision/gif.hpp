#pragma once

#include <blip/core/error.hpp>
#include <blip/vision/encoded_image.hpp>
#include <blip/vision/image.hpp>
#include <blip/vision/palette.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace blip::detail {

/// Bits of a GIF's data blocks, each of which starts with its length, lowest bit first.
class GifBits {
public:
    GifBits(EncodedImage const& encoded, std::size_t offset) : encoded_(encoded), next_(offset) {}

    std::uint32_t take(int count) {
        while (available_ < count) {
            if (left_in_block_ == 0) {
                left_in_block_ = encoded_.byte(next_++);
                if (left_in_block_ == 0)
                    encoded_.damaged("the GIF's picture data ends before the picture does");
            }
            bits_ |= std::uint32_t{encoded_.byte(next_++)} << available_;
            available_ += 8;
            --left_in_block_;
        }
        std::uint32_t const value = bits_ & ((1u << count) - 1);
        bits_ >>= count;
        available_ -= count;
        return value;
    }

private:
    EncodedImage const& encoded_;
    std::size_t next_;
    std::size_t left_in_block_ = 0;
    std::uint32_t bits_ = 0;
    int available_ = 0;
};

/// Expands LZW codes of at most 12 bits into exactly `count` palette indices.
inline std::vector<std::uint8_t> decode_lzw(EncodedImage const& encoded, GifBits bits,
                                            int initial_bits, std::size_t count) {
    constexpr std::size_t most_codes = 4096;
    std::uint32_t const clear = 1u << initial_bits;
    std::uint32_t const end = clear + 1;
    std::array<std::uint16_t, most_codes> prefix{};
    std::array<std::uint8_t, most_codes> suffix{};
    std::array<std::uint8_t, most_codes + 1> reversed{};
    for (std::size_t i = 0; i < clear; ++i)
        suffix[i] = static_cast<std::uint8_t>(i);

    std::vector<std::uint8_t> indices;
    indices.reserve(count);
    int width = initial_bits + 1;
    std::uint32_t next = end + 1;
    std::uint32_t last = clear;
    std::uint8_t first = 0;
    while (indices.size() < count) {
        std::uint32_t const code = bits.take(width);
        if (code == clear) {
            width = initial_bits + 1;
            next = end + 1;
            last = clear;
            continue;
        }
        if (code == end)
            encoded.damaged("the GIF's picture data ends before the picture does");
        bool const starts = last == clear;
        if (starts ? code >= clear : code > next || (code == next && next == most_codes))
            encoded.damaged(join("the GIF holds the impossible LZW code ", code));
        std::size_t length = 0;
        std::uint32_t walk = code;
        if (code == next) {
            reversed[length++] = first;
            walk = last;
        }
        for (; walk >= clear; walk = prefix[walk])
            reversed[length++] = suffix[walk];
        first = static_cast<std::uint8_t>(walk);
        reversed[length++] = first;
        length = std::min(length, reversed.size());
        for (std::size_t i = length; i-- > 0 && indices.size() < count;)
            indices.push_back(reversed[i]);
        if (!starts && next < most_codes) {
            prefix[next] = static_cast<std::uint16_t>(last);
            suffix[next] = first;
            ++next;
        }
        if (next == (1u << width) && width < 12)
            ++width;
        last = code;
    }
    return indices;
}

/// Where a frame lies, and which colours it uses.
struct GifFrame {
    std::size_t left = 0, top = 0, width = 0, height = 0;
    bool interlaced = false;
    int transparent = 0; ///< fills what the frame does not cover, as in Pillow
    Palette palette{};
    std::size_t data = 0; ///< offset of the byte with the initial code size
};

inline Palette read_gif_palette(EncodedImage const& encoded, std::size_t offset,
                                std::size_t count) {
    encoded.require(offset, 3 * count);
    Palette palette{};
    for (std::size_t i = 0; i < 3 * count; ++i)
        palette[i / 3][i % 3] = encoded.byte(offset + i);
    return palette;
}

/// Walks over extensions to the first frame.
inline GifFrame find_first_gif_frame(EncodedImage const& encoded) {
    constexpr std::uint32_t has_palette = 0x80;
    auto palette_colors = [](std::uint32_t flags) { return std::size_t{2} << (flags & 7); };
    GifFrame frame;
    frame.palette = grey_palette();
    std::size_t offset = 13;
    std::uint32_t const screen_flags = encoded.byte(10);
    if ((screen_flags & has_palette) != 0) {
        frame.palette = read_gif_palette(encoded, offset, palette_colors(screen_flags));
        offset += 3 * palette_colors(screen_flags);
    }
    for (;;) {
        auto const kind = encoded.byte(offset);
        if (kind == 0x21) {
            constexpr std::uint8_t graphic_control = 0xF9;
            if (encoded.byte(offset + 1) == graphic_control && encoded.byte(offset + 2) >= 4 &&
                (encoded.byte(offset + 3) & 1) != 0)
                frame.transparent = encoded.byte(offset + 6);
            offset += 2;
            while (std::size_t const length = encoded.byte(offset))
                offset += 1 + length;
            ++offset;
        } else if (kind == 0x2C) {
            frame.left = encoded.little16(offset + 1);
            frame.top = encoded.little16(offset + 3);
            frame.width = encoded.little16(offset + 5);
            frame.height = encoded.little16(offset + 7);
            std::uint32_t const flags = encoded.byte(offset + 9);
            frame.interlaced = (flags & 0x40) != 0;
            offset += 10;
            if ((flags & has_palette) != 0) {
                frame.palette = read_gif_palette(encoded, offset, palette_colors(flags));
                offset += 3 * palette_colors(flags);
            }
            frame.data = offset;
            return frame;
        } else if (kind == 0x3B) {
            encoded.damaged("the GIF holds no picture");
        } else {
            ++offset;
        }
    }
}

/// Decodes the first frame of a GIF; what the frame leaves open of the screen has the transparent
/// colour's red, green and blue, as in Pillow.
/// @throws FormatError, LimitError
inline Image decode_gif(EncodedImage const& encoded, ReadOptions const& options) {
    GifFrame const frame = find_first_gif_frame(encoded);
    if (frame.width == 0 || frame.height == 0)
        encoded.damaged("the GIF's first frame is empty");
    auto const size =
        checked_size(encoded, std::max<std::size_t>(encoded.little16(8), frame.top + frame.height),
                     std::max<std::size_t>(encoded.little16(6), frame.left + frame.width), options);
    int const initial_bits = encoded.byte(frame.data);
    if (initial_bits < 1 || initial_bits > 8)
        encoded.damaged(join("the GIF's initial code size is ", initial_bits, ", not 1 to 8"));
    auto const indices = decode_lzw(encoded, GifBits(encoded, frame.data + 1), initial_bits,
                                    frame.width * frame.height);

    Image image = make_image(size);
    auto const& background = frame.palette[static_cast<std::size_t>(frame.transparent)];
    for (std::size_t i = 0; i < size.height * size.width; ++i)
        std::copy_n(background.data(), 3, image.data() + 3 * i);
    constexpr std::size_t starts[] = {0, 4, 2, 1}, steps[] = {8, 8, 4, 2};
    auto index = indices.begin();
    auto write_rows = [&](std::size_t start, std::size_t step) {
        for (std::size_t y = start; y < frame.height; y += step) {
            auto* target = image.data() + 3 * ((frame.top + y) * size.width + frame.left);
            for (std::size_t x = 0; x < frame.width; ++x)
                target = std::copy_n(frame.palette[*index++].data(), 3, target);
        }
    };
    if (!frame.interlaced)
        write_rows(0, 1);
    else
        for (std::size_t pass = 0; pass < 4; ++pass)
            write_rows(starts[pass], steps[pass]);
    return image;
}

} // namespace blip::detail
