#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/vision/image.hpp>

namespace blip {

/// x' = m[0] x + m[1] y + m[2], y' = m[3] x + m[4] y + m[5] in pixels; (0, 0) is the middle of the
/// top left pixel.
using AffineMap = std::array<double, 6>;

/// The rotation by `degrees` about the picture's middle, counter-clockwise as seen. As in the
/// release (and OpenCV's getRotationMatrix2D as it calls it) the middle is (width/2, height/2),
/// half a pixel off the exact one.
inline AffineMap rotation_about_middle(ImageSize size, double degrees) {
    double const angle = degrees * (std::numbers::pi / 180);
    double const cosine = std::cos(angle), sine = std::sin(angle);
    double const x = static_cast<double>(size.width) / 2;
    double const y = static_cast<double>(size.height) / 2;
    return {cosine, sine, (1 - cosine) * x - sine * y, -sine, cosine, sine * x + (1 - cosine) * y};
}

namespace detail {

/// The map that undoes `m`; all zero where there is none.
inline AffineMap inverse(AffineMap const& m) {
    double const determinant = m[0] * m[4] - m[1] * m[3];
    double const d = determinant != 0 ? 1 / determinant : 0;
    AffineMap inverse{m[4] * d, m[1] * -d, 0, m[3] * -d, m[0] * d, 0};
    inverse[2] = -inverse[0] * m[2] - inverse[1] * m[5];
    inverse[5] = -inverse[3] * m[2] - inverse[4] * m[5];
    return inverse;
}

/// Rounds to the nearest integer, halves to even; what does not fit takes the nearest bound.
inline std::int64_t rounded(double value) {
    constexpr double bound = 1 << 30;
    return std::llrint(std::fmin(std::fmax(value, -bound), bound));
}

} // namespace detail

/// `image` moved by `forward`: the value at p is taken from where `forward` maps to p, by bilinear
/// interpolation; what lies outside has the grey `border`. Byte for byte OpenCV 4's warpAffine with
/// its arithmetic in 1/32 pixels (spec section 5.2). The result has the size of `image`.
/// @throws ArgumentError when a number of the map is not finite, or for an empty image.
inline Image warp_affine(Image const& image, AffineMap const& forward, std::uint8_t border = 128) {
    for (double const number : forward)
        if (!std::isfinite(number))
            throw ArgumentError("warp_affine: a number of the map is not finite");
    auto const [height, width] = image_size(image);
    auto const map = detail::inverse(forward);
    constexpr int position_bits = 10, fraction_bits = 5;
    constexpr double scale = 1 << position_bits;
    constexpr int sides = 1 << fraction_bits;
    constexpr std::int64_t half = 1 << (position_bits - fraction_bits - 1);

    std::vector<std::int64_t> column_x(width), column_y(width);
    for (std::size_t x = 0; x < width; ++x) {
        column_x[x] = detail::rounded(map[0] * static_cast<double>(x) * scale);
        column_y[x] = detail::rounded(map[3] * static_cast<double>(x) * scale);
    }
    auto const rows = static_cast<std::int64_t>(height), columns = static_cast<std::int64_t>(width);
    std::array<std::uint8_t, 3> const outside{border, border, border};
    auto const at = [&](std::int64_t y, std::int64_t x) {
        bool const inside = y >= 0 && y < rows && x >= 0 && x < columns;
        return inside ? image.data() + 3 * (y * columns + x) : outside.data();
    };
    Image result = make_image({height, width});
    std::uint8_t* target = result.data();
    for (std::size_t y = 0; y < height; ++y) {
        auto const row = static_cast<double>(y);
        auto const row_x = detail::rounded((map[1] * row + map[2]) * scale) + half;
        auto const row_y = detail::rounded((map[4] * row + map[5]) * scale) + half;
        for (std::size_t x = 0; x < width; ++x, target += 3) {
            auto const to_x = (row_x + column_x[x]) >> (position_bits - fraction_bits);
            auto const to_y = (row_y + column_y[x]) >> (position_bits - fraction_bits);
            auto const left = to_x >> fraction_bits, top = to_y >> fraction_bits;
            int const fx = static_cast<int>(to_x & (sides - 1));
            int const fy = static_cast<int>(to_y & (sides - 1));
            auto const* const p = at(top, left);
            auto const* const q = at(top, left + 1);
            auto const* const r = at(top + 1, left);
            auto const* const s = at(top + 1, left + 1);
            // The four weights add up to 1024; OpenCV's are 32 times these, with the same result.
            for (std::size_t c = 0; c < 3; ++c) {
                int const upper = (sides - fx) * p[c] + fx * q[c];
                int const lower = (sides - fx) * r[c] + fx * s[c];
                target[c] = static_cast<std::uint8_t>(
                    ((sides - fy) * upper + fy * lower + sides * sides / 2) / (sides * sides));
            }
        }
    }
    return result;
}

} // namespace blip
