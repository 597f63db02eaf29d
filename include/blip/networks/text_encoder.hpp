#pragma once

#include <tuple>

#include <blip/compose/post_norm.hpp>
#include <blip/compose/stack.hpp>
#include <blip/config/concepts.hpp>
#include <blip/layers/cross_attention.hpp>
#include <blip/layers/first_token.hpp>
#include <blip/layers/mlp.hpp>
#include <blip/layers/self_attention.hpp>
#include <blip/layers/text_embedding.hpp>

namespace blip {

/// One block of the text network ("mixture of encoder-decoder", paper section 3.1): self-attention,
/// cross-attention where encoder states are given, feed-forward, each norm(x + branch(x)).
/// `Looks`: its cross-attention, here to one picture or text.
template <TextConfig C, Backend B,
          class Looks = CrossAttention<C::width, C::heads, C::encoder_width, B>>
struct TextBlock {
    using backend = B;
    using X = Tokens<C::width, B>;
    using States = typename Looks::States;
    using Grad = TextBlock<C, typename B::gradient, typename Looks::Grad>;
    using Attention = PostNorm<C::width, SelfAttention<C::width, C::heads, B>, B>;
    using Cross = PostNorm<C::width, Looks, B>;
    using FeedForward = PostNorm<C::width, Mlp<C::width, C::hidden, B>, B>;

    Attention attention;
    Cross cross;
    FeedForward mlp;

    static constexpr auto fields() {
        return std::tuple{Field{"attention", &TextBlock::attention},
                          Field{"cross", &TextBlock::cross}, Field{"mlp", &TextBlock::mlp}};
    }

    struct Cache {
        typename Attention::Cache attention;
        typename Cross::Cache cross;
        typename FeedForward::Cache mlp;
    };

    /// Mode "multimodal": text that looks at encoder states.
    X forward(X x, Cache& cache, Context<B>& ctx, SelfMask mask, States const& encoder) const {
        auto const h = attention.forward(x, cache.attention, ctx, mask);
        return mlp.forward(cross.forward(h, cache.cross, ctx, encoder), cache.mlp, ctx);
    }
    X backward(X dy, Cache const& cache, Grad& grad, Context<B>& ctx, SelfMask mask,
               States const& encoder) const {
        auto const dmlp = mlp.backward(dy, cache.mlp, grad.mlp, ctx);
        auto const dcross = cross.backward(dmlp, cache.cross, grad.cross, ctx, encoder);
        return attention.backward(dcross, cache.attention, grad.attention, ctx, mask);
    }

    /// What forward gives the first token of every text, [batch, 1, width], for inference: in both
    /// modes, for nothing after self-attention mixes tokens.
    X forward_first(X x, Context<B>& ctx, SelfMask mask, auto const&... encoder) const {
        typename Cross::Cache looked;
        typename FeedForward::Cache fed;
        auto h = attention.forward_first(x, ctx, mask);
        if constexpr (sizeof...(encoder) > 0)
            h = cross.forward(h, looked, ctx, encoder...);
        return mlp.forward(h, fed, ctx);
    }

    /// The upper part of backward: g receives ∂L/∂p of the cross-attention's probabilities.
    void probability_gradient(X dy, Cache const& cache, Grad& grad, Context<B>& ctx,
                              States const& encoder, typename B::scalar* g) const {
        auto const dcross = mlp.backward(dy, cache.mlp, grad.mlp, ctx);
        auto const dsum = cross.norm.backward(dcross, cache.cross.norm, grad.cross.norm, ctx);
        auto const d = cross.dropout.backward(dsum, cache.cross.dropout, grad.cross.dropout, ctx);
        auto const dattended = cross.branch.output.backward(d, cache.cross.branch.output,
                                                            grad.cross.branch.output, ctx);
        cross.branch.probability_gradient(dattended, cache.cross.branch, ctx, encoder, g);
    }

    /// Mode "text": cross-attention is skipped altogether, its norm included.
    X forward(X x, Cache& cache, Context<B>& ctx, SelfMask mask) const {
        return mlp.forward(attention.forward(x, cache.attention, ctx, mask), cache.mlp, ctx);
    }
    X backward(X dy, Cache const& cache, Grad& grad, Context<B>& ctx, SelfMask mask) const {
        return attention.backward(mlp.backward(dy, cache.mlp, grad.mlp, ctx), cache.attention,
                                  grad.attention, ctx, mask);
    }
};

/// The text network without a head: ids to states [batch, length, width]. As an encoder it sees the
/// whole sentence, as part of a decoder only what came before (`Causal::yes`); with encoder states
/// it is grounded in the image, without it is unimodal. `Blocks`: the stack of its blocks.
template <TextConfig C, Backend B, class Blocks = Stack<TextBlock<C, B>, C::depth, C::recompute>>
struct TextEncoder {
    using backend = B;
    using Grad = TextEncoder<C, typename B::gradient, typename Blocks::Grad>;
    using X = Tokens<C::width, B>;
    using States = EncoderStates<C::encoder_width, B>;
    using Embedding = TextEmbedding<C::vocabulary, C::positions, C::width, B>;

    Embedding embedding;
    Blocks stack;

    static constexpr auto fields() {
        return std::tuple{Field{"embedding", &TextEncoder::embedding},
                          Field{"stack", &TextEncoder::stack}};
    }

    struct Cache {
        typename Embedding::Cache embedding;
        typename Blocks::Cache stack;
        SelfMask mask;
    };

    /// `encoder`: none, or the States of the blocks.
    X forward(TextInput<B> text, Causal causal, Cache& cache, Context<B>& ctx,
              auto const&... encoder) const {
        cache.mask = {causal, text.mask};
        return stack.forward(embedding.forward(text, cache.embedding, ctx), cache.stack, ctx,
                             cache.mask, encoder...);
    }

    /// The first state of every text, [batch, 1, width]: what heads read. Where nothing is kept for
    /// backward, nothing is computed that it does not depend on; `states` is what forward gives
    /// otherwise.
    X forward_first(TextInput<B> text, Cache& cache, X& states, Context<B>& ctx,
                    auto const&... encoder) const {
        if (ctx.keep == Keep::nothing && ctx.mode == Mode::evaluate)
            return stack.forward_first(embedding.forward(text, cache.embedding, ctx), ctx,
                                       SelfMask{Causal::no, text.mask}, encoder...);
        states = forward(text, Causal::no, cache, ctx, encoder...);
        return first_tokens(states, ctx);
    }

    void backward(X dy, Cache const& cache, Grad& grad, Context<B>& ctx,
                  auto const&... encoder) const {
        Scope scope(ctx.arena);
        embedding.backward(stack.backward(dy, cache.stack, grad.stack, ctx, cache.mask, encoder...),
                           cache.embedding, grad.embedding, ctx);
    }
};

} // namespace blip
