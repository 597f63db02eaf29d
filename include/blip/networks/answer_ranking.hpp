#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <blip/core/keep_scope.hpp>
#include <blip/generate/log_softmax.hpp>
#include <blip/generate/top_entries.hpp>
#include <blip/losses/language_modeling.hpp>
#include <blip/networks/decoder_session.hpp>

namespace blip {

/// Settings of `rank_answers`.
struct RankingOptions {
    int keep = 128;         ///< answers that stay after the first token ("k-test")
    int batch = 64;         ///< answers that go through the decoder together: bounds memory
    double smoothing = 0.1; ///< label smoothing of the loss that answers are ranked by
    SmoothingRule rule = SmoothingRule::ignore_padding;
    int pad = 0; ///< fills answers up where the rule looks at padding
};

/// How well one answer fits a question.
struct RankedAnswer {
    int answer = 0;                     ///< its number in the list
    double score = 0;                   ///< minus the sum of its tokens' losses; larger is better
    double first_token_probability = 0; ///< what kept it in the first stage
};

namespace detail {

/// The losses of every possible first token, from one row of logits.
class FirstTokens {
public:
    template <class T>
    FirstTokens(std::span<T const> logits, double smoothing)
        : logits_(logits.begin(), logits.end()), total_(log_sum_exp(logits)),
          smoothing_(smoothing) {
        auto const count = static_cast<double>(logits_.size());
        uniform_ = total_ - std::accumulate(logits_.begin(), logits_.end(), 0.0) / count;
    }

    double logit(int id) const { return logits_[static_cast<std::size_t>(id)]; }
    double probability(int id) const { return std::exp(logit(id) - total_); }
    double loss(int id) const {
        return (1 - smoothing_) * (total_ - logit(id)) + smoothing_ * uniform_;
    }

private:
    std::vector<double> logits_;
    double total_;
    double smoothing_;
    double uniform_ = 0;
};

} // namespace detail

/// The evaluation mode of visual question answering (the authors' release): for every question the
/// `keep` answers whose first token is likeliest, ordered by the sum of their smoothed losses, best
/// first. Of equal first tokens the answer that stands first in the list is kept, of equal scores
/// the one with the likelier first token comes first. `states` [questions, length, width] with
/// their mask (host [questions, length]; empty: all count); `answers` are ids from [DEC] to [SEP].
/// An answer's score depends neither on the other answers nor on the batch, except under
/// SmoothingRule::torch_1_10 on the length of the longest. Throws ArgumentError for an empty list,
/// answers without a token between their ends' ids or longer than the model has positions, options
/// below 1, and more answers at a time than can be kept; an Error where the scores
/// are not numbers.
template <TextConfig C, Backend B>
std::vector<std::vector<RankedAnswer>>
rank_answers(TextDecoder<C, B> const& decoder, Tokens<C::encoder_width, B> states,
             std::span<unsigned char const> mask, std::span<std::vector<int> const> answers,
             RankingOptions const& options, Context<B>& ctx) {
    using Session = DecoderSession<C, B>;
    if (answers.empty() || options.keep < 1 || options.batch < 1)
        throw ArgumentError(join("ranking: ", answers.size(), " answers, ", options.keep,
                                 " of which are to be kept, ", options.batch,
                                 " at a time; expected at least 1 of each"));
    std::size_t longest = 0;
    for (std::size_t i = 0; i < answers.size(); ++i) {
        if (answers[i].size() < 2 || answers[i].front() != answers.front().front())
            throw ArgumentError(join("ranking: answer ", i, " has ", answers[i].size(),
                                     " ids; expected [DEC] first and [SEP] last, as the others"));
        for (int id : answers[i])
            if (id < 0 || id >= C::vocabulary)
                throw ArgumentError(join("ranking: id ", id, " of answer ", i,
                                         " is outside the vocabulary of ", C::vocabulary));
        longest = std::max(longest, answers[i].size());
    }
    // All of them, whatever a question's first stage will keep: an error must not depend on that.
    for (std::size_t i = 0; i < answers.size(); ++i)
        if (answers[i].size() > static_cast<std::size_t>(C::positions))
            throw ArgumentError(join("ranking: answer ", i, " has ", answers[i].size(),
                                     " tokens with both ends, but the model has only ",
                                     C::positions, " positions; shorten it"));
    bool const everywhere = options.rule == SmoothingRule::torch_1_10;

    Scope scope(ctx.arena);
    auto const questions = static_cast<std::size_t>(states.batch);
    std::size_t const kept = std::min(static_cast<std::size_t>(options.keep), answers.size());
    // No more than is ever alive: the questions' [DEC], and the words of one group of answers.
    std::size_t const together =
        std::min(static_cast<std::size_t>(options.batch), questions * kept);
    std::size_t const room = together * (longest - 1);
    if (questions + room > static_cast<std::size_t>(std::numeric_limits<int>::max()))
        throw ArgumentError(join("ranking: ", together, " answers at a time of up to ", longest,
                                 " tokens are more than can be kept; lower RankOptions::batch"));
    Session session(decoder, states,
                    std::vector<Prompt>(questions, Prompt::plain({answers.front().front()})),
                    static_cast<int>(questions + room), ctx, mask);
    std::vector<typename Session::scalar> logits(questions * C::vocabulary);
    session.start(logits);

    std::vector<std::vector<RankedAnswer>> ranking(questions);
    std::vector<RankedAnswer*> waiting;
    std::vector<typename Session::Continuation> continuations;
    std::vector<std::vector<int>> inputs;
    std::vector<int> targets;
    std::vector<double> target_weights, uniform_weights;

    auto const judge = [&] {
        if (!targets.empty()) {
            Scope judging(ctx.arena);
            for (std::size_t i = 0; i < inputs.size(); ++i)
                continuations[i].ids = inputs[i];
            auto const hidden = session.follow(continuations);
            KeepScope const keep(ctx, Keep::nothing);
            typename TextDecoder<C, B>::Head::Cache head;
            auto const scores =
                decoder.head.forward(hidden, decoder.body.embedding.words, head, ctx);
            auto const losses = token_losses(scores, targets, target_weights, uniform_weights,
                                             options.smoothing, ctx);
            std::size_t next = 0;
            for (std::size_t i = 0; i < inputs.size(); ++i)
                for (std::size_t t = 0; t < inputs[i].size(); ++t)
                    waiting[i]->score -= losses[next++];
        }
        waiting.clear();
        continuations.clear();
        inputs.clear();
        targets.clear();
        target_weights.clear();
        uniform_weights.clear();
    };

    for (std::size_t q = 0; q < questions; ++q) {
        detail::FirstTokens const first(std::span<typename Session::scalar const>(logits).subspan(
                                            q * C::vocabulary, C::vocabulary),
                                        options.smoothing);
        // Logits order as probabilities do, without the ties of those that underflow.
        std::vector<double> likely;
        for (auto const& ids : answers)
            likely.push_back(first.logit(ids[1]));
        TopEntries<double> top(kept);
        top.offer(likely);
        for (auto const& [logit, index] : top.sorted()) {
            int const id = answers[static_cast<std::size_t>(index)][1];
            ranking[q].push_back({static_cast<int>(index), -first.loss(id), first.probability(id)});
        }
        for (RankedAnswer& candidate : ranking[q]) {
            auto const& ids = answers[static_cast<std::size_t>(candidate.answer)];
            std::size_t const fed = (everywhere ? longest : ids.size()) - 2;
            inputs.emplace_back(fed, options.pad);
            std::copy_n(ids.begin() + 1, std::min(fed, ids.size() - 1), inputs.back().begin());
            continuations.push_back({.row = static_cast<int>(q),
                                     .ids = {},
                                     .visible = static_cast<int>(ids.size()) - 1});
            waiting.push_back(&candidate);
            for (std::size_t t = 0; t < fed; ++t) {
                bool const supervised = t + 2 < ids.size();
                targets.push_back(supervised ? ids[t + 2] : -1);
                target_weights.push_back(supervised ? 1 : 0);
                uniform_weights.push_back(supervised || everywhere ? 1 : 0);
            }
            if (std::ssize(waiting) == options.batch)
                judge();
        }
    }
    judge();
    for (std::size_t q = 0; q < questions; ++q) {
        auto& list = ranking[q];
        auto const finite = static_cast<std::size_t>(std::count_if(
            list.begin(), list.end(), [](auto const& one) { return std::isfinite(one.score); }));
        if (finite < kept)
            throw CheckpointError(join("ranking: of ", kept, " answers to question ", q,
                                       " that are to be kept only ", finite,
                                       " have a finite score; the model's weights or the picture's "
                                       "numbers are damaged"));
        std::stable_sort(list.begin(), list.end(),
                         [](auto const& a, auto const& b) { return a.score > b.score; });
    }
    return ranking;
}

} // namespace blip
