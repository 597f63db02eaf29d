#pragma once

#include <cstddef>

#include <blip/layers/linear.hpp>
#include <blip/layers/unit_rows.hpp>

namespace blip {

/// The first row of every item, [batch, 1, Width]: the class token's state.
template <int Width, Backend B>
Tokens<Width, B> first_tokens(Tokens<Width, B> x, Context<B>& ctx) {
    auto const y = ctx.template tokens<Width>(x.batch, 1);
    for (int item = 0; item < x.batch; ++item)
        B::copy(ctx.engine, y.items(item, 1).data, x.items(item, 1).data, Width);
    return y;
}

/// Backward of `first_tokens`: adds dy [batch, 1, Width] to the first rows of dx.
template <int Width, Backend B>
void add_to_first_tokens(Tokens<Width, B> dy, Tokens<Width, B> dx, Context<B>& ctx) {
    for (int item = 0; item < dx.batch; ++item) {
        auto* const to = dx.items(item, 1).data;
        B::add(ctx.engine, to, dy.items(item, 1).data, to, Width);
    }
}

/// The unit vector that stands for a picture or a text in the contrastive loss and in search
/// (paper section 3.2, ITC): normalise(W x₀ + b) of the first token's state x₀. The projection is
/// lent by the network that owns it.
template <int In, int Out, Backend B>
struct ProjectedFeatures {
    using Projection = Linear<In, Out, B>;

    struct Cache {
        typename Projection::Cache projection;
        typename UnitRows<Out, B>::Cache unit;
    };

    /// States [batch, length, In] to features [batch, 1, Out].
    static Tokens<Out, B> forward(Tokens<In, B> states, Projection const& projection, Cache& cache,
                                  Context<B>& ctx) {
        auto const first = first_tokens(states, ctx);
        return UnitRows<Out, B>{}.forward(projection.forward(first, cache.projection, ctx),
                                          cache.unit, ctx);
    }

    /// Adds to `grad`, and to the first rows of `dstates` [batch, length, In].
    static void backward(Tokens<Out, B> dy, Projection const& projection, Cache const& cache,
                         typename Projection::Grad& grad, Tokens<In, B> dstates, Context<B>& ctx) {
        Scope scope(ctx.arena);
        typename UnitRows<Out, B>::Grad none;
        auto const dprojected = UnitRows<Out, B>{}.backward(dy, cache.unit, none, ctx);
        add_to_first_tokens(projection.backward(dprojected, cache.projection, grad, ctx), dstates,
                            ctx);
    }
};

} // namespace blip
