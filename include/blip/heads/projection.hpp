#pragma once

#include <blip/layers/first_token.hpp>
#include <blip/layers/linear.hpp>
#include <blip/layers/unit_rows.hpp>

namespace blip {

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
        return project(first_tokens(states, ctx), projection, cache, ctx);
    }

    /// The same from the first states alone, [batch, 1, In].
    static Tokens<Out, B> project(Tokens<In, B> first, Projection const& projection, Cache& cache,
                                  Context<B>& ctx) {
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
