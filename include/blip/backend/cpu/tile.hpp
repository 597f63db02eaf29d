#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include <blip/backend/cpu/simd.hpp>

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

/// Columns of a packed panel. One width for all instruction sets, so that packed weights mean the
/// same everywhere.
inline constexpr std::size_t panel_width = 32;

// Accumulators fill the register file: 28 of 32 (AVX-512), 12 of 16 (AVX2, two registers a vector),
// 8 of 16 (plain SSE, four registers a vector). Few rows take columns of two panels instead, so
// that enough independent sums are under way to hide the latency of an addition.
#if defined(__AVX512F__)
inline constexpr std::size_t tile_rows = 14;
inline constexpr std::size_t tile_vectors = 2;
inline constexpr std::size_t few_rows = 6;
inline constexpr std::size_t few_vectors = 4;
#elif defined(__AVX2__) && defined(__FMA__)
inline constexpr std::size_t tile_rows = 6;
inline constexpr std::size_t tile_vectors = 1;
inline constexpr std::size_t few_rows = 2;
inline constexpr std::size_t few_vectors = 2;
#else
inline constexpr std::size_t tile_rows = 2;
inline constexpr std::size_t tile_vectors = 1;
inline constexpr std::size_t few_rows = 1;
inline constexpr std::size_t few_vectors = 2;
#endif

/// Where the sums of a tile begin.
enum class Start {
    zero,
    bias,   ///< the same row of numbers for every row
    result, ///< what the result holds already
    both    ///< the sum of result and bias
};

/// One tile of a product: rows of A times a panel, added up into C.
struct TileTask {
    float const* a; ///< row r, depth k at a[r * a_stride + k]
    std::size_t a_stride;
    float const* b;     ///< depth k, column j at b[k * panel_width + j]
    std::size_t b_next; ///< floats from one panel to the next, for tiles of two panels
    std::size_t depth;
    float* c;
    std::size_t c_stride;
    std::size_t columns; ///< of C that exist; the rest of the tile is not touched
    float const* bias;
    Start start;
};

/// Every element is one chain of fused multiply-adds over the depth. Neither the tile's size nor a
/// row's place in it changes a bit, which is what makes batches equal their items and results
/// independent of threads.
template <std::size_t Rows, std::size_t Vectors>
void multiply_tile(TileTask const& task) {
    float const* const a = task.a;
    std::size_t const a_stride = task.a_stride;
    std::size_t const c_stride = task.c_stride;
    float* const c = task.c;
    bool const whole = task.columns >= Vectors * lanes;
    Mask mask[Vectors];
#pragma GCC unroll 4
    for (std::size_t v = 0; v < Vectors; ++v)
        mask[v] = first_lanes(task.columns > v * lanes ? task.columns - v * lanes : 0);

    Floats sums[Rows][Vectors];
    Floats first[Vectors];
#pragma GCC unroll 4
    for (std::size_t v = 0; v < Vectors; ++v)
        first[v] = task.start == Start::bias || task.start == Start::both
                       ? load(task.bias + v * lanes, mask[v])
                       : broadcast(0.0f);
    if (task.start == Start::zero || task.start == Start::bias) {
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v)
                sums[r][v] = first[v];
    } else if (task.start == Start::both) {
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v)
                sums[r][v] = load(c + r * c_stride + v * lanes, mask[v]) + first[v];
    } else {
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v)
                sums[r][v] = load(c + r * c_stride + v * lanes, mask[v]);
    }

    float const* b = task.b;
    std::size_t const depth = task.depth;
    std::size_t const b_next = task.b_next;
    for (std::size_t k = 0; k < depth; ++k) {
        Floats column[Vectors];
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Vectors; ++v) {
            float const* const p = v < 2 ? b + v * lanes : b + b_next + (v - 2) * lanes;
            column[v] = load(p);
            // Panels come from the second cache or from memory, where hardware prefetch stops at
            // every page. Few rows are as fast as memory anyway; lines that they fetch too early
            // only take the place of others.
            __builtin_prefetch(p + 8 * panel_width);
            if constexpr (Vectors != few_vectors)
                __builtin_prefetch(p + 64 * panel_width, 0, 2);
        }
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r) {
            Floats const x = broadcast(a[r * a_stride + k]);
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v)
                sums[r][v] = fma(x, column[v], sums[r][v]);
        }
        b += panel_width;
    }

    if (whole) {
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v)
                store(c + r * c_stride + v * lanes, sums[r][v]);
    } else {
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v)
                store(c + r * c_stride + v * lanes, sums[r][v], mask[v]);
    }
}

using TileFunction = void (*)(TileTask const&);

namespace detail {

template <std::size_t Vectors, std::size_t... Index>
constexpr std::array<TileFunction, sizeof...(Index)> tile_functions(std::index_sequence<Index...>) {
    return {&multiply_tile<Index + 1, Vectors>...};
}

/// Element r - 1 multiplies r rows.
inline constexpr auto full_tiles =
    tile_functions<tile_vectors>(std::make_index_sequence<tile_rows>());
inline constexpr auto few_tiles = tile_functions<few_vectors>(std::make_index_sequence<few_rows>());

} // namespace detail

/// At most `tile_rows` rows of A times one panel; `prefetch_next`: the sums of the panel beside it
/// are continued next.
inline void multiply_tile_rows(TileTask task, std::size_t rows, bool prefetch_next) {
    std::size_t const columns = task.columns < panel_width ? task.columns : panel_width;
    if (prefetch_next)
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t j = 0; j < panel_width; j += lanes)
                __builtin_prefetch(task.c + r * task.c_stride + panel_width + j, 1);
    // Vectors of a panel one after the other where a tile is narrower than a panel.
    for (std::size_t j = 0; j < columns; j += tile_vectors * lanes) {
        task.columns = columns - j;
        detail::full_tiles[rows - 1](task);
        task.b += tile_vectors * lanes;
        task.c += tile_vectors * lanes;
        task.bias += task.bias == nullptr ? 0 : tile_vectors * lanes;
    }
}

/// `rows` rows of A times one panel, tile by tile; `task.columns` may exceed nothing but the panel.
inline void multiply_rows(TileTask task, std::size_t rows) {
    std::size_t const count = (rows + tile_rows - 1) / tile_rows;
    float const* const a = task.a;
    float* const c = task.c;
    for (std::size_t i = 0; i < count; ++i) {
        std::size_t const row = rows * i / count;
        task.a = a + row * task.a_stride;
        task.c = c + row * task.c_stride;
        multiply_tile_rows(task, rows * (i + 1) / count - row, false);
    }
}

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
