#pragma once

#include <tuple>

#include <blip/layers/cross_attention.hpp>

namespace blip {

/// What a text about two pictures looks at.
template <int Width, class B>
struct EncoderStatesPair {
    EncoderStates<Width, B> first, second;
};

/// Cross-attention to two pictures at once (paper section 5.4, NLVR2): each picture
/// has query, key, value and output of its own, asked with the same rows, and the two results are
/// averaged: y = (first(x) + second(x)) / 2.
template <int Width, int Heads, int EncoderWidth, Backend B>
struct AveragingTwins {
    using backend = B;
    using X = Tokens<Width, B>;
    using States = EncoderStatesPair<EncoderWidth, B>;
    using Grad = AveragingTwins<Width, Heads, EncoderWidth, typename B::gradient>;
    using Attention = CrossAttention<Width, Heads, EncoderWidth, B>;

    Attention first, second;

    static constexpr auto fields() {
        return std::tuple{Field{"first", &AveragingTwins::first},
                          Field{"second", &AveragingTwins::second}};
    }

    struct Cache {
        typename Attention::Cache first, second;
    };

    X forward(X x, Cache& cache, Context<B>& ctx, States const& encoder) const {
        auto const y = first.forward(x, cache.first, ctx, encoder.first);
        auto const other = second.forward(x, cache.second, ctx, encoder.second);
        B::add(ctx.engine, y.data, other.data, y.data, y.size());
        B::scale(ctx.engine, y.data, 0.5, y.data, y.size());
        return y;
    }

    /// Also adds the gradients of both pictures' states, where they are wanted.
    X backward(X dy, Cache const& cache, Grad& grad, Context<B>& ctx, States const& encoder) const {
        auto const dx = ctx.template tokens<Width>(dy.batch, dy.length);
        Scope scope(ctx.arena);
        auto const half = ctx.template tokens<Width>(dy.batch, dy.length);
        B::scale(ctx.engine, dy.data, 0.5, half.data, dy.size());
        auto const a = first.backward(half, cache.first, grad.first, ctx, encoder.first);
        auto const b = second.backward(half, cache.second, grad.second, ctx, encoder.second);
        B::add(ctx.engine, a.data, b.data, dx.data, dx.size());
        return dx;
    }
};

/// The same with the two results merged by a learned product of both, without activation:
/// y = [first(x) | second(x)] Wᵀ + b, W [Width, 2 Width].
template <int Width, int Heads, int EncoderWidth, Backend B>
struct MergingTwins {
    using backend = B;
    using X = Tokens<Width, B>;
    using States = EncoderStatesPair<EncoderWidth, B>;
    using Grad = MergingTwins<Width, Heads, EncoderWidth, typename B::gradient>;
    using Attention = CrossAttention<Width, Heads, EncoderWidth, B>;
    using Merge = Linear<2 * Width, Width, B>;

    Attention first, second;
    Merge merge;

    static constexpr auto fields() {
        return std::tuple{Field{"first", &MergingTwins::first},
                          Field{"second", &MergingTwins::second},
                          Field{"merge", &MergingTwins::merge}};
    }

    struct Cache {
        typename Attention::Cache first, second;
        typename Merge::Cache merge;
    };

    X forward(X x, Cache& cache, Context<B>& ctx, States const& encoder) const {
        auto const both = ctx.template tokens<2 * Width>(x.batch, x.length);
        first.output.forward_into(first.attend(x, cache.first, ctx, encoder.first),
                                  columns(both, 0, Width), cache.first.output, ctx);
        second.output.forward_into(second.attend(x, cache.second, ctx, encoder.second),
                                   columns(both, Width, Width), cache.second.output, ctx);
        return merge.forward(both, cache.merge, ctx);
    }

    /// Also adds the gradients of both pictures' states, where they are wanted.
    X backward(X dy, Cache const& cache, Grad& grad, Context<B>& ctx, States const& encoder) const {
        auto const dx = ctx.template tokens<Width>(dy.batch, dy.length);
        Scope scope(ctx.arena);
        auto const both = merge.backward(dy, cache.merge, grad.merge, ctx);
        auto const da = first.output.backward_from(columns(both, 0, Width), cache.first.output,
                                                   grad.first.output, ctx);
        auto const a = first.attend_backward(da, cache.first, grad.first, ctx, encoder.first);
        auto const db = second.output.backward_from(columns(both, Width, Width),
                                                    cache.second.output, grad.second.output, ctx);
        auto const b = second.attend_backward(db, cache.second, grad.second, ctx, encoder.second);
        B::add(ctx.engine, a.data, b.data, dx.data, dx.size());
        return dx;
    }
};

} // namespace blip
