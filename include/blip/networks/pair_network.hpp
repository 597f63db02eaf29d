#pragma once

#include <filesystem>
#include <span>
#include <tuple>
#include <type_traits>

#include <blip/compose/split_stack.hpp>
#include <blip/heads/classifier.hpp>
#include <blip/io/load_weights.hpp>
#include <blip/io/task.hpp>
#include <blip/layers/first_token.hpp>
#include <blip/layers/twin_cross_attention.hpp>
#include <blip/losses/classification.hpp>
#include <blip/networks/text_encoder.hpp>
#include <blip/networks/vision_encoder.hpp>

namespace blip {

namespace detail {

template <TextConfig C, int MergeFrom, Backend B>
struct TwinBlocks {
    using Averaging = TextBlock<C, B, AveragingTwins<C::width, C::heads, C::encoder_width, B>>;
    using Merging = TextBlock<C, B, MergingTwins<C::width, C::heads, C::encoder_width, B>>;
    using type = SplitStack<Averaging, Merging, MergeFrom, C::depth, C::recompute>;
};
template <TextConfig C, int MergeFrom, Backend B>
    requires(MergeFrom <= 0)
struct TwinBlocks<C, MergeFrom, B> {
    using Merging = TextBlock<C, B, MergingTwins<C::width, C::heads, C::encoder_width, B>>;
    using type = Stack<Merging, C::depth, C::recompute>;
};
template <TextConfig C, int MergeFrom, Backend B>
    requires(MergeFrom >= C::depth)
struct TwinBlocks<C, MergeFrom, B> {
    using Averaging = TextBlock<C, B, AveragingTwins<C::width, C::heads, C::encoder_width, B>>;
    using type = Stack<Averaging, C::depth, C::recompute>;
};

} // namespace detail

/// The text encoder that looks at two pictures (paper section 5.4): layers below `MergeFrom`
/// average what each picture gave, the others merge it by a learned product.
template <TextConfig C, int MergeFrom, Backend B>
using TwinTextEncoder = TextEncoder<C, B, typename detail::TwinBlocks<C, MergeFrom, B>::type>;

/// The weights of a pair reasoner (paper section 5.4, NLVR2): one image encoder for both pictures,
/// a text encoder that looks at both, and a classifier on its first state. Class 1 is "true".
template <PairConfig C, Backend B>
struct PairNetwork {
    using backend = B;
    using config = C;
    using Grad = PairNetwork<C, typename B::gradient>;
    using Vision = VisionEncoder<typename C::vision, B>;
    using Encoder = TwinTextEncoder<typename C::text, C::merge_from, B>;
    using Head = Classifier<C::text::width, 2, B>;
    using Images = typename Vision::Images;
    using States = EncoderStatesPair<C::vision::width, B>;
    using Logits = Tokens<2, B>;
    static constexpr Task task = Task::pair_reasoning;

    Vision vision;
    Encoder encoder;
    Head classifier;

    static constexpr auto fields() {
        return std::tuple{Field{"vision", &PairNetwork::vision},
                          Field{"encoder", &PairNetwork::encoder},
                          Field{"classifier", &PairNetwork::classifier}};
    }

    /// Throws ConfigError when the tensors of `file` that found no place show that it merges in
    /// layers where this configuration averages.
    static void require_merging(LoadReport const& report, std::filesystem::path const& file) {
        for (auto const& name : report.extra)
            if (name.find(".crossattention.output.merge_layer.") != name.npos)
                throw ConfigError(join(file.string(), ": tensor ", name,
                                       " belongs to a layer that averages in this program's "
                                       "configuration, whose merge_from is ",
                                       C::merge_from));
    }

    struct Cache {
        typename Vision::Cache vision;
        typename Encoder::Cache encoder;
        typename Head::Cache classifier;
        typename ClassificationLoss<B>::Cache loss;
        typename Vision::States states; ///< of both halves of the pictures
        typename Encoder::X text;       ///< last states of the text encoder, for backward
    };

    /// States of `batch` pairs that lie as all first pictures, then all second ones.
    static States pair(typename Vision::States states, typename Vision::States gradient = {}) {
        int const half = states.batch / 2;
        States both{{states.items(0, half)}, {states.items(half, half)}};
        if (gradient.data) {
            both.first.gradient = gradient.items(0, half);
            both.second.gradient = gradient.items(half, half);
        }
        return both;
    }

    /// Logits [batch, 1, 2] of sentences with [ENC] first about pictures already encoded.
    Logits judge(States const& states, TextInput<B> text, Cache& cache, Context<B>& ctx) const {
        return classifier.forward(
            encoder.forward_first(text, cache.encoder, cache.text, ctx, states), cache.classifier,
            ctx);
    }

    /// The same from `images` [2 batch, 3, image, image]: all first pictures, then all second ones.
    Logits logits(Images images, TextInput<B> text, Cache& cache, Context<B>& ctx) const {
        cache.states = vision.forward(images, cache.vision, ctx);
        return judge(pair(cache.states), text, cache, ctx);
    }

    /// Mean two-class cross-entropy; `labels` [batch], 1 where the sentence is true. `whole`: pairs
    /// of a batch that goes through in parts, see `ClassificationLoss`.
    double loss(Images images, TextInput<B> text, std::span<int const> labels, Cache& cache,
                Context<B>& ctx, int whole = 0) const {
        ClassificationLoss<B> const criterion;
        criterion.forward(logits(images, text, cache, ctx), labels, cache.loss, ctx, whole);
        return criterion.total(cache.loss, ctx);
    }

    /// Adds the gradient of every parameter to `grad`; once per `loss`.
    void backward(Cache const& cache, Grad& grad, Context<B>& ctx) const {
        Scope scope(ctx.arena);
        auto const dstates =
            ctx.template tokens<C::vision::width>(cache.states.batch, cache.states.length);
        B::zero(ctx.engine, dstates.data, dstates.size());
        auto const dlogits = ClassificationLoss<B>{}.template backward<2>(cache.loss);
        auto const dtext = ctx.template tokens<C::text::width>(cache.text.batch, cache.text.length);
        B::zero(ctx.engine, dtext.data, dtext.size());
        add_to_first_tokens(classifier.backward(dlogits, cache.classifier, grad.classifier, ctx),
                            dtext, ctx);
        encoder.backward(dtext, cache.encoder, grad.encoder, ctx, pair(cache.states, dstates));
        vision.backward(dstates, cache.vision, grad.vision, ctx);
    }
};

} // namespace blip
