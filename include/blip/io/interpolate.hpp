#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace blip {

/// Resizes a learned position table to another patch grid: `table` [1 + grid², width] to
/// [1 + new_grid², width]. Row 0 belongs to the class token and is kept; the rest is resized by
/// bicubic interpolation as PyTorch does it (a = -0.75, corners not aligned, no antialiasing,
/// borders clamped).
template <class T>
std::vector<T> interpolate_positions(std::span<T const> table, int grid, int new_grid, int width) {
    auto const w = static_cast<std::size_t>(width);
    std::vector<T> result(table.begin(), table.begin() + width);
    result.resize((1 + static_cast<std::size_t>(new_grid) * static_cast<std::size_t>(new_grid)) *
                  w);

    struct Taps {
        std::array<std::size_t, 4> index;
        std::array<T, 4> weight;
    };
    T const a = T(-0.75);
    auto const near = [a](T x) { return ((a + 2) * x - (a + 3)) * x * x + 1; };
    auto const far = [a](T x) { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; };
    std::vector<Taps> taps;
    for (int i = 0; i < new_grid; ++i) {
        T const source =
            (static_cast<T>(i) + T(0.5)) * (static_cast<T>(grid) / static_cast<T>(new_grid)) -
            T(0.5);
        T const floor = std::floor(source);
        T const t = source - floor;
        Taps tap{{}, {far(t + 1), near(t), near(1 - t), far(2 - t)}};
        for (int k = 0; k < 4; ++k) {
            int const position = static_cast<int>(floor) - 1 + k;
            int const clamped = position < 0 ? 0 : position >= grid ? grid - 1 : position;
            tap.index[static_cast<std::size_t>(k)] = static_cast<std::size_t>(clamped);
        }
        taps.push_back(tap);
    }
    auto const g = static_cast<std::size_t>(grid);
    T* out = result.data() + w;
    for (auto const& row : taps)
        for (auto const& column : taps)
            for (std::size_t c = 0; c < w; ++c) {
                T sum = 0;
                for (std::size_t y = 0; y < 4; ++y) {
                    T line = 0;
                    for (std::size_t x = 0; x < 4; ++x)
                        line += column.weight[x] *
                                table[(1 + row.index[y] * g + column.index[x]) * w + c];
                    sum += row.weight[y] * line;
                }
                *out++ = sum;
            }
    return result;
}

} // namespace blip
