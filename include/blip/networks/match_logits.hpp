#pragma once

#include <blip/heads/projection.hpp>
#include <blip/networks/text_encoder.hpp>

namespace blip {

/// Whether texts fit the pictures they look at (paper section 3.1, ITM): the first state of the
/// image-grounded text encoder, through a head of two classes; class 1 means that they fit. Encoder
/// and head are lent by the network that owns them.
template <class Encoder>
struct MatchLogits {
    using B = typename Encoder::backend;
    using Text = typename Encoder::X;
    using States = typename Encoder::States;
    using Head = Linear<Text::width, 2, B>;
    using Logits = Tokens<2, B>;

    struct Cache {
        typename Encoder::Cache encoder;
        typename Head::Cache head;
        Text states; ///< last states of the text encoder, for backward
    };

    /// Logits [texts, 1, 2]. Texts begin with [ENC], or [CLS] where a checkpoint was used that way;
    /// `image` holds states of n pictures for n * m texts, m after m.
    static Logits forward(TextInput<B> text, States const& image, Encoder const& encoder,
                          Head const& head, Cache& cache, Context<B>& ctx) {
        return head.forward(encoder.forward_first(text, cache.encoder, cache.states, ctx, image),
                            cache.head, ctx);
    }

    /// The part of forward above the encoder, from its last states [texts, length, width].
    static Logits judge(Text states, Head const& head, Cache& cache, Context<B>& ctx) {
        cache.states = states;
        return head.forward(first_tokens(states, ctx), cache.head, ctx);
    }

    /// Adds to both gradients, and to `image.gradient` where it has data.
    static void backward(Logits dlogits, States const& image, Encoder const& encoder,
                         Head const& head, Cache const& cache, typename Encoder::Grad& encoder_grad,
                         typename Head::Grad& head_grad, Context<B>& ctx) {
        Scope scope(ctx.arena);
        auto const dstates = state_gradient(dlogits, head, cache, head_grad, ctx);
        encoder.backward(dstates, cache.encoder, encoder_grad, ctx, image);
    }

    /// The part of backward above the encoder: gradient of its last states [texts, length, width].
    static Text state_gradient(Logits dlogits, Head const& head, Cache const& cache,
                               typename Head::Grad& head_grad, Context<B>& ctx) {
        auto const d = ctx.template tokens<Text::width>(cache.states.batch, cache.states.length);
        Scope scope(ctx.arena);
        B::zero(ctx.engine, d.data, d.size());
        add_to_first_tokens(head.backward(dlogits, cache.head, head_grad, ctx), d, ctx);
        return d;
    }
};

/// The unit vector of a text without a picture (paper section 3.1, ITC): mode "text" of the
/// encoder, the first token, [CLS], projected and normalised.
template <class Encoder, int Out>
struct TextFeatures {
    using B = typename Encoder::backend;
    using Text = typename Encoder::X;
    using Projected = ProjectedFeatures<Text::width, Out, B>;
    using Projection = typename Projected::Projection;
    using Features = Tokens<Out, B>;

    struct Cache {
        typename Encoder::Cache encoder;
        typename Projected::Cache projected;
        int length = 0;
    };

    /// Features [texts, 1, Out].
    static Features forward(TextInput<B> text, Encoder const& encoder, Projection const& projection,
                            Cache& cache, Context<B>& ctx) {
        cache.length = text.length;
        Text states;
        return Projected::project(encoder.forward_first(text, cache.encoder, states, ctx),
                                  projection, cache.projected, ctx);
    }

    /// Adds to both gradients.
    static void backward(Features dy, Encoder const& encoder, Projection const& projection,
                         Cache const& cache, typename Encoder::Grad& encoder_grad,
                         typename Projection::Grad& projection_grad, Context<B>& ctx) {
        Scope scope(ctx.arena);
        auto const dstates = ctx.template tokens<Text::width>(dy.batch, cache.length);
        B::zero(ctx.engine, dstates.data, dstates.size());
        Projected::backward(dy, projection, cache.projected, projection_grad, dstates, ctx);
        encoder.backward(dstates, cache.encoder, encoder_grad, ctx);
    }
};

} // namespace blip
