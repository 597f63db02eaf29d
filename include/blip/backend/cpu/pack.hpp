#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include <blip/backend/cpu/engine.hpp>
#include <blip/backend/cpu/simd.hpp>
#include <blip/backend/cpu/tile.hpp>

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

/// How the right factor [depth K, columns N] of a product lies in memory.
enum class RightOrder {
    panels, ///< packed: element (k, n) at [n / 32][k][n % 32], the last panel filled with zeros
    column_rows, ///< a weight [N, K]: element (k, n) at data[n * stride + k]
    depth_rows   ///< element (k, n) at data[k * stride + n]
};

/// Right factor of a product.
struct Right {
    float const* data = nullptr;
    std::size_t stride = 0; ///< of its rows; unused for panels
    RightOrder order = RightOrder::panels;
};

constexpr std::size_t panel_count(std::size_t columns) {
    return (columns + panel_width - 1) / panel_width;
}

/// Floats that a packed factor of `depth` rows and `columns` columns takes.
constexpr std::size_t packed_size(std::size_t columns, std::size_t depth) {
    return panel_count(columns) * panel_width * depth;
}

/// Writes depths [begin, begin + depth) of the panel whose first column is `column` to
/// panel[depth][32]; columns from `columns` on become zeros.
inline void pack_block(Right right, std::size_t columns, std::size_t column, std::size_t begin,
                       std::size_t depth, float* panel) {
    std::size_t const present = columns - column < panel_width ? columns - column : panel_width;
    if (right.order == RightOrder::depth_rows) {
        float const* from = right.data + begin * right.stride + column;
        Mask const low = first_lanes(present);
        Mask const high = first_lanes(present > lanes ? present - lanes : 0);
        for (std::size_t k = 0; k < depth; ++k, from += right.stride, panel += panel_width) {
            store(panel, load(from, low));
            store(panel + lanes, present > lanes ? load(from + lanes, high) : broadcast(0.0f));
        }
        return;
    }
    for (std::size_t half = 0; half < panel_width; half += lanes) {
        std::size_t const rows = present <= half          ? 0
                                 : present - half < lanes ? present - half
                                                          : lanes;
        float const* const from = right.data + (column + half) * right.stride + begin;
        for (std::size_t k = 0; k < depth; k += lanes) {
            std::size_t const count = depth - k < lanes ? depth - k : lanes;
            Mask const mask = first_lanes(count);
            Floats square[lanes];
            for (std::size_t r = 0; r < lanes; ++r) {
                if (r < rows && k + 4 * lanes < depth)
                    __builtin_prefetch(from + r * right.stride + k + 4 * lanes, 0, 2);
                square[r] = r < rows ? load(from + r * right.stride + k, mask) : broadcast(0.0f);
            }
            transpose(square);
            float* const to = panel + k * panel_width + half;
            for (std::size_t r = 0; r < count; ++r)
                store(to + r * panel_width, square[r]);
        }
    }
}

/// Rows of a factor that are fetched ahead where only some cache lines of each are read: processors
/// foresee long runs alone.
inline constexpr std::size_t rows_ahead = 16;

/// Writes depths [begin, begin + depth) of panels [first, end) to packed[end - first][depth][32].
inline void pack_group(Right right, std::size_t columns, std::size_t first, std::size_t end,
                       std::size_t begin, std::size_t depth, float* packed) {
    std::size_t n = first;
    if (right.order == RightOrder::depth_rows) {
        // Whole panels side by side: what is read of a row then lies together.
        n = std::max(first, std::min(end, columns / panel_width));
        float const* row = right.data + begin * right.stride + first * panel_width;
        for (std::size_t k = 0; k < depth; ++k, row += right.stride) {
            float const* from = row;
            float const* ahead = row + std::min(rows_ahead, depth - 1 - k) * right.stride;
            float* to = packed + k * panel_width;
            for (std::size_t i = first; i < n; ++i) {
                __builtin_prefetch(ahead, 0, 2);
                __builtin_prefetch(ahead + lanes, 0, 2);
                store(to, load(from));
                store(to + lanes, load(from + lanes));
                from += panel_width;
                ahead += panel_width;
                to += depth * panel_width;
            }
        }
    }
    for (; n < end; ++n)
        pack_block(right, columns, n * panel_width, begin, depth,
                   packed + (n - first) * depth * panel_width);
}

/// Packs a whole factor of `columns` columns and `depth` rows into packed[packed_size].
inline void pack_panels(Engine& engine, Right right, std::size_t columns, std::size_t depth,
                        float* packed) {
    engine.parallel_ranges(panel_count(columns), 1, [&](std::size_t begin, std::size_t end) {
        pack_group(right, columns, begin, end, 0, depth, packed + begin * panel_width * depth);
    });
}

/// How the left factor [rows M, depth K] lies in memory.
enum class LeftOrder {
    rows,      ///< element (m, k) at data[m * stride + k]
    depth_rows ///< element (m, k) at data[k * stride + m]
};

/// Left factor of a product.
struct Left {
    float const* data = nullptr;
    std::size_t stride = 0;
    LeftOrder order = LeftOrder::rows;
};

/// Row stride of a packed left block: an odd number of cache lines, because rows a multiple of 4 KB
/// apart would all fall into the same few places of the first-level cache.
constexpr std::size_t left_stride(std::size_t depth) {
    return ((depth + lanes - 1) / lanes | 1) * lanes;
}

/// Copies rows [row, row + rows), depths [begin, begin + depth) to block[rows][left_stride(depth)].
inline void pack_left(Left left, std::size_t row, std::size_t rows, std::size_t begin,
                      std::size_t depth, float* block) {
    std::size_t const stride = left_stride(depth);
    if (left.order == LeftOrder::rows) {
        for (std::size_t r = 0; r < rows; ++r)
            std::memcpy(block + r * stride, left.data + (row + r) * left.stride + begin,
                        depth * sizeof(float));
        return;
    }
    for (std::size_t r = 0; r < rows; r += lanes) {
        std::size_t const present = rows - r < lanes ? rows - r : lanes;
        Mask const mask = first_lanes(present);
        for (std::size_t k = 0; k < depth; k += lanes) {
            std::size_t const count = depth - k < lanes ? depth - k : lanes;
            float const* const from = left.data + (begin + k) * left.stride + row + r;
            Floats square[lanes];
            for (std::size_t i = 0; i < lanes; ++i)
                square[i] = i < count ? load(from + i * left.stride, mask) : broadcast(0.0f);
            transpose(square);
            // The stride leaves room for the whole vector of every row.
            for (std::size_t i = 0; i < present; ++i)
                store(block + (r + i) * stride + k, square[i]);
        }
    }
}

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
