#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/models/candidate_scores.hpp>
#include <blip/models/clips.hpp>
#include <blip/models/matcher.hpp>

namespace blip {

/// What a retriever keeps of a clip: it is encoded once and compared often.
template <class B>
struct EncodedClip {
    std::vector<double> embedding;        ///< unit vector to search by
    xt::xtensor<HostScalar<B>, 3> states; ///< [1, frames * tokens, width]: what texts look at
};

/// A clip that was found.
struct FoundClip {
    std::size_t clip = 0;   ///< its number in the collection
    double score = 0;       ///< match score of class 1 plus cosine: what it is ranked by
    double cosine = 0;      ///< of the unit vectors
    double probability = 0; ///< that clip and text belong together
};

struct ClipSearch {
    std::size_t keep = 128;   ///< clips that the match head sees, nearest by cosine ("k-test")
    std::size_t results = 10; ///< clips returned; 0: all that were kept
    MatchOptions text{};      ///< how the text is read; the cosine is always taken
};

/// All clips against all texts, as retrieval is evaluated.
struct ClipScores {
    xt::xtensor<double, 2> cosine;       ///< [clips, texts]
    xt::xtensor<double, 2> clip_to_text; ///< [clips, texts]: -100 outside a clip's nearest `keep`
    xt::xtensor<double, 2> text_to_clip; ///< [texts, clips]: -100 outside a text's nearest `keep`
};

/// Finds clips by text with a retrieval model that never saw one (paper section 5.6, zero-shot
/// text-to-video retrieval). A clip's vector is the mean of its frames' projected class states,
/// normalised once at the end, so it does not know the frames' order; the match head looks at the
/// states of all frames, one after another. Immutable once loaded: any number of threads may call
/// it.
///
/// What `MatchOptions` leave open follows the paper's evaluation, whatever the checkpoint's
/// release: the match head's texts begin with [ENC], and all are cut to 35 tokens.
template <MatchingConfig C, Backend B>
class VideoRetriever : public ModelBase<VideoRetriever<C, B>, MatchingNetwork<C, B>> {
    using Base = ModelBase<VideoRetriever, MatchingNetwork<C, B>>;
    using Base::shared_;

public:
    using config = C;
    using backend = B;
    using Network = MatchingNetwork<C, B>;
    using Clip = EncodedClip<B>;
    using Base::image_size, Base::network;
    static constexpr std::size_t paper_frames = 8;

    /// As Matcher::load. `frames`: how many are sampled from every clip; 0: all.
    static VideoRetriever load(std::filesystem::path const& path, LoadOptions<B> options = {},
                               std::size_t frames = paper_frames) {
        return load(ModelFolder::open(path), std::move(options), frames);
    }
    static VideoRetriever load(ModelFolder const& folder, LoadOptions<B> options = {},
                               std::size_t frames = paper_frames) {
        return VideoRetriever(LoadedModel<Network>::load(folder, std::move(options)), frames);
    }

    /// The weights of `shared`, which may go on being used.
    explicit VideoRetriever(std::shared_ptr<LoadedModel<Network> const> shared,
                            std::size_t frames = paper_frames)
        : Base(std::move(shared)), frames_(frames) {}

    /// The same weights as `matcher`, which may go on being used.
    explicit VideoRetriever(Matcher<C, B> const& matcher, std::size_t frames = paper_frames)
        : VideoRetriever(matcher.shared(), frames) {}

    /// A clip from all of its frames in order (see `read_frames`), which are sampled here.
    Clip encode(std::span<Image const> frames) const {
        auto const pixels = clip_pixels(frames, frames_, shared_->preprocess);
        return std::move(encode(pixels, pixels.shape()[0]).front());
    }

    /// Clips of `each` frames from normalised pixels [n * each, 3, image_size, image_size], all of
    /// which are used.
    std::vector<Clip> encode(Pixels const& frames, std::size_t each) const {
        LoadedModel<Network>::require_pixels(frames, "video retriever");
        auto const count = clip_count(frames, each, "video retriever");
        std::vector<Clip> clips;
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        for (std::size_t clip = 0; clip < count; ++clip) {
            Scope scope(ctx.arena);
            auto const states = shared_->encode(items_of(frames, clip * each, each), ctx);
            clips.push_back(
                {embedding(states, ctx), download_states(joined_frames(states, each), ctx)});
        }
        return clips;
    }

    /// What the model thinks of a clip and each of `texts`.
    std::vector<Match> match(Clip const& clip, std::span<std::string const> texts,
                             MatchOptions const& options = {}) const {
        if (texts.empty())
            return {};
        auto const scores = match(clip, judged(texts, options));
        std::vector<Match> matches(texts.size());
        for (std::size_t i = 0; i < texts.size(); ++i)
            matches[i] = {.probability = match_probability(scores[i]), .scores = scores[i]};
        if (options.cosine) {
            auto const vectors = embed(texts, options);
            for (std::size_t i = 0; i < texts.size(); ++i)
                matches[i].cosine = cosine(clip, vectors, i);
        }
        return matches;
    }

    /// The clips of a collection that fit `text` best, best first.
    std::vector<FoundClip> search(std::span<Clip const> clips, std::string const& text,
                                  ClipSearch const& options = {}) const {
        std::span const texts(&text, 1);
        auto const vectors = embed(texts, options.text);
        auto const words = judged(texts, options.text);
        std::vector<double> cosines;
        for (auto const& clip : clips)
            cosines.push_back(cosine(clip, vectors, 0));
        std::vector<FoundClip> found;
        for (std::size_t const number : nearest(cosines, options.keep)) {
            auto const scores = match(clips[number], words).front();
            found.push_back(
                {number, scores[1] + cosines[number], cosines[number], match_probability(scores)});
        }
        std::ranges::stable_sort(found, std::ranges::greater{}, &FoundClip::score);
        if (options.results > 0 && found.size() > options.results)
            found.resize(options.results);
        return found;
    }

    /// All clips against all texts, each clip's and each text's nearest `keep` by cosine seen by
    /// the match head, as the published recalls are computed.
    ClipScores scores(std::span<Clip const> clips, std::span<std::string const> texts,
                      std::size_t keep = 128, MatchOptions const& options = {}) const {
        xt::xtensor<double, 2> cosines(
            xt::xtensor<double, 2>::shape_type{clips.size(), texts.size()});
        if (clips.empty() || texts.empty())
            return {cosines, cosines,
                    xt::xtensor<double, 2>(
                        xt::xtensor<double, 2>::shape_type{texts.size(), clips.size()})};
        auto const vectors = embed(texts, options);
        auto const words = judged(texts, options);
        for (std::size_t i = 0; i < clips.size(); ++i)
            for (std::size_t j = 0; j < texts.size(); ++j)
                cosines(i, j) = cosine(clips[i], vectors, j);
        auto found = rank_candidates(std::move(cosines), {.texts = keep, .images = keep},
                                     [&](std::size_t clip, std::span<int const> wanted) {
                                         std::vector<double> logits;
                                         for (auto const& scores_of :
                                              match(clips[clip], words.select(wanted)))
                                             logits.push_back(scores_of[1]);
                                         return logits;
                                     });
        return {std::move(found.cosine), std::move(found.image_to_text),
                std::move(found.text_to_image)};
    }

private:
    using Vectors = xt::xtensor<HostScalar<B>, 2>;
    static constexpr int longest_text = 35; ///< in tokens, as in the authors' evaluation

    /// normalise(mean of the frames' projections): the frames are not normalised one by one.
    std::vector<double> embedding(typename Network::Vision::States states, Context<B>& ctx) const {
        Scope scope(ctx.arena);
        typename Network::VisionProjection::Cache unused;
        auto const rows = download_vectors(
            network().vision_projection.forward(first_tokens(states, ctx), unused, ctx), ctx);
        std::vector<double> mean(C::projection, 0.0);
        for (std::size_t frame = 0; frame < rows.shape()[0]; ++frame)
            for (std::size_t c = 0; c < mean.size(); ++c)
                mean[c] += static_cast<double>(rows(frame, c));
        double square = 0;
        for (double& value : mean) {
            value /= static_cast<double>(rows.shape()[0]);
            square += value * value;
        }
        double const norm = std::max(std::sqrt(square), 1e-12);
        for (double& value : mean)
            value /= norm;
        return mean;
    }

    TokenBatch tokens(std::span<std::string const> texts, FirstToken first,
                      MatchOptions const& options) const {
        int const longest = std::min(longest_text, static_cast<int>(C::text::positions));
        return tokenize_for_match(shared_->tokenizer, texts, first,
                                  options.max_length.value_or(longest));
    }

    TokenBatch judged(std::span<std::string const> texts, MatchOptions const& options) const {
        return tokens(texts, options.first_token.value_or(FirstToken::enc), options);
    }

    Vectors embed(std::span<std::string const> texts, MatchOptions const& options) const {
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        return embed_texts<typename C::text, C::projection>(
            network().encoder, network().text_projection, tokens(texts, FirstToken::cls, options),
            ctx);
    }

    static double cosine(Clip const& clip, Vectors const& texts, std::size_t text) {
        if (clip.embedding.size() != C::projection)
            throw ArgumentError(join("video retriever: expected a clip's vector of ", C::projection,
                                     " numbers, found ", clip.embedding.size(),
                                     "; was it encoded by another model?"));
        double sum = 0;
        for (std::size_t c = 0; c < clip.embedding.size(); ++c)
            sum += clip.embedding[c] * static_cast<double>(texts(text, c));
        return sum;
    }

    /// Numbers of the `keep` largest, in falling order; the first of equals comes first.
    static std::vector<std::size_t> nearest(std::vector<double> const& cosines, std::size_t keep) {
        std::vector<std::size_t> order(cosines.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::ranges::stable_sort(order, std::ranges::greater{},
                                 [&](std::size_t i) { return cosines[i]; });
        order.resize(std::min(order.size(), keep));
        return order;
    }

    std::vector<MatchScores> match(Clip const& clip, TokenBatch const& texts) const {
        auto const& shape = clip.states.shape();
        if (shape[0] != 1 || shape[1] == 0 || shape[2] != C::vision::width)
            throw ArgumentError(join("video retriever: expected states [1, rows, ",
                                     C::vision::width, "] of a clip, found [", shape[0], ", ",
                                     shape[1], ", ", shape[2], "]"));
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        auto const states = ctx.template tokens<C::vision::width>(1, static_cast<int>(shape[1]));
        B::upload(ctx.engine, states.data, clip.states.data(), states.size());
        return match_scores(network(), states, texts, ctx);
    }

    std::size_t frames_;
};

} // namespace blip
