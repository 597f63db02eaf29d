#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/models/answer_list.hpp>
#include <blip/models/clips.hpp>
#include <blip/models/generation.hpp>
#include <blip/models/model_base.hpp>
#include <blip/networks/answer_network.hpp>
#include <blip/networks/answer_ranking.hpp>
#include <blip/networks/upload_text.hpp>

namespace blip {

/// How answers are generated. What is not set follows the checkpoint: the authors' files give 3
/// beams and at most 10 tokens; a Hugging Face folder gives greedy search and 20 new tokens, or
/// what its generation_config.json says.
struct AnswerOptions {
    std::optional<int> beams{};          ///< 1: greedy
    int results = 1;                     ///< answers a question, at most `beams` unless sampling
    std::optional<bool> sample{};        ///< draw tokens, do not search; not where `beams` is set
    std::optional<int> max_length{};     ///< in tokens, start token included
    std::optional<int> max_new_tokens{}; ///< in tokens after the start; overrides max_length
    std::optional<int> min_length{};     ///< in tokens, start token included
    std::optional<double> repetition_penalty{};
    std::optional<double> length_penalty{};
    std::optional<int> no_repeat_ngram{};
    std::optional<EarlyStopping> early_stopping{};
    std::optional<double> temperature{}; ///< sampling only, like the next three; 1
    std::optional<int> top_k{};          ///< 0: all; 50
    std::optional<double> top_p{};       ///< 1: all; the authors 0.9, the port 1
    std::uint64_t seed = 0; ///< the same seed gives the same answers, however questions are batched
    std::uint64_t first_question = 0; ///< number of the first question within the whole run
    SearchWatch watch{};              ///< to follow and stop a running search, token by token
    /// Whether answers look at the padding after the shorter questions of a batch, as both
    /// published implementations let them: then an answer depends on the other questions' lengths.
    /// Default: no under Compatibility::strict, yes otherwise.
    std::optional<bool> attend_padding{};
};

/// An answer with what the model thinks of it.
using Answer = GeneratedText;

/// How answers are chosen from a list.
struct RankOptions {
    int keep = 128;                    ///< answers that stay after the first token ("k-test")
    int results = 1;                   ///< answers returned, best first; 0: all that were kept
    int batch = 64;                    ///< answers that are judged together: bounds memory
    std::optional<double> smoothing{}; ///< label smoothing of the scores; default: the model's own
    SmoothingRule rule = SmoothingRule::ignore_padding;
};

/// An answer of a list with its score.
struct ChosenAnswer : RankedAnswer {
    std::string text;
};

/// Answers questions about pictures (paper section 4.4): generates answers, or chooses them from a
/// list. Immutable once loaded: any number of threads may call it.
///
/// Questions are taken as they are; the published numbers are of questions that went through
/// `clean_question`. They begin with [ENC], or with [CLS] under Compatibility::hugging_face; the
/// authors' release cuts them to 35 tokens, and so does Compatibility::salesforce.
///
/// To fine-tune from a pre-training file, set `LoadOptions::fresh_seed`: a large one's answer
/// decoder has cross-attention of another width, which then starts fresh and is named in
/// `report()`.
template <CaptionConfig C, Backend B>
class QuestionAnswerer : public ModelBase<QuestionAnswerer<C, B>, AnswerNetwork<C, B>> {
    using Base = ModelBase<QuestionAnswerer, AnswerNetwork<C, B>>;
    using Base::shared_;

public:
    using config = C;
    using backend = B;
    using Network = AnswerNetwork<C, B>;
    using Base::Base, Base::image_size, Base::network, Base::tokenizer;
    static constexpr int longest_authors_question = 35; ///< in tokens

    /// Answers to one question about one picture, best first.
    std::vector<Answer> answer(Image const& image, std::string const& question,
                               AnswerOptions const& options = {}) const {
        return std::move(answer(std::span(&image, 1), std::span(&question, 1), options).front());
    }

    /// Answers to several questions. Question i is about picture about[i]; `about` empty: about
    /// picture i, or all about the only one. A picture is encoded once, whatever is asked about it.
    /// Where answers attend padding (`attend_padding`), all questions go through the model
    /// together, because they depend on one another: then their number bounds the memory.
    /// Otherwise, unless somebody watches, a number of them at a time does.
    std::vector<std::vector<Answer>> answer(std::span<Image const> images,
                                            std::span<std::string const> questions,
                                            AnswerOptions const& options = {},
                                            std::span<int const> about = {}) const {
        return answer(preprocess(images, shared_->preprocess), questions, options, about);
    }

    /// The same from normalised pixels, [n, 3, image_size, image_size]. With `frames` above 1 that
    /// many pictures after one another are a clip, and count as one picture: questions look at the
    /// states of all its frames (see VideoQuestionAnswerer).
    std::vector<std::vector<Answer>> answer(Pixels const& pixels,
                                            std::span<std::string const> questions,
                                            AnswerOptions const& options = {},
                                            std::span<int const> about = {},
                                            std::size_t frames = 1) const {
        if (questions.empty())
            return {};
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        bool const padding = options.attend_padding.value_or(shared_->settings.compatibility !=
                                                             Compatibility::strict);
        bool const watched = options.watch.on_token || options.watch.stop.stop_possible();
        std::size_t const together = padding || watched ? questions.size() : questions_at_once;
        std::vector<std::vector<Answer>> answers(questions.size());
        for_each_group(pixels, questions, about, frames, together, ctx, [&](Questions const& read) {
            PromptBatch start;
            std::vector<std::uint64_t> numbers;
            for (std::size_t const question : read.numbers) {
                start.ids.push_back({shared_->special().dec});
                start.prompts.push_back(Prompt::plain(start.ids.back()));
                numbers.push_back(options.first_question + question);
            }
            auto found = search_texts(network().decoder, read.states,
                                      padding ? std::span<unsigned char const>{} : read.mask, start,
                                      options, defaults(), std::move(numbers), ctx);
            auto texts = describe_texts(std::move(found), tokenizer());
            for (std::size_t row = 0; row < texts.size(); ++row)
                answers[read.numbers[row]] = std::move(texts[row]);
        });
        return answers;
    }

    /// Answers of a list for one question about one picture, best first: what the published VQA
    /// numbers were made with.
    std::vector<ChosenAnswer> rank(Image const& image, std::string const& question,
                                   AnswerList const& answers,
                                   RankOptions const& options = {}) const {
        return std::move(
            rank(std::span(&image, 1), std::span(&question, 1), answers, options).front());
    }

    /// The same for several questions; `about` as in `answer`.
    std::vector<std::vector<ChosenAnswer>> rank(std::span<Image const> images,
                                                std::span<std::string const> questions,
                                                AnswerList const& answers,
                                                RankOptions const& options = {},
                                                std::span<int const> about = {}) const {
        return rank(preprocess(images, shared_->preprocess), questions, answers, options, about);
    }

    /// The same from normalised pixels, [n, 3, image_size, image_size]. A question's padding never
    /// counts here, so a batch gives what its questions give alone, and goes through the model a
    /// number of questions at a time. `frames` as in `answer`.
    std::vector<std::vector<ChosenAnswer>>
    rank(Pixels const& pixels, std::span<std::string const> questions, AnswerList const& answers,
         RankOptions const& options = {}, std::span<int const> about = {},
         std::size_t frames = 1) const {
        if (questions.empty())
            return {};
        if (options.results < 0)
            throw ArgumentError(
                join("ranking: ", options.results, " results; expected 0 (all kept) or more"));
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        RankingOptions const ranking_options{
            .keep = options.keep,
            .batch = options.batch,
            .smoothing = options.smoothing.value_or(shared_->settings.label_smoothing),
            .rule = options.rule,
            .pad = shared_->special().pad};
        auto const wanted = static_cast<std::size_t>(options.results);
        std::vector<std::vector<ChosenAnswer>> chosen(questions.size());
        for_each_group(
            pixels, questions, about, frames, questions_at_once, ctx, [&](Questions const& read) {
                auto const ranking = rank_answers(network().decoder, read.states, read.mask,
                                                  answers.ids(), ranking_options, ctx);
                for (std::size_t row = 0; row < ranking.size(); ++row) {
                    auto& mine = chosen[read.numbers[row]];
                    for (auto const& ranked : ranking[row])
                        if (wanted == 0 || mine.size() < wanted)
                            mine.push_back(
                                {ranked, answers.texts()[static_cast<std::size_t>(ranked.answer)]});
                }
            });
        return chosen;
    }

    /// Questions as the text encoder is fed them.
    TokenBatch question_tokens(std::span<std::string const> questions) const {
        std::optional<int> limit;
        if (shared_->is_original())
            limit = longest_authors_question;
        auto tokens = tokenizer().encode_batch(questions, {.max_length = limit});
        if (shared_->settings.compatibility != Compatibility::hugging_face)
            tokens = with_first(std::move(tokens), shared_->special().enc);
        return tokens;
    }

    /// `texts` for `rank`.
    AnswerList answer_list(std::vector<std::string> texts) const {
        return {tokenizer(), std::move(texts)};
    }

private:
    /// Questions that go through the model together where the caller's batch means nothing: enough
    /// to make use of weights that were read, few enough for logits and keys to stay small.
    static constexpr std::size_t questions_at_once = 32;

    /// Questions that were read, the ones about a picture side by side.
    struct Questions {
        typename Network::Question states;
        std::vector<unsigned char> mask;        ///< host [questions, length]
        std::span<std::size_t const> numbers{}; ///< row r of `states` is question numbers[r]
    };

    SearchDefaults defaults() const {
        return {.usual = shared_->generation_defaults(),
                .compatibility = release_of(shared_->settings),
                .end = shared_->special().sep};
    }

    /// The picture of every question.
    static std::vector<int> pictures_of(std::size_t pictures, std::size_t questions,
                                        std::span<int const> about) {
        std::vector<int> which(about.begin(), about.end());
        if (about.empty()) {
            which.resize(questions);
            if (pictures == questions)
                std::iota(which.begin(), which.end(), 0);
            else if (pictures != 1)
                throw ArgumentError(join("question answerer: ", questions, " questions about ",
                                         pictures, " pictures; say which is about which"));
        } else if (about.size() != questions) {
            throw ArgumentError(join("question answerer: ", questions, " questions, but ",
                                     about.size(), " numbers of pictures"));
        }
        for (int picture : which)
            if (picture < 0 || static_cast<std::size_t>(picture) >= pictures)
                throw ArgumentError(join("question answerer: picture ", picture,
                                         " does not exist; there are ", pictures));
        return which;
    }

    /// Encodes the pictures and calls f(questions) with at most `together` of them at a time, those
    /// about a picture side by side.
    void for_each_group(Pixels const& pixels, std::span<std::string const> questions,
                        std::span<int const> about, std::size_t frames, std::size_t together,
                        Context<B>& ctx, auto const& f) const {
        LoadedModel<Network>::require_pixels(pixels, "question answerer");
        auto const pictures = clip_count(pixels, frames, "question answerer");
        auto const which = pictures_of(pictures, questions.size(), about);
        std::vector<std::size_t> order(questions.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::stable_sort(order.begin(), order.end(),
                         [&](std::size_t a, std::size_t b) { return which[a] < which[b]; });
        auto const images = joined_frames(shared_->encode(pixels, ctx), frames);
        for (std::size_t first = 0; first < order.size(); first += together) {
            Scope scope(ctx.arena);
            f(read(images, questions, which,
                   std::span<std::size_t const>(order).subspan(
                       first, std::min(together, order.size() - first)),
                   ctx));
        }
    }

    /// The questions `numbers`, which are in their pictures' order.
    Questions read(typename Network::Vision::States images, std::span<std::string const> questions,
                   std::span<int const> which, std::span<std::size_t const> numbers,
                   Context<B>& ctx) const {
        std::vector<std::string> texts;
        std::vector<std::pair<int, int>> runs; // a picture, and how many questions are about it
        for (std::size_t const question : numbers) {
            texts.push_back(questions[question]);
            if (runs.empty() || runs.back().first != which[question])
                runs.emplace_back(which[question], 0);
            ++runs.back().second;
        }
        auto const tokens = question_tokens(texts);
        Questions result{.states = ctx.template tokens<C::text::width>(tokens.batch, tokens.length),
                         .mask = tokens.mask,
                         .numbers = numbers};
        Scope scope(ctx.arena);
        auto const text = upload_text<typename C::text>(tokens, ctx);
        // Neighbours with as many questions each go together.
        for (std::size_t run = 0, first = 0; run < runs.size();) {
            auto const [picture, count] = runs[run];
            int alike = 1;
            while (run + static_cast<std::size_t>(alike) < runs.size() &&
                   runs[run + static_cast<std::size_t>(alike)] == std::pair{picture + alike, count})
                ++alike;
            int const row = static_cast<int>(first), rows = alike * count;
            look(rows_of(text, row, rows), images.items(picture, alike),
                 result.states.items(row, rows), ctx);
            run += static_cast<std::size_t>(alike);
            first += static_cast<std::size_t>(rows);
        }
        return result;
    }

    /// States of `text`, whose rows are shared out evenly among `images`.
    void look(TextInput<B> text, typename Network::Vision::States images,
              typename Network::Question states, Context<B>& ctx) const {
        Scope scope(ctx.arena);
        typename Network::Encoder::Cache unused;
        auto const read = network().read(text, {.states = images}, unused, ctx);
        B::copy(ctx.engine, states.data, read.data, states.size());
    }

    static TextInput<B> rows_of(TextInput<B> text, int first, int count) {
        std::ptrdiff_t const skip = std::ptrdiff_t{first} * text.length;
        return {text.ids + skip, text.positions + skip, text.mask ? text.mask + skip : nullptr,
                count, text.length};
    }
};

} // namespace blip
