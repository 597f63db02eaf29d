#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include <blip/backend/cpu/simd.hpp>

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

namespace dot_kernels {

// As many sums under way as registers hold beside the operands.
#if defined(__AVX512F__)
inline constexpr std::size_t tile_rows = 4, tile_queries = 4;
#else
inline constexpr std::size_t tile_rows = 2, tile_queries = 2;
#endif

/// Rows of a block: with its queries they make `lanes` products.
template <std::size_t Queries>
inline constexpr std::size_t block_rows = lanes / Queries;

/// lane_sums[q * Stride + r]: products of rows[r] and queries[q], added up lane by lane.
template <std::size_t Rows, std::size_t Queries, std::size_t Stride>
BLIP_CPU_INLINE void add_tile(float const* rows, float const* queries, std::size_t width,
                              Floats* lane_sums) {
    Floats sums[Queries][Rows];
    for (auto& query : sums)
        for (auto& sum : query)
            sum = broadcast(0);
    auto const add = [&](auto const& load_at) {
        Floats values[Rows];
        for (std::size_t r = 0; r < Rows; ++r)
            values[r] = load_at(rows + r * width);
        for (std::size_t q = 0; q < Queries; ++q) {
            Floats const query = load_at(queries + q * width);
            for (std::size_t r = 0; r < Rows; ++r)
                sums[q][r] = fma(values[r], query, sums[q][r]);
        }
    };
    std::size_t k = 0;
    for (; k + lanes <= width; k += lanes)
        add([k](float const* p) { return load(p + k); });
    if (k < width)
        add([k, rest = first_lanes(width - k)](float const* p) { return load(p + k, rest); });
    for (std::size_t q = 0; q < Queries; ++q)
        for (std::size_t r = 0; r < Rows; ++r)
            lane_sums[q * Stride + r] = sums[q][r];
}

/// out[q * stride + r] for `block_rows` rows. The lanes of all products are added up together,
/// in the order of `sum`.
template <std::size_t Queries>
void multiply_block(float const* rows, float const* queries, std::size_t width, float* out,
                    std::size_t stride) {
    constexpr std::size_t count = block_rows<Queries>;
    constexpr std::size_t wide = std::min(Queries, tile_queries);
    constexpr std::size_t tall = tile_rows * tile_queries / wide;
    static_assert(Queries * count == lanes && Queries % wide == 0 && count % tall == 0);
    Floats sums[lanes];
    for (std::size_t q = 0; q < Queries; q += wide)
        for (std::size_t r = 0; r < count; r += tall)
            add_tile<tall, wide, count>(rows + r * width, queries + q * width, width,
                                        sums + q * count + r);
    transpose(sums);
    for (std::size_t half = lanes / 2; half > 0; half /= 2)
        for (std::size_t lane = 0; lane < half; ++lane)
            sums[lane] = sums[lane] + sums[lane + half];
    float products[lanes];
    store(products, sums[0]);
    for (std::size_t q = 0; q < Queries; ++q)
        for (std::size_t r = 0; r < count; ++r)
            out[q * stride + r] = products[q * count + r];
}

template <std::size_t Queries>
void multiply_rows(float const* rows, std::size_t count, float const* queries, std::size_t width,
                   float* out, std::size_t stride) {
    std::size_t r = 0;
    for (; r + block_rows<Queries> <= count; r += block_rows<Queries>)
        multiply_block<Queries>(rows + r * width, queries, width, out + r, stride);
    for (; r < count; ++r)
        for (std::size_t q = 0; q < Queries; ++q) {
            Floats lane_sums;
            add_tile<1, 1, 1>(rows + r * width, queries + q * width, width, &lane_sums);
            out[q * stride + r] = sum(lane_sums);
        }
}

} // namespace dot_kernels

/// out[q * stride + r] = rows[r] · queries[q]; rows [count, width], queries [n, width]. Every sum
/// runs over the same lanes in the same order, so its bits depend on nothing but the two vectors.
inline void dot_products(float const* rows, std::size_t count, std::span<float const> queries,
                         std::size_t width, float* out, std::size_t stride) {
    std::size_t const total = queries.size() / width;
    std::size_t q = 0;
    for (; q + 4 <= total; q += 4)
        dot_kernels::multiply_rows<4>(rows, count, queries.data() + q * width, width,
                                      out + q * stride, stride);
    for (; q < total; ++q)
        dot_kernels::multiply_rows<1>(rows, count, queries.data() + q * width, width,
                                      out + q * stride, stride);
}

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
