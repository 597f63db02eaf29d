#pragma once

#include <tuple>

#include <blip/layers/linear.hpp>

namespace blip {

/// Two linear layers with the exact GELU between them: the feed-forward part of every block.
template <int Width, int Hidden, Backend B>
struct Mlp {
    using backend = B;
    using X = Tokens<Width, B>;
    using Grad = Mlp<Width, Hidden, typename B::gradient>;

    Linear<Width, Hidden, B, Activation::gelu> up;
    Linear<Hidden, Width, B> down;

    static constexpr auto fields() {
        return std::tuple{Field{"up", &Mlp::up}, Field{"down", &Mlp::down}};
    }

    struct Cache {
        typename Linear<Width, Hidden, B, Activation::gelu>::Cache up;
        typename Linear<Hidden, Width, B>::Cache down;
    };

    X forward(X x, Cache& cache, Context<B>& ctx) const {
        return down.forward(up.forward(x, cache.up, ctx), cache.down, ctx);
    }

    X backward(X dy, Cache const& cache, Grad& grad, Context<B>& ctx) const {
        return up.backward(down.backward(dy, cache.down, grad.down, ctx), cache.up, grad.up, ctx);
    }
};

} // namespace blip
