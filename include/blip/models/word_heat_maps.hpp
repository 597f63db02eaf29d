#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <blip/core/keep_scope.hpp>
#include <blip/models/captioner.hpp>
#include <blip/models/heat_map.hpp>
#include <blip/models/question_answerer.hpp>
#include <blip/networks/attention_probe.hpp>

namespace blip {

/// Which parts of a picture each generated token drew on (Grad-CAM on cross-attention, as
/// `heat_map` of a match). `ids` and `pieces` are the generated ones, [SEP] included where the
/// model ended the text; `words` is the mean over those that are no special token.
struct WordHeatMaps : TokenMaps {
    std::vector<double> log_probabilities; ///< of each generated token: what its map explains
};

/// What is asked of the maps of generated tokens.
struct WordHeatMapOptions {
    /// Of the text network that looks at the picture, from 0; default: `middle_layer`.
    std::optional<int> layer{};
};

namespace detail {

/// The gradient of log p(id) in the last states of a decoder, row by row.
template <class Decoder>
class LogProbabilities {
public:
    using B = typename Decoder::backend;
    using States = typename Decoder::Body::X;

    LogProbabilities(Decoder const& decoder, Context<B>& ctx)
        : decoder_(decoder), unused_(ctx.engine) {
        // Gradients of parameters come along and are thrown away.
        unused_table_.data = ctx.arena.template take<typename B::gradient::scalar>(Table::size);
    }

    /// log p of `id` after the token in `row` of `states` [1, length, width]; its gradient is put
    /// into `gradient`, of the same shape.
    double differentiate(States states, int row, int id, States gradient, Context<B>& ctx) {
        B::zero(ctx.engine, gradient.data, gradient.size());
        Scope scope(ctx.arena);
        std::ptrdiff_t const at = std::ptrdiff_t{row} * States::width;
        States const last{states.data + at, 1, 1};
        typename Decoder::Head::Cache cache;
        auto const& words = decoder_.body.embedding.words;
        KeepScope const keep(ctx, Keep::everything);
        auto const logits = decoder_.head.forward(last, words, cache, ctx);
        // The loss of weight -1 is the logarithm of the probability.
        double const weights[] = {-1, 0};
        auto* const target_weight = ctx.take(2);
        B::upload(ctx.engine, target_weight, weights, 2);
        int* const target = ctx.arena.template take<int>(1);
        B::upload(ctx.engine, target, static_cast<int const*>(&id), 1);
        auto* const log_p = ctx.take(1);
        B::cross_entropy(ctx.engine, matrix(logits), target, target_weight, target_weight + 1, 0.0,
                         log_p, matrix(logits));
        double value = 0;
        B::download(ctx.engine, &value, static_cast<typename B::scalar const*>(log_p), 1);
        auto const d = decoder_.head.backward(logits, words, cache, *unused_, unused_table_, ctx);
        B::copy(ctx.engine, gradient.data + at, d.data, d.size());
        return value;
    }

private:
    using Head = typename Decoder::Head;
    using Table = std::remove_cvref_t<decltype(std::declval<Decoder>().body.embedding.words)>;
    using TableGrad =
        std::remove_cvref_t<decltype(std::declval<typename Decoder::Grad>().body.embedding.words)>;

    Decoder const& decoder_;
    Weights<typename Head::Grad> unused_;
    TableGrad unused_table_;
};

/// The generated ids of `text`, with their pieces and room for their maps. Throws ArgumentError
/// when there is none.
template <class Model>
WordHeatMaps start_maps(Model const& model, GeneratedText const& text, std::size_t grid) {
    std::size_t const count = text.token_log_probabilities.size();
    if (count == 0 || count >= text.ids.size())
        throw ArgumentError(join("heat maps: a text of ", text.ids.size(), " ids, ", count,
                                 " of them generated; expected one that the model generated"));
    WordHeatMaps maps;
    maps.ids.assign(text.ids.end() - static_cast<std::ptrdiff_t>(count), text.ids.end());
    for (int const id : maps.ids)
        maps.pieces.push_back(model.tokenizer().vocabulary().piece(id));
    maps.tokens = xt::xtensor<float, 3>(xt::xtensor<float, 3>::shape_type{count, grid, grid});
    return maps;
}

/// `text` without its last id, which nothing follows, as a decoder is fed it.
template <class C, Backend B>
TextInput<B> upload_generated(GeneratedText const& text, Context<B>& ctx) {
    TokenBatch batch;
    batch.ids.assign(text.ids.begin(), text.ids.end() - 1);
    batch.mask.assign(batch.ids.size(), 1);
    batch.batch = 1;
    batch.length = static_cast<int>(batch.ids.size());
    return upload_text<C>(batch, ctx);
}

/// A probe's attention, or its gradient, on the host.
template <class Probe, class Compute>
auto fetch(Probe const& probe, Context<typename Probe::B>& ctx, Compute const& compute) {
    using B = typename Probe::B;
    Scope scope(ctx.arena);
    auto* const on_device = ctx.take(probe.size());
    compute(on_device);
    std::vector<HostScalar<B>> values(static_cast<std::size_t>(probe.size()));
    B::download(ctx.engine, values.data(), static_cast<typename B::scalar const*>(on_device),
                probe.size());
    return values;
}

/// The mean of the maps of all tokens but special ones.
inline void average_words(WordHeatMaps& maps, Vocabulary const& vocabulary) {
    auto const& shape = maps.tokens.shape();
    std::size_t const cells = shape[1] * shape[2];
    maps.words = GridMap(GridMap::shape_type{shape[1], shape[2]}, 0.0f);
    std::size_t count = 0;
    for (std::size_t token = 0; token < shape[0]; ++token) {
        if (vocabulary.is_special(maps.ids[token]))
            continue;
        ++count;
        for (std::size_t cell = 0; cell < cells; ++cell)
            maps.words.data()[cell] += maps.tokens.data()[token * cells + cell];
    }
    for (float& value : maps.words)
        value /= static_cast<float>(std::max<std::size_t>(count, 1));
}

template <class Network>
void require_one_picture(Pixels const& pixels) {
    if (pixels.shape()[0] != 1)
        throw ArgumentError(join("heat maps: expected one picture, found ", pixels.shape()[0]));
    LoadedModel<Network>::require_pixels(pixels, "heat maps");
}

} // namespace detail

/// For every generated token of a caption the parts of the picture it drew on: by the gradient of
/// its log-probability in one layer's cross-attention, at the position that predicts it. Throws
/// ArgumentError when there is no such layer or `caption` was not generated.
template <class C, class B>
WordHeatMaps heat_map(Captioner<C, B> const& captioner, Pixels const& pixels,
                      Caption const& caption, WordHeatMapOptions const& options = {}) {
    using Network = CaptionerNetwork<C, B>;
    constexpr std::size_t grid = C::vision::image / C::vision::patch;
    detail::require_one_picture<Network>(pixels);
    auto maps = detail::start_maps(captioner, caption, grid);
    auto const& decoder = captioner.network().decoder;
    AttentionProbe<typename Network::Decoder::Body> probe(
        decoder.body, options.layer.value_or(middle_layer(C::text::depth)));
    auto const shared = captioner.shared();
    auto loan = shared->workspaces.borrow();
    auto ctx = loan.context(Keep::nothing);
    auto const states = probe.forward(detail::upload_generated<typename C::text>(caption, ctx),
                                      Causal::yes, {shared->encode(pixels, ctx)}, ctx);
    auto const attention = detail::fetch(probe, ctx, [&](auto* p) { probe.attention(p, ctx); });
    detail::LogProbabilities<typename Network::Decoder> log_p(decoder, ctx);
    auto const d = ctx.template tokens<C::text::width>(1, states.length);
    int const given = states.length + 1 - static_cast<int>(maps.ids.size());
    for (std::size_t token = 0; token < maps.ids.size(); ++token) {
        int const row = given + static_cast<int>(token) - 1;
        maps.log_probabilities.push_back(log_p.differentiate(states, row, maps.ids[token], d, ctx));
        auto const gradient =
            detail::fetch(probe, ctx, [&](auto* g) { probe.gradient(d, g, ctx); });
        auto const rows = relevance<HostScalar<B>>(attention, gradient, C::text::heads,
                                                   static_cast<std::size_t>(states.length), grid);
        std::copy_n(rows.data() + static_cast<std::size_t>(row) * grid * grid, grid * grid,
                    maps.tokens.data() + token * grid * grid);
    }
    detail::average_words(maps, captioner.tokenizer().vocabulary());
    return maps;
}

/// For every generated token of an answer the parts of the picture it drew on: by the gradient of
/// its log-probability in one layer of the question encoder's cross-attention, through the states
/// of the question that the answer looks at; mean over the pieces of the question. Throws
/// ArgumentError as above.
template <class C, class B>
WordHeatMaps heat_map(QuestionAnswerer<C, B> const& answerer, Pixels const& pixels,
                      std::string const& question, Answer const& answer,
                      WordHeatMapOptions const& options = {}) {
    using Network = AnswerNetwork<C, B>;
    constexpr std::size_t grid = C::vision::image / C::vision::patch;
    detail::require_one_picture<Network>(pixels);
    auto maps = detail::start_maps(answerer, answer, grid);
    auto const& network = answerer.network();
    AttentionProbe<typename Network::Encoder> reader(
        network.encoder, options.layer.value_or(middle_layer(C::text::depth)));
    AttentionProbe<typename Network::Decoder::Body> writer(network.decoder.body, 0);
    auto const shared = answerer.shared();
    auto loan = shared->workspaces.borrow();
    auto ctx = loan.context(Keep::nothing);
    auto const tokens = answerer.question_tokens({&question, 1});
    auto const read = reader.forward(upload_text<typename C::text>(tokens, ctx), Causal::no,
                                     {shared->encode(pixels, ctx)}, ctx);
    auto const states = writer.forward(detail::upload_generated<typename C::text>(answer, ctx),
                                       Causal::yes, {read}, ctx);
    auto const attention = detail::fetch(reader, ctx, [&](auto* p) { reader.attention(p, ctx); });
    detail::LogProbabilities<typename Network::Decoder> log_p(network.decoder, ctx);
    auto const d = ctx.template tokens<C::text::width>(1, states.length);
    auto const dread = ctx.template tokens<C::text::width>(1, read.length);
    int const given = states.length + 1 - static_cast<int>(maps.ids.size());
    auto const pieces = static_cast<std::size_t>(read.length) - 2; // without [ENC] and [SEP]
    for (std::size_t token = 0; token < maps.ids.size(); ++token) {
        int const row = given + static_cast<int>(token) - 1;
        maps.log_probabilities.push_back(log_p.differentiate(states, row, maps.ids[token], d, ctx));
        B::zero(ctx.engine, dread.data, dread.size());
        writer.add_states_gradient(d, dread, ctx);
        auto const gradient =
            detail::fetch(reader, ctx, [&](auto* g) { reader.gradient(dread, g, ctx); });
        auto const rows = relevance<HostScalar<B>>(attention, gradient, C::text::heads,
                                                   static_cast<std::size_t>(read.length), grid);
        for (std::size_t cell = 0; cell < grid * grid; ++cell) {
            double sum = 0;
            for (std::size_t piece = 1; piece <= pieces; ++piece)
                sum += static_cast<double>(rows.data()[piece * grid * grid + cell]);
            maps.tokens.data()[token * grid * grid + cell] =
                static_cast<float>(sum / static_cast<double>(std::max<std::size_t>(pieces, 1)));
        }
    }
    detail::average_words(maps, answerer.tokenizer().vocabulary());
    return maps;
}

} // namespace blip
