#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/models/matcher.hpp>
#include <blip/networks/attention_probe.hpp>
#include <blip/vision/heat_map.hpp>

namespace blip {

/// Which parts of a picture each token of a text drew on (Grad-CAM, Selvaraju et al. 2017, on
/// cross-attention, as ALBEF and LAVIS do).
struct TokenMaps {
    std::vector<int> ids;            ///< of the tokens
    std::vector<std::string> pieces; ///< the same as text
    xt::xtensor<float, 3> tokens;    ///< [ids, grid, grid]: of every token, not scaled, >= 0
    GridMap words;                   ///< [grid, grid]: mean over the tokens that are words

    /// The map of one token. Throws ArgumentError when there is no such token.
    GridMap of(std::size_t token) const {
        if (token >= ids.size())
            throw ArgumentError(join("heat map: token ", token, " of ", ids.size()));
        auto const grid = tokens.shape()[1];
        GridMap map(GridMap::shape_type{grid, grid});
        std::copy_n(tokens.data() + token * grid * grid, grid * grid, map.data());
        return map;
    }
};

/// Which parts of a picture a text drew on when it was matched: from [ENC] or [CLS] to [SEP]; the
/// mean is over the pieces between them.
struct HeatMap : TokenMaps {
    Match match{}; ///< what the map explains
};

/// The layer that is looked at where none is named: 6 of 12, and never the last.
constexpr int middle_layer(int depth) {
    return std::max(0, std::min(depth / 2, depth - 2));
}

/// What is asked of `heat_map`.
struct HeatMapOptions {
    /// Of the text network, from 0; default: `middle_layer`. The last one tells of the first token
    /// alone: no other has a say in the result after it.
    std::optional<int> layer{};
    FirstToken first_token = FirstToken::enc;
    std::optional<int> max_length{}; ///< as in MatchOptions
};

/// Grad-CAM of cross-attention: C = A max(G, 0) with attention A and its gradient G, both [heads,
/// rows, 1 + cells] for one text; mean over heads, the class token's column left out. Gives [rows,
/// grid, grid].
template <class T>
xt::xtensor<float, 3> relevance(std::span<T const> attention, std::span<T const> gradient,
                                std::size_t heads, std::size_t rows, std::size_t grid) {
    std::size_t const cells = grid * grid, keys = cells + 1;
    if (attention.size() != heads * rows * keys || gradient.size() != attention.size())
        throw ArgumentError(join("relevance: ", attention.size(), " and ", gradient.size(),
                                 " numbers where ", heads, " x ", rows, " x ", keys,
                                 " are expected"));
    xt::xtensor<float, 3> map(xt::xtensor<float, 3>::shape_type{rows, grid, grid});
    for (std::size_t row = 0; row < rows; ++row)
        for (std::size_t cell = 0; cell < cells; ++cell) {
            double sum = 0;
            for (std::size_t head = 0; head < heads; ++head) {
                std::size_t const at = (head * rows + row) * keys + cell + 1;
                sum += static_cast<double>(attention[at]) *
                       std::max(static_cast<double>(gradient[at]), 0.0);
            }
            map.data()[row * cells + cell] = static_cast<float>(sum / static_cast<double>(heads));
        }
    return map;
}

/// Explains a match score: which parts of the picture each word drew on, by the gradient of the
/// score of "match" in one layer's cross-attention. Throws ArgumentError when there is no such
/// layer.
template <class C, class B>
HeatMap heat_map(Matcher<C, B> const& matcher, Pixels const& pixels, std::string const& text,
                 HeatMapOptions const& options = {}) {
    using Network = MatchingNetwork<C, B>;
    using Matching = typename Network::Matching;
    using Scalar = HostScalar<B>;
    Network const& network = matcher.network();
    AttentionProbe<typename Network::Encoder> probe(
        network.encoder, options.layer.value_or(middle_layer(C::text::depth)));
    if (pixels.shape()[0] != 1)
        throw ArgumentError(join("heat map: expected one picture, found ", pixels.shape()[0]));
    LoadedModel<Network>::require_pixels(pixels, "heat map");
    auto const shared = matcher.shared();
    auto const batch = tokenize_for_match(matcher.tokenizer(), {&text, 1}, options.first_token,
                                          matcher.max_length({.max_length = options.max_length}));
    auto loan = shared->workspaces.borrow();
    auto ctx = loan.context(Keep::nothing);
    typename Network::States const image{shared->encode(pixels, ctx)};
    ctx.keep = Keep::everything;
    typename Matching::Cache cache;
    auto const states =
        probe.forward(upload_text<typename C::text>(batch, ctx), Causal::no, image, ctx);
    auto const logits = Matching::judge(states, network.matching, cache, ctx);

    HeatMap map;
    B::download(ctx.engine, map.match.scores.data(),
                static_cast<typename B::scalar const*>(logits.data), 2);
    map.match.probability = match_probability(map.match.scores);
    auto const dlogits = ctx.template tokens<2>(1, 1);
    float const of_match[] = {0, 1};
    B::upload(ctx.engine, dlogits.data, of_match, 2);
    Weights<typename Network::MatchHead::Grad> unused(ctx.engine);
    auto const dstates = Matching::state_gradient(dlogits, network.matching, cache, *unused, ctx);
    auto const fetch = [&](auto const& compute) {
        auto* const on_device = ctx.take(probe.size());
        compute(on_device);
        std::vector<Scalar> values(static_cast<std::size_t>(probe.size()));
        B::download(ctx.engine, values.data(), static_cast<typename B::scalar const*>(on_device),
                    probe.size());
        return values;
    };
    auto const attention = fetch([&](auto* p) { probe.attention(p, ctx); });
    auto const gradient = fetch([&](auto* g) { probe.gradient(dstates, g, ctx); });
    constexpr std::size_t grid = C::vision::image / C::vision::patch;
    auto const rows = static_cast<std::size_t>(batch.length);
    map.tokens = relevance<Scalar>(attention, gradient, C::text::heads, rows, grid);
    map.ids = batch.ids;
    for (int const id : map.ids)
        map.pieces.push_back(matcher.tokenizer().vocabulary().piece(id));
    map.words = GridMap(GridMap::shape_type{grid, grid}, 0.0f);
    for (std::size_t token = 1; token + 1 < rows; ++token)
        for (std::size_t cell = 0; cell < grid * grid; ++cell)
            map.words.data()[cell] +=
                map.tokens.data()[token * grid * grid + cell] / static_cast<float>(rows - 2);
    return map;
}

/// The same from a picture; overlay(image, map.words) shows it.
template <class C, class B>
HeatMap heat_map(Matcher<C, B> const& matcher, Image const& image, std::string const& text,
                 HeatMapOptions const& options = {}) {
    return heat_map(matcher, preprocess(image, matcher.preprocessing()), text, options);
}

} // namespace blip
