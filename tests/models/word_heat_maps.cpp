#include <support/catch.hpp>

#include <algorithm>
#include <cmath>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/models/word_heat_maps.hpp>
#include <support/network.hpp>
#include <support/tiny_models.hpp>

namespace {

using namespace blip;
using namespace blip::test;

using R = Reference<double>;
constexpr std::size_t grid = 3, cells = 9, heads = tiny_model::text::heads;

/// One attention probability to be changed.
struct Place {
    int layer = 0, head = 0, query = 0, key = 0;
};

/// Last states of a text network in which `by` was added to one attention probability: what the
/// head found moves by that much of the key's value.
template <class Body>
typename Body::X disturbed(Body const& body, TextInput<R> text, Causal causal,
                           typename Body::States const& encoder, Place place, double by,
                           double* probability, Context<R>& ctx) {
    typename Body::Cache cache;
    auto x = body.embedding.forward(text, cache.embedding, ctx);
    SelfMask const mask{causal, text.mask};
    constexpr int width = Body::X::width, head_width = width / static_cast<int>(heads);
    for (int i = 0; i < decltype(Body::stack)::depth; ++i) {
        auto const& block = body.stack.blocks[static_cast<std::size_t>(i)];
        typename std::remove_cvref_t<decltype(block)>::Cache c;
        auto const h = block.attention.forward(x, c.attention, ctx, mask);
        auto y = block.cross.branch.forward(h, c.cross.branch, ctx, encoder);
        if (i == place.layer) {
            auto const& found = c.cross.branch.attended;
            auto const& projected = c.cross.branch.projected;
            for (int k = 0; k < head_width; ++k) {
                int const channel = place.head * head_width + k;
                found.data[place.query * width + channel] +=
                    by * projected.data[place.key * 2 * width + width + channel];
            }
            if (probability) {
                int const keys = encoder.states.length;
                std::vector<double> p(heads * static_cast<std::size_t>(h.length * keys));
                block.cross.branch.probabilities(c.cross.branch, ctx, encoder, p.data());
                *probability = p[static_cast<std::size_t>(
                    (place.head * h.length + place.query) * keys + place.key)];
            }
            typename std::remove_cvref_t<decltype(block.cross.branch.output)>::Cache unused;
            y = block.cross.branch.output.forward(found, unused, ctx);
        }
        x = block.mlp.forward(block.cross.norm.forward_sum(y, h, c.cross.norm, ctx), c.mlp, ctx);
    }
    return x;
}

template <class Decoder>
double log_probability(Decoder const& decoder, typename Decoder::Body::X states, int row, int id,
                       Context<R>& ctx) {
    typename Decoder::Head::Cache cache;
    auto const logits = decoder.head.forward(states, decoder.body.embedding.words, cache, ctx);
    constexpr std::size_t words = tiny_model::text::vocabulary;
    std::span<double const> const scores(logits.data + static_cast<std::size_t>(row) * words,
                                         words);
    return scores[static_cast<std::size_t>(id)] - log_sum_exp(scores);
}

/// One cell of a map by its definition, from the slope of `log_p(place, by, &probability)`.
double by_definition(int layer, int query, std::size_t cell, auto const& log_p) {
    double sum = 0;
    for (int head = 0; head < static_cast<int>(heads); ++head) {
        Place const place{layer, head, query, static_cast<int>(cell) + 1};
        double probability = 0;
        constexpr double step = 1e-5;
        double const slope =
            (log_p(place, step, &probability) - log_p(place, -step, nullptr)) / (2 * step);
        sum += probability * std::max(slope, 0.0);
    }
    return sum / static_cast<double>(heads);
}

TextInput<R> input(Bench<R>& bench, std::vector<int> const& ids, std::size_t length) {
    std::vector<std::int64_t> const wide(ids.begin(),
                                         ids.begin() + static_cast<std::ptrdiff_t>(length));
    return bench.text(wide, {}, 1);
}

double largest(GridMap const& map) {
    return *std::max_element(map.begin(), map.end());
}

} // namespace

TEST_CASE("a caption's maps are attention times its slope, at the position before each token") {
    auto const captioner = random_model<Captioner<tiny_model, R>>();
    auto const pixels = noise(1);
    auto const caption =
        captioner.generate(pixels, {.prompt = "a ", .beams = 3, .max_length = 7}).front().front();
    Bench<R> bench;
    auto const& network = captioner.network();
    typename CaptionerNetwork<tiny_model, R>::Vision::Cache vision;
    EncoderStates<32, R> const image{network.vision.forward(
        {bench.put(std::vector<float>(pixels.begin(), pixels.end())), 1}, vision, bench.context)};
    for (int layer : {0, 1}) {
        auto const maps = heat_map(captioner, pixels, caption, {.layer = layer});
        std::size_t const count = caption.token_log_probabilities.size();
        std::size_t const given = caption.ids.size() - count;
        REQUIRE(maps.tokens.shape()[0] == count);
        REQUIRE(maps.ids.size() == count);
        for (std::size_t token = 0; token < count; ++token) {
            int const id = caption.ids[given + token];
            int const row = static_cast<int>(given + token) - 1;
            CHECK(maps.ids[token] == id);
            CHECK(maps.pieces[token] == captioner.tokenizer().vocabulary().piece(id));
            CHECK(maps.log_probabilities[token] ==
                  Approx(caption.token_log_probabilities[token]).epsilon(1e-9));
            auto const map = maps.of(token);
            double const most = largest(map);
            CHECK(most > 0);
            for (std::size_t cell = 0; cell < cells; ++cell) {
                auto const log_p = [&](Place place, double by, double* probability) {
                    Scope scope(bench.arena);
                    auto const text = input(bench, caption.ids, caption.ids.size() - 1);
                    auto const states = disturbed(network.decoder.body, text, Causal::yes, image,
                                                  place, by, probability, bench.context);
                    return log_probability(network.decoder, states, row, id, bench.context);
                };
                double const wanted = by_definition(layer, row, cell, log_p);
                CHECK(std::abs(static_cast<double>(map.data()[cell]) - wanted) < 1e-6 * most);
            }
        }
    }
}

TEST_CASE("an answer's maps follow its tokens through the question to the picture") {
    auto const answerer = random_model<QuestionAnswerer<tiny_model, R>>();
    auto const pixels = noise(1);
    std::string const question = "a photo of word9";
    auto const answer =
        answerer.answer(pixels, std::span(&question, 1), {.beams = 2, .max_length = 5})
            .front()
            .front();
    auto const maps = heat_map(answerer, pixels, question, answer, {.layer = 0});
    std::size_t const count = answer.token_log_probabilities.size();
    REQUIRE(maps.tokens.shape()[0] == count);
    Bench<R> bench;
    auto const& network = answerer.network();
    typename AnswerNetwork<tiny_model, R>::Vision::Cache vision;
    EncoderStates<32, R> const image{network.vision.forward(
        {bench.put(std::vector<float>(pixels.begin(), pixels.end())), 1}, vision, bench.context)};
    auto const tokens = answerer.question_tokens(std::span(&question, 1));
    CHECK(tokens.ids.front() == answerer.tokenizer().vocabulary().special().enc);
    int const pieces = tokens.length - 2;
    for (std::size_t token = 0; token < count; ++token) {
        int const id = answer.ids[1 + token];
        CHECK(maps.log_probabilities[token] ==
              Approx(answer.token_log_probabilities[token]).epsilon(1e-9));
        auto const map = maps.of(token);
        double const most = largest(map);
        CHECK(most > 0);
        for (std::size_t cell = 0; cell < cells; cell += 2) {
            auto const log_p = [&](Place place, double by, double* probability) {
                Scope scope(bench.arena);
                auto const text = input(bench, tokens.ids, tokens.ids.size());
                auto const read = disturbed(network.encoder, text, Causal::no, image, place, by,
                                            probability, bench.context);
                typename AnswerNetwork<tiny_model, R>::Decoder::Body::Cache unused;
                auto const states = network.decoder.body.forward(
                    input(bench, answer.ids, answer.ids.size() - 1), Causal::yes, unused,
                    bench.context, EncoderStates<24, R>{read});
                return log_probability(network.decoder, states, static_cast<int>(token), id,
                                       bench.context);
            };
            double wanted = 0;
            for (int piece = 1; piece <= pieces; ++piece)
                wanted += by_definition(0, piece, cell, log_p) / pieces;
            CHECK(std::abs(static_cast<double>(map.data()[cell]) - wanted) < 1e-6 * most);
        }
    }
}

TEST_CASE("maps of generated words on the fast backend equal the reference's") {
    auto const exact = random_model<Captioner<tiny_model, R>>();
    auto const fast = random_model<Captioner<tiny_model, Cpu<float>>>();
    auto const pixels = noise(1);
    auto const caption = exact.generate(pixels, {.beams = 2, .max_length = 9}).front().front();
    auto const a = heat_map(exact, pixels, caption), b = heat_map(fast, pixels, caption);
    CHECK(relative_difference(b.tokens, a.tokens) < 1e-4);
    CHECK(relative_difference(b.words, a.words) < 1e-4);
    CHECK(relative_difference(b.log_probabilities, a.log_probabilities) < 1e-4);
}

TEST_CASE("maps of generated words say what they cannot explain") {
    auto const captioner = random_model<Captioner<tiny_model, Cpu<float>>>();
    auto const pixels = noise(1);
    auto const caption = captioner.generate(pixels).front().front();
    CHECK_THROWS_AS(heat_map(captioner, pixels, caption, {.layer = 2}), ArgumentError);
    CHECK_THROWS_AS(heat_map(captioner, pixels, caption, {.layer = -1}), ArgumentError);
    CHECK_THROWS_AS(heat_map(captioner, noise(2), caption), ArgumentError);
    CHECK_THROWS_AS(heat_map(captioner, noise(1, 32), caption), ArgumentError);
    CHECK_THROWS_AS(heat_map(captioner, pixels, Caption{}), ArgumentError);
    CHECK_THROWS_AS(heat_map(captioner, pixels, caption).of(100), ArgumentError);
}
