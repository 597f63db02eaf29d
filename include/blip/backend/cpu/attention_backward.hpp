#pragma once

#include <algorithm>
#include <cstddef>

#include <blip/backend/cpu/attention.hpp>

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

namespace detail {

/// Queries whose scores are kept at once: a multiple of a tile, so that sums over queries load and
/// store their results seldom.
inline constexpr std::size_t backward_rows = 56;

} // namespace detail

/// What attention's backward reads and writes, one head of one item.
struct HeadGradient {
    ConstRows q;
    HeadSource k, v;
    ConstRows out, dout;
    float const* log_sums = nullptr;
    Rows dq, dk, dv;
};

/// Floats of scratch that `attend_head_backward` takes.
constexpr std::size_t attention_backward_scratch(std::size_t width, std::size_t keys) {
    return 2 * packed_size(keys, width) + packed_size(width, keys) +
           2 * packed_size(width, detail::backward_rows) +
           2 * detail::backward_rows * detail::score_stride(keys) +
           keys * left_stride(detail::backward_rows) + cache_line;
}

/// With P the probabilities, worked out again from the logs of their sums, and D the dropout's
/// factors: dV = (P∘D)ᵀ dO, dP = D∘(dO Vᵀ), dS = P∘(dP - Σ dO∘O), dQ = dS K scale, dK = dSᵀ Q
/// scale.
inline void attend_head_backward(HeadTask const& task, HeadGradient const& head, float* scratch) {
    constexpr std::size_t block = detail::backward_rows;
    std::size_t const width = task.width;
    std::size_t const keys = task.keys;
    std::size_t const panels = panel_count(keys);
    std::size_t const stride = detail::score_stride(keys);
    float* const key_columns = scratch;
    float* const value_columns = key_columns + packed_size(keys, width);
    float* const key_rows = value_columns + packed_size(keys, width);
    float* const query_rows = key_rows + packed_size(width, keys);
    float* const dout_rows = query_rows + packed_size(width, block);
    float* const scores = dout_rows + packed_size(width, block);
    float* const slopes = scores + block * stride;
    float* const turned = slopes + block * stride;
    for (std::size_t p = 0; p < panels; ++p) {
        detail::pack_keys(head.k, task, p * panel_width, key_columns + p * panel_width * width);
        detail::pack_keys(head.v, task, p * panel_width, value_columns + p * panel_width * width);
    }
    detail::pack_values(head.k, task, key_rows);

    // result[row][0 .. width) from a [rows][depth] and panels of `width` columns.
    auto const multiply = [&](float const* a, std::size_t a_stride, std::size_t rows,
                              float const* b, std::size_t b_depth, std::size_t depth, Rows result,
                              Start start) {
        TileTask t{};
        t.a = a;
        t.a_stride = a_stride;
        t.depth = depth;
        t.c_stride = result.stride;
        t.start = start;
        for (std::size_t d = 0; d < width; d += panel_width) {
            t.b = b + d * b_depth;
            t.c = result.data + d;
            t.columns = width - d;
            multiply_rows(t, rows);
        }
    };

    for (std::size_t first = 0; first < task.queries || first == 0; first += block) {
        std::size_t const rows = std::min(block, task.queries - first);
        Start const start = first == 0 ? Start::zero : Start::result;
        TileTask t{};
        t.depth = width;
        t.c_stride = stride;
        t.columns = panel_width;
        for (std::size_t p = 0; p < panels; ++p) {
            t.a = head.q[first];
            t.a_stride = head.q.stride;
            t.b = key_columns + p * panel_width * width;
            t.c = scores + p * panel_width;
            multiply_rows(t, rows);
            t.a = head.dout[first];
            t.a_stride = head.dout.stride;
            t.b = value_columns + p * panel_width * width;
            t.c = slopes + p * panel_width;
            multiply_rows(t, rows);
        }
        for (std::size_t r = 0; r < rows; ++r) {
            std::size_t const query = first + r;
            float* const s = scores + r * stride;
            float* const g = slopes + r * stride;
            std::size_t const end = task.limit(query);
            Floats inner = broadcast(0.0f);
            for (std::size_t d = 0; d < width; d += lanes) {
                Mask const mask = first_lanes(width - d);
                inner =
                    fma(load(head.dout[query] + d, mask), load(head.out[query] + d, mask), inner);
            }
            Floats const mean = broadcast(sum(inner));
            Floats const less_log = broadcast(-head.log_sums[query]);
            Floats const scale = broadcast(task.scale);
            Floats const zero = broadcast(0.0f);
            float factors[lanes * 16];
            for (std::size_t j = 0; j < panels * panel_width; j += lanes) {
                if (j >= end) {
                    store(s + j, zero);
                    store(g + j, zero);
                    continue;
                }
                if (task.dropout && j % (lanes * 16) == 0)
                    dropout_factors(*task.dropout, task.first_element + query * keys + j,
                                    lanes * 16, factors);
                Floats const p = select(task.visible(j, end),
                                        exponential(fma(load(s + j), scale, less_log)), zero);
                Floats const keep =
                    task.dropout ? load(factors + j % (lanes * 16)) : broadcast(1.0f);
                Floats const slope = fma(load(g + j), keep, zero - mean);
                store(s + j, p * keep);
                store(g + j, p * slope * scale);
            }
        }
        multiply(slopes, stride, rows, key_rows, keys, keys, {head.dq[first], head.dq.stride},
                 Start::zero);
        Right const q_rows{head.q[first], head.q.stride, RightOrder::depth_rows};
        Right const g_rows{head.dout[first], head.dout.stride, RightOrder::depth_rows};
        for (std::size_t d = 0; d < width; d += panel_width) {
            pack_block(q_rows, width, d, 0, rows, query_rows + d * rows);
            pack_block(g_rows, width, d, 0, rows, dout_rows + d * rows);
        }
        pack_left({scores, stride, LeftOrder::depth_rows}, 0, keys, 0, rows, turned);
        multiply(turned, left_stride(rows), keys, dout_rows, rows, rows, head.dv, start);
        pack_left({slopes, stride, LeftOrder::depth_rows}, 0, keys, 0, rows, turned);
        multiply(turned, left_stride(rows), keys, query_rows, rows, rows, head.dk, start);
    }
}

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
