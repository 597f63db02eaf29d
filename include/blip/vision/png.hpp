#pragma once

#include <blip/core/error.hpp>
#include <blip/vision/encoded_image.hpp>
#include <blip/vision/image.hpp>
#include <blip/vision/orientation.hpp>
#include <blip/vision/palette.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include <png.h>

namespace blip::detail {

/// A libpng reader over memory that is released on every way out.
class PngReader {
public:
    explicit PngReader(EncodedImage const& encoded) : encoded_(encoded) {
        png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, &PngReader::on_error,
                                      [](png_structp, png_const_charp) {});
        info_ = png_ == nullptr ? nullptr : png_create_info_struct(png_);
        if (info_ == nullptr) {
            png_destroy_read_struct(&png_, &info_, nullptr);
            throw FormatError(join(encoded_.name, ": libpng cannot be started: ", message_));
        }
    }

    PngReader(PngReader const&) = delete;
    PngReader& operator=(PngReader const&) = delete;
    ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }

    png_structp png() { return png_; }
    png_infop info() { return info_; }

    /// Runs steps that call libpng. @throws FormatError with libpng's message when it gives up.
    template <class Steps>
    void run(Steps const& steps) {
        if (!completes(jump_, steps))
            encoded_.damaged(join("cannot decode this PNG: ", message_));
    }

    static void on_read(png_structp png, png_bytep target, std::size_t count) {
        auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
        auto const bytes = reader->encoded_.bytes;
        if (count > bytes.size() - reader->position_)
            png_error(png, "the file ends before the picture does");
        std::memcpy(target, bytes.data() + reader->position_, count);
        reader->position_ += count;
    }

private:
    [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
        auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
        std::snprintf(reader->message_, sizeof reader->message_, "%s", message);
        std::longjmp(reader->jump_, 1);
    }

    EncodedImage const& encoded_;
    std::size_t position_ = 0;
    std::jmp_buf jump_{};
    char message_[256] = "";
    png_structp png_ = nullptr;
    png_infop info_ = nullptr;
};

/// Palette indices and 16-bit greys need a look-up of their own; libpng turns all else into RGB.
enum class PngSamples { rgb, palette, grey16 };

/// Tells libpng to skip what a picture does not need: comments and colour profiles can hide
/// decompression bombs.
inline void skip_unneeded_chunks(png_structp png) {
    constexpr png_byte names[] = "cHRM\0gAMA\0iCCP\0sBIT\0sRGB\0bKGD\0hIST\0pHYs\0sPLT\0tIME\0"
                                 "tEXt\0zTXt\0iTXt\0oFFs\0pCAL\0sCAL\0tRNS";
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, names, sizeof names / 5);
}

/// Decodes a PNG of any colour type, depth and interlacing to RGB with Pillow's rules for
/// `convert("RGB")`: alpha and transparency are dropped, 16-bit colours keep their high byte and
/// 16-bit greys above 255 become white.
/// @throws FormatError, LimitError
inline Image decode_png(EncodedImage const& encoded, ReadOptions const& options) {
    PngReader reader(encoded);
    png_structp const png = reader.png();
    png_infop const info = reader.info();
    png_uint_32 width = 0, height = 0;
    int depth = 0, color = 0;
    reader.run([&] {
        png_set_read_fn(png, &reader, &PngReader::on_read);
        png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
        skip_unneeded_chunks(png);
        png_read_info(png, info);
        png_get_IHDR(png, info, &width, &height, &depth, &color, nullptr, nullptr, nullptr);
    });
    auto const size = checked_size(encoded, height, width, options);

    auto const samples = color == PNG_COLOR_TYPE_PALETTE               ? PngSamples::palette
                         : color == PNG_COLOR_TYPE_GRAY && depth == 16 ? PngSamples::grey16
                                                                       : PngSamples::rgb;
    std::size_t const sample_bytes = samples == PngSamples::rgb       ? 3
                                     : samples == PngSamples::palette ? 1
                                                                      : 2;
    std::size_t row_bytes = 0;
    reader.run([&] {
        if (samples == PngSamples::palette)
            png_set_packing(png);
        if (samples == PngSamples::rgb) {
            png_set_strip_16(png);
            png_set_strip_alpha(png);
            png_set_expand_gray_1_2_4_to_8(png);
            png_set_gray_to_rgb(png);
        }
        png_set_interlace_handling(png);
        png_read_update_info(png, info);
        row_bytes = png_get_rowbytes(png, info);
    });
    if (row_bytes != sample_bytes * size.width)
        encoded.damaged("libpng reports an unexpected row size");

    Image image = make_image(size);
    std::vector<std::uint8_t> raw(samples == PngSamples::rgb ? 0 : row_bytes * size.height);
    std::vector<png_bytep> rows(size.height);
    for (std::size_t y = 0; y < size.height; ++y)
        rows[y] = (raw.empty() ? image.data() : raw.data()) + y * row_bytes;
    int orientation = 1;
    Palette palette{};
    reader.run([&] {
        png_read_image(png, rows.data());
        png_colorp colors = nullptr;
        int count = 0;
        if (png_get_PLTE(png, info, &colors, &count) != 0 && samples == PngSamples::palette)
            for (std::size_t i = 0; i < static_cast<std::size_t>(count) && i < palette.size(); ++i)
                palette[i] = {colors[i].red, colors[i].green, colors[i].blue};
    });

    if (samples == PngSamples::palette)
        for (std::size_t i = 0; i < raw.size(); ++i)
            std::copy_n(palette[raw[i]].data(), 3, image.data() + 3 * i);
    if (samples == PngSamples::grey16)
        for (std::size_t i = 0; i < raw.size() / 2; ++i)
            std::fill_n(image.data() + 3 * i, 3,
                        raw[2 * i] == 0 ? raw[2 * i + 1] : std::uint8_t{255});

    if (options.orientation == Orientation::as_stored)
        return image;
    reader.run([&] {
        png_read_end(png, info);
        png_bytep exif = nullptr;
        png_uint_32 exif_size = 0;
        if (png_get_eXIf_1(png, info, &exif_size, &exif) != 0)
            orientation = exif_orientation({reinterpret_cast<std::byte const*>(exif), exif_size});
    });
    return apply_orientation(image, orientation);
}

} // namespace blip::detail
