#pragma once

#include <tuple>

#include <blip/layers/linear.hpp>

namespace blip {

/// Scores of `Classes` classes from one state: y = relu(x W₀ᵀ + b₀) W₁ᵀ + b₁.
template <int Width, int Classes, Backend B>
struct Classifier {
    using backend = B;
    using Grad = Classifier<Width, Classes, typename B::gradient>;
    using Hidden = Linear<Width, Width, B, Activation::relu>;
    using Output = Linear<Width, Classes, B>;

    Hidden hidden;
    Output output;

    static constexpr auto fields() {
        return std::tuple{Field{"hidden", &Classifier::hidden},
                          Field{"output", &Classifier::output}};
    }

    struct Cache {
        typename Hidden::Cache hidden;
        typename Output::Cache output;
    };

    Tokens<Classes, B> forward(Tokens<Width, B> x, Cache& cache, Context<B>& ctx) const {
        return output.forward(hidden.forward(x, cache.hidden, ctx), cache.output, ctx);
    }

    Tokens<Width, B> backward(Tokens<Classes, B> dy, Cache const& cache, Grad& grad,
                              Context<B>& ctx) const {
        return hidden.backward(output.backward(dy, cache.output, grad.output, ctx), cache.hidden,
                               grad.hidden, ctx);
    }
};

} // namespace blip
