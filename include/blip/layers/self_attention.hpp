#pragma once

#include <tuple>

#include <blip/layers/linear.hpp>

namespace blip {

/// Which tokens of its own sequence a token may attend.
struct SelfMask {
    Causal causal = Causal::no;
    unsigned char const* keys =
        nullptr; ///< [batch, length] in backend memory, 1 = attend; null: all
};

/// Multi-head attention of a sequence over itself (Vaswani et al. 2017). Query, key and value are
/// one product; its rows are query | key | value, each head after head.
template <int Width, int Heads, Backend B>
struct SelfAttention {
    using backend = B;
    using scalar = typename B::scalar;
    using X = Tokens<Width, B>;
    using Grad = SelfAttention<Width, Heads, typename B::gradient>;
    static constexpr int heads = Heads, head_width = Width / Heads;
    static_assert(Width % Heads == 0);

    Linear<Width, 3 * Width, B> qkv;
    Linear<Width, Width, B> output;
    double dropout = 0; ///< on attention probabilities, in training

    static constexpr auto fields() {
        return std::tuple{Field{"qkv", &SelfAttention::qkv},
                          Field{"output", &SelfAttention::output},
                          Field{"dropout", &SelfAttention::dropout}};
    }

    struct Cache {
        typename Linear<Width, 3 * Width, B>::Cache qkv;
        typename Linear<Width, Width, B>::Cache output;
        Tokens<3 * Width, B> projected;
        X attended;
        scalar* lse = nullptr;
        RandomKey key;
    };

    X forward(X x, Cache& cache, Context<B>& ctx, SelfMask mask = {}) const {
        auto const projected = cache.projected = qkv.forward(x, cache.qkv, ctx);
        auto const attended = cache.attended = ctx.template tokens<Width>(x.batch, x.length);
        if (ctx.keep == Keep::everything)
            cache.lse = ctx.take(x.rows() * Heads);
        if (ctx.mode == Mode::train && dropout > 0)
            cache.key = ctx.next_key();
        B::attention(ctx.engine, shape(x, mask, cache, ctx), part(projected, 0), part(projected, 1),
                     part(projected, 2), rows(attended), cache.lse);
        return output.forward(attended, cache.output, ctx);
    }

    /// What forward gives the first token of every sequence, [batch, 1, Width], for inference: all
    /// are looked at, but only the first asks.
    X forward_first(X x, Context<B>& ctx, SelfMask mask = {}) const {
        Cache unused;
        auto const projected = qkv.forward(x, unused.qkv, ctx);
        auto const attended = ctx.template tokens<Width>(x.batch, 1);
        auto asked = shape(x, mask, unused, ctx);
        asked.queries = 1;
        B::attention(ctx.engine, asked, part(projected, 0), part(projected, 1), part(projected, 2),
                     rows(attended), nullptr);
        return output.forward(attended, unused.output, ctx);
    }

    X backward(X dy, Cache const& cache, Grad& grad, Context<B>& ctx, SelfMask mask = {}) const {
        auto const dattended = output.backward(dy, cache.output, grad.output, ctx);
        auto const d = ctx.template tokens<3 * Width>(dy.batch, dy.length);
        B::attention_backward(ctx.engine, shape(dy, mask, cache, ctx), part(cache.projected, 0),
                              part(cache.projected, 1), part(cache.projected, 2),
                              rows(cache.attended), cache.lse, rows(dattended), part(d, 0),
                              part(d, 1), part(d, 2));
        return qkv.backward(d, cache.qkv, grad.qkv, ctx);
    }

    /// What the soft-max gave in `cache`'s forward: p [batch, heads, length, length].
    void probabilities(Cache const& cache, Context<B>& ctx, SelfMask mask, scalar* p) const {
        B::attention_probabilities(ctx.engine, shape(cache.attended, mask, cache, ctx),
                                   part(cache.projected, 0), part(cache.projected, 1), p);
    }

    /// Query (0), key (1) or value (2) of every row.
    static HeadRows<B> part(Tokens<3 * Width, B> projected, int which) {
        std::ptrdiff_t const stride = 3 * Width;
        return {projected.data + std::ptrdiff_t{which} * Width, projected.length * stride, stride};
    }

    static HeadRows<B> rows(X x) { return {x.data, std::ptrdiff_t{x.length} * Width, Width}; }

private:
    AttentionShape shape(X x, SelfMask mask, Cache const& cache, Context<B> const& ctx) const {
        return {.items = x.batch,
                .heads = Heads,
                .head_width = head_width,
                .queries = x.length,
                .keys = x.length,
                .causal = mask.causal,
                .key_mask = mask.keys,
                .dropout = ctx.mode == Mode::train ? dropout : 0,
                .key = cache.key};
    }
};

} // namespace blip
