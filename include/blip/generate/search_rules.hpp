#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/generate/score_processors.hpp>

namespace blip {

/// What every search obeys. Lengths count all ids of a sequence, prompt and end token included, for
/// each item on its own.
struct SearchRules {
    std::optional<int> end;            ///< token that ends a text; without one only length does
    std::optional<int> max_length;     ///< either this
    std::optional<int> max_new_tokens; ///< or this is set
    int min_length = 0;                ///< the end token is forbidden below it
    double repetition_penalty = 1;     ///< see `penalize_repetition`; the prompt counts
    int no_repeat_ngram = 0;           ///< see `forbid_repeated_ngrams`; 0: off
};

/// One token that a running search has added.
struct GeneratedToken {
    int item;
    int sequence;             ///< sample number, or rank among the item's open beams
    std::span<int const> ids; ///< all ids so far, `token` last; valid during the call only
    int token;
    double log_probability; ///< under the model's own distribution
};

/// Answer of a callback.
enum class Control { go_on, stop };

/// How a caller follows and ends a running search. After a stop the sequences so far are returned,
/// `finished` false.
struct SearchWatch {
    std::stop_token stop;
    std::function<Control(GeneratedToken const&)> on_token;
};

namespace detail {

/// Rules checked against the prompts of one call, with the two ways to give a length resolved.
class ResolvedRules {
public:
    ResolvedRules(SearchRules const& rules, std::span<std::vector<int> const> prompts,
                  int vocabulary)
        : rules_(rules) {
        if (vocabulary < 1)
            throw ArgumentError("generation: the vocabulary is empty");
        if (rules.max_length.has_value() == rules.max_new_tokens.has_value())
            throw ArgumentError(join("generation: give max_length or max_new_tokens, but not ",
                                     rules.max_length ? "both" : "neither"));
        if (rules.max_new_tokens.value_or(1) < 1)
            throw ArgumentError(join("generation: max_new_tokens is ", *rules.max_new_tokens,
                                     ", expected at least 1"));
        auto const size = static_cast<std::size_t>(vocabulary);
        if (rules.end)
            check_id(*rules.end, size);
        for (std::size_t item = 0; item < prompts.size(); ++item) {
            auto const& prompt = prompts[item];
            if (prompt.empty())
                throw ArgumentError(join("generation: prompt ", item,
                                         " is empty; it needs at least the start token"));
            for (int id : prompt)
                check_id(id, size);
            if (rules.max_length &&
                prompt.size() >= static_cast<std::size_t>(std::max(0, *rules.max_length)))
                throw ArgumentError(join("generation: prompt ", item, " has ", prompt.size(),
                                         " ids, so max_length ", *rules.max_length,
                                         " (prompt included) leaves no room; ask for more"));
        }
    }

    /// Most ids of a sequence that began with `prompt_length` ones.
    std::size_t max_length(std::size_t prompt_length) const {
        return rules_.max_length ? static_cast<std::size_t>(*rules_.max_length)
                                 : prompt_length + static_cast<std::size_t>(*rules_.max_new_tokens);
    }

    bool is_end(int token) const { return rules_.end == token; }

    /// Penalties and bans for what may follow `ids`.
    template <class T>
    void process(std::span<T> scores, std::span<int const> ids) const {
        if (rules_.repetition_penalty != 1)
            penalize_repetition(scores, ids, rules_.repetition_penalty);
        forbid_repeated_ngrams(scores, ids, rules_.no_repeat_ngram);
        if (rules_.end)
            forbid_early_end(scores, ids.size(), rules_.min_length, *rules_.end);
    }

private:
    SearchRules rules_;
};

/// Asks the callback, once it or the stop token has said stop never again.
class Watcher {
public:
    explicit Watcher(SearchWatch const& watch) : watch_(watch) {}

    void show(GeneratedToken const& token) {
        if (!stopped_ && watch_.on_token && watch_.on_token(token) == Control::stop)
            stopped_ = true;
    }

    bool stopped() const { return stopped_ || watch_.stop.stop_requested(); }

private:
    SearchWatch const& watch_;
    bool stopped_ = false;
};

} // namespace detail

} // namespace blip
