#pragma once

#include <tuple>

#include <blip/layers/dropout.hpp>
#include <blip/layers/first_token.hpp>
#include <blip/layers/layer_norm.hpp>

namespace blip {

/// norm(x + dropout(branch(x))): BERT's residual (Devlin et al. 2018), used throughout the text
/// network.
template <int Width, class Branch, Backend B>
struct PostNorm {
    using backend = B;
    using X = Tokens<Width, B>;
    using Norm = LayerNorm<Width, B>;
    using Grad = PostNorm<Width, typename Branch::Grad, typename B::gradient>;

    Branch branch;
    Dropout<B> dropout;
    Norm norm;

    static constexpr auto fields() {
        return std::tuple{Field{"branch", &PostNorm::branch}, Field{"dropout", &PostNorm::dropout},
                          Field{"norm", &PostNorm::norm}};
    }

    struct Cache {
        typename Branch::Cache branch;
        typename Dropout<B>::Cache dropout;
        typename Norm::Cache norm;
    };

    X forward(X x, Cache& cache, Context<B>& ctx, auto const&... extra) const {
        auto const y = branch.forward(x, cache.branch, ctx, extra...);
        return norm.forward_sum(dropout.forward(y, cache.dropout, ctx), x, cache.norm, ctx);
    }

    /// What forward gives the first token of every item, [batch, 1, Width], for inference.
    X forward_first(X x, Context<B>& ctx, auto const&... extra) const {
        typename Norm::Cache unused;
        return norm.forward_sum(branch.forward_first(x, ctx, extra...), first_tokens(x, ctx),
                                unused, ctx);
    }

    X backward(X dy, Cache const& cache, Grad& grad, Context<B>& ctx, auto const&... extra) const {
        auto const dx = ctx.template tokens<Width>(dy.batch, dy.length);
        Scope scope(ctx.arena);
        auto const dsum = norm.backward(dy, cache.norm, grad.norm, ctx);
        auto const d = dropout.backward(dsum, cache.dropout, grad.dropout, ctx);
        auto const dbranch = branch.backward(d, cache.branch, grad.branch, ctx, extra...);
        B::add(ctx.engine, dsum.data, dbranch.data, dx.data, dx.size());
        return dx;
    }
};

} // namespace blip
