#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/models/match_scores.hpp>

namespace blip {

/// What search and its evaluation compute of a MatchingNetwork, batch by batch, with the tokens it
/// was trained with: unit vectors of pictures and of texts that begin with [CLS], match logits of
/// texts that begin with [ENC]. Immutable: any number of threads may call it.
template <MatchingConfig C, Backend B>
class MatchingModel {
public:
    using config = C;
    using backend = B;
    using Network = MatchingNetwork<C, B>;
    using States = typename Network::Vision::States;
    static constexpr int image_size = C::vision::image;
    static constexpr std::size_t tokens = Network::Vision::tokens, width = C::vision::width;
    /// Longest text that is looked at, in tokens with [CLS] and [SEP], as the authors do.
    static constexpr int text_length = C::text::positions < 35 ? C::text::positions : 35;

    explicit MatchingModel(std::shared_ptr<LoadedModel<Network> const> shared)
        : shared_(std::move(shared)) {}

    /// Ids of texts, cut to `text_length`, padded to the longest.
    TokenBatch tokenize(std::span<std::string const> texts) const {
        return tokenize_for_match(tokenizer(), texts, FirstToken::cls, text_length);
    }

    /// Unit vectors of texts that begin with [CLS], [n, C::projection].
    template <class T = float>
    std::vector<T> text_features(TokenBatch const& texts) const {
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        auto const found = embed_texts<typename C::text, C::projection>(
            network().encoder, network().text_projection, texts, ctx);
        return {found.begin(), found.end()};
    }

    /// Unit vectors of pictures, [n, C::projection].
    template <class T = float>
    std::vector<T> image_features(Pixels const& pixels) const {
        std::vector<T> features;
        with_states(pixels, [&](States states, Context<B>& ctx) {
            features = image_features<T>(states, ctx);
        });
        return features;
    }
    template <class T = float>
    std::vector<T> image_features(States states, Context<B>& ctx) const {
        Scope scope(ctx.arena);
        typename Network::ImageProjected::Cache unused;
        auto const found = download_vectors(network().image_features(states, unused, ctx), ctx);
        return {found.begin(), found.end()};
    }

    /// Logit of class 1, "the text fits", for n * m texts, of which the first m are about the first
    /// of n pictures, and so on. Their first id becomes [ENC].
    std::vector<double> match_logits(Pixels const& pixels, TokenBatch const& texts) const {
        std::vector<double> logits;
        with_states(pixels, [&](States states, Context<B>& ctx) {
            logits = match_logits(states, texts, ctx);
        });
        return logits;
    }

    /// The same from states of the image encoder on the host, [n, tokens, width].
    std::vector<double> match_logits(std::span<float const> states, TokenBatch const& texts) const {
        auto const count = states.size() / (tokens * width);
        if (count == 0 || states.size() % (tokens * width) != 0)
            throw ArgumentError(join("matching: ", states.size(), " numbers are no states of ",
                                     tokens, " x ", width));
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        auto const uploaded =
            ctx.template tokens<C::vision::width>(static_cast<int>(count), Network::Vision::tokens);
        B::upload(ctx.engine, uploaded.data, states.data(), uploaded.size());
        return match_logits(uploaded, texts, ctx);
    }

    /// The same from states in the backend's memory.
    std::vector<double> match_logits(States states, TokenBatch const& texts,
                                     Context<B>& ctx) const {
        std::vector<double> logits;
        for (auto const& scores :
             match_scores(network(), states, with_first(texts, shared_->special().enc), ctx))
            logits.push_back(scores[1]);
        return logits;
    }

    /// Calls use(states, ctx) with the states of the image encoder, [n, tokens, width], for pixels
    /// [n, 3, image_size, image_size]. Throws ArgumentError for other pixels.
    void with_states(Pixels const& pixels, auto const& use) const {
        LoadedModel<Network>::require_pixels(pixels, "retriever");
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        use(shared_->encode(pixels, ctx), ctx);
    }

    LoadedModel<Network> const& loaded() const { return *shared_; }
    Network const& network() const { return *shared_->weights; }
    Tokenizer const& tokenizer() const { return shared_->tokenizer; }

private:
    std::shared_ptr<LoadedModel<Network> const> shared_;
};

} // namespace blip
