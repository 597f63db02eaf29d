#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <blip/networks/answer_network.hpp>
#include <blip/networks/upload_text.hpp>
#include <blip/text/wordpiece.hpp>

namespace blip {

/// One answer of a question with its share in the loss.
struct WeightedAnswer {
    std::string text;
    double weight = 1;
};

/// Weight of the only answer that a Visual Genome question has in the authors' release.
inline constexpr double visual_genome_weight = 0.2;

/// The different answers that people gave to one question, in the order of their first appearance,
/// each weighted with its share of all: what a VQA question is trained on.
inline std::vector<WeightedAnswer> weigh_answers(std::span<std::string const> answers) {
    std::vector<WeightedAnswer> weighted;
    for (auto const& answer : answers) {
        auto const known = std::ranges::find(weighted, answer, &WeightedAnswer::text);
        double const share = 1 / static_cast<double>(answers.size());
        if (known == weighted.end())
            weighted.push_back({answer, share});
        else
            known->weight += share;
    }
    return weighted;
}

/// The answers of a batch of questions, tokenised together: what `AnswerNetwork::loss` learns from.
struct AnswerBatch {
    TokenBatch tokens;             ///< padded to the longest, [DEC] first
    std::vector<int> labels;       ///< the same with `ignored_target` at pads
    std::vector<int> per_question; ///< how many answers each question has
    std::vector<double> weights;

    /// Throws TextError for invalid UTF-8, ArgumentError for a question without an answer.
    AnswerBatch(Tokenizer const& tokenizer,
                std::span<std::vector<WeightedAnswer> const> questions) {
        std::vector<std::string> texts;
        for (std::size_t i = 0; i < questions.size(); ++i) {
            if (questions[i].empty())
                throw ArgumentError(join("answers: question ", i, " of the batch has none"));
            per_question.push_back(static_cast<int>(questions[i].size()));
            for (auto const& [text, weight] : questions[i]) {
                texts.push_back(text);
                weights.push_back(weight);
            }
        }
        tokens = with_first(tokenizer.encode_batch(texts), tokenizer.vocabulary().special().dec);
        labels = tokens.ids;
        for (std::size_t i = 0; i < labels.size(); ++i)
            if (tokens.mask[i] == 0)
                labels[i] = ignored_target;
    }

    /// The batch as the loss takes it; it must outlive the result. `question_mask` as in
    /// AnswerTargets.
    template <class C, Backend B>
    AnswerTargets<B> targets(std::span<unsigned char const> question_mask, Context<B>& ctx) const {
        return {.text = upload_text<typename C::text>(tokens, ctx),
                .labels = labels,
                .per_question = per_question,
                .weights = weights,
                .question_mask = question_mask};
    }
};

} // namespace blip
