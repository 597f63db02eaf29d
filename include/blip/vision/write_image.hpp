#pragma once

#include <blip/core/error.hpp>
#include <blip/vision/encoded_image.hpp>
#include <blip/vision/image.hpp>
#include <blip/vision/jpeg.hpp>
#include <blip/vision/png.hpp>

#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace blip {

/// The formats that pictures can be written in.
enum class ImageFormat { png, jpeg };

/// How to write a picture.
struct WriteOptions {
    int jpeg_quality = 90;   ///< 1 to 100; PNG is lossless and does not use it
    int png_compression = 6; ///< 0 (none) to 9 (smallest)
};

namespace detail {

/// Gathers what libpng writes; libpng's C code sits between caller and callback, so nothing may be
/// thrown through it.
struct PngSink {
    std::vector<std::byte> bytes;
    std::jmp_buf jump{};
    char message[256] = "";

    static void on_error(png_structp png, png_const_charp text) {
        auto* sink = static_cast<PngSink*>(png_get_error_ptr(png));
        std::snprintf(sink->message, sizeof sink->message, "%s", text);
        std::longjmp(sink->jump, 1);
    }

    static void on_write(png_structp png, png_bytep data, std::size_t count) {
        if (!static_cast<PngSink*>(png_get_io_ptr(png))->append(data, count))
            png_error(png, "out of memory");
    }

    bool append(png_const_bytep data, std::size_t count) noexcept {
        try {
            auto const* begin = reinterpret_cast<std::byte const*>(data);
            bytes.insert(bytes.end(), begin, begin + count);
            return true;
        } catch (std::bad_alloc const&) {
            return false;
        }
    }
};

inline std::vector<std::byte> encode_png(Image const& image, WriteOptions const& options) {
    auto const size = image_size(image);
    if (options.png_compression < 0 || options.png_compression > 9)
        throw ArgumentError(join("WriteOptions::png_compression must be 0 to 9; found ",
                                 options.png_compression, "."));
    if (size.height > PNG_UINT_31_MAX || size.width > PNG_UINT_31_MAX / 3)
        throw ArgumentError("A PNG cannot have this many pixels in a row or column.");
    PngSink sink;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &sink, &PngSink::on_error,
                                              [](png_structp, png_const_charp) {});
    png_infop info = png == nullptr ? nullptr : png_create_info_struct(png);
    bool const written =
        info != nullptr && completes(sink.jump, [&] {
            png_set_write_fn(png, &sink, &PngSink::on_write, [](png_structp) {});
            png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
            png_set_compression_level(png, options.png_compression);
            png_set_IHDR(png, info, static_cast<png_uint_32>(size.width),
                         static_cast<png_uint_32>(size.height), 8, PNG_COLOR_TYPE_RGB,
                         PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
            png_write_info(png, info);
            for (std::size_t y = 0; y < size.height; ++y)
                png_write_row(png, image.data() + 3 * size.width * y);
            png_write_end(png, info);
        });
    png_destroy_write_struct(&png, &info);
    if (!written)
        throw Error(join("Cannot encode a PNG: ", sink.message, "."));
    return std::move(sink.bytes);
}

inline std::vector<std::byte> encode_jpeg(Image const& image, WriteOptions const& options) {
    auto const size = image_size(image);
    if (options.jpeg_quality < 1 || options.jpeg_quality > 100)
        throw ArgumentError(
            join("WriteOptions::jpeg_quality must be 1 to 100; found ", options.jpeg_quality, "."));
    if (size.height > JPEG_MAX_DIMENSION || size.width > JPEG_MAX_DIMENSION)
        throw ArgumentError(join("A JPEG side has at most ", JPEG_MAX_DIMENSION, " pixels; found ",
                                 size.width, " x ", size.height, ". Write a PNG."));
    JpegErrors errors;
    jpeg_compress_struct info{};
    unsigned char* buffer = nullptr;
    unsigned long count = 0;
    info.err = errors.install();
    bool const written = completes(errors.jump, [&] {
        jpeg_create_compress(&info);
        jpeg_mem_dest(&info, &buffer, &count);
        info.image_width = static_cast<JDIMENSION>(size.width);
        info.image_height = static_cast<JDIMENSION>(size.height);
        info.input_components = 3;
        info.in_color_space = JCS_RGB;
        jpeg_set_defaults(&info);
        jpeg_set_quality(&info, options.jpeg_quality, TRUE);
        jpeg_start_compress(&info, TRUE);
        while (info.next_scanline < info.image_height) {
            auto* row = const_cast<JSAMPROW>(image.data() + 3 * size.width * info.next_scanline);
            jpeg_write_scanlines(&info, &row, 1);
        }
        jpeg_finish_compress(&info);
    });
    jpeg_destroy_compress(&info);
    std::unique_ptr<unsigned char, void (*)(void*)> const owner(buffer, &std::free);
    if (!written)
        throw Error(join("Cannot encode a JPEG: ", errors.message, "."));
    auto const* begin = reinterpret_cast<std::byte const*>(buffer);
    return {begin, begin + count};
}

} // namespace detail

/// `image` as the bytes of a file.
/// @throws ArgumentError when the image is not [height, width, 3] or an option is out of range.
inline std::vector<std::byte> encode_image(Image const& image, ImageFormat format,
                                           WriteOptions const& options = {}) {
    return format == ImageFormat::png ? detail::encode_png(image, options)
                                      : detail::encode_jpeg(image, options);
}

/// Writes `image` to a file, as PNG or JPEG according to its ending (.png, .jpg, .jpeg).
/// @throws ArgumentError for another ending, FileError when the file cannot be written.
inline void write_image(std::filesystem::path const& path, Image const& image,
                        WriteOptions const& options = {}) {
    auto ending = path.extension().string();
    for (auto& letter : ending)
        letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    bool const is_png = ending == ".png";
    if (!is_png && ending != ".jpg" && ending != ".jpeg")
        throw ArgumentError(join(path.string(), ": cannot tell the format to write from \"", ending,
                                 "\". End the name with .png, .jpg or .jpeg."));
    auto const bytes = encode_image(image, is_png ? ImageFormat::png : ImageFormat::jpeg, options);
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<char const*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (!file)
        throw FileError(join(path.string(),
                             ": cannot be written. Check that the folder exists, its "
                             "permissions and the free space."));
}

} // namespace blip
