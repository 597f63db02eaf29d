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

/// Any model's next scores behind one type: a search over it is compiled once for a type of
/// numbers, not once for every model. The model must outlive it.
template <std::floating_point T>
class AnyNextScores {
public:
    using scalar = T;

    template <NextScores S>
        requires(std::same_as<typename S::scalar, T> && !std::same_as<S, AnyNextScores>)
    explicit AnyNextScores(S& model)
        : model_(&model), vocabulary_(model.vocabulary()),
          start_([](void* m, std::span<T> logits) { static_cast<S*>(m)->start(logits); }),
          advance_(
              [](void* m, std::span<int const> parents, std::span<int const> tokens,
                 std::span<T> logits) { static_cast<S*>(m)->advance(parents, tokens, logits); }) {}

    int vocabulary() const { return vocabulary_; }
    void start(std::span<T> logits) { start_(model_, logits); }
    void advance(std::span<int const> parents, std::span<int const> tokens, std::span<T> logits) {
        advance_(model_, parents, tokens, logits);
    }

private:
    void* model_;
    int vocabulary_;
    void (*start_)(void*, std::span<T>);
    void (*advance_)(void*, std::span<int const>, std::span<int const>, std::span<T>);
};

} // namespace blip
