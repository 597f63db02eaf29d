#pragma once

#include <tuple>

#include <blip/heads/lm_head.hpp>
#include <blip/networks/text_encoder.hpp>

namespace blip {

/// The text network as a language model (paper section 3.1, "image-grounded text decoder"): causal
/// self-attention, cross-attention to the image, and a head that shares the word table.
template <TextConfig C, Backend B>
struct TextDecoder {
    using backend = B;
    using Grad = TextDecoder<C, typename B::gradient>;
    using Body = TextEncoder<C, B>;
    using Head = LmHead<C::vocabulary, C::width, B>;
    using States = typename Body::States;
    using Logits = Tokens<C::vocabulary, B>;

    Body body;
    Head head;

    static constexpr auto fields() {
        return std::tuple{Field{"body", &TextDecoder::body}, Field{"head", &TextDecoder::head}};
    }

    struct Cache {
        typename Body::Cache body;
        typename Head::Cache head;
    };

    /// Logits of every position, [batch, length, vocabulary].
    Logits forward(TextInput<B> text, States const& encoder, Cache& cache, Context<B>& ctx) const {
        auto const h = body.forward(text, Causal::yes, cache.body, ctx, encoder);
        return head.forward(h, body.embedding.words, cache.head, ctx);
    }

    /// Adds to `grad`, and to `encoder.gradient` where it has data.
    void backward(Logits dlogits, Cache const& cache, Grad& grad, States const& encoder,
                  Context<B>& ctx) const {
        Scope scope(ctx.arena);
        auto const dh = head.backward(dlogits, body.embedding.words, cache.head, grad.head,
                                      grad.body.embedding.words, ctx);
        body.backward(dh, cache.body, grad.body, ctx, encoder);
    }
};

} // namespace blip
