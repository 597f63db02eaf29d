#pragma once

#include <blip/core/error.hpp>
#include <blip/vision/encoded_image.hpp>
#include <blip/vision/image.hpp>
#include <blip/vision/orientation.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include <jpeglib.h>

namespace blip::detail {

/// libjpeg's error handler, which remembers the message and jumps.
struct JpegErrors {
    jpeg_error_mgr base{};
    std::jmp_buf jump{};
    char message[JMSG_LENGTH_MAX] = "";
    bool too_many_scans = false;
    bool ended = false; ///< the bytes ran out

    jpeg_error_mgr* install() {
        jpeg_std_error(&base);
        base.error_exit = [](j_common_ptr info) {
            auto* errors = reinterpret_cast<JpegErrors*>(info->err);
            info->err->format_message(info, errors->message);
            std::longjmp(errors->jump, 1);
        };
        // Pillow decodes past warnings about corrupt entropy data and shows none of them.
        base.emit_message = [](j_common_ptr, int) {};
        base.output_message = [](j_common_ptr) {};
        return &base;
    }
};
static_assert(offsetof(JpegErrors, base) == 0, "libjpeg hands back a pointer to the base");

/// A libjpeg decompressor that reads from memory and is released on every way out.
class JpegDecompressor {
public:
    explicit JpegDecompressor(EncodedImage const& encoded) : encoded_(encoded) {
        info_.err = errors_.install();
        run([&] {
            jpeg_create_decompress(&info_);
            source_.init_source = [](j_decompress_ptr) {};
            source_.term_source = [](j_decompress_ptr) {};
            source_.resync_to_restart = jpeg_resync_to_restart;
            source_.fill_input_buffer = [](j_decompress_ptr info) -> boolean { fail_at_end(info); };
            source_.skip_input_data = [](j_decompress_ptr info, long count) {
                if (count <= 0)
                    return;
                auto const skipped = static_cast<std::size_t>(count);
                if (skipped > info->src->bytes_in_buffer)
                    fail_at_end(info);
                info->src->next_input_byte += skipped;
                info->src->bytes_in_buffer -= skipped;
            };
            source_.next_input_byte = reinterpret_cast<JOCTET const*>(encoded_.bytes.data());
            source_.bytes_in_buffer = encoded_.bytes.size();
            info_.src = &source_;
            progress_.progress_monitor = [](j_common_ptr info) {
                auto* decompress = reinterpret_cast<j_decompress_ptr>(info);
                if (decompress->input_scan_number > max_scans) {
                    reinterpret_cast<JpegErrors*>(info->err)->too_many_scans = true;
                    fail(decompress, "too many scans");
                }
            };
            info_.progress = &progress_;
        });
    }

    JpegDecompressor(JpegDecompressor const&) = delete;
    JpegDecompressor& operator=(JpegDecompressor const&) = delete;
    ~JpegDecompressor() { jpeg_destroy_decompress(&info_); }

    jpeg_decompress_struct& info() { return info_; }

    /// Runs steps that call libjpeg. @throws FormatError with libjpeg's message when it gives up.
    template <class Steps>
    void run(Steps const& steps) {
        if (completes(errors_.jump, steps))
            return;
        if (errors_.too_many_scans)
            throw LimitError(join(encoded_.name, ": a JPEG with more than ", max_scans,
                                  " scans, which is made to waste time. Save it again."));
        encoded_.damaged(join("cannot decode this JPEG: ", errors_.message));
    }

    /// Reads what follows the last row. Like Pillow, content with a file that ends before its end
    /// marker. @throws FormatError when something else is wrong there.
    void finish() {
        if (!completes(errors_.jump, [&] { jpeg_finish_decompress(&info_); }) && !errors_.ended)
            encoded_.damaged(join("cannot decode this JPEG: ", errors_.message));
    }

private:
    /// A few hundred scans of a large progressive picture keep a decoder busy for minutes.
    static constexpr int max_scans = 500;

    [[noreturn]] static void fail_at_end(j_decompress_ptr info) {
        reinterpret_cast<JpegErrors*>(info->err)->ended = true;
        fail(info, "the file ends before the picture does");
    }

    [[noreturn]] static void fail(j_decompress_ptr info, char const* message) {
        auto* errors = reinterpret_cast<JpegErrors*>(info->err);
        std::snprintf(errors->message, sizeof errors->message, "%s", message);
        std::longjmp(errors->jump, 1);
    }

    EncodedImage const& encoded_;
    JpegErrors errors_;
    jpeg_source_mgr source_{};
    jpeg_progress_mgr progress_{};
    jpeg_decompress_struct info_{};
};

/// The EXIF orientation among the saved APP1 markers, 1 when there is none.
inline int jpeg_orientation(jpeg_decompress_struct const& info) {
    constexpr char prefix[] = {'E', 'x', 'i', 'f', '\0', '\0'};
    for (auto const* marker = info.marker_list; marker != nullptr; marker = marker->next) {
        std::span const data(reinterpret_cast<std::byte const*>(marker->data), marker->data_length);
        if (data.size() > sizeof prefix && std::memcmp(data.data(), prefix, sizeof prefix) == 0)
            return exif_orientation(data.subspan(sizeof prefix));
    }
    return 1;
}

/// One row of inverted CMYK, as Adobe writes and Pillow assumes it, as RGB.
inline void inverted_cmyk_to_rgb(std::uint8_t const* cmyk, std::uint8_t* rgb, std::size_t width) {
    for (std::size_t x = 0; x < width; ++x) {
        int const white = cmyk[4 * x + 3];
        for (std::size_t channel = 0; channel < 3; ++channel) {
            int const product = (255 - cmyk[4 * x + channel]) * white + 128;
            int const ink = (product + (product >> 8)) >> 8;
            rgb[3 * x + channel] = static_cast<std::uint8_t>(white > ink ? white - ink : 0);
        }
    }
}

/// Decodes a baseline or progressive JPEG (grey, YCbCr, RGB, CMYK, YCCK) with libjpeg's accurate
/// integer transform and smooth chroma upsampling, which is what Pillow uses.
/// @throws FormatError, LimitError
inline Image decode_jpeg(EncodedImage const& encoded, ReadOptions const& options) {
    JpegDecompressor decompressor(encoded);
    auto& info = decompressor.info();
    decompressor.run([&] {
        if (options.orientation == Orientation::upright)
            jpeg_save_markers(&info, JPEG_APP0 + 1, 0xFFFF);
        jpeg_read_header(&info, TRUE);
    });
    auto const size = checked_size(encoded, info.image_height, info.image_width, options);
    if (info.num_components != 1 && info.num_components != 3 && info.num_components != 4)
        encoded.unsupported(join("a JPEG with ", info.num_components, " components"));
    bool const is_cmyk = info.num_components == 4;

    Image image = make_image(size);
    std::vector<std::uint8_t> cmyk(is_cmyk ? 4 * size.width : 0);
    decompressor.run([&] {
        info.out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
        info.dct_method = JDCT_ISLOW;
        info.do_fancy_upsampling = TRUE;
        jpeg_start_decompress(&info);
        constexpr std::size_t rows_at_once = 16;
        JSAMPROW rows[rows_at_once];
        while (info.output_scanline < info.output_height) {
            std::uint8_t* row = image.data() + 3 * size.width * info.output_scanline;
            if (is_cmyk) {
                rows[0] = cmyk.data();
                if (jpeg_read_scanlines(&info, rows, 1) == 1)
                    inverted_cmyk_to_rgb(cmyk.data(), row, size.width);
                continue;
            }
            std::size_t count = info.output_height - info.output_scanline;
            count = count < rows_at_once ? count : rows_at_once;
            for (std::size_t i = 0; i < count; ++i)
                rows[i] = row + 3 * size.width * i;
            jpeg_read_scanlines(&info, rows, static_cast<JDIMENSION>(count));
        }
    });
    int const orientation =
        options.orientation == Orientation::upright ? jpeg_orientation(info) : 1;
    decompressor.finish();
    return orientation == 1 ? image : apply_orientation(image, orientation);
}

} // namespace blip::detail
