#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/models/matcher.hpp>

namespace blip {

/// One round of a dialogue.
struct DialogTurn {
    std::string question, answer;
};

/// A dialogue about a picture that waits for an answer.
struct Dialog {
    std::string caption;             ///< says what the picture shows
    std::vector<DialogTurn> history; ///< oldest first
    std::string question;            ///< the one to be answered
};

struct DialogOptions {
    /// Room that is left for a candidate, in tokens, when it is decided how many rounds of the
    /// history fit. All candidates of a call are judged after the same rounds. Default: that of the
    /// longest of them; with a number of their own, scores do not depend on the other candidates
    /// even where the history has to be cut.
    std::optional<int> candidate_tokens{};
};

/// A candidate answer with what the model thinks of it.
struct RankedCandidate {
    std::size_t candidate = 0; ///< its number in the list
    double probability = 0;    ///< that it is the answer: what it is ranked by
    MatchScores scores{};      ///< the match head's logits
};

/// Ranks candidate answers in a dialogue about a picture (paper section 5.5, VisDial): the states
/// of the picture and those of its caption, encoded as text alone, stand one after another;
/// history, question and candidate, with [ENC] first, are one text that looks at both; the match
/// head says whether the candidate fits. Immutable once loaded: any number of threads may call it.
///
/// Code and weights of it were never released, so no published number can be reproduced. From the
/// paper and what an author showed: the arrangement above, trained as image-text matching. Not
/// known: how the rounds are joined into a text (here: "question answer question answer ... ",
/// spaces between), what happens to dialogues longer than the position table (here: the oldest
/// rounds are left out until the rest fits, the same rounds for every candidate), and how false
/// candidates were drawn in training. Any matching checkpoint whose picture and text states are
/// equally wide (ViT-B) can be used zero-shot.
template <MatchingConfig C, Backend B>
    requires(C::vision::width == C::text::width)
class DialogRanker : public ModelBase<DialogRanker<C, B>, MatchingNetwork<C, B>> {
    using Base = ModelBase<DialogRanker, MatchingNetwork<C, B>>;
    using Base::shared_;

public:
    using config = C;
    using backend = B;
    using Network = MatchingNetwork<C, B>;
    using Base::Base, Base::image_size, Base::network;

    /// The same weights as `matcher`, which may go on being used.
    explicit DialogRanker(Matcher<C, B> const& matcher) : Base(matcher.shared()) {}

    /// The candidates, best first; the first of equals comes first.
    std::vector<RankedCandidate> rank(Image const& image, Dialog const& dialog,
                                      std::span<std::string const> candidates,
                                      DialogOptions const& options = {}) const {
        return rank(preprocess(image, shared_->preprocess), dialog, candidates, options);
    }

    /// The same from normalised pixels, [1, 3, image_size, image_size]. Throws ArgumentError when
    /// the question with a candidate, or the caption, is longer than the model's positions.
    std::vector<RankedCandidate> rank(Pixels const& pixels, Dialog const& dialog,
                                      std::span<std::string const> candidates,
                                      DialogOptions const& options = {}) const {
        LoadedModel<Network>::require_pixels(pixels, "dialog ranker");
        if (pixels.shape()[0] != 1)
            throw ArgumentError(
                join("dialog ranker: a dialogue is about one picture, found ", pixels.shape()[0]));
        if (candidates.empty())
            return {};
        auto const texts = this->texts(dialog, candidates, options);
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        auto const scores = match_scores(
            network(), context(pixels, dialog.caption, ctx),
            tokenize_for_match(shared_->tokenizer, texts, FirstToken::enc, std::nullopt), ctx);
        std::vector<RankedCandidate> ranked;
        for (std::size_t i = 0; i < scores.size(); ++i)
            ranked.push_back({i, match_probability(scores[i]), scores[i]});
        // By logits: probabilities near 1 are equal in their last bit before logits are.
        std::ranges::stable_sort(ranked, std::ranges::greater{}, [](RankedCandidate const& one) {
            return one.scores[1] - one.scores[0];
        });
        return ranked;
    }

    /// What the text encoder reads of each candidate: as many of the newest rounds as leave room
    /// for the candidates, the same for all of them; the question; the candidate. Throws
    /// ArgumentError for a room below 0.
    std::vector<std::string> texts(Dialog const& dialog, std::span<std::string const> candidates,
                                   DialogOptions const& options = {}) const {
        std::size_t room = 0;
        if (options.candidate_tokens && *options.candidate_tokens < 0)
            throw ArgumentError(join("dialog ranker: room for ", *options.candidate_tokens,
                                     " tokens of a candidate; expected 0 or more"));
        if (options.candidate_tokens)
            room = static_cast<std::size_t>(*options.candidate_tokens);
        else
            for (auto const& candidate : candidates)
                room = std::max(room, words_of(candidate));
        std::string before = dialog.question + " ";
        std::size_t length = 2 + words_of(before) + room; // [ENC] and [SEP]
        for (auto turn = dialog.history.rbegin(); turn != dialog.history.rend(); ++turn) {
            auto const round = turn->question + " " + turn->answer + " ";
            length += words_of(round);
            if (length > static_cast<std::size_t>(C::text::positions))
                break;
            before = round + before;
        }
        std::vector<std::string> all;
        for (auto const& candidate : candidates)
            all.push_back(before + candidate);
        return all;
    }

    /// The same for one candidate.
    std::string text(Dialog const& dialog, std::string const& candidate,
                     DialogOptions const& options = {}) const {
        return texts(dialog, std::span(&candidate, 1), options).front();
    }

private:
    /// Tokens of a text, both ends' apart. Spaces end words, so texts joined by them add up.
    std::size_t words_of(std::string const& text) const {
        return shared_->tokenizer.encode(text).size() - 2;
    }

    /// States of the picture, then of the caption: [1, tokens + length, width].
    typename Network::Vision::States context(Pixels const& pixels, std::string const& caption,
                                             Context<B>& ctx) const {
        auto const tokens = tokenize_for_match(shared_->tokenizer, std::span(&caption, 1),
                                               FirstToken::cls, std::nullopt);
        auto const both =
            ctx.template tokens<C::vision::width>(1, Network::Vision::tokens + tokens.length);
        Scope scope(ctx.arena);
        auto const image = shared_->encode(pixels, ctx);
        B::copy(ctx.engine, both.data, image.data, image.size());
        typename Network::Encoder::Cache unused;
        auto const words = network().encoder.forward(upload_text<typename C::text>(tokens, ctx),
                                                     Causal::no, unused, ctx);
        B::copy(ctx.engine, both.data + image.size(), words.data, words.size());
        return both;
    }
};

} // namespace blip
