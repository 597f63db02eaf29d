#pragma once

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/models/answer_targets.hpp>
#include <blip/models/objective.hpp>

namespace blip {

/// Pictures with a question each, and the answers to learn; see `weigh_answers`.
struct QuestionBatch {
    Pixels pixels; ///< [n, 3, image_size, image_size], normalised
    std::vector<std::string> questions;
    std::vector<std::vector<WeightedAnswer>> answers; ///< of every question, at least one
};

struct AnswerLosses {
    double answering = 0; ///< Σ weight · loss of an answer / number of questions
    double total() const { return answering; }
    NamedLosses named() const { return {{"vqa", answering}}; }
};

/// Fine-tuning for visual question answering, or training of an answerer from scratch (paper
/// section 5.3): every answer's smoothed language-modelling loss, weighted with its share.
/// `QuestionAnswerer(shared())` answers with the present weights. Questions begin as inference has
/// them: with [ENC], or with [CLS] under Compatibility::hugging_face.
template <CaptionConfig C, Backend B>
class AnswerObjective : public Objective<AnswerNetwork<C, B>> {
    using Base = Objective<AnswerNetwork<C, B>>;

public:
    using backend = B;
    using Network = AnswerNetwork<C, B>;
    using Batch = QuestionBatch;
    using Losses = AnswerLosses;
    static constexpr int text_length = 35; ///< of a question, in the authors' release, in tokens

    /// Starts from a checkpoint: a folder, or the file. Throws FileError, FormatError, ConfigError,
    /// CheckpointError.
    static AnswerObjective load(std::filesystem::path const& path,
                                ObjectiveOptions<B> options = {}) {
        return load(ModelFolder::open(path), std::move(options));
    }
    static AnswerObjective load(ModelFolder const& folder, ObjectiveOptions<B> options = {}) {
        return AnswerObjective(load_to_train<Network>(folder, options), options);
    }

    /// Starts from nothing: see `fresh_model`.
    static AnswerObjective from_scratch(ModelSettings settings, Tokenizer tokenizer,
                                        Preprocess const& preprocess = {.size = C::vision::image},
                                        ObjectiveOptions<B> options = {}) {
        return AnswerObjective(
            fresh_model<Network>(std::move(settings), std::move(tokenizer), preprocess, options),
            options);
    }

    /// Trains a model that is there already; nothing else may write to it.
    AnswerObjective(std::shared_ptr<LoadedModel<Network>> model, ObjectiveOptions<B> const& options)
        : Base(std::move(model), options, reasoning_drop_path<typename C::vision>()),
          text_length_(Base::tokens_read(options, text_length)) {}

    /// One step without the optimizer's: the loss of all parts together and its gradient in
    /// `gradient()`, as one batch of them would give. Throws ArgumentError, with nothing changed,
    /// when a part's pictures, questions and answers do not fit one another, or an answer is longer
    /// than the model's positions; TextError for invalid UTF-8.
    AnswerLosses step(std::span<QuestionBatch const> parts, StepOptions const& options = {}) {
        int const whole = Base::require_pictures(parts, who);
        std::vector<std::string> texts;
        std::vector<std::vector<WeightedAnswer>> all;
        for (auto const& part : parts) {
            require(part);
            texts.insert(texts.end(), part.questions.begin(), part.questions.end());
            all.insert(all.end(), part.answers.begin(), part.answers.end());
        }
        auto questions = this->tokenizer().encode_batch(texts, {.max_length = text_length_});
        if (this->settings().compatibility != Compatibility::hugging_face)
            questions = with_first(std::move(questions), this->special().enc);
        AnswerBatch const answers(this->tokenizer(), all);
        if (answers.tokens.length > C::text::positions)
            throw ArgumentError(join(who, ": an answer of ", answers.tokens.length,
                                     " tokens, but the model has only ", C::text::positions,
                                     " positions; shorten it"));
        LanguageModelingOptions const language{.smoothing = this->settings().label_smoothing,
                                               .reduction = Reduction::sum_per_item,
                                               .rule = options.rule};
        AnswerLosses losses;
        int first = 0, first_answer = 0;
        this->run_step(parts.size(), [&](std::size_t number, Context<B>& ctx) {
            auto const& pixels = parts[number].pixels;
            int const count = static_cast<int>(pixels.shape()[0]);
            auto const mine = questions.items(first, count);
            auto const counts = slice(answers.per_question, first, count);
            int const total = std::accumulate(counts.begin(), counts.end(), 0);
            auto const length = answers.tokens.length;
            AnswerTargets<B> const targets{
                .text =
                    upload_text<typename C::text>(answers.tokens.items(first_answer, total), ctx),
                .labels = slice(answers.labels, first_answer * length, total * length),
                .per_question = counts,
                .weights = slice(answers.weights, first_answer, total),
                .question_mask = mine.mask,
                .questions_in_all = whole};
            typename Network::Cache cache;
            losses.answering += this->weights()->loss(this->upload_pictures(pixels, ctx),
                                                      upload_text<typename C::text>(mine, ctx),
                                                      targets, language, cache, ctx);
            this->weights()->backward(cache, *this->gradient(), ctx);
            first += count;
            first_answer += total;
        });
        return losses;
    }
    AnswerLosses step(QuestionBatch const& batch, StepOptions const& options = {}) {
        return step(std::span(&batch, 1), options);
    }

private:
    static constexpr char const* who = "answer objective";

    static void require(QuestionBatch const& part) {
        auto const pictures = part.pixels.shape()[0];
        if (part.questions.size() != pictures || part.answers.size() != pictures)
            throw ArgumentError(join(who, ": ", pictures, " pictures, ", part.questions.size(),
                                     " questions, ", part.answers.size(),
                                     " lists of answers; expected equal numbers"));
        for (std::size_t i = 0; i < pictures; ++i) {
            if (part.answers[i].empty())
                throw ArgumentError(
                    join(who, ": the question \"", part.questions[i], "\" has no answer"));
            for (auto const& [text, weight] : part.answers[i])
                if (!(weight >= 0 && std::isfinite(weight)))
                    throw ArgumentError(join(who, ": the answer \"", text, "\" has the weight ",
                                             weight, ", expected a number from 0"));
        }
    }

    template <class T>
    static std::span<T const> slice(std::vector<T> const& all, int first, int count) {
        return std::span(all).subspan(static_cast<std::size_t>(first),
                                      static_cast<std::size_t>(count));
    }

    int text_length_;
};

} // namespace blip
