#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <blip/losses/classification.hpp>
#include <blip/losses/hard_negatives.hpp>
#include <blip/networks/momentum_state.hpp>

namespace blip {

/// What hard negatives are drawn from.
enum class NegativeRule {
    online,  ///< retrieval: online against online features
    momentum ///< pre-training: online against momentum features, raised by 1e-4
};

struct AlignmentOptions {
    double alpha = 0.4; ///< share of the momentum distribution in the soft targets
    NegativeRule rule = NegativeRule::online;
    /// [batch] pictures' ids: equal ones are positives of each other, in the queue too (retrieval).
    /// Empty: a picture's own text is its only positive (pre-training).
    std::span<std::int64_t const> ids{};
    std::optional<Negatives> negatives{}; ///< in place of drawing them
};

/// The losses of one batch (paper section 3.2, ITC and ITM).
struct AlignmentLosses {
    double contrastive = 0, matching = 0;
    double total() const { return contrastive + matching; }
    std::vector<std::pair<std::string_view, double>> named() const {
        return {{"itc", contrastive}, {"itm", matching}};
    }
    /// Adds a share of what another part of the same step lost.
    void add(AlignmentLosses const& other, double share) {
        contrastive += share * other.contrastive;
        matching += share * other.matching;
    }
};

/// Image-text contrastive and matching loss over one run of the image encoder. `Network` has the
/// members of MatchingNetwork and `temperature`. One rank: gathering over ranks is the identity.
template <class Network>
struct Alignment {
    using B = typename Network::backend;
    using C = typename Network::config;
    using Matching = MatchingNetwork<C, B>;
    using Grad = typename Network::Grad;
    using Encoder = typename Matching::Encoder;
    using States = typename Encoder::States;
    using ImageFeatures = typename Matching::ImageProjected;
    using SentenceFeatures = typename Matching::TextProjected;
    using Pairs = typename Matching::Matching;
    using Contrastive = ContrastiveLoss<C::projection, B>;

    struct Cache {
        typename Matching::Vision::Cache vision;
        States image; ///< what all losses look at; its gradient collects theirs
        typename ImageFeatures::Cache image_features;
        typename SentenceFeatures::Cache text_features;
        FeaturePair<C::projection, B> online;
        typename Contrastive::Cache contrastive;

        /// [batch, batch], row-major: what negatives are drawn from, a row for each picture (texts)
        /// and for each text (pictures).
        std::vector<double> text_weights, image_weights;
        Negatives negatives;
        typename Pairs::Cache own_pairs, crossed_pairs;
        States crossed_image;      ///< copies of the negative pictures' states
        Tokens<2, B> match_logits; ///< [3 batch]: positives; texts with negative pictures; pictures
                                   ///< with negative texts
        typename ClassificationLoss<B>::Cache matching_loss;
    };

    /// `text` begins with [CLS]; `enc` replaces it where text looks at pictures. Throws
    /// ArgumentError when sizes differ, or when a picture has no negative.
    static AlignmentLosses forward(Network const& network, typename Matching::Images images,
                                   TokenBatch const& text, int enc,
                                   MomentumState<Network> const& momentum,
                                   AlignmentOptions const& options, Cache& cache, Context<B>& ctx) {
        int const batch = images.batch;
        if (text.batch != batch || batch < 1 ||
            (!options.ids.empty() && std::ssize(options.ids) != batch))
            throw ArgumentError(join("image-text objective: ", batch, " pictures, ", text.batch,
                                     " texts, ", options.ids.size(),
                                     " ids; expected equal numbers, at least 1"));
        AlignmentLosses losses;
        auto const input = upload_text<typename C::text>(text, ctx);
        cache.image = {.states = network.vision.forward(images, cache.vision, ctx)};
        cache.online = {ImageFeatures::forward(cache.image.states, network.vision_projection,
                                               cache.image_features, ctx),
                        SentenceFeatures::forward(input, network.encoder, network.text_projection,
                                                  cache.text_features, ctx)};

        auto const& queue = momentum.queue;
        ContrastiveKeys<C::projection, B> const keys{momentum.teacher->features(images, input, ctx),
                                                     queue.image(), queue.text()};
        auto const positives = options.ids.empty()
                                   ? own_texts<B>(batch, queue.length, ctx)
                                   : equal_pictures<B>(options.ids, queue.ids(), ctx);
        auto const targets =
            Contrastive::targets(keys, positives, options.alpha, network.temperature, ctx);
        Contrastive::forward(cache.online, keys, targets, network.temperature, cache.contrastive,
                             ctx);
        losses.contrastive = Contrastive::total(cache.contrastive, ctx);

        choose_negatives(network, options, cache, ctx);
        losses.matching = match(network, text, enc, cache, ctx);
        return losses;
    }

    /// Adds the gradient of both losses to `grad`, but for the image encoder's: what they say of
    /// its states is added to `cache.image.gradient`, which lies in backend memory. Once per
    /// `forward`.
    static void backward(Network const& network, Cache& cache, Grad& grad, Context<B>& ctx) {
        {
            Scope scope(ctx.arena);
            backward_matching(network, cache, grad, ctx);
        }
        Scope scope(ctx.arena);
        auto const d =
            Contrastive::backward(cache.contrastive, network.temperature, grad.temperature, ctx);
        ImageFeatures::backward(d.image, network.vision_projection, cache.image_features,
                                grad.vision_projection, cache.image.gradient, ctx);
        SentenceFeatures::backward(d.text, network.encoder, network.text_projection,
                                   cache.text_features, grad.encoder, grad.text_projection, ctx);
    }

    /// [batch, length, Width] zeros of x's size.
    template <int Width>
    static Tokens<Width, B> zeros(Tokens<Width, B> x, Context<B>& ctx) {
        auto const y = ctx.template tokens<Width>(x.batch, x.length);
        B::zero(ctx.engine, y.data, y.size());
        return y;
    }

private:
    static TokenBatch rows_of(TokenBatch const& text, std::vector<int> const& rows) {
        TokenBatch picked{{}, {}, static_cast<int>(rows.size()), text.length};
        for (int const row : rows) {
            auto const first = std::ptrdiff_t{row} * text.length, last = first + text.length;
            picked.ids.insert(picked.ids.end(), text.ids.begin() + first, text.ids.begin() + last);
            picked.mask.insert(picked.mask.end(), text.mask.begin() + first,
                               text.mask.begin() + last);
        }
        return picked;
    }

    static void choose_negatives(Network const& network, AlignmentOptions const& options,
                                 Cache& cache, Context<B>& ctx) {
        auto const batch = static_cast<std::size_t>(cache.online.image.batch);
        std::vector<std::int64_t> ids(options.ids.begin(), options.ids.end());
        for (std::size_t i = 0; ids.size() < batch; ++i)
            ids.push_back(static_cast<std::int64_t>(i));
        bool const online = options.rule == NegativeRule::online;
        auto const& keys = online ? cache.online : cache.contrastive.keys.batch;
        auto const weigh = [&](Tokens<C::projection, B> queries, Tokens<C::projection, B> others) {
            Scope scope(ctx.arena);
            auto const scaled = Contrastive::over_temperature(queries, network.temperature, ctx);
            auto const scores = Contrastive::similarities(scaled, others, {}, ctx);
            std::vector<double> host(batch * batch);
            B::download(ctx.engine, host.data(),
                        static_cast<typename B::scalar const*>(scores.data), std::ssize(host));
            return negative_weights(host, ids, online ? 0 : 1e-4);
        };
        cache.text_weights = weigh(cache.online.image, keys.text);
        cache.image_weights = weigh(cache.online.text, keys.image);
        if (options.negatives) {
            cache.negatives = *options.negatives;
            for (auto const* chosen :
                 {&cache.negatives.image_for_text, &cache.negatives.text_for_image}) {
                bool valid = chosen->size() == batch;
                for (int const i : *chosen)
                    valid = valid && i >= 0 && static_cast<std::size_t>(i) < batch;
                if (!valid)
                    throw ArgumentError(join("image-text objective: the given negatives must be ",
                                             batch, " numbers from 0 to ", batch - 1));
            }
            return;
        }
        cache.negatives = {draw_negatives(cache.image_weights, batch, ctx.next_key()),
                           draw_negatives(cache.text_weights, batch, ctx.next_key())};
    }

    /// The matching loss over 3 batch pairs. Every picture's own states serve two texts, its own
    /// and its negative one, so that keys and values are computed once for both.
    static double match(Network const& network, TokenBatch const& text, int enc, Cache& cache,
                        Context<B>& ctx) {
        int const batch = text.batch;
        auto const& [image_for_text, text_for_image] = cache.negatives;
        std::vector<int> own;
        for (int b = 0; b < batch; ++b) {
            own.push_back(b);
            own.push_back(text_for_image[static_cast<std::size_t>(b)]);
        }
        auto const upload = [&](TokenBatch tokens) {
            return upload_text<typename C::text>(with_first(std::move(tokens), enc), ctx);
        };
        auto const own_text = upload(rows_of(text, own));
        auto const crossed_text = upload(text);
        auto const states = cache.image.states;
        auto const crossed = ctx.template tokens<C::vision::width>(states.batch, states.length);
        for (int b = 0; b < batch; ++b)
            B::copy(ctx.engine, crossed.items(b, 1).data,
                    states.items(image_for_text[static_cast<std::size_t>(b)], 1).data,
                    states.items(b, 1).size());
        cache.crossed_image = {.states = crossed};
        auto const own_logits = Pairs::forward(own_text, cache.image, network.encoder,
                                               network.matching, cache.own_pairs, ctx);
        auto const crossed_logits =
            Pairs::forward(crossed_text, cache.crossed_image, network.encoder, network.matching,
                           cache.crossed_pairs, ctx);

        cache.match_logits = ctx.template tokens<2>(3 * batch, 1);
        for (int b = 0; b < batch; ++b) {
            put(own_logits, 2 * b, cache.match_logits, b, ctx);
            put(crossed_logits, b, cache.match_logits, batch + b, ctx);
            put(own_logits, 2 * b + 1, cache.match_logits, 2 * batch + b, ctx);
        }
        std::vector<int> labels(3 * static_cast<std::size_t>(batch), 0);
        std::fill_n(labels.begin(), batch, 1);
        ClassificationLoss<B>::forward(cache.match_logits, labels, cache.matching_loss, ctx);
        return ClassificationLoss<B>::total(cache.matching_loss, ctx);
    }

    static void backward_matching(Network const& network, Cache& cache, Grad& grad,
                                  Context<B>& ctx) {
        int const batch = cache.image.states.batch;
        auto const dlogits = ClassificationLoss<B>::template backward<2>(cache.matching_loss);
        auto const dpairs = ctx.template tokens<2>(2 * batch, 1);
        auto const dcrossed = ctx.template tokens<2>(batch, 1);
        for (int b = 0; b < batch; ++b) {
            put(dlogits, b, dpairs, 2 * b, ctx);
            put(dlogits, batch + b, dcrossed, b, ctx);
            put(dlogits, 2 * batch + b, dpairs, 2 * b + 1, ctx);
        }
        Pairs::backward(dpairs, cache.image, network.encoder, network.matching, cache.own_pairs,
                        grad.encoder, grad.matching, ctx);
        auto image = cache.crossed_image;
        image.gradient = zeros(image.states, ctx);
        Pairs::backward(dcrossed, image, network.encoder, network.matching, cache.crossed_pairs,
                        grad.encoder, grad.matching, ctx);
        for (int b = 0; b < batch; ++b) {
            auto const from = image.gradient.items(b, 1);
            auto const chosen = cache.negatives.image_for_text[static_cast<std::size_t>(b)];
            auto* const to = cache.image.gradient.items(chosen, 1).data;
            B::add(ctx.engine, to, from.data, to, from.size());
        }
    }

    /// Copies row i of x to row j of y.
    static void put(Tokens<2, B> x, int i, Tokens<2, B> y, int j, Context<B>& ctx) {
        B::copy(ctx.engine, y.items(j, 1).data, x.items(i, 1).data, 2);
    }
};

} // namespace blip
