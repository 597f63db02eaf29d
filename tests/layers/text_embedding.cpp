#include <support/catch.hpp>

#include <algorithm>

#include <blip/layers/text_embedding.hpp>
#include <support/check_layer.hpp>

using namespace blip;

template <class B>
using Small = TextEmbedding<7, 5, 4, B>;

namespace {

// Ids repeat, and positions need not count up.
constexpr int ids[] = {3, 0, 6, 3, 3, 1};
constexpr int positions[] = {0, 1, 2, 0, 1, 4};

template <class B>
TextInput<B> text() {
    return {ids, positions, nullptr, 2, 3};
}

void check(test::CheckOptions const& options, auto settings) {
    test::check_contract<Small>(
        {}, options, settings,
        []<class B>(Small<B> const& layer, auto& cache, Context<B>& ctx, auto const&) {
            return layer.forward(text<B>(), cache, ctx);
        },
        []<class B>(Small<B> const& layer, auto dy, auto const& cache, auto& grad, Context<B>& ctx,
                    auto const&) {
            layer.backward(dy, cache, grad, ctx);
            return std::vector<typename B::scalar*>{};
        });
}

} // namespace

TEST_CASE("a text embedding keeps the contract") {
    check({}, test::default_settings);
    check({.mode = Mode::train}, [](auto& layer) { layer.dropout.probability = 0.3; });
}

TEST_CASE("a text embedding is norm(word + position)") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Small<B>> weights(engine);
    test::randomize(weights, engine, {1, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    Small<B>::Cache cache;
    auto const y = weights->forward(text<B>(), cache, ctx);
    CHECK((y.batch == 2 && y.length == 3));
    std::vector<double> sum;
    for (std::size_t r = 0; r < 6; ++r)
        for (int c = 0; c < 4; ++c)
            sum.push_back(weights->words.data[ids[r] * 4 + c] +
                          weights->positions.data[positions[r] * 4 + c]);
    LayerNorm<4, B>::Cache norm;
    auto const wanted = weights->norm.forward({sum.data(), 2, 3}, norm, ctx);
    CHECK(std::equal(wanted.data, wanted.data + 24, y.data));
}

TEST_CASE("the padding id's word learns nothing from lookups, its position does") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Small<B>> weights(engine);
    test::randomize(weights, engine, {2, 0});
    auto dy = test::random_values(24, {3, 0});
    auto const gradient = [&](std::int64_t padding) {
        weights->padding_id = padding;
        Arena<B> arena;
        Context<B> ctx{engine, arena};
        Small<B>::Cache cache;
        weights->forward(text<B>(), cache, ctx);
        Weights<Small<B>::Grad> grad(engine);
        weights->backward({dy.data(), 2, 3}, cache, *grad, ctx);
        return grad;
    };
    auto const all = gradient(-1), padded = gradient(3);
    for (int i = 0; i < 28; ++i) {
        bool const of_padding = i / 4 == 3;
        CHECK((all->words.data[i] != 0) == (i / 4 == 0 || i / 4 == 1 || of_padding || i / 4 == 6));
        CHECK(padded->words.data[i] == (of_padding ? 0 : all->words.data[i]));
    }
    CHECK(std::equal(all->positions.data, all->positions.data + 20, padded->positions.data));
}
