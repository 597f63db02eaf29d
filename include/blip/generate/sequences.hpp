#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <blip/generate/hypothesis.hpp>
#include <blip/generate/log_softmax.hpp>
#include <blip/generate/next_scores.hpp>
#include <blip/generate/search_rules.hpp>

namespace blip::detail {

/// Extends `copies` sequences of every item independently of each other until each has ended.
/// `choose(item, copy, step, processed scores)` names the next token, or none when all are
/// forbidden. Returns [items][copies].
template <NextScores S, class Choose>
std::vector<std::vector<Hypothesis>>
extend_sequences(S& next, std::span<std::vector<int> const> prompts, SearchRules const& rules,
                 SearchWatch const& watch, std::size_t copies, Choose choose) {
    using scalar = typename S::scalar;
    int const vocabulary = next.vocabulary();
    ResolvedRules const resolved(rules, prompts, vocabulary);
    Watcher watcher(watch);

    std::vector<std::vector<Hypothesis>> results;
    for (auto const& prompt : prompts) {
        Hypothesis const empty{prompt, static_cast<int>(prompt.size()), {}, 0, 0, false};
        results.emplace_back(copies, empty);
    }
    if (prompts.empty() || copies == 0 || watcher.stopped())
        return results;

    struct Sequence {
        std::size_t item, copy;
        int row;
    };
    std::vector<Sequence> open;
    for (std::size_t item = 0; item < prompts.size(); ++item)
        for (std::size_t copy = 0; copy < copies; ++copy)
            open.push_back({item, copy, static_cast<int>(item)});

    auto const width = static_cast<std::size_t>(vocabulary);
    std::vector<scalar> logits(prompts.size() * width);
    std::vector<scalar> scores(width);
    next.start(std::span(logits));
    for (std::size_t step = 0;; ++step) {
        std::vector<Sequence> still_open;
        std::vector<int> parents, tokens;
        for (auto const& [item, copy, row] : open) {
            auto const raw = std::span<scalar const>(logits).subspan(
                static_cast<std::size_t>(row) * width, width);
            Hypothesis& hypothesis = results[item][copy];
            double const total = log_sum_exp(raw);
            std::copy(raw.begin(), raw.end(), scores.begin());
            resolved.process(std::span(scores), hypothesis.ids);
            std::optional<int> const token = choose(item, copy, step, std::span(scores));
            if (!token)
                continue;
            double const log_probability =
                static_cast<double>(raw[static_cast<std::size_t>(*token)]) - total;
            hypothesis.ids.push_back(*token);
            hypothesis.token_log_probabilities.push_back(log_probability);
            hypothesis.log_probability += log_probability;
            hypothesis.score = hypothesis.log_probability;
            hypothesis.finished = resolved.is_end(*token);
            watcher.show({static_cast<int>(item), static_cast<int>(copy), hypothesis.ids, *token,
                          log_probability});
            if (hypothesis.finished ||
                hypothesis.ids.size() >= length_limit(rules, prompts[item].size()))
                continue;
            still_open.push_back({item, copy, static_cast<int>(still_open.size())});
            parents.push_back(row);
            tokens.push_back(*token);
        }
        open = std::move(still_open);
        if (open.empty() || watcher.stopped())
            return results;
        logits.resize(open.size() * width);
        next.advance(std::span<int const>(parents), std::span<int const>(tokens),
                     std::span(logits));
    }
}

} // namespace blip::detail
