#pragma once

#include <tuple>

#include <blip/layers/layer_norm.hpp>
#include <blip/layers/linear.hpp>

namespace blip {

/// Scores of the next token: h = norm(gelu(x W + b)), logits = h Eᵀ + bias. The output matrix E is
/// the word-embedding table, lent by whoever owns it; its gradient is added where the table's is.
template <int Vocabulary, int Width, Backend B>
struct LmHead {
    using backend = B;
    using G = typename B::gradient;
    using Grad = LmHead<Vocabulary, Width, G>;
    using Table = Weight<B, Vocabulary, Width>;

    Linear<Width, Width, B, Activation::gelu> transform;
    LayerNorm<Width, B> norm;
    Parameter<B, Vocabulary> bias;

    static constexpr auto fields() {
        return std::tuple{Field{"transform", &LmHead::transform}, Field{"norm", &LmHead::norm},
                          Field{"bias", &LmHead::bias}};
    }

    struct Cache {
        typename Linear<Width, Width, B, Activation::gelu>::Cache transform;
        typename LayerNorm<Width, B>::Cache norm;
        Tokens<Width, B> hidden;
    };

    Tokens<Vocabulary, B> forward(Tokens<Width, B> x, Table const& table, Cache& cache,
                                  Context<B>& ctx) const {
        auto const h = transform.forward(x, cache.transform, ctx);
        cache.hidden = norm.forward(h, cache.norm, ctx);
        auto const logits = ctx.template tokens<Vocabulary>(x.batch, x.length);
        B::linear(ctx.engine, matrix(cache.hidden), table.view(), bias.data, Activation::none,
                  matrix(logits), nullptr);
        return logits;
    }

    Tokens<Width, B> backward(Tokens<Vocabulary, B> dlogits, Table const& table, Cache const& cache,
                              Grad& grad, Weight<G, Vocabulary, Width>& table_grad,
                              Context<B>& ctx) const {
        B::linear_backward_weight(ctx.engine, matrix(dlogits), matrix(cache.hidden),
                                  table_grad.data, grad.bias.data);
        auto const dhidden = ctx.template tokens<Width>(dlogits.batch, dlogits.length);
        B::linear_backward_input(ctx.engine, matrix(dlogits), table.view(), matrix(dhidden));
        return transform.backward(norm.backward(dhidden, cache.norm, grad.norm, ctx),
                                  cache.transform, grad.transform, ctx);
    }
};

} // namespace blip
