#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <blip/backend/backend.hpp>
#include <blip/backend/cuda/group.hpp>
#include <blip/backend/cuda/kernels/dropout.hpp>
#include <blip/backend/cuda/portable.hpp>

namespace blip::cuda {

/// Heads inside rows, as `HeadRows` without its backend.
template <class T>
struct Heads {
    T* data = nullptr;
    std::ptrdiff_t item_stride = 0;
    std::ptrdiff_t row_stride = 0;

    BLIP_HOST_DEVICE T* at(std::ptrdiff_t item, std::ptrdiff_t row, std::ptrdiff_t channel) const {
        return data + item * item_stride + row * row_stride + channel;
    }
};

/// A task's item, head and row, tasks being counted as [items, heads, rows].
struct AttentionPlace {
    std::ptrdiff_t item = 0, head = 0, row = 0;

    BLIP_HOST_DEVICE static AttentionPlace of(std::ptrdiff_t task, int heads, int rows) {
        std::ptrdiff_t const item_head = task / rows;
        return {item_head / heads, item_head % heads, task % rows};
    }
};

/// The keys and values that one query may see.
template <class T>
struct VisibleKeys {
    T const* k = nullptr; ///< the head's first channel of row 0
    std::ptrdiff_t k_stride = 0;
    T const* v = nullptr;
    std::ptrdiff_t v_stride = 0;
    std::ptrdiff_t count = 0;            ///< keys from the first that may be seen
    unsigned char const* mask = nullptr; ///< of those, 1 = attend; null: all
    int const* rows = nullptr;           ///< where the j-th key lies; null: row j

    BLIP_HOST_DEVICE bool sees(std::ptrdiff_t j) const {
        return j < count && (!mask || mask[j] != 0);
    }
    BLIP_HOST_DEVICE std::ptrdiff_t row(std::ptrdiff_t j) const { return rows ? rows[j] : j; }
};

template <class T>
BLIP_HOST_DEVICE T dot(T const* a, T const* b, int n) {
    T sum = T(0);
    for (int i = 0; i < n; ++i)
        sum += a[i] * b[i];
    return sum;
}

template <class T>
BLIP_HOST_DEVICE T score_scale(int head_width) {
    return T(1) / std::sqrt(static_cast<T>(head_width));
}

/// What `query` of an item sees of a dense k and v.
template <class T>
BLIP_HOST_DEVICE VisibleKeys<T> visible_keys(AttentionShape const& a, Heads<T const> k,
                                             Heads<T const> v, AttentionPlace place) {
    std::ptrdiff_t count = a.keys;
    if (a.causal == Causal::yes) {
        std::ptrdiff_t const last = place.row + a.keys - a.queries;
        count = last < 0 ? 0 : (last < a.keys ? last + 1 : a.keys);
    }
    std::ptrdiff_t const channel = place.head * a.head_width;
    return {.k = k.at(place.item, 0, channel),
            .k_stride = k.row_stride,
            .v = v.data ? v.at(place.item, 0, channel) : nullptr,
            .v_stride = v.row_stride,
            .count = count,
            .mask = a.key_mask ? a.key_mask + place.item * a.keys : nullptr};
}

/// One query's softmax(q kᵀ/√d) v in one pass over the keys: scores are computed `group.size()` at
/// a time and rescaled whenever a larger one appears. Writes `out` [head_width], which must not
/// overlap the inputs, and returns the log of the sum of exponentials; zeros where no key is seen.
/// Dropout's number for key j is `first_draw` + j.
template <class Group, class T>
BLIP_HOST_DEVICE T attend(Group const& group, T const* q, VisibleKeys<T> keys, int head_width,
                          Kept<T> kept, std::uint64_t first_draw, T* out) {
    T const lowest = -std::numeric_limits<T>::infinity();
    T const scale = score_scale<T>(head_width);
    T most = lowest, sum = T(0);
    for (int c = group.rank(); c < head_width; c += group.size())
        out[c] = T(0);
    for (std::ptrdiff_t first = 0; first < keys.count; first += group.size()) {
        std::ptrdiff_t const j = first + group.rank();
        bool const sees = keys.sees(j);
        T score = lowest;
        if (sees)
            score = dot(q, keys.k + keys.row(j) * keys.k_stride, head_width) * scale;
        T const top = larger(most, group.max(score));
        if (top == lowest)
            continue;
        T const weight = sees ? std::exp(score - top) : T(0);
        T const correction = std::exp(most - top);
        sum = sum * correction + group.sum(weight);
        most = top;
        T const share =
            sees ? weight * kept.factor(first_draw + static_cast<std::uint64_t>(j)) : T(0);
        std::ptrdiff_t const left = keys.count - first;
        int const tile = left < group.size() ? static_cast<int>(left) : group.size();
        // Every thread takes part in every exchange, whether or not it has a channel.
        for (int start = 0; start < head_width; start += group.size()) {
            int const c = start + group.rank();
            T value = T(0);
            for (int i = 0; i < tile; ++i) {
                T const p = group.from(share, i);
                if (c < head_width)
                    value += p * keys.v[keys.row(first + i) * keys.v_stride + c];
            }
            if (c < head_width)
                out[c] = out[c] * correction + value;
        }
    }
    if (most == lowest)
        return T(0);
    for (int c = group.rank(); c < head_width; c += group.size())
        out[c] = out[c] / sum;
    return most + std::log(sum);
}

/// Attention, a task a (item, head, query).
template <class T>
struct Attention {
    AttentionShape shape{};
    Kept<T> kept{};
    Heads<T const> q{}, k{}, v{};
    Heads<T> out{};
    T* lse = nullptr; ///< [tasks] or null

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t task) const {
        auto const place = AttentionPlace::of(task, shape.heads, shape.queries);
        std::ptrdiff_t const channel = place.head * shape.head_width;
        T const log_sum =
            attend(group, q.at(place.item, place.row, channel), visible_keys(shape, k, v, place),
                   shape.head_width, kept,
                   static_cast<std::uint64_t>(task) * static_cast<std::uint64_t>(shape.keys),
                   out.at(place.item, place.row, channel));
        if (lse && group.rank() == 0)
            lse[task] = log_sum;
    }
};

/// Attention of cached decoding, a task a (group of queries, head).
template <class T>
struct AttentionIndexed {
    IndexedAttentionShape shape{};
    Heads<T const> q{}, k{}, v{};
    Heads<T> out{};

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t task) const {
        std::ptrdiff_t const g = task / shape.heads;
        std::ptrdiff_t const channel = task % shape.heads * shape.head_width;
        std::ptrdiff_t const item = shape.key_items[g];
        VisibleKeys<T> const keys{.k = k.at(item, 0, channel),
                                  .k_stride = k.row_stride,
                                  .v = v.at(item, 0, channel),
                                  .v_stride = v.row_stride,
                                  .count = shape.key_counts ? shape.key_counts[g] : shape.keys,
                                  .rows =
                                      shape.key_rows ? shape.key_rows + g * shape.keys : nullptr};
        for (std::ptrdiff_t row = shape.query_starts[g]; row < shape.query_starts[g + 1]; ++row)
            attend(group, q.at(0, row, channel), keys, shape.head_width, Kept<T>{}, 0,
                   out.at(0, row, channel));
    }
};

/// What the soft-max gives, [items, heads, queries, keys], a task a (item, head, query).
template <class T>
struct AttentionProbabilities {
    AttentionShape shape{};
    Heads<T const> q{}, k{};
    T* probabilities = nullptr;

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t task) const {
        auto const place = AttentionPlace::of(task, shape.heads, shape.queries);
        T const* query = q.at(place.item, place.row, place.head * shape.head_width);
        auto const keys = visible_keys(shape, k, Heads<T const>{}, place);
        T* const p = probabilities + task * shape.keys;
        T const lowest = -std::numeric_limits<T>::infinity();
        T const scale = score_scale<T>(shape.head_width);
        T most = lowest;
        for (std::ptrdiff_t j = group.rank(); j < shape.keys; j += group.size()) {
            p[j] = T(0);
            if (!keys.sees(j))
                continue;
            p[j] = dot(query, keys.k + j * keys.k_stride, shape.head_width) * scale;
            most = larger(most, p[j]);
        }
        most = group.max(most);
        if (most == lowest)
            return;
        T sum = T(0);
        for (std::ptrdiff_t j = group.rank(); j < keys.count; j += group.size())
            if (keys.sees(j)) {
                p[j] = std::exp(p[j] - most);
                sum += p[j];
            }
        sum = group.sum(sum);
        for (std::ptrdiff_t j = group.rank(); j < keys.count; j += group.size())
            p[j] = p[j] / sum;
    }
};

} // namespace blip::cuda
