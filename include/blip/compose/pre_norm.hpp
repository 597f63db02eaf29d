#pragma once

#include <tuple>

#include <blip/layers/dropout.hpp>
#include <blip/layers/layer_norm.hpp>

namespace blip {

/// x + branch(norm(x)): how the vision transformer keeps its residual stream clean.
template <int Width, class Branch, Backend B>
struct PreNorm {
    using backend = B;
    using X = Tokens<Width, B>;
    using Norm = LayerNorm<Width, B>;
    using Grad = PreNorm<Width, typename Branch::Grad, typename B::gradient>;

    Norm norm;
    Branch branch;
    DropPath<B> drop_path;

    static constexpr auto fields() {
        return std::tuple{Field{"norm", &PreNorm::norm}, Field{"branch", &PreNorm::branch},
                          Field{"drop_path", &PreNorm::drop_path}};
    }

    struct Cache {
        typename Norm::Cache norm;
        typename Branch::Cache branch;
        typename DropPath<B>::Cache drop_path;
    };

    X forward(X x, Cache& cache, Context<B>& ctx, auto const&... extra) const {
        auto const y =
            branch.forward(norm.forward(x, cache.norm, ctx), cache.branch, ctx, extra...);
        auto const sum = drop_path.forward(y, cache.drop_path, ctx);
        B::add(ctx.engine, x.data, sum.data, sum.data, sum.size());
        return sum;
    }

    X backward(X dy, Cache const& cache, Grad& grad, Context<B>& ctx, auto const&... extra) const {
        auto const dx = ctx.template tokens<Width>(dy.batch, dy.length);
        Scope scope(ctx.arena);
        auto const d = drop_path.backward(dy, cache.drop_path, grad.drop_path, ctx);
        auto const dbranch = branch.backward(d, cache.branch, grad.branch, ctx, extra...);
        auto const dnorm = norm.backward(dbranch, cache.norm, grad.norm, ctx);
        B::add(ctx.engine, dy.data, dnorm.data, dx.data, dx.size());
        return dx;
    }
};

} // namespace blip
