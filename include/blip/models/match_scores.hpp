#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/io/model_config.hpp>
#include <blip/models/loaded_model.hpp>
#include <blip/networks/matching_network.hpp>
#include <blip/networks/upload_text.hpp>

namespace blip {

/// What a text begins with when it is judged against a picture. [ENC] is what the models were
/// trained and evaluated with (retrieval, LAVIS); the authors' released scorer and the port leave
/// [CLS], and their published match scores are made with it.
enum class FirstToken { cls, enc };

/// The first token that an implementation's published match scores need: [CLS] for both, [ENC]
/// where correctness comes first.
inline FirstToken match_token(Compatibility compatibility) {
    return compatibility == Compatibility::strict ? FirstToken::enc : FirstToken::cls;
}

/// Scores of (not match, match).
using MatchScores = std::array<double, 2>;

/// The match probability, softmax(scores)[1].
inline double match_probability(MatchScores const& scores) {
    return 1 / (1 + std::exp(scores[0] - scores[1]));
}

/// Texts as the match head sees them, [CLS] or [ENC] first, cut to `max_length` tokens where it is
/// given. The references pad to 35 tokens; padding is masked and changes no bit of a score, so none
/// is added here.
inline TokenBatch tokenize_for_match(Tokenizer const& tokenizer, std::span<std::string const> texts,
                                     FirstToken first, std::optional<int> max_length) {
    auto batch = tokenizer.encode_batch(texts, {.max_length = max_length});
    auto const& special = tokenizer.vocabulary().special();
    return first == FirstToken::enc ? with_first(std::move(batch), special.enc) : batch;
}

namespace detail {

/// About how many tokens go through the text network together: enough to make use of weights that
/// were read, few enough for their activations to stay in the processor's cache.
inline constexpr int text_tokens_at_once = 1024;

/// Pictures that bring keys and values of their own: each fills the processor alone, but the text
/// network's weights are read once for all of them.
inline constexpr int pairs_at_once = 8;

/// Calls f(numbers of texts, those texts) group by group, texts of similar length together, so that
/// little is padded.
inline void for_each_group(TokenBatch const& texts, auto const& f) {
    std::vector<int> order(static_cast<std::size_t>(texts.batch));
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, {}, [&](int item) { return texts.tokens(item); });
    for (std::size_t first = 0; first < order.size();) {
        std::size_t last = first + 1;
        while (last < order.size() &&
               (last + 1 - first) * static_cast<std::size_t>(texts.tokens(order[last])) <=
                   static_cast<std::size_t>(text_tokens_at_once))
            ++last;
        auto const group = std::span<int const>(order).subspan(first, last - first);
        f(group, texts.select(group));
        first = last;
    }
}

template <class C, class B>
std::vector<MatchScores> match_group(MatchingNetwork<C, B> const& network,
                                     typename MatchingNetwork<C, B>::States const& image,
                                     TokenBatch const& texts, Context<B>& ctx) {
    Scope scope(ctx.arena);
    typename MatchingNetwork<C, B>::Matching::Cache cache;
    auto const logits = network.match(upload_text<typename C::text>(texts, ctx), image, cache, ctx);
    std::vector<MatchScores> scores(static_cast<std::size_t>(texts.batch));
    B::download(ctx.engine, scores.front().data(),
                static_cast<typename B::scalar const*>(logits.data), logits.size());
    return scores;
}

} // namespace detail

/// Scores of texts against pictures already encoded, `states` [n, tokens, width], for n * m texts
/// of which the first m are about picture 0, the next m about picture 1, and so on. A picture's
/// keys and values are computed once for a group of its texts. The score of a pair does not depend
/// on what else is asked: it is bit for bit what the pair gives alone. Nothing stays in the arena.
template <class C, class B>
std::vector<MatchScores> match_scores(MatchingNetwork<C, B> const& network,
                                      Tokens<C::vision::width, B> states, TokenBatch const& texts,
                                      Context<B>& ctx) {
    if (texts.batch == 0)
        return {};
    if (states.batch < 1 || texts.batch % states.batch != 0)
        throw ArgumentError(join("match: ", texts.batch, " texts for ", states.batch,
                                 " pictures; expected as many, or a multiple"));
    std::vector<MatchScores> scores(static_cast<std::size_t>(texts.batch));
    int const each = texts.batch / states.batch;
    std::vector<int> numbers(scores.size());
    std::iota(numbers.begin(), numbers.end(), 0);
    std::span<int const> const all(numbers);
    if (each > 1) {
        for (int item = 0; item < states.batch; ++item) {
            auto const mine = texts.select(
                all.subspan(static_cast<std::size_t>(item * each), static_cast<std::size_t>(each)));
            detail::for_each_group(mine, [&](std::span<int const> group, TokenBatch const& some) {
                auto const found = detail::match_group(network, {states.items(item, 1)}, some, ctx);
                for (std::size_t i = 0; i < group.size(); ++i)
                    scores[static_cast<std::size_t>(item * each + group[i])] = found[i];
            });
        }
        return scores;
    }
    for (int first = 0; first < texts.batch; first += detail::pairs_at_once) {
        int const count = std::min(detail::pairs_at_once, texts.batch - first);
        auto const found =
            detail::match_group(network, {states.items(first, count)},
                                texts.select(all.subspan(static_cast<std::size_t>(first),
                                                         static_cast<std::size_t>(count))),
                                ctx);
        std::ranges::copy(found, scores.begin() + first);
    }
    return scores;
}

/// Unit vectors of texts with [CLS] first, [texts, Out], in mode "text" of `encoder`.
template <class Sizes, int Out, class Encoder, class B>
xt::xtensor<HostScalar<B>, 2> embed_texts(Encoder const& encoder,
                                          typename TextFeatures<Encoder, Out>::Projection const& p,
                                          TokenBatch const& texts, Context<B>& ctx) {
    using Result = xt::xtensor<HostScalar<B>, 2>;
    Result result(
        typename Result::shape_type{static_cast<std::size_t>(texts.batch), std::size_t{Out}});
    detail::for_each_group(texts, [&](std::span<int const> group, TokenBatch const& some) {
        Scope scope(ctx.arena);
        typename TextFeatures<Encoder, Out>::Cache cache;
        auto const found =
            download_vectors(TextFeatures<Encoder, Out>::forward(upload_text<Sizes>(some, ctx),
                                                                 encoder, p, cache, ctx),
                             ctx);
        for (std::size_t i = 0; i < group.size(); ++i)
            std::copy_n(found.data() + i * Out, Out,
                        result.data() + static_cast<std::ptrdiff_t>(group[i]) * Out);
    });
    return result;
}

/// a · b of unit vectors of equal width, rows of `a` by rows of `b`.
template <class T>
xt::xtensor<double, 2> cosines_of(xt::xtensor<T, 2> const& a, xt::xtensor<T, 2> const& b) {
    xt::xtensor<double, 2> result(xt::xtensor<double, 2>::shape_type{a.shape()[0], b.shape()[0]});
    auto const width = static_cast<std::ptrdiff_t>(a.shape()[1]);
    auto* out = result.data();
    for (std::size_t i = 0; i < a.shape()[0]; ++i)
        for (std::size_t j = 0; j < b.shape()[0]; ++j) {
            auto const* x = a.data() + static_cast<std::ptrdiff_t>(i) * width;
            auto const* y = b.data() + static_cast<std::ptrdiff_t>(j) * width;
            *out++ = std::inner_product(x, x + width, y, 0.0, std::plus<>{}, [](T u, T v) {
                return static_cast<double>(u) * static_cast<double>(v);
            });
        }
    return result;
}

} // namespace blip
