#pragma once

#include <cstdint>
#include <tuple>

#include <blip/layers/dropout.hpp>
#include <blip/layers/layer_norm.hpp>

namespace blip {

/// Token ids and their positions, [batch, length] each, in backend memory. `mask` is 1 where a
/// token is real and 0 where it pads; null: all real.
template <class B>
struct TextInput {
    int const* ids = nullptr;
    int const* positions = nullptr;
    unsigned char const* mask = nullptr;
    int batch = 0;
    int length = 0;
};

/// Word plus position embedding, normalised: [batch, length] ids to [batch, length, Width]. There
/// are no token-type embeddings in BLIP. The word table also is the output matrix of the
/// language-model head, which borrows it.
template <int Vocabulary, int Positions, int Width, Backend B>
struct TextEmbedding {
    using backend = B;
    using Grad = TextEmbedding<Vocabulary, Positions, Width, typename B::gradient>;

    Weight<B, Vocabulary, Width> words;
    Parameter<B, Positions, Width> positions;
    LayerNorm<Width, B> norm;
    Dropout<B> dropout;
    std::int64_t padding_id =
        -1; ///< its word row learns nothing from lookups; -1: every row learns

    static constexpr auto fields() {
        return std::tuple{
            Field{"words", &TextEmbedding::words}, Field{"positions", &TextEmbedding::positions},
            Field{"norm", &TextEmbedding::norm}, Field{"dropout", &TextEmbedding::dropout},
            Field{"padding_id", &TextEmbedding::padding_id}};
    }

    struct Cache {
        TextInput<B> text;
        typename LayerNorm<Width, B>::Cache norm;
        typename Dropout<B>::Cache dropout;
    };

    Tokens<Width, B> forward(TextInput<B> text, Cache& cache, Context<B>& ctx) const {
        cache.text = text;
        auto const sum = ctx.template tokens<Width>(text.batch, text.length);
        B::embed(ctx.engine, text.ids, text.positions, words.view(), positions.data, matrix(sum));
        return dropout.forward(norm.forward(sum, cache.norm, ctx), cache.dropout, ctx);
    }

    void backward(Tokens<Width, B> dy, Cache const& cache, Grad& grad, Context<B>& ctx) const {
        auto const dnorm = dropout.backward(dy, cache.dropout, grad.dropout, ctx);
        auto const dsum = norm.backward(dnorm, cache.norm, grad.norm, ctx);
        B::embed_backward(ctx.engine, cache.text.ids, cache.text.positions,
                          static_cast<int>(padding_id), matrix(dsum), grad.words.data,
                          grad.positions.data);
    }
};

} // namespace blip
