#pragma once

#include <tuple>

#include <blip/backend/backend.hpp>
#include <blip/core/layer.hpp>

namespace blip {

/// What shares one coin toss of dropout.
enum class DropUnit {
    element, ///< each number for itself (Srivastava et al. 2014)
    item     ///< all of an item of the batch: stochastic depth, "drop path" (Huang et al. 2016)
};

/// Zeroes units with a probability and scales the others by 1 / (1 - probability), in training
/// only. The cache holds the key of the random stream, never a mask: backward replays it.
template <Backend B, DropUnit Unit = DropUnit::element>
struct Dropout {
    using backend = B;
    using Grad = Dropout<typename B::gradient, Unit>;

    double probability = 0;

    static constexpr auto fields() {
        return std::tuple{Field{"probability", &Dropout::probability}};
    }

    struct Cache {
        RandomKey key;
        bool active = false;
    };

    template <int Width>
    Tokens<Width, B> forward(Tokens<Width, B> x, Cache& cache, Context<B>& ctx) const {
        cache.active = ctx.mode == Mode::train && probability > 0;
        if (!cache.active)
            return x;
        cache.key = ctx.next_key();
        return apply(x, cache, ctx);
    }

    template <int Width>
    Tokens<Width, B> backward(Tokens<Width, B> dy, Cache const& cache, Grad&,
                              Context<B>& ctx) const {
        return cache.active ? apply(dy, cache, ctx) : dy;
    }

private:
    template <int Width>
    Tokens<Width, B> apply(Tokens<Width, B> x, Cache const& cache, Context<B>& ctx) const {
        auto y = ctx.template tokens<Width>(x.batch, x.length);
        std::ptrdiff_t const unit = Unit == DropUnit::item ? std::ptrdiff_t{x.length} * Width : 1;
        B::dropout(ctx.engine, x.data, x.size(), unit, probability, cache.key, y.data);
        return y;
    }
};

/// Drops whole residual branches, item by item.
template <Backend B>
using DropPath = Dropout<B, DropUnit::item>;

} // namespace blip
