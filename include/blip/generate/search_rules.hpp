#pragma once

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
    std::optional<int> end = {};        ///< token that ends a text; without one only length does
    std::optional<int> max_length = {}; ///< this or the next must be set
    /// Counts ids after the prompt only and overrides `max_length`.
    std::optional<int> max_new_tokens = {};
    int min_length = 0;            ///< the end token is forbidden below it
    double repetition_penalty = 1; ///< see `penalize_repetition`; the prompt counts
    int no_repeat_ngram = 0;       ///< see `forbid_repeated_ngrams`; 0: off
};

/// Most ids of a sequence that begins with `prompt_length` ones. Throws ArgumentError when the
/// rules set no length, or none above 0.
inline std::size_t length_limit(SearchRules const& rules, std::size_t prompt_length) {
    if (!rules.max_length && !rules.max_new_tokens)
        throw ArgumentError("generation: neither max_length nor max_new_tokens is set");
    int const given = rules.max_new_tokens ? *rules.max_new_tokens : *rules.max_length;
    if (given < 1)
        throw ArgumentError(
            join("generation: ", rules.max_new_tokens ? "max_new_tokens" : "max_length", " is ",
                 given, ", expected at least 1"));
    return static_cast<std::size_t>(given) + (rules.max_new_tokens ? prompt_length : 0);
}

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
    std::stop_token stop = {};
    std::function<Control(GeneratedToken const&)> on_token = {};
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
            if (prompt.size() >= length_limit(rules, prompt.size()))
                throw ArgumentError(join("generation: prompt ", item, " has ", prompt.size(),
                                         " ids, so max_length ", *rules.max_length,
                                         " (prompt included) leaves no room; ask for more"));
        }
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
