#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <blip/backend/backend.hpp>

namespace blip::reference {

/// True where query t of `item` may see key s.
inline bool visible(AttentionShape const& a, int item, int query, int key) {
    if (a.causal == Causal::yes && key > query + a.keys - a.queries)
        return false;
    return !a.key_mask || a.key_mask[std::ptrdiff_t{item} * a.keys + key];
}

/// What dropout multiplies a probability by: 0 or 1 / (1 - p).
inline double dropout_factor(AttentionShape const& a, int item, int head, int query, int key) {
    if (a.dropout == 0)
        return 1;
    auto const index = ((static_cast<std::uint64_t>(item) * static_cast<std::uint64_t>(a.heads) +
                         static_cast<std::uint64_t>(head)) *
                            static_cast<std::uint64_t>(a.queries) +
                        static_cast<std::uint64_t>(query)) *
                           static_cast<std::uint64_t>(a.keys) +
                       static_cast<std::uint64_t>(key);
    return random_bits(a.key, index) >= a.dropout * 0x1p32 ? 1 / (1 - a.dropout) : 0;
}

template <class B>
typename B::scalar* row(HeadRows<B> x, AttentionShape const& a, int item, int head, int r) {
    return x.data + item * x.item_stride + r * x.row_stride + std::ptrdiff_t{head} * a.head_width;
}

/// softmax(q kᵀ/√d + mask) of one query: `p` [keys]. Returns the log of the sum of exponentials.
template <class B>
typename B::scalar probabilities(AttentionShape const& a, HeadRows<B> q, HeadRows<B> k, int item,
                                 int head, int query, std::vector<typename B::scalar>& p) {
    using std::exp, std::log;
    using T = typename B::scalar;
    T const scale = T(1 / std::sqrt(static_cast<double>(a.head_width)));
    p.assign(static_cast<std::size_t>(a.keys), T(0));
    T const* qr = row(q, a, item, head, query);
    T most{};
    bool any = false;
    for (int s = 0; s < a.keys; ++s) {
        if (!visible(a, item, query, s))
            continue;
        T const* kr = row(k, a, item, head, s);
        T score{};
        for (int c = 0; c < a.head_width; ++c)
            score += qr[c] * kr[c];
        auto& slot = p[static_cast<std::size_t>(s)];
        slot = score * scale;
        if (!any || most < slot)
            most = slot;
        any = true;
    }
    if (!any)
        return T(0);
    T sum{};
    for (int s = 0; s < a.keys; ++s) {
        auto& slot = p[static_cast<std::size_t>(s)];
        slot = visible(a, item, query, s) ? T(exp(T(slot - most))) : T(0);
        sum += slot;
    }
    for (auto& slot : p)
        slot = slot / sum;
    return most + log(sum);
}

/// softmax(q kᵀ/√d + mask) v, probability by probability (Vaswani et al. 2017, equation 1).
template <class B>
void attention(AttentionShape const& a, HeadRows<B> q, HeadRows<B> k, HeadRows<B> v,
               HeadRows<B> out, typename B::scalar* lse) {
    using T = typename B::scalar;
    std::vector<T> p;
    for (int item = 0; item < a.items; ++item)
        for (int head = 0; head < a.heads; ++head)
            for (int query = 0; query < a.queries; ++query) {
                T const log_sum = probabilities(a, q, k, item, head, query, p);
                if (lse)
                    lse[(std::ptrdiff_t{item} * a.heads + head) * a.queries + query] = log_sum;
                T* o = row(out, a, item, head, query);
                for (int c = 0; c < a.head_width; ++c)
                    o[c] = T(0);
                for (int s = 0; s < a.keys; ++s) {
                    T const weight =
                        p[static_cast<std::size_t>(s)] * T(dropout_factor(a, item, head, query, s));
                    T const* vr = row(v, a, item, head, s);
                    for (int c = 0; c < a.head_width; ++c)
                        o[c] += weight * vr[c];
                }
            }
}

/// With P the probabilities and D the dropout factors: dV = (P∘D)ᵀ dO, dP = D∘(dO Vᵀ),
/// dS = P∘(dP - rowsum(P∘dP)), dQ = dS K/√d, dK = dSᵀ Q/√d.
template <class B>
void attention_backward(AttentionShape const& a, HeadRows<B> q, HeadRows<B> k, HeadRows<B> v,
                        HeadRows<B> dout, HeadRows<B> dq, HeadRows<B> dk, HeadRows<B> dv) {
    using T = typename B::scalar;
    T const scale = T(1 / std::sqrt(static_cast<double>(a.head_width)));
    std::vector<T> p, dp(static_cast<std::size_t>(a.keys));
    for (int item = 0; item < a.items; ++item)
        for (int head = 0; head < a.heads; ++head) {
            for (int s = 0; s < a.keys; ++s)
                for (int c = 0; c < a.head_width; ++c)
                    row(dk, a, item, head, s)[c] = row(dv, a, item, head, s)[c] = T(0);
            for (int query = 0; query < a.queries; ++query) {
                probabilities(a, q, k, item, head, query, p);
                T const* g = row(dout, a, item, head, query);
                T inner{};
                for (int s = 0; s < a.keys; ++s) {
                    auto const i = static_cast<std::size_t>(s);
                    T const factor = T(dropout_factor(a, item, head, query, s));
                    T const* vr = row(v, a, item, head, s);
                    T* dvr = row(dv, a, item, head, s);
                    T sum{};
                    for (int c = 0; c < a.head_width; ++c) {
                        sum += g[c] * vr[c];
                        dvr[c] += p[i] * factor * g[c];
                    }
                    dp[i] = sum * factor;
                    inner += p[i] * dp[i];
                }
                T const* qr = row(q, a, item, head, query);
                T* dqr = row(dq, a, item, head, query);
                for (int c = 0; c < a.head_width; ++c)
                    dqr[c] = T(0);
                for (int s = 0; s < a.keys; ++s) {
                    auto const i = static_cast<std::size_t>(s);
                    T const ds = p[i] * (dp[i] - inner) * scale;
                    T const* kr = row(k, a, item, head, s);
                    T* dkr = row(dk, a, item, head, s);
                    for (int c = 0; c < a.head_width; ++c) {
                        dqr[c] += ds * kr[c];
                        dkr[c] += ds * qr[c];
                    }
                }
            }
        }
}

/// Attention of cached decoding: copies each group's keys and values together, then attends
/// densely.
template <class B>
void attention_indexed(IndexedAttentionShape const& a, HeadRows<B> q, HeadRows<B> k, HeadRows<B> v,
                       HeadRows<B> out) {
    using T = typename B::scalar;
    std::ptrdiff_t const width = std::ptrdiff_t{a.heads} * a.head_width;
    std::vector<T> keys, values;
    for (int group = 0; group < a.groups; ++group) {
        int const count = a.key_counts ? a.key_counts[group] : a.keys;
        keys.clear();
        values.clear();
        for (int j = 0; j < count; ++j) {
            std::ptrdiff_t const r =
                a.key_rows ? a.key_rows[std::ptrdiff_t{group} * a.keys + j] : j;
            std::ptrdiff_t const item = a.key_items[group];
            T const* kr = k.data + item * k.item_stride + r * k.row_stride;
            T const* vr = v.data + item * v.item_stride + r * v.row_stride;
            keys.insert(keys.end(), kr, kr + width);
            values.insert(values.end(), vr, vr + width);
        }
        int const first = a.query_starts[group];
        AttentionShape const dense{.items = 1,
                                   .heads = a.heads,
                                   .head_width = a.head_width,
                                   .queries = a.query_starts[group + 1] - first,
                                   .keys = count};
        attention<B>(dense, {q.data + first * q.row_stride, 0, q.row_stride},
                     {keys.data(), 0, width}, {values.data(), 0, width},
                     {out.data + first * out.row_stride, 0, out.row_stride}, nullptr);
    }
}

} // namespace blip::reference
