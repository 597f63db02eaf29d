#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/models/question_answerer.hpp>

namespace blip {

/// Answers questions about clips with a question answerer that never saw one (paper section 5.6,
/// zero-shot video question answering): uniformly sampled frames go through the image encoder, the
/// question looks at the states of all of them one after another, and nothing tells it which came
/// first. Immutable once loaded: any number of threads may call it.
///
/// No code of it was released. From the paper and its authors: 16 frames, their states simply
/// concatenated, answers generated as in picture question answering. Not known: the resolution, and
/// whether the published accuracies were of generated answers or of ranked ones; `answer` and
/// `rank` are both here, at the checkpoint's own picture size.
template <CaptionConfig C, Backend B>
class VideoQuestionAnswerer : public ModelBase<VideoQuestionAnswerer<C, B>, AnswerNetwork<C, B>> {
    using Base = ModelBase<VideoQuestionAnswerer, AnswerNetwork<C, B>>;
    using Base::shared_;

public:
    using config = C;
    using backend = B;
    using Answerer = QuestionAnswerer<C, B>;
    using Network = typename Answerer::Network;
    using Base::image_size;
    static constexpr std::size_t paper_frames = 16;

    /// As QuestionAnswerer::load. `frames`: how many are sampled from every clip; 0: all.
    static VideoQuestionAnswerer load(std::filesystem::path const& path,
                                      LoadOptions<B> options = {},
                                      std::size_t frames = paper_frames) {
        return load(ModelFolder::open(path), std::move(options), frames);
    }
    static VideoQuestionAnswerer load(ModelFolder const& folder, LoadOptions<B> options = {},
                                      std::size_t frames = paper_frames) {
        return VideoQuestionAnswerer(LoadedModel<Network>::load(folder, std::move(options)),
                                     frames);
    }

    /// The weights of `shared`, which may go on being used.
    explicit VideoQuestionAnswerer(std::shared_ptr<LoadedModel<Network> const> shared,
                                   std::size_t frames = paper_frames)
        : Base(std::move(shared)), frames_(frames) {}

    /// The same weights as `answerer`, which may go on being used.
    explicit VideoQuestionAnswerer(Answerer const& answerer, std::size_t frames = paper_frames)
        : VideoQuestionAnswerer(answerer.shared(), frames) {}

    /// Answers to a question about a clip, best first, from all of its frames in order (see
    /// `read_frames`).
    std::vector<Answer> answer(std::span<Image const> frames, std::string const& question,
                               AnswerOptions const& options = {}) const {
        auto const pixels = sampled(frames);
        return std::move(
            answer(pixels, pixels.shape()[0], std::span(&question, 1), options).front());
    }

    /// Answers to several questions about clips of `each` frames, normalised pixels
    /// [n * each, 3, image_size, image_size], all of which are looked at. Question i is about clip
    /// about[i]; `about` empty: about clip i, or all about the only one.
    std::vector<std::vector<Answer>> answer(Pixels const& frames, std::size_t each,
                                            std::span<std::string const> questions,
                                            AnswerOptions const& options = {},
                                            std::span<int const> about = {}) const {
        return answerer().answer(frames, questions, options, about, each);
    }

    /// Answers of a list for a question about a clip, best first.
    std::vector<ChosenAnswer> rank(std::span<Image const> frames, std::string const& question,
                                   AnswerList const& answers,
                                   RankOptions const& options = {}) const {
        auto const pixels = sampled(frames);
        return std::move(
            rank(pixels, pixels.shape()[0], std::span(&question, 1), answers, options).front());
    }

    /// The same for several questions about clips of `each` frames, as in `answer`.
    std::vector<std::vector<ChosenAnswer>> rank(Pixels const& frames, std::size_t each,
                                                std::span<std::string const> questions,
                                                AnswerList const& answers,
                                                RankOptions const& options = {},
                                                std::span<int const> about = {}) const {
        return answerer().rank(frames, questions, answers, options, about, each);
    }

    /// `texts` for `rank`.
    AnswerList answer_list(std::vector<std::string> texts) const {
        return answerer().answer_list(std::move(texts));
    }

    /// The model of single pictures behind it.
    Answerer answerer() const { return Answerer(shared_); }

private:
    Pixels sampled(std::span<Image const> frames) const {
        return clip_pixels(frames, frames_, shared_->preprocess);
    }

    std::size_t frames_;
};

} // namespace blip
