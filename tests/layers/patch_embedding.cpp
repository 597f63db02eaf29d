#include <support/catch.hpp>

#include <blip/layers/patch_embedding.hpp>
#include <support/check_layer.hpp>

using namespace blip;

template <class B>
using Small = PatchEmbedding<6, 2, 5, B>;
template <class B>
using Whole = PatchEmbedding<3, 3, 2, B>;

TEST_CASE("a patch embedding keeps the contract, down to the pixels") {
    test::check_contract<Small>(
        {2 * 3 * 6 * 6}, {}, test::default_settings,
        []<class B>(Small<B> const& layer, auto& cache, Context<B>& ctx, auto const& x) {
            return layer.forward({x[0], 2}, cache, ctx);
        },
        [](auto const& layer, auto dy, auto const& cache, auto& grad, auto& ctx, auto const&) {
            return std::vector{layer.backward(dy, cache, grad, ctx).data};
        });
}

TEST_CASE("the backward of training gives the same gradient of the weights") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Small<B>> weights(engine);
    test::randomize(weights, engine, {1, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto x = test::random_values(2 * 3 * 36, {2, 0}), dy = test::random_values(2 * 10 * 5, {3, 0});
    Small<B>::Cache cache;
    weights->forward({x.data(), 2}, cache, ctx);
    Weights<Small<B>::Grad> all(engine), only(engine);
    weights->backward({dy.data(), 2, 10}, cache, *all, ctx);
    weights->backward_weights({dy.data(), 2, 10}, cache, *only, ctx);
    CHECK(test::parameter_values(all, engine) == test::parameter_values(only, engine));
}

TEST_CASE("a patch embedding is a convolution with a class token in front and positions added") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Small<B>> weights(engine);
    test::randomize(weights, engine, {4, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto x = test::random_values(2 * 3 * 36, {5, 0});
    Small<B>::Cache cache;
    auto const y = weights->forward({x.data(), 2}, cache, ctx);
    CHECK((y.batch == 2 && y.length == 10));
    for (int item = 0; item < 2; ++item)
        for (int t = 0; t < 10; ++t)
            for (int o = 0; o < 5; ++o) {
                double wanted = weights->positions.data[t * 5 + o];
                if (t == 0) {
                    wanted += weights->class_token.data[o];
                } else {
                    int const top = (t - 1) / 3 * 2, left = (t - 1) % 3 * 2;
                    wanted += weights->projection.bias.data[o];
                    for (int c = 0; c < 3; ++c)
                        for (int i = 0; i < 2; ++i)
                            for (int j = 0; j < 2; ++j)
                                wanted +=
                                    weights->projection.weight.data[((o * 3 + c) * 2 + i) * 2 + j] *
                                    x[static_cast<std::size_t>(((item * 3 + c) * 6 + top + i) * 6 +
                                                               left + j)];
                }
                CHECK(y.data[(item * 10 + t) * 5 + o] == Approx(wanted).epsilon(1e-13));
            }
}

TEST_CASE("a picture may be one patch") {
    CHECK(Whole<Reference<float>>::patches == 1);
    CHECK(count_parameters<Whole<Reference<float>>>() == 27 * 2 + 2 + 2 + 2 * 2);
}
