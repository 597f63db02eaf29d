#pragma once

#include <tuple>

#include <blip/backend/backend.hpp>
#include <blip/core/layer.hpp>

namespace blip {

/// y = activation(x Wᵀ + b), row by row.
template <int In, int Out, Backend B, Activation Act = Activation::none>
struct Linear {
    using backend = B;
    using scalar = typename B::scalar;
    using Grad = Linear<In, Out, typename B::gradient, Act>;
    static constexpr int in = In, out = Out;

    Weight<B, Out, In> weight;
    Parameter<B, Out> bias;

    static constexpr auto fields() {
        return std::tuple{Field{"weight", &Linear::weight}, Field{"bias", &Linear::bias}};
    }

    struct Cache {
        Tokens<In, B> x;
        scalar* before = nullptr; ///< x Wᵀ + b where an activation follows
    };

    Tokens<Out, B> forward(Tokens<In, B> x, Cache& cache, Context<B>& ctx) const {
        cache.x = x;
        auto y = ctx.template tokens<Out>(x.batch, x.length);
        if (Act != Activation::none && ctx.keep == Keep::everything)
            cache.before = ctx.take(y.size());
        B::linear(ctx.engine, matrix(x), weight.view(), bias.data, Act, matrix(y), cache.before);
        return y;
    }

    Tokens<In, B> backward(Tokens<Out, B> dy, Cache const& cache, Grad& grad,
                           Context<B>& ctx) const {
        auto dx = ctx.template tokens<In>(dy.batch, dy.length);
        Scope scope(ctx.arena);
        auto du = dy;
        if constexpr (Act != Activation::none) {
            du = ctx.template tokens<Out>(dy.batch, dy.length);
            B::activation_backward(ctx.engine, Act, cache.before, dy.data, du.data, dy.size());
        }
        product_backward(matrix(du), cache, grad, matrix(dx), ctx);
        return dx;
    }

    /// forward into rows that lie elsewhere, `y` [rows of x, Out]: columns of something wider.
    void forward_into(Tokens<In, B> x, Matrix<B> y, Cache& cache, Context<B>& ctx) const
        requires(Act == Activation::none) {
        cache.x = x;
        B::linear(ctx.engine, matrix(x), weight.view(), bias.data, Act, y, nullptr);
    }

    /// backward from such rows.
    Tokens<In, B> backward_from(Matrix<B> dy, Cache const& cache, Grad& grad, Context<B>& ctx) const
        requires(Act == Activation::none) {
        auto dx = ctx.template tokens<In>(cache.x.batch, cache.x.length);
        product_backward(dy, cache, grad, matrix(dx), ctx);
        return dx;
    }

private:
    void product_backward(Matrix<B> du, Cache const& cache, Grad& grad, Matrix<B> dx,
                          Context<B>& ctx) const {
        B::linear_backward_weight(ctx.engine, du, matrix(cache.x), grad.weight.data,
                                  grad.bias.data);
        B::linear_backward_input(ctx.engine, du, weight.view(), dx);
    }
};

} // namespace blip
