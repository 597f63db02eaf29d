#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/models/match_scores.hpp>
#include <blip/models/model_base.hpp>

namespace blip {

/// How texts are judged against pictures. What is not set follows the checkpoint.
struct MatchOptions {
    std::optional<FirstToken> first_token{}; ///< default: see `match_token`
    /// Longer texts are cut to this many tokens, [CLS] and [SEP] included. Default: 35 as the
    /// authors do; with the port, as many as the model has positions, and more is an error.
    std::optional<int> max_length{};
    bool cosine = true; ///< compare the unit vectors too: one more pass over every text
};

/// What the model thinks of a picture and a text.
struct Match {
    double probability = 0;         ///< that they belong together: softmax(scores)[1]
    MatchScores scores{};           ///< the match head's logits (not match, match)
    std::optional<double> cosine{}; ///< of their unit vectors, not divided by the temperature
};

/// Says whether a text fits a picture (paper section 3.1, ITM and ITC): an image-grounded text
/// encoder with a head of two classes, and the cosine of two vectors made independently of one
/// another. Immutable once loaded: any number of threads may call it. A pair's result does not
/// depend on what else is asked at the same time.
///
/// Files of matching, retrieval and pre-training have its weights.
template <MatchingConfig C, Backend B>
class Matcher : public ModelBase<Matcher<C, B>, MatchingNetwork<C, B>> {
    using Base = ModelBase<Matcher, MatchingNetwork<C, B>>;
    using Base::shared_;

public:
    using config = C;
    using backend = B;
    using Network = MatchingNetwork<C, B>;
    using Base::Base, Base::image_size, Base::network;
    using Vectors = xt::xtensor<HostScalar<B>, 2>; ///< one a row
    using States = xt::xtensor<HostScalar<B>, 3>;  ///< [n, (image_size / patch)² + 1, width]

    Match match(Image const& image, std::string const& text,
                MatchOptions const& options = {}) const {
        return match_texts(image, std::span(&text, 1), options).front();
    }

    /// One picture against many texts: it is encoded once, and all texts share what they look at.
    std::vector<Match> match_texts(Image const& image, std::span<std::string const> texts,
                                   MatchOptions const& options = {}) const {
        return match_texts(pixels_of({&image, 1}), texts, options);
    }

    /// The same from normalised pixels, [1, 3, image_size, image_size].
    std::vector<Match> match_texts(Pixels const& pixels, std::span<std::string const> texts,
                                   MatchOptions const& options = {}) const {
        require_count(pixels, 1, "one picture");
        return match_groups(pixels, texts, options);
    }

    /// The same from states that `encode` gave: nothing of the picture is computed again.
    std::vector<Match> match_texts(States const& states, std::span<std::string const> texts,
                                   MatchOptions const& options = {}) const {
        require_states(states);
        if (states.shape()[0] != 1)
            throw ArgumentError(join("matcher: states of ", states.shape()[0],
                                     " pictures where those of one are expected"));
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        return judge(upload(states, ctx), tokens(texts, options), texts_for(texts, options, ctx),
                     ctx);
    }

    /// Many pictures against one text.
    std::vector<Match> match_images(std::span<Image const> images, std::string const& text,
                                    MatchOptions const& options = {}) const {
        return match_images(pixels_of(images), text, options);
    }

    /// The same from normalised pixels, [n, 3, image_size, image_size].
    std::vector<Match> match_images(Pixels const& pixels, std::string const& text,
                                    MatchOptions const& options = {}) const {
        return match_groups(pixels, std::span(&text, 1), options);
    }

    /// Picture i against text i.
    std::vector<Match> match_pairs(std::span<Image const> images,
                                   std::span<std::string const> texts,
                                   MatchOptions const& options = {}) const {
        return match_pairs(pixels_of(images), texts, options);
    }

    std::vector<Match> match_pairs(Pixels const& pixels, std::span<std::string const> texts,
                                   MatchOptions const& options = {}) const {
        require_count(pixels, texts.size(), "one picture a text");
        return match_groups(pixels, texts, options);
    }

    /// Cosines of unit vectors, rows pictures, columns texts (paper: image-text similarity, not
    /// divided by the temperature). Cheap: no text looks at a picture.
    xt::xtensor<double, 2> cosines(Pixels const& pixels, std::span<std::string const> texts,
                                   MatchOptions const& options = {}) const {
        return cosines_of(image_embeddings(pixels), text_embeddings(texts, options));
    }

    /// The vectors that pictures are searched by, of length 1: [n, projection].
    Vectors image_embeddings(Pixels const& pixels) const {
        LoadedModel<Network>::require_pixels(pixels, "matcher");
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        return embed(shared_->encode(pixels, ctx), ctx);
    }

    /// The same from states that `encode` gave: nothing of the pictures is computed again.
    Vectors image_embeddings(States const& states) const {
        require_states(states);
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        return embed(upload(states, ctx), ctx);
    }

    /// The vectors that texts are searched by, of length 1: [texts, projection].
    Vectors text_embeddings(std::span<std::string const> texts,
                            MatchOptions const& options = {}) const {
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        return embed(texts, options, ctx);
    }

    /// States of the image encoder, to be judged against texts later. They are not the vectors to
    /// search by: see `image_embeddings`.
    States encode(Pixels const& pixels) const {
        LoadedModel<Network>::require_pixels(pixels, "matcher");
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        return download_states(shared_->encode(pixels, ctx), ctx);
    }

    /// To how many tokens texts are cut.
    std::optional<int> max_length(MatchOptions const& options) const {
        if (options.max_length || !shared_->is_original())
            return options.max_length;
        return std::min(35, static_cast<int>(C::text::positions));
    }

private:
    /// Pictures that are encoded and judged together.
    static constexpr std::size_t pictures_at_once = 8;

    static void require_count(Pixels const& pixels, std::size_t count, char const* what) {
        if (pixels.shape()[0] != count)
            throw ArgumentError(join("matcher: ", pixels.shape()[0], " pictures for ", count,
                                     count == 1 ? " text" : " texts", "; expected ", what));
    }

    static void require_states(States const& states) {
        auto const& s = states.shape();
        if (s[0] == 0 || s[1] != Network::Vision::tokens || s[2] != C::vision::width)
            throw ArgumentError(join("matcher: expected states [n, ", Network::Vision::tokens, ", ",
                                     C::vision::width, "] of its own image encoder, found [", s[0],
                                     ", ", s[1], ", ", s[2], "]"));
    }

    Pixels pixels_of(std::span<Image const> images) const {
        return preprocess(images, shared_->preprocess);
    }

    TokenBatch tokens(std::span<std::string const> texts, MatchOptions const& options) const {
        auto const first =
            options.first_token.value_or(match_token(shared_->settings.compatibility));
        return tokenize_for_match(shared_->tokenizer, texts, first, max_length(options));
    }

    typename Network::Vision::States upload(States const& states, Context<B>& ctx) const {
        auto const on_device = ctx.template tokens<C::vision::width>(
            static_cast<int>(states.shape()[0]), Network::Vision::tokens);
        B::upload(ctx.engine, on_device.data, states.data(), on_device.size());
        return on_device;
    }

    Vectors embed(typename Network::Vision::States states, Context<B>& ctx) const {
        Scope scope(ctx.arena);
        typename Network::ImageProjected::Cache cache;
        return download_vectors(network().image_features(states, cache, ctx), ctx);
    }

    Vectors embed(std::span<std::string const> texts, MatchOptions const& options,
                  Context<B>& ctx) const {
        auto const batch =
            tokenize_for_match(shared_->tokenizer, texts, FirstToken::cls, max_length(options));
        return embed_texts<typename C::text, C::projection>(network().encoder,
                                                            network().text_projection, batch, ctx);
    }

    /// The texts' vectors, where cosines are wanted.
    std::optional<Vectors> texts_for(std::span<std::string const> texts,
                                     MatchOptions const& options, Context<B>& ctx) const {
        if (!options.cosine)
            return std::nullopt;
        return embed(texts, options, ctx);
    }

    /// Pictures against as many texts each; of `vectors`, one a text or one for all, row i belongs
    /// to text i.
    std::vector<Match> judge(typename Network::Vision::States states, TokenBatch const& texts,
                             std::optional<Vectors> const& vectors, Context<B>& ctx) const {
        auto const scores = match_scores(network(), states, texts, ctx);
        std::vector<Match> matches(scores.size());
        std::optional<xt::xtensor<double, 2>> cosine;
        if (vectors)
            cosine = cosines_of(embed(states, ctx), *vectors);
        auto const each = matches.size() / static_cast<std::size_t>(states.batch);
        for (std::size_t i = 0; i < matches.size(); ++i) {
            matches[i].scores = scores[i];
            matches[i].probability = match_probability(scores[i]);
            if (cosine)
                matches[i].cosine = (*cosine)(i / each, vectors->shape()[0] == 1 ? 0 : i);
        }
        return matches;
    }

    /// Pictures against their texts: one picture against all, or as many texts as pictures, or one
    /// text for all of them.
    std::vector<Match> match_groups(Pixels const& pixels, std::span<std::string const> texts,
                                    MatchOptions const& options) const {
        if (texts.empty())
            return {};
        LoadedModel<Network>::require_pixels(pixels, "matcher");
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        std::size_t const count = pixels.shape()[0];
        auto const all = tokens(texts, options);
        auto const vectors = texts_for(texts, options, ctx);
        if (count == 1)
            return judge(shared_->encode(pixels, ctx), all, vectors, ctx);
        std::vector<Match> matches;
        for (std::size_t first = 0; first < count; first += pictures_at_once) {
            Scope scope(ctx.arena);
            std::size_t const last = std::min(count, first + pictures_at_once);
            std::vector<int> numbers;
            for (std::size_t i = first; i < last; ++i)
                numbers.push_back(texts.size() == 1 ? 0 : static_cast<int>(i));
            std::optional<Vectors> mine = vectors;
            if (vectors && texts.size() > 1)
                mine = items_of(*vectors, first, last - first);
            auto const states = shared_->encode(items_of(pixels, first, last - first), ctx);
            for (auto const& match : judge(states, all.select(numbers), mine, ctx))
                matches.push_back(match);
        }
        return matches;
    }
};

} // namespace blip
