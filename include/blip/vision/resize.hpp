#pragma once

#include <blip/core/error.hpp>
#include <blip/vision/image.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace blip {

namespace detail {

/// Which source positions each target position averages along one axis, and with which weights.
struct ResizeTaps {
    struct Window {
        std::size_t first = 0; ///< first source position
        std::size_t count = 0;
    };

    std::vector<Window> windows;       ///< one per target position
    std::vector<std::int32_t> weights; ///< `stride` per target position, 22 fractional bits
    std::size_t stride = 0;

    std::int32_t const* weights_of(std::size_t target) const {
        return weights.data() + target * stride;
    }
};

constexpr int resize_fraction_bits = 22;

/// Keys' cubic convolution kernel with a = -0.5.
inline double bicubic_kernel(double x) {
    constexpr double a = -0.5;
    x = std::abs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0)
        return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

/// The taps that Pillow uses to go from `source` to `target` positions: when shrinking the kernel
/// widens by the same factor, so nothing is skipped (antialiasing).
inline ResizeTaps bicubic_taps(std::size_t source, std::size_t target) {
    double const scale = static_cast<double>(source) / static_cast<double>(target);
    double const widening = std::max(scale, 1.0);
    double const support = 2.0 * widening;
    ResizeTaps taps;
    taps.stride = 2 * static_cast<std::size_t>(std::ceil(support)) + 1;
    taps.windows.resize(target);
    taps.weights.resize(target * taps.stride);
    std::vector<double> exact(taps.stride);
    for (std::size_t i = 0; i < target; ++i) {
        double const center = (static_cast<double>(i) + 0.5) * scale;
        // Cut off, not rounded: so Pillow does. NOLINTBEGIN(bugprone-incorrect-roundings)
        auto const first = static_cast<std::size_t>(std::max(center - support + 0.5, 0.0));
        auto const last = std::min(static_cast<std::size_t>(center + support + 0.5), source);
        // NOLINTEND(bugprone-incorrect-roundings)
        double sum = 0.0;
        for (std::size_t tap = 0; tap < last - first; ++tap) {
            exact[tap] = bicubic_kernel((static_cast<double>(tap + first) - center + 0.5) *
                                        (1.0 / widening));
            sum += exact[tap];
        }
        for (std::size_t tap = 0; tap < last - first; ++tap) {
            double const weight = sum != 0.0 ? exact[tap] / sum : exact[tap];
            taps.weights[i * taps.stride + tap] = static_cast<std::int32_t>(
                weight * (1 << resize_fraction_bits) + (weight < 0.0 ? -0.5 : 0.5));
        }
        taps.windows[i] = {first, last - first};
    }
    return taps;
}

inline std::uint8_t resize_result(std::int32_t sum) {
    return static_cast<std::uint8_t>(std::clamp(sum >> resize_fraction_bits, 0, 255));
}

constexpr std::int32_t resize_rounding = std::int32_t{1} << (resize_fraction_bits - 1);

/// Resizes one row of RGB bytes horizontally. `wide` and `sums` are scratch for a row of 32-bit
/// values each, one value longer than the source and the target row.
inline void resize_row(std::uint8_t const* source, std::size_t width, ResizeTaps const& taps,
                       std::int32_t* wide, std::int32_t* sums, std::uint8_t* target) {
    for (std::size_t i = 0; i < 3 * width; ++i)
        wide[i] = source[i];
    std::size_t const target_width = taps.windows.size();
    for (std::size_t x = 0; x < target_width; ++x) {
        auto const window = taps.windows[x];
        std::int32_t const* weights = taps.weights_of(x);
        std::int32_t const* values = wide + 3 * window.first;
        // A fourth lane, overwritten by the next pixel, fills a vector register.
        std::int32_t lanes[4] = {resize_rounding, resize_rounding, resize_rounding, 0};
        for (std::size_t tap = 0; tap < window.count; ++tap)
            for (std::size_t lane = 0; lane < 4; ++lane)
                lanes[lane] += weights[tap] * values[3 * tap + lane];
        for (std::size_t lane = 0; lane < 4; ++lane)
            sums[3 * x + lane] = lanes[lane];
    }
    for (std::size_t i = 0; i < 3 * target_width; ++i)
        target[i] = resize_result(sums[i]);
}

} // namespace detail

/// `image` at another size with Pillow's bicubic filter, byte for byte: antialiased when shrinking,
/// aspect ratio not kept, horizontal pass first (as Pillow up to 12; Pillow 13 swaps the passes for
/// some tall pictures and then differs by single levels).
/// @throws ArgumentError when a side is zero or the image is not [height, width, 3].
inline Image resize_bicubic(Image const& image, ImageSize size) {
    auto const source = image_size(image);
    constexpr std::size_t longest_side = std::size_t{1} << 30;
    if (size.height == 0 || size.width == 0 || size.height > longest_side ||
        size.width > longest_side)
        throw ArgumentError(join("Cannot resize to ", size.width, " x ", size.height,
                                 " pixels: both sides must be 1 to ", longest_side, "."));
    if (size == source)
        return image;
    bool const horizontal = size.width != source.width;
    bool const vertical = size.height != source.height;
    auto const columns =
        horizontal ? detail::bicubic_taps(source.width, size.width) : detail::ResizeTaps{};
    std::vector<std::int32_t> wide(horizontal ? 3 * source.width + 1 : 0);
    std::vector<std::int32_t> sums(3 * size.width + 1);
    std::size_t const row_bytes = 3 * size.width;
    auto make_row = [&](std::size_t y, std::uint8_t* target) {
        detail::resize_row(image.data() + 3 * source.width * y, source.width, columns, wide.data(),
                           sums.data(), target);
    };
    Image resized = make_image(size);
    if (!vertical) {
        for (std::size_t y = 0; y < size.height; ++y)
            make_row(y, resized.data() + row_bytes * y);
        return resized;
    }

    // Only the rows under the current window are kept, so memory stays in proportion to the input.
    auto const rows = detail::bicubic_taps(source.height, size.height);
    std::vector<std::uint8_t> ring(horizontal ? row_bytes * rows.stride : 0);
    std::size_t next_row = 0;
    for (std::size_t y = 0; y < size.height; ++y) {
        auto const window = rows.windows[y];
        next_row = std::max(next_row, window.first);
        for (; horizontal && next_row < window.first + window.count; ++next_row)
            make_row(next_row, ring.data() + row_bytes * (next_row % rows.stride));
        std::fill(sums.begin(), sums.end(), detail::resize_rounding);
        for (std::size_t tap = 0; tap < window.count; ++tap) {
            std::size_t const row = window.first + tap;
            std::uint8_t const* values = horizontal ? ring.data() + row_bytes * (row % rows.stride)
                                                    : image.data() + row_bytes * row;
            std::int32_t const weight = rows.weights_of(y)[tap];
            for (std::size_t i = 0; i < row_bytes; ++i)
                sums[i] += weight * values[i];
        }
        std::uint8_t* target = resized.data() + row_bytes * y;
        for (std::size_t i = 0; i < row_bytes; ++i)
            target[i] = detail::resize_result(sums[i]);
    }
    return resized;
}

} // namespace blip
