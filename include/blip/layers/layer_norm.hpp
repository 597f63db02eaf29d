#pragma once

#include <tuple>

#include <blip/backend/backend.hpp>
#include <blip/core/layer.hpp>

namespace blip {

/// y = (x - mean) / √(variance + ε) · scale + shift over the width (Ba et al. 2016), biased
/// variance.
template <int Width, Backend B>
struct LayerNorm {
    using backend = B;
    using scalar = typename B::scalar;
    using Grad = LayerNorm<Width, typename B::gradient>;

    Parameter<B, Width> scale;
    Parameter<B, Width> shift;
    double epsilon = 1e-12; ///< the vision transformer's is 1e-6, or what a config.json says

    static constexpr auto fields() {
        return std::tuple{Field{"scale", &LayerNorm::scale}, Field{"shift", &LayerNorm::shift},
                          Field{"epsilon", &LayerNorm::epsilon}};
    }

    struct Cache {
        Tokens<Width, B> x;
        scalar* statistics = nullptr;
    };

    Tokens<Width, B> forward(Tokens<Width, B> x, Cache& cache, Context<B>& ctx) const {
        return normalize(x, nullptr, cache, ctx);
    }

    /// The layer applied to x + residual, whose sum is made on the way.
    Tokens<Width, B> forward_sum(Tokens<Width, B> x, Tokens<Width, B> residual, Cache& cache,
                                 Context<B>& ctx) const {
        return normalize(x, residual.data, cache, ctx);
    }

    /// Gradient of what was normalised: of x, and equally of the residual.
    Tokens<Width, B> backward(Tokens<Width, B> dy, Cache const& cache, Grad& grad,
                              Context<B>& ctx) const {
        auto dx = ctx.template tokens<Width>(dy.batch, dy.length);
        B::layer_norm_backward(ctx.engine, matrix(dy), matrix(cache.x), scale.data,
                               cache.statistics, matrix(dx), grad.scale.data, grad.shift.data);
        return dx;
    }

private:
    Tokens<Width, B> normalize(Tokens<Width, B> x, scalar const* residual, Cache& cache,
                               Context<B>& ctx) const {
        auto y = ctx.template tokens<Width>(x.batch, x.length);
        auto sum = x;
        sum.data = nullptr;
        if (ctx.keep == Keep::everything) {
            if (residual)
                sum = ctx.template tokens<Width>(x.batch, x.length);
            cache.x = residual ? sum : x;
            cache.statistics = ctx.take(2 * x.rows());
        }
        B::layer_norm(ctx.engine, matrix(x), residual, scale.data, shift.data, epsilon, matrix(y),
                      sum.data, cache.statistics);
        return y;
    }
};

} // namespace blip
