#pragma once

#include <tuple>

#include <blip/backend/backend.hpp>
#include <blip/core/layer.hpp>

namespace blip {

/// y = x / max(‖x‖₂, ε), row by row: what the contrastive loss compares has length 1. The published
/// models' ε is 1e-12.
template <int Width, Backend B>
struct UnitRows {
    using backend = B;
    using scalar = typename B::scalar;
    using Grad = UnitRows<Width, typename B::gradient>;

    double epsilon = 1e-12;

    static constexpr auto fields() { return std::tuple{Field{"epsilon", &UnitRows::epsilon}}; }

    struct Cache {
        Tokens<Width, B> y;
        scalar* norms = nullptr;
    };

    Tokens<Width, B> forward(Tokens<Width, B> x, Cache& cache, Context<B>& ctx) const {
        auto const y = cache.y = ctx.template tokens<Width>(x.batch, x.length);
        if (ctx.keep == Keep::everything)
            cache.norms = ctx.take(x.rows());
        B::normalize_rows(ctx.engine, matrix(x), epsilon, matrix(y), cache.norms);
        return y;
    }

    Tokens<Width, B> backward(Tokens<Width, B> dy, Cache const& cache, Grad&,
                              Context<B>& ctx) const {
        auto const dx = ctx.template tokens<Width>(dy.batch, dy.length);
        B::normalize_rows_backward(ctx.engine, matrix(dy), matrix(cache.y), cache.norms, epsilon,
                                   matrix(dx));
        return dx;
    }
};

} // namespace blip
