#pragma once

#include <blip/core/error.hpp>
#include <blip/vision/encoded_image.hpp>
#include <blip/vision/image.hpp>
#include <blip/vision/palette.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
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

/// What becomes of a frame before the next one is drawn.
enum class GifDisposal : std::uint32_t { unspecified = 0, keep = 1, background = 2, previous = 3 };

/// Where a frame lies, and which colours it uses.
struct GifFrame {
    std::size_t left = 0, top = 0, width = 0, height = 0;
    bool interlaced = false;
    bool has_transparency = false;
    int transparent = 0; ///< fills what the first frame does not cover, as in Pillow
    GifDisposal disposal = GifDisposal::unspecified;
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

/// Walks over the frames of a GIF without decoding them.
class GifFrames {
public:
    explicit GifFrames(EncodedImage const& encoded) : encoded_(encoded) {
        palette_ = grey_palette();
        std::uint32_t const flags = encoded.byte(10);
        background_ = encoded.byte(11);
        if ((flags & has_palette) != 0) {
            palette_ = read_gif_palette(encoded, offset_, palette_colors(flags));
            offset_ += 3 * palette_colors(flags);
        }
    }

    /// The next frame; none at the end of the file's frames. Throws FormatError.
    std::optional<GifFrame> next() {
        GifFrame frame;
        frame.palette = palette_;
        for (;;) {
            auto const kind = encoded_.byte(offset_);
            if (kind == 0x21) {
                constexpr std::uint8_t graphic_control = 0xF9;
                if (encoded_.byte(offset_ + 1) == graphic_control &&
                    encoded_.byte(offset_ + 2) >= 4) {
                    std::uint32_t const flags = encoded_.byte(offset_ + 3);
                    frame.disposal = static_cast<GifDisposal>(flags >> 2 & 7);
                    if ((flags & 1) != 0) {
                        frame.has_transparency = true;
                        frame.transparent = encoded_.byte(offset_ + 6);
                    }
                }
                offset_ += 2;
                skip_blocks();
            } else if (kind == 0x2C) {
                frame.left = encoded_.little16(offset_ + 1);
                frame.top = encoded_.little16(offset_ + 3);
                frame.width = encoded_.little16(offset_ + 5);
                frame.height = encoded_.little16(offset_ + 7);
                std::uint32_t const flags = encoded_.byte(offset_ + 9);
                frame.interlaced = (flags & 0x40) != 0;
                offset_ += 10;
                if ((flags & has_palette) != 0) {
                    frame.palette = read_gif_palette(encoded_, offset_, palette_colors(flags));
                    offset_ += 3 * palette_colors(flags);
                }
                frame.data = offset_;
                return frame;
            } else if (kind == 0x3B) {
                return std::nullopt;
            } else {
                ++offset_;
            }
        }
    }

    /// Steps over the picture data of the frame that `next` gave; call it before the next `next`.
    void skip_data() {
        ++offset_;
        skip_blocks();
    }

    /// What the screen has where no frame is.
    auto const& background() const { return palette_[background_]; }

private:
    static constexpr std::uint32_t has_palette = 0x80;

    static std::size_t palette_colors(std::uint32_t flags) { return std::size_t{2} << (flags & 7); }

    void skip_blocks() {
        while (std::size_t const length = encoded_.byte(offset_))
            offset_ += 1 + length;
        ++offset_;
    }

    EncodedImage const& encoded_;
    Palette palette_{};
    std::size_t background_ = 0;
    std::size_t offset_ = 13;
};

/// Calls pixel(y, x, colour number) for every pixel of a frame, from its own top left.
inline void decode_gif_frame(EncodedImage const& encoded, GifFrame const& frame,
                             auto const& pixel) {
    int const initial_bits = encoded.byte(frame.data);
    if (initial_bits < 1 || initial_bits > 8)
        encoded.damaged(join("the GIF's initial code size is ", initial_bits, ", not 1 to 8"));
    auto const indices = decode_lzw(encoded, GifBits(encoded, frame.data + 1), initial_bits,
                                    frame.width * frame.height);
    constexpr std::size_t starts[] = {0, 4, 2, 1}, steps[] = {8, 8, 4, 2};
    auto index = indices.begin();
    auto visit_rows = [&](std::size_t start, std::size_t step) {
        for (std::size_t y = start; y < frame.height; y += step)
            for (std::size_t x = 0; x < frame.width; ++x)
                pixel(y, x, *index++);
    };
    if (!frame.interlaced)
        visit_rows(0, 1);
    else
        for (std::size_t pass = 0; pass < 4; ++pass)
            visit_rows(starts[pass], steps[pass]);
}

/// Draws a frame over `canvas`, which it must fit. `see_through`: its transparent pixels leave the
/// canvas as it is; otherwise they have the transparent colour's red, green and blue.
inline void draw_gif_frame(EncodedImage const& encoded, GifFrame const& frame, bool see_through,
                           Image& canvas) {
    std::size_t const row = 3 * image_size(canvas).width;
    auto* const corner = canvas.data() + frame.top * row + 3 * frame.left;
    decode_gif_frame(encoded, frame, [&](std::size_t y, std::size_t x, std::uint8_t color) {
        if (!(see_through && frame.has_transparency && color == frame.transparent))
            std::copy_n(frame.palette[color].data(), 3, corner + y * row + 3 * x);
    });
}

/// An empty screen for `frame`, a GIF's first: what it leaves open has the transparent colour's
/// red, green and blue, as in Pillow.
inline Image gif_canvas(GifFrame const& frame, ImageSize size) {
    Image canvas = make_image(size);
    auto const& background = frame.palette[static_cast<std::size_t>(frame.transparent)];
    for (std::size_t i = 0; i < size.height * size.width; ++i)
        std::copy_n(background.data(), 3, canvas.data() + 3 * i);
    return canvas;
}

/// The canvas where `frame` will be drawn, row by row: as large as the frame, not as the screen, so
/// that many small frames on a large screen cost little.
inline std::vector<std::uint8_t> gif_rectangle(GifFrame const& frame, Image const& canvas) {
    std::size_t const row = 3 * image_size(canvas).width, length = 3 * frame.width;
    std::vector<std::uint8_t> covered(frame.height * length);
    for (std::size_t y = 0; y < frame.height; ++y)
        std::copy_n(canvas.data() + (frame.top + y) * row + 3 * frame.left, length,
                    covered.data() + y * length);
    return covered;
}

inline void restore_gif_rectangle(GifFrame const& frame, std::vector<std::uint8_t> const& covered,
                                  Image& canvas) {
    std::size_t const row = 3 * image_size(canvas).width, length = 3 * frame.width;
    for (std::size_t y = 0; y < frame.height; ++y)
        std::copy_n(covered.data() + y * length, length,
                    canvas.data() + (frame.top + y) * row + 3 * frame.left);
}

/// Decodes the first frame of a GIF.
/// @throws FormatError, LimitError
inline Image decode_gif(EncodedImage const& encoded, ReadOptions const& options) {
    auto const frame = GifFrames(encoded).next();
    if (!frame)
        encoded.damaged("the GIF holds no picture");
    if (frame->width == 0 || frame->height == 0)
        encoded.damaged("the GIF's first frame is empty");
    auto const size = checked_size(
        encoded, std::max<std::size_t>(encoded.little16(8), frame->top + frame->height),
        std::max<std::size_t>(encoded.little16(6), frame->left + frame->width), options);
    Image image = gif_canvas(*frame, size);
    draw_gif_frame(encoded, *frame, false, image);
    return image;
}

/// How many frames a GIF holds. Throws FormatError for a truncated file.
inline std::size_t count_gif_frames(EncodedImage const& encoded) {
    GifFrames frames(encoded);
    std::size_t count = 0;
    for (; frames.next(); ++count)
        frames.skip_data();
    return count;
}

/// Calls f(picture) with every frame of a GIF as it is shown, from the first, until f returns
/// false. Where a frame is cleared away (disposal "background"), the transparent colour's red,
/// green and blue are left, the background colour's where nothing is transparent, as in Pillow.
/// @throws FormatError, LimitError
inline void decode_gif_frames(EncodedImage const& encoded, ReadOptions const& options,
                              auto const& f) {
    std::uint64_t height = encoded.little16(8), width = encoded.little16(6);
    GifFrames frames(encoded);
    // The screen is as large as any frame needs it.
    for (GifFrames sizes(encoded); auto const frame = sizes.next(); sizes.skip_data()) {
        height = std::max<std::uint64_t>(height, frame->top + frame->height);
        width = std::max<std::uint64_t>(width, frame->left + frame->width);
    }
    auto const size = checked_size(encoded, height, width, options);
    Image canvas;
    std::vector<std::uint8_t> saved; // what a frame that is to vanish again covers
    bool first = true;
    for (; auto const frame = frames.next(); frames.skip_data()) {
        if (first)
            canvas = gif_canvas(*frame, size);
        if (frame->disposal == GifDisposal::previous)
            saved = gif_rectangle(*frame, canvas);
        if (frame->width > 0 && frame->height > 0)
            draw_gif_frame(encoded, *frame, !first, canvas);
        first = false;
        if (!f(canvas))
            return;
        if (frame->disposal == GifDisposal::previous) {
            restore_gif_rectangle(*frame, saved, canvas);
        } else if (frame->disposal == GifDisposal::background) {
            auto const& color = frame->has_transparency
                                    ? frame->palette[static_cast<std::size_t>(frame->transparent)]
                                    : frames.background();
            for (std::size_t y = frame->top; y < frame->top + frame->height; ++y)
                for (std::size_t x = frame->left; x < frame->left + frame->width; ++x)
                    std::copy_n(color.data(), 3, canvas.data() + 3 * (y * size.width + x));
        }
    }
    if (first)
        encoded.damaged("the GIF holds no picture");
}

} // namespace blip::detail
