#pragma once

#include <cstddef>
#include <span>
#include <tuple>
#include <vector>

#include <blip/io/task.hpp>
#include <blip/layers/repeat_items.hpp>
#include <blip/losses/language_modeling.hpp>
#include <blip/networks/text_decoder.hpp>
#include <blip/networks/vision_encoder.hpp>

namespace blip {

namespace config {

/// The text network `Text` as a decoder that looks at the states of a question: they are as wide as
/// itself, whatever the width of the image encoder.
template <TextConfig Text>
struct answer_decoder : Text {
    static constexpr int encoder_width = Text::width;
};

} // namespace config

/// Answers to learn from, those of question 0 first, then those of question 1, and so on.
template <class B>
struct AnswerTargets {
    TextInput<B> text;                      ///< [answers, length], [DEC] first
    std::span<int const> labels;            ///< host [answers, length]: `ignored_target` at pads
    std::span<int const> per_question = {}; ///< host [questions]: their answers; empty: one each
    std::span<double const> weights = {};   ///< host [answers]; empty: 1
    /// Host [questions, question length]: what of a question its answers may attend. Empty: its
    /// pads too, as the transformers port does.
    std::span<unsigned char const> question_mask = {};
    /// Questions of a batch that goes through in parts, of which this is one; 0: it is the whole.
    int questions_in_all = 0;
};

/// The weights of a question answerer (paper section 4.4): an image encoder, a text encoder that
/// reads the question while it looks at the image, and a text decoder that looks at the question.
template <CaptionConfig C, Backend B>
struct AnswerNetwork {
    using backend = B;
    using config = C;
    using Grad = AnswerNetwork<C, typename B::gradient>;
    using Vision = VisionEncoder<typename C::vision, B>;
    using Encoder = TextEncoder<typename C::text, B>;
    using Decoder = TextDecoder<blip::config::answer_decoder<typename C::text>, B>;
    using Images = typename Vision::Images;
    using Question = Tokens<C::text::width, B>; ///< states of the text encoder
    static constexpr Task task = Task::question_answering;

    Vision vision;
    Encoder encoder;
    Decoder decoder;

    static constexpr auto fields() {
        return std::tuple{Field{"vision", &AnswerNetwork::vision},
                          Field{"encoder", &AnswerNetwork::encoder},
                          Field{"decoder", &AnswerNetwork::decoder}};
    }

    struct Cache {
        typename Vision::Cache vision;
        typename Encoder::Cache encoder;
        typename Decoder::Cache decoder;
        typename LanguageModelingLoss<B>::Cache loss;
        typename Encoder::States image;
        typename Decoder::States question; ///< of every answer
        std::vector<int> per_question;
    };

    /// States of questions, [n * m, length, width], that look at n images with m questions each.
    Question read(TextInput<B> questions, typename Encoder::States const& image,
                  typename Encoder::Cache& cache, Context<B>& ctx) const {
        return encoder.forward(questions, Causal::no, cache, ctx, image);
    }

    /// The answering loss. With Reduction::sum_per_item (the authors' release): Σ weight * loss of
    /// an answer / number of questions; with Reduction::mean (the transformers port): mean over the
    /// supervised tokens of the batch. `questions` hold [ENC], or [CLS] in the port, first. Throws
    /// ArgumentError when sizes do not fit one another.
    double loss(Images images, TextInput<B> questions, AnswerTargets<B> const& answers,
                LanguageModelingOptions const& options, Cache& cache, Context<B>& ctx) const {
        check(questions, answers);
        cache.image = {.states = vision.forward(images, cache.vision, ctx)};
        auto const states = read(questions, cache.image, cache.encoder, ctx);
        cache.per_question.assign(answers.per_question.begin(), answers.per_question.end());
        if (cache.per_question.empty())
            cache.per_question.assign(static_cast<std::size_t>(questions.batch), 1);
        cache.question = {.states = repeat_items(states, cache.per_question, ctx),
                          .mask = repeated_mask(questions, answers, cache.per_question, ctx)};
        auto const logits = decoder.forward(answers.text, cache.question, cache.decoder, ctx);
        std::vector<double> weights;
        if (options.reduction == Reduction::sum_per_item) {
            weights.assign(answers.weights.begin(), answers.weights.end());
            weights.resize(static_cast<std::size_t>(answers.text.batch), 1);
            int const whole = answers.questions_in_all;
            for (double& weight : weights)
                weight /= whole > 0 ? whole : questions.batch;
        }
        LanguageModelingLoss<B> const criterion{options};
        criterion.forward(logits, answers.labels, weights, cache.loss, ctx);
        return criterion.total(cache.loss, ctx);
    }

    /// Adds the gradient of every parameter to `grad`; once per `loss`.
    void backward(Cache& cache, Grad& grad, Context<B>& ctx) const {
        Scope scope(ctx.arena);
        clear(cache.question, ctx);
        clear(cache.image, ctx);
        auto const dlogits =
            LanguageModelingLoss<B>{}.template backward<C::text::vocabulary>(cache.loss);
        decoder.backward(dlogits, cache.decoder, grad.decoder, cache.question, ctx);
        auto const dstates =
            repeat_items_backward(cache.question.gradient, cache.per_question, ctx);
        encoder.backward(dstates, cache.encoder, grad.encoder, ctx, cache.image);
        vision.backward(cache.image.gradient, cache.vision, grad.vision, ctx);
    }

private:
    /// A gradient of zeros to add to.
    template <int Width>
    static void clear(EncoderStates<Width, B>& encoder, Context<B>& ctx) {
        encoder.gradient = ctx.template tokens<Width>(encoder.states.batch, encoder.states.length);
        B::zero(ctx.engine, encoder.gradient.data, encoder.gradient.size());
    }

    static void check(TextInput<B> questions, AnswerTargets<B> const& answers) {
        auto require = [](auto found, auto expected, char const* what) {
            if (static_cast<std::ptrdiff_t>(found) != static_cast<std::ptrdiff_t>(expected))
                throw ArgumentError(
                    join("answering loss: expected ", expected, " ", what, ", found ", found));
        };
        if (!answers.per_question.empty())
            require(answers.per_question.size(), questions.batch, "counts of answers");
        std::ptrdiff_t total = answers.per_question.empty() ? questions.batch : 0;
        for (int count : answers.per_question)
            total += count;
        require(answers.text.batch, total, "answers");
        if (!answers.weights.empty())
            require(answers.weights.size(), total, "weights of answers");
        if (!answers.question_mask.empty())
            require(answers.question_mask.size(),
                    std::ptrdiff_t{questions.batch} * questions.length,
                    "entries of the question mask");
    }

    /// The mask of the question of every answer, in backend memory.
    static unsigned char const* repeated_mask(TextInput<B> questions,
                                              AnswerTargets<B> const& answers,
                                              std::span<int const> per_question, Context<B>& ctx) {
        if (answers.question_mask.empty())
            return nullptr;
        auto const length = static_cast<std::size_t>(questions.length);
        std::vector<unsigned char> mask;
        for (std::size_t i = 0; i < per_question.size(); ++i) {
            auto const row = answers.question_mask.subspan(i * length, length);
            for (int copy = 0; copy < per_question[i]; ++copy)
                mask.insert(mask.end(), row.begin(), row.end());
        }
        auto* data = ctx.arena.template take<unsigned char>(std::ssize(mask));
        B::upload(ctx.engine, data, static_cast<unsigned char const*>(mask.data()),
                  std::ssize(mask));
        return data;
    }
};

} // namespace blip
