#pragma once

#include <cstddef>
#include <cstring>

#include <blip/backend/cpu/engine.hpp>
#include <blip/backend/cpu/normalize.hpp>
#include <blip/backend/cpu/pack.hpp>
#include <blip/backend/cpu/simd.hpp>

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

/// y = a + b; y may be either.
inline void add(Engine& engine, float const* a, float const* b, float* y, std::size_t count) {
    engine.parallel_ranges(count, 1 << 15, [=](std::size_t begin, std::size_t end) {
        std::size_t i = begin;
        for (; i + lanes <= end; i += lanes)
            store(y + i, load(a + i) + load(b + i));
        Mask const mask = first_lanes(end - i);
        store(y + i, load(a + i, mask) + load(b + i, mask), mask);
    });
}

/// y = factor x; y may be x.
inline void scale(Engine& engine, float const* x, float factor, float* y, std::size_t count) {
    engine.parallel_ranges(count, 1 << 15, [=](std::size_t begin, std::size_t end) {
        Floats const factors = broadcast(factor);
        std::size_t i = begin;
        for (; i + lanes <= end; i += lanes)
            store(y + i, factors * load(x + i));
        Mask const mask = first_lanes(end - i);
        store(y + i, factors * load(x + i, mask), mask);
    });
}

/// y = a + b for one row.
inline void add_row(float const* a, float const* b, float* y, std::size_t width) {
    for (std::size_t c = 0; c < width; c += lanes) {
        Mask const mask = first_lanes(width - c);
        store(y + c, load(a + c, mask) + load(b + c, mask), mask);
    }
}

/// Row `column` of a weight [N, depth] that is kept as panels.
inline void read_panel_row(float const* packed, std::size_t depth, std::size_t row, float* to) {
    float const* const from = packed + row / panel_width * panel_width * depth + row % panel_width;
    for (std::size_t k = 0; k < depth; ++k)
        to[k] = from[k * panel_width];
}

/// Inverse of `pack_panels` of a weight: row_major [rows, depth].
inline void unpack_panels(Engine& engine, float const* packed, std::size_t rows, std::size_t depth,
                          float* row_major) {
    engine.parallel_ranges(rows, 16, [=](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r)
            read_panel_row(packed, depth, r, row_major + r * depth);
    });
}

/// y[r] = table[ids[r]] + positions[position_ids[r]]. The table may be kept as panels, because it
/// is also the weight of the language model's last product.
inline void embed(Engine& engine, std::size_t rows, std::size_t width, int const* ids,
                  int const* position_ids, float const* table, bool panels, float const* positions,
                  Rows y) {
    engine.parallel_ranges(rows, 32, [=](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) {
            auto const id = static_cast<std::size_t>(ids[r]);
            auto const position = static_cast<std::size_t>(position_ids[r]);
            float const* from = table + id * width;
            if (panels) {
                read_panel_row(table, width, id, y[r]);
                from = y[r];
            }
            add_row(from, positions + position * width, y[r], width);
        }
    });
}

/// Adds dy to the rows that `embed` read. Threads divide the columns, so that rows named more than
/// once are summed in order.
inline void embed_backward(Engine& engine, std::size_t rows, std::size_t width, int const* ids,
                           int const* position_ids, int padding, ConstRows dy, float* table,
                           float* positions) {
    std::size_t const slices = (width + 63) / 64;
    engine.parallel_ranges(slices, 1, [=](std::size_t begin, std::size_t end) {
        std::size_t const first = begin * 64;
        std::size_t const count = (end * 64 < width ? end * 64 : width) - first;
        for (std::size_t r = 0; r < rows; ++r) {
            float const* const g = dy[r] + first;
            if (ids[r] != padding) {
                float* const to = table + static_cast<std::size_t>(ids[r]) * width + first;
                add_row(to, g, to, count);
            }
            float* const to = positions + static_cast<std::size_t>(position_ids[r]) * width + first;
            add_row(to, g, to, count);
        }
    });
}

/// Calls copy(pixel run, patch run, length) for every run of pixels that lies together in the
/// images [count, 3, size, size] and in the patches [count, grid², 3 patch²].
template <class Copy>
void each_patch_run(Engine& engine, std::size_t count, std::size_t size, std::size_t patch,
                    Copy copy) {
    std::size_t const grid = size / patch;
    engine.parallel_ranges(count * grid, 2, [=](std::size_t begin, std::size_t end) {
        for (std::size_t band = begin; band < end; ++band) {
            std::size_t const image = band / grid;
            std::size_t const top = band % grid * patch;
            for (std::size_t column = 0; column < grid; ++column)
                for (std::size_t c = 0; c < 3; ++c)
                    for (std::size_t y = 0; y < patch; ++y)
                        copy(((image * 3 + c) * size + top + y) * size + column * patch,
                             ((band * grid + column) * 3 + c) * patch * patch + y * patch, patch);
        }
    });
}

/// rows[image, patch row, patch column] = the patch's pixels in the order channel, y, x.
inline void patches(Engine& engine, float const* images, std::size_t count, std::size_t size,
                    std::size_t patch, float* rows) {
    each_patch_run(engine, count, size, patch,
                   [=](std::size_t pixel, std::size_t entry, std::size_t length) {
                       std::memcpy(rows + entry, images + pixel, length * sizeof(float));
                   });
}

/// The inverse: pixels of whole patches; every pixel belongs to one.
inline void patches_backward(Engine& engine, float const* rows, std::size_t count, std::size_t size,
                             std::size_t patch, float* images) {
    each_patch_run(engine, count, size, patch,
                   [=](std::size_t pixel, std::size_t entry, std::size_t length) {
                       std::memcpy(images + pixel, rows + entry, length * sizeof(float));
                   });
}

/// y[item] = [first; x[item]] + positions.
inline void prepend(Engine& engine, float const* x, float const* first, float const* positions,
                    std::size_t count, std::size_t length, std::size_t width, float* y) {
    std::size_t const rows = length + 1;
    engine.parallel_ranges(count * rows, 32, [=](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) {
            std::size_t const item = r / rows;
            std::size_t const t = r % rows;
            float const* const from = t == 0 ? first : x + (item * length + t - 1) * width;
            add_row(from, positions + t * width, y + r * width, width);
        }
    });
}

/// dx = dy without the first row of each item; dfirst += those, dpositions += Σ over the items.
inline void prepend_backward(Engine& engine, float const* dy, std::size_t count, std::size_t length,
                             std::size_t width, float* dx, float* dfirst, float* dpositions) {
    std::size_t const rows = length + 1;
    engine.parallel_ranges(rows, 16, [=](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t)
            for (std::size_t item = 0; item < count; ++item) {
                float const* const g = dy + (item * rows + t) * width;
                add_row(dpositions + t * width, g, dpositions + t * width, width);
                if (t == 0)
                    add_row(dfirst, g, dfirst, width);
                else
                    std::memcpy(dx + (item * length + t - 1) * width, g, width * sizeof(float));
            }
    });
}

/// y[r] = x[index[r]].
inline void gather_rows(Engine& engine, std::size_t rows, std::size_t width, ConstRows x,
                        int const* index, Rows y) {
    engine.parallel_ranges(rows, 16384 / (width + 1) + 1, [=](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r)
            std::memcpy(y[r], x[static_cast<std::size_t>(index[r])], width * sizeof(float));
    });
}

/// y[index[r]] = x[r]; the indices are distinct.
inline void scatter_rows(Engine& engine, std::size_t rows, std::size_t width, ConstRows x,
                         int const* index, Rows y) {
    engine.parallel_ranges(rows, 16384 / (width + 1) + 1, [=](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r)
            std::memcpy(y[static_cast<std::size_t>(index[r])], x[r], width * sizeof(float));
    });
}

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
