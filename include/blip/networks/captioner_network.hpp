#pragma once

#include <span>
#include <tuple>

#include <blip/io/task.hpp>
#include <blip/losses/language_modeling.hpp>
#include <blip/networks/text_decoder.hpp>
#include <blip/networks/vision_encoder.hpp>

namespace blip {

/// The weights of a captioner: an image encoder and a text decoder that looks at its states.
template <CaptionConfig C, Backend B>
struct CaptionerNetwork {
    using backend = B;
    using config = C;
    using Grad = CaptionerNetwork<C, typename B::gradient>;
    using Vision = VisionEncoder<typename C::vision, B>;
    using Decoder = TextDecoder<typename C::text, B>;
    using Images = typename Vision::Images;
    static constexpr Task task = Task::captioning;

    Vision vision;
    Decoder decoder;

    static constexpr auto fields() {
        return std::tuple{Field{"vision", &CaptionerNetwork::vision},
                          Field{"decoder", &CaptionerNetwork::decoder}};
    }

    struct Cache {
        typename Vision::Cache vision;
        typename Decoder::Cache decoder;
        typename LanguageModelingLoss<B>::Cache loss;
        typename Decoder::States image;
    };

    /// The captioning loss (paper section 3.2, LM). `text` holds the captions with [DEC] first;
    /// `labels` [batch, length] are the same ids with `ignored_target` at pads and at the prompt.
    double loss(Images images, TextInput<B> text, std::span<int const> labels,
                LanguageModelingOptions const& options, Cache& cache, Context<B>& ctx) const {
        cache.image = {.states = vision.forward(images, cache.vision, ctx)};
        auto const logits = decoder.forward(text, cache.image, cache.decoder, ctx);
        LanguageModelingLoss<B> const criterion{options};
        criterion.forward(logits, labels, {}, cache.loss, ctx);
        return criterion.total(cache.loss, ctx);
    }

    /// Adds the gradient of every parameter to `grad`; once per `loss`.
    void backward(Cache& cache, Grad& grad, Context<B>& ctx) const {
        Scope scope(ctx.arena);
        auto& image = cache.image;
        image.gradient =
            ctx.template tokens<C::vision::width>(image.states.batch, image.states.length);
        B::zero(ctx.engine, image.gradient.data, image.gradient.size());
        auto const dlogits =
            LanguageModelingLoss<B>{}.template backward<C::text::vocabulary>(cache.loss);
        decoder.backward(dlogits, cache.decoder, grad.decoder, image, ctx);
        vision.backward(image.gradient, cache.vision, grad.vision, ctx);
    }
};

} // namespace blip
