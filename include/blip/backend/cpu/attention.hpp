#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <blip/backend/cpu/dropout.hpp>
#include <blip/backend/cpu/engine.hpp>
#include <blip/backend/cpu/exponential.hpp>
#include <blip/backend/cpu/normalize.hpp>
#include <blip/backend/cpu/pack.hpp>
#include <blip/backend/cpu/tile.hpp>

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

/// Keys or values of one head: row j at data + (index ? index[j] : j) * stride.
struct HeadSource {
    float const* data = nullptr;
    std::size_t stride = 0;
    int const* index = nullptr;
    float const* operator[](std::size_t j) const {
        return data + (index != nullptr ? static_cast<std::size_t>(index[j]) : j) * stride;
    }
};

/// One head of one item: what its queries may see, and where its random numbers begin.
struct HeadTask {
    std::size_t width = 0;
    std::size_t queries = 0; ///< of the item, not only of the part that is computed
    std::size_t keys = 0;
    bool causal = false;                ///< query t sees keys up to t + keys - queries
    std::uint8_t const* mask = nullptr; ///< [keys], 0 hides a key
    float scale = 1;
    std::optional<DropoutRule> dropout{};
    std::uint64_t first_element = 0; ///< flat index of (query 0, key 0) in the dropout's numbers

    /// Keys that query t may see, masked ones included.
    std::size_t limit(std::size_t query) const {
        if (!causal)
            return keys;
        std::size_t const end = query + 1 + keys;
        return end <= queries ? 0 : std::min(keys, end - queries);
    }
    Mask visible(std::size_t key, std::size_t end) const {
        Mask const present = first_lanes(end - key);
        return mask == nullptr ? present : present & mask_of_bytes(mask + key, end - key);
    }
};

namespace detail {

/// Row stride of a block of scores: an odd number of cache lines.
constexpr std::size_t score_stride(std::size_t keys) {
    return (panel_count(keys) * 2 | 1) * lanes;
}

/// Row j of 32 keys becomes column j of the panel [width][32]; hidden and absent keys become zeros,
/// so that whatever stands there (it may be uninitialised) cannot reach a result.
inline void pack_keys(HeadSource keys, HeadTask const& task, std::size_t first, float* panel) {
    for (std::size_t half = 0; half < panel_width; half += lanes) {
        float const* rows[lanes];
        for (std::size_t j = 0; j < lanes; ++j) {
            std::size_t const key = first + half + j;
            bool const used = key < task.keys && (task.mask == nullptr || task.mask[key] != 0);
            rows[j] = used ? keys[key] : nullptr;
            // A head's pieces lie far apart: the processor would not foresee them.
            if (key + panel_width < task.keys)
                for (std::size_t d = 0; d < task.width; d += lanes)
                    __builtin_prefetch(keys[key + panel_width] + d);
        }
        for (std::size_t d = 0; d < task.width; d += lanes) {
            std::size_t const count = std::min(lanes, task.width - d);
            Mask const mask = first_lanes(count);
            Floats square[lanes];
            for (std::size_t j = 0; j < lanes; ++j)
                square[j] = rows[j] != nullptr ? load(rows[j] + d, mask) : broadcast(0.0f);
            transpose(square);
            for (std::size_t i = 0; i < count; ++i)
                store(panel + (d + i) * panel_width + half, square[i]);
        }
    }
}

/// Values as panels of 32 channels: [panel][key][32], zeros for hidden keys.
inline void pack_values(HeadSource values, HeadTask const& task, float* packed) {
    for (std::size_t key = 0; key < task.keys; ++key) {
        bool const used = task.mask == nullptr || task.mask[key] != 0;
        for (std::size_t d = 0; d < panel_count(task.width) * panel_width; d += lanes) {
            Mask const mask = first_lanes(d < task.width && used ? task.width - d : 0);
            float* const to = packed + d / panel_width * task.keys * panel_width +
                              key * panel_width + d % panel_width;
            store(to, used && d < task.width ? load(values[key] + d, mask) : broadcast(0.0f));
        }
    }
}

/// Soft-max of a row of raw scores, in place, up to a factor: leaves e^(scale (s - max)) (0 where
/// hidden) in all of the row's `padded` places and returns the sum and the log of the full sum.
struct RowSums {
    float sum = 0;
    float log_sum = 0;
};
inline RowSums soft_max_row(HeadTask const& task, std::size_t query, float* row,
                            std::size_t padded) {
    std::size_t const end = task.limit(query);
    Floats const lowest = broadcast(-HUGE_VALF);
    Floats largest = lowest;
    for (std::size_t j = 0; j < end; j += lanes)
        largest = max(largest, select(task.visible(j, end), load(row + j), lowest));
    float part[lanes];
    store(part, largest);
    float most = part[0];
    for (float const value : part)
        most = value > most ? value : most;
    Floats const base = broadcast(most);
    Floats const scale = broadcast(task.scale);
    Floats const zero = broadcast(0.0f);
    Floats sums = zero;
    for (std::size_t j = 0; j < padded; j += lanes) {
        if (j >= end) {
            store(row + j, zero);
            continue;
        }
        Floats const e =
            select(task.visible(j, end), exponential((load(row + j) - base) * scale), zero);
        store(row + j, e);
        sums = sums + e;
    }
    float const total = sum(sums);
    return {total, total == 0 ? 0.0f : std::fma(most, task.scale, std::log(total))};
}

inline void drop_row(HeadTask const& task, std::size_t query, float* row, std::size_t end) {
    float factors[256];
    for (std::size_t j = 0; j < end; j += 256) {
        std::size_t const count = std::min<std::size_t>(256, end - j);
        dropout_factors(*task.dropout, task.first_element + query * task.keys + j, count, factors);
        for (std::size_t i = 0; i < count; ++i)
            row[j + i] *= factors[i];
    }
}

/// Few rows of probabilities times values that are read where they lie.
template <std::size_t Count>
void weigh_values(float const* p, std::size_t stride, HeadSource values, HeadTask const& task,
                  Rows out) {
    for (std::size_t d = 0; d < task.width; d += few_vectors * lanes) {
        Mask masks[few_vectors];
        Floats sums[Count][few_vectors];
#pragma GCC unroll 4
        for (std::size_t v = 0; v < few_vectors; ++v) {
            std::size_t const c = d + v * lanes;
            masks[v] = first_lanes(c < task.width ? task.width - c : 0);
#pragma GCC unroll 8
            for (std::size_t r = 0; r < Count; ++r)
                sums[r][v] = broadcast(0.0f);
        }
        for (std::size_t j = 0; j < task.keys; ++j) {
            if (task.mask != nullptr && task.mask[j] == 0)
                continue;
            float const* const from = values[j] + d;
            if (j + 16 < task.keys)
                for (std::size_t v = 0; v < few_vectors; ++v)
                    __builtin_prefetch(values[j + 16] + d + v * lanes);
            Floats value[few_vectors];
#pragma GCC unroll 4
            for (std::size_t v = 0; v < few_vectors; ++v)
                value[v] = load(from + v * lanes, masks[v]);
#pragma GCC unroll 8
            for (std::size_t r = 0; r < Count; ++r) {
                Floats const weight = broadcast(p[r * stride + j]);
#pragma GCC unroll 4
                for (std::size_t v = 0; v < few_vectors; ++v)
                    sums[r][v] = fma(weight, value[v], sums[r][v]);
            }
        }
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Count; ++r)
#pragma GCC unroll 4
            for (std::size_t v = 0; v < few_vectors; ++v)
                store(out[r] + d + v * lanes, sums[r][v], masks[v]);
    }
}

template <std::size_t Count = few_rows>
void weigh_few(std::size_t rows, float const* p, std::size_t stride, HeadSource values,
               HeadTask const& task, Rows out) {
    if (rows == Count)
        weigh_values<Count>(p, stride, values, task, out);
    else if constexpr (Count > 1)
        weigh_few<Count - 1>(rows, p, stride, values, task, out);
}

} // namespace detail

/// Floats of scratch that `attend_head` takes.
constexpr std::size_t attention_scratch(std::size_t width, std::size_t keys) {
    return packed_size(keys, width) + packed_size(width, keys) +
           tile_rows * detail::score_stride(keys) + cache_line;
}

/// out[t] = softmax(q[t] kᵀ scale) v for queries [begin, end) of one head; rows of q and out are
/// the item's. `log_sums` [queries], where it is not null, receives the log of each sum of
/// exponentials.
inline void attend_head(HeadTask const& task, ConstRows q, HeadSource k, HeadSource v,
                        std::size_t begin, std::size_t end, Rows out, float* log_sums,
                        float* scratch) {
    if (begin == end)
        return;
    std::size_t const panels = panel_count(task.keys);
    std::size_t const stride = detail::score_stride(task.keys);
    float* const keys = scratch;
    float* const values = keys + packed_size(task.keys, task.width);
    float* const scores = values + packed_size(task.width, task.keys);
    // Values are read once anyway for few queries: copying them would double the work.
    bool const few = end - begin <= few_rows;
    for (std::size_t p = 0; p < panels; ++p)
        detail::pack_keys(k, task, p * panel_width, keys + p * panel_width * task.width);
    if (!few)
        detail::pack_values(v, task, values);
    std::size_t const tiles = (end - begin + tile_rows - 1) / tile_rows;
    for (std::size_t tile = 0; tile < tiles; ++tile) {
        std::size_t const first = begin + (end - begin) * tile / tiles;
        std::size_t const rows = begin + (end - begin) * (tile + 1) / tiles - first;
        std::size_t const seen = task.limit(first + rows - 1);
        std::size_t const padded = panel_count(seen) * panel_width;
        TileTask multiply{};
        multiply.a = q[first];
        multiply.a_stride = q.stride;
        multiply.depth = task.width;
        multiply.c_stride = stride;
        multiply.columns = panel_width;
        for (std::size_t p = 0; p < panel_count(seen); ++p) {
            multiply.b = keys + p * panel_width * task.width;
            multiply.c = scores + p * panel_width;
            multiply_rows(multiply, rows);
        }
        float inverse[tile_rows];
        for (std::size_t r = 0; r < rows; ++r) {
            float* const row = scores + r * stride;
            auto const sums = detail::soft_max_row(task, first + r, row, padded);
            inverse[r] = sums.sum == 0 ? 0.0f : 1.0f / sums.sum;
            if (log_sums != nullptr)
                log_sums[first + r] = sums.log_sum;
            if (task.dropout)
                detail::drop_row(task, first + r, row, seen);
        }
        if (few) {
            HeadTask visible = task;
            visible.keys = seen;
            detail::weigh_few(rows, scores, stride, v, visible, {out[first], out.stride});
        } else {
            multiply.a = scores;
            multiply.a_stride = stride;
            multiply.depth = seen;
            multiply.c_stride = out.stride;
            for (std::size_t d = 0; d < task.width; d += panel_width) {
                multiply.b = values + d * task.keys;
                multiply.c = out[first] + d;
                multiply.columns = task.width - d;
                multiply_rows(multiply, rows);
            }
        }
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t d = 0; d < task.width; d += lanes) {
                Mask const mask = first_lanes(task.width - d);
                float* const to = out[first + r] + d;
                store(to, load(to, mask) * broadcast(inverse[r]), mask);
            }
    }
}

/// p [queries, keys] = softmax(q kᵀ scale) of one head, before dropout.
inline void attend_probabilities(HeadTask const& task, ConstRows q, HeadSource k, float* p,
                                 float* scratch) {
    std::size_t const panels = panel_count(task.keys);
    std::size_t const padded = panels * panel_width;
    float* const keys = scratch;
    float* const scores = keys + packed_size(task.keys, task.width);
    for (std::size_t panel = 0; panel < panels; ++panel)
        detail::pack_keys(k, task, panel * panel_width, keys + panel * panel_width * task.width);
    for (std::size_t query = 0; query < task.queries; ++query) {
        TileTask multiply{};
        multiply.a = q[query];
        multiply.depth = task.width;
        multiply.columns = panel_width;
        for (std::size_t panel = 0; panel < panels; ++panel) {
            multiply.b = keys + panel * panel_width * task.width;
            multiply.c = scores + panel * panel_width;
            multiply_rows(multiply, 1);
        }
        auto const sums = detail::soft_max_row(task, query, scores, padded);
        float const inverse = sums.sum == 0 ? 0.0f : 1.0f / sums.sum;
        for (std::size_t j = 0; j < task.keys; ++j)
            p[query * task.keys + j] = scores[j] * inverse;
    }
}

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
