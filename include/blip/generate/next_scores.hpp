#pragma once

#include <concepts>
#include <span>

namespace blip {

/// What a search needs of a model: the raw scores (logits) of every possible next token for some
/// rows, a row being one sequence that is extended token by token.
///
/// `start` fills logits [items, vocabulary] with what follows each item's prompt; the rows then are
/// the items. `advance` replaces the rows: new row r continues former row parents[r] with
/// tokens[r], and logits become [parents.size(), vocabulary]. Rows may be dropped, repeated and
/// reordered.
template <class S>
concept NextScores = requires(S& scores, std::span<int const> parents, std::span<int const> tokens,
                              std::span<typename S::scalar> logits) {
    requires std::floating_point<typename S::scalar>;
    { scores.vocabulary() } -> std::convertible_to<int>;
    scores.start(logits);
    scores.advance(parents, tokens, logits);
};

} // namespace blip
