#pragma once

#include <cstddef>
#include <numeric>
#include <tuple>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/layers/linear.hpp>

namespace blip {

/// What a text network looks at: states of an image encoder (or of another text), [n, length,
/// Width]. A batch of n texts looks at one item each; one of n * m texts, m after m, at each item
/// with m of them, whose keys and values are computed once.
template <int Width, class B>
struct EncoderStates {
    Tokens<Width, B> states;
    unsigned char const* mask = nullptr; ///< [n, length] in backend memory, 1 = attend; null: all
    Tokens<Width, B> gradient{}; ///< where backward adds ∂L/∂states; no data: not wanted
};

/// Multi-head attention from text rows to encoder states (paper section 3.1, "cross-attention").
/// Key and value are one product over the states; its rows are key | value.
template <int Width, int Heads, int EncoderWidth, Backend B>
struct CrossAttention {
    using backend = B;
    using scalar = typename B::scalar;
    using X = Tokens<Width, B>;
    using States = EncoderStates<EncoderWidth, B>;
    using Grad = CrossAttention<Width, Heads, EncoderWidth, typename B::gradient>;
    static constexpr int heads = Heads, head_width = Width / Heads;
    static_assert(Width % Heads == 0);

    Linear<Width, Width, B> query;
    Linear<EncoderWidth, 2 * Width, B> key_value;
    Linear<Width, Width, B> output;
    double dropout = 0; ///< on attention probabilities, in training

    static constexpr auto fields() {
        return std::tuple{
            Field{"query", &CrossAttention::query}, Field{"key_value", &CrossAttention::key_value},
            Field{"output", &CrossAttention::output}, Field{"dropout", &CrossAttention::dropout}};
    }

    struct Cache {
        typename Linear<Width, Width, B>::Cache query;
        typename Linear<EncoderWidth, 2 * Width, B>::Cache key_value;
        typename Linear<Width, Width, B>::Cache output;
        X queries;
        Tokens<2 * Width, B> projected;
        X attended;
        scalar* lse = nullptr;
        RandomKey key;
    };

    /// Throws ArgumentError when the texts cannot be shared out evenly among the states.
    X forward(X x, Cache& cache, Context<B>& ctx, States const& encoder) const {
        return output.forward(attend(x, cache, ctx, encoder), cache.output, ctx);
    }

    /// Also adds the gradient of the states to `encoder.gradient`, where it has data.
    X backward(X dy, Cache const& cache, Grad& grad, Context<B>& ctx, States const& encoder) const {
        return attend_backward(output.backward(dy, cache.output, grad.output, ctx), cache, grad,
                               ctx, encoder);
    }

    /// Everything before `output`: what the heads found, side by side. Throws ArgumentError when
    /// the texts cannot be shared out evenly among the states.
    X attend(X x, Cache& cache, Context<B>& ctx, States const& encoder) const {
        if (encoder.states.batch < 1 || x.batch % encoder.states.batch != 0)
            throw ArgumentError(join("cross-attention: ", x.batch, " texts cannot look at ",
                                     encoder.states.batch,
                                     " items of states; expected as many, or a multiple"));
        auto const q = cache.queries = query.forward(x, cache.query, ctx);
        auto const kv = cache.projected = key_value.forward(encoder.states, cache.key_value, ctx);
        auto const attended = cache.attended = ctx.template tokens<Width>(x.batch, x.length);
        if (ctx.keep == Keep::everything)
            cache.lse = ctx.take(x.rows() * Heads);
        if (ctx.mode == Mode::train && dropout > 0)
            cache.key = ctx.next_key();
        B::attention(ctx.engine, shape(x, encoder, cache, ctx), rows(q, encoder), part(kv, 0),
                     part(kv, 1), rows(attended, encoder), cache.lse);
        return attended;
    }

    X attend_backward(X dattended, Cache const& cache, Grad& grad, Context<B>& ctx,
                      States const& encoder) const {
        auto const dq = ctx.template tokens<Width>(dattended.batch, dattended.length);
        auto const dkv =
            ctx.template tokens<2 * Width>(encoder.states.batch, encoder.states.length);
        B::attention_backward(
            ctx.engine, shape(dattended, encoder, cache, ctx), rows(cache.queries, encoder),
            part(cache.projected, 0), part(cache.projected, 1), rows(cache.attended, encoder),
            cache.lse, rows(dattended, encoder), rows(dq, encoder), part(dkv, 0), part(dkv, 1));
        auto const dstates = key_value.backward(dkv, cache.key_value, grad.key_value, ctx);
        if (encoder.gradient.data)
            B::add(ctx.engine, encoder.gradient.data, dstates.data, encoder.gradient.data,
                   dstates.size());
        return query.backward(dq, cache.query, grad.query, ctx);
    }

    /// What the soft-max gave in `cache`'s forward: p [n, heads, texts per item * length, encoder
    /// length].
    void probabilities(Cache const& cache, Context<B>& ctx, States const& encoder,
                       scalar* p) const {
        B::attention_probabilities(ctx.engine, shape(cache.queries, encoder, cache, ctx),
                                   rows(cache.queries, encoder), part(cache.projected, 0), p);
    }

    /// ∂L/∂p of the same p, before dropout, for a gradient of what the heads found ("attended"):
    /// g[item, head, query, key] = dattended[query] · value[key], channels of that head. For
    /// inspection: a product for every item and head.
    void probability_gradient(X dattended, Cache const& cache, Context<B>& ctx,
                              States const& encoder, scalar* g) const {
        Scope scope(ctx.arena);
        int const keys = encoder.states.length, asked = queries(dattended, encoder);
        std::vector<int> numbers(static_cast<std::size_t>(keys));
        std::iota(numbers.begin(), numbers.end(), 0);
        int* const every = ctx.arena.template take<int>(keys);
        B::upload(ctx.engine, every, static_cast<int const*>(numbers.data()), keys);
        scalar* const value = ctx.take(std::ptrdiff_t{keys} * head_width);
        auto const values = part(cache.projected, 1);
        auto const d = rows(dattended, encoder);
        for (int item = 0; item < encoder.states.batch; ++item)
            for (int head = 0; head < Heads; ++head) {
                std::ptrdiff_t const channel = std::ptrdiff_t{head} * head_width;
                B::gather_rows(ctx.engine,
                               {values.data + item * values.item_stride + channel, keys, head_width,
                                values.row_stride},
                               every, {value, keys, head_width, head_width});
                B::linear(
                    ctx.engine,
                    {d.data + item * d.item_stride + channel, asked, head_width, d.row_stride},
                    WeightView<B>{value, keys, head_width}, nullptr, Activation::none,
                    {g, asked, keys, keys}, nullptr);
                g += std::ptrdiff_t{asked} * keys;
            }
    }

    /// Key (0) or value (1) of every state.
    static HeadRows<B> part(Tokens<2 * Width, B> projected, int which) {
        std::ptrdiff_t const stride = 2 * Width;
        return {projected.data + std::ptrdiff_t{which} * Width, projected.length * stride, stride};
    }

private:
    /// The texts that look at one item ask together, as one longer text would: a query's answer
    /// depends on no other query.
    static int queries(X x, States const& encoder) {
        return x.batch / encoder.states.batch * x.length;
    }

    static HeadRows<B> rows(X x, States const& encoder) {
        return {x.data, std::ptrdiff_t{queries(x, encoder)} * Width, Width};
    }

    AttentionShape shape(X x, States const& encoder, Cache const& cache,
                         Context<B> const& ctx) const {
        return {.items = encoder.states.batch,
                .heads = Heads,
                .head_width = head_width,
                .queries = queries(x, encoder),
                .keys = encoder.states.length,
                .key_mask = encoder.mask,
                .dropout = ctx.mode == Mode::train ? dropout : 0,
                .key = cache.key};
    }
};

} // namespace blip
