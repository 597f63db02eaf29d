#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include <blip/backend/backend.hpp>
#include <blip/backend/cuda/kernels/attention.hpp>
#include <blip/backend/cuda/kernels/dropout.hpp>
#include <blip/backend/cuda/portable.hpp>

namespace blip::cuda {

/// What both passes of attention's backward read. With P the probabilities, D dropout's factors and
/// o the output row: dS = P (D (do · v) - do · o)/√d, dQ = dS K, dK = dSᵀ Q, dV = (P D)ᵀ dO.
/// P is computed again from the log of the sum of exponentials (Dao et al. 2022, algorithm 4).
template <class T>
struct AttentionBackward {
    AttentionShape shape{};
    Kept<T> kept{};
    Heads<T const> q{}, k{}, v{}, out{}, dout{};
    T const* lse = nullptr;
};

/// One entry of the score matrix in backward.
template <class T>
struct ScoreGradient {
    T weight = T(0); ///< P D
    T slope = T(0);  ///< dS
};

/// The entry of a key that the query sees. `row` and `key_row` are offsets of the head's first
/// channel; `query_task` counts [items, heads, queries].
template <class T>
BLIP_HOST_DEVICE ScoreGradient<T> score_gradient(AttentionBackward<T> const& a,
                                                 std::ptrdiff_t query_task, AttentionPlace query,
                                                 std::ptrdiff_t key) {
    int const width = a.shape.head_width;
    std::ptrdiff_t const channel = query.head * width;
    T const scale = score_scale<T>(width);
    T const score =
        dot(a.q.at(query.item, query.row, channel), a.k.at(query.item, key, channel), width);
    T const p = std::exp(score * scale - a.lse[query_task]);
    T const factor = a.kept.factor(static_cast<std::uint64_t>(query_task) *
                                       static_cast<std::uint64_t>(a.shape.keys) +
                                   static_cast<std::uint64_t>(key));
    T const* g = a.dout.at(query.item, query.row, channel);
    T const value = dot(g, a.v.at(query.item, key, channel), width) * factor;
    T const inner = dot(g, a.out.at(query.item, query.row, channel), width);
    return {p * factor, p * (value - inner) * scale};
}

/// dq, a task a (item, head, query).
template <class T>
struct AttentionBackwardQueries {
    AttentionBackward<T> a{};
    Heads<T> dq{};

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t task) const {
        auto const place = AttentionPlace::of(task, a.shape.heads, a.shape.queries);
        auto const keys = visible_keys(a.shape, a.k, a.v, place);
        int const width = a.shape.head_width;
        T* const result = dq.at(place.item, place.row, place.head * width);
        for (int c = group.rank(); c < width; c += group.size())
            result[c] = T(0);
        for (std::ptrdiff_t first = 0; first < keys.count; first += group.size()) {
            std::ptrdiff_t const key = first + group.rank();
            T const slope = keys.sees(key) ? score_gradient(a, task, place, key).slope : T(0);
            std::ptrdiff_t const left = keys.count - first;
            int const tile = left < group.size() ? static_cast<int>(left) : group.size();
            for (int start = 0; start < width; start += group.size()) {
                int const c = start + group.rank();
                T value = T(0);
                for (int i = 0; i < tile; ++i) {
                    T const s = group.from(slope, i);
                    if (c < width)
                        value += s * keys.k[(first + i) * keys.k_stride + c];
                }
                if (c < width)
                    result[c] += value;
            }
        }
    }
};

/// dk and dv, a task a (item, head, key).
template <class T>
struct AttentionBackwardKeys {
    AttentionBackward<T> a{};
    Heads<T> dk{}, dv{};

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t task) const {
        auto const place = AttentionPlace::of(task, a.shape.heads, a.shape.keys);
        int const width = a.shape.head_width, queries = a.shape.queries;
        std::ptrdiff_t const channel = place.head * width;
        T* const dk_row = dk.at(place.item, place.row, channel);
        T* const dv_row = dv.at(place.item, place.row, channel);
        for (int c = group.rank(); c < width; c += group.size())
            dk_row[c] = dv_row[c] = T(0);
        if (a.shape.key_mask && a.shape.key_mask[place.item * a.shape.keys + place.row] == 0)
            return;
        std::ptrdiff_t first = 0;
        if (a.shape.causal == Causal::yes && place.row + queries > a.shape.keys)
            first = place.row + queries - a.shape.keys;
        for (; first < queries; first += group.size()) {
            AttentionPlace const query{place.item, place.head, first + group.rank()};
            ScoreGradient<T> entry{};
            if (query.row < queries)
                entry = score_gradient(
                    a, (place.item * a.shape.heads + place.head) * queries + query.row, query,
                    place.row);
            std::ptrdiff_t const left = queries - first;
            int const tile = left < group.size() ? static_cast<int>(left) : group.size();
            for (int start = 0; start < width; start += group.size()) {
                int const c = start + group.rank();
                T key_sum = T(0), value_sum = T(0);
                for (int i = 0; i < tile; ++i) {
                    T const slope = group.from(entry.slope, i);
                    T const weight = group.from(entry.weight, i);
                    if (c < width) {
                        key_sum += slope * a.q.at(place.item, first + i, channel)[c];
                        value_sum += weight * a.dout.at(place.item, first + i, channel)[c];
                    }
                }
                if (c < width) {
                    dk_row[c] += key_sum;
                    dv_row[c] += value_sum;
                }
            }
        }
    }
};

} // namespace blip::cuda
