#include <support/catch.hpp>

#include <algorithm>
#include <limits>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/networks/vision_encoder.hpp>
#include <support/check_layer.hpp>
#include <support/tiny_configs.hpp>

using namespace blip;

template <class B>
using Stored = VisionEncoder<test::tiny_vision<0>, B>;
template <class B>
using Again = VisionEncoder<test::tiny_vision<2>, B>;

namespace {

template <template <class> class Tested>
void check(Mode mode, auto settings) {
    test::check_contract<Tested>(
        {2 * 3 * 36}, {.mode = mode}, settings,
        []<class B>(Tested<B> const& layer, auto& cache, Context<B>& ctx, auto const& x) {
            return layer.forward({x[0], 2}, cache, ctx);
        },
        [](auto const& layer, auto dy, auto const& cache, auto& grad, auto& ctx, auto const&) {
            return std::vector{layer.backward_to_images(dy, cache, grad, ctx).data};
        });
}

} // namespace

TEST_CASE("the vision encoder keeps the contract, down to the pixels") {
    check<Stored>(Mode::evaluate, test::default_settings);
    check<Again>(Mode::evaluate, test::default_settings);
    check<Again>(Mode::train, test::drop_everywhere);
}

TEST_CASE("a vision encoder's weights learn the same with and without the pixels' gradient") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Stored<B>> weights(engine);
    test::randomize(weights, engine, {1, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto x = test::random_values(2 * 108, {2, 0}), dy = test::random_values(2 * 5 * 8, {3, 0});
    Stored<B>::Cache cache;
    weights->forward({x.data(), 2}, cache, ctx);
    Weights<Stored<B>::Grad> with(engine), without(engine);
    weights->backward_to_images({dy.data(), 2, 5}, cache, *with, ctx);
    auto const before = arena.mark();
    weights->backward({dy.data(), 2, 5}, cache, *without, ctx);
    CHECK((arena.mark().used == before.used && arena.mark().chunk == before.chunk));
    CHECK(test::parameter_values(with, engine) == test::parameter_values(without, engine));
}

TEST_CASE("a batch of any size gives each picture what it gets alone, with bounded memory") {
    using B = Cpu<float>;
    B::Engine engine(2);
    Weights<Stored<B>> weights(engine);
    test::randomize(weights, engine, {4, 0});
    // More than two of the groups that the backend asks for.
    int const group = rows_together<B>() / 5, batch = 2 * group + 44;
    static_assert(rows_together<Reference<double>>() == std::numeric_limits<int>::max());
    auto const doubles = test::random_values(static_cast<std::size_t>(batch) * 108, {5, 0});
    std::vector<float> x(doubles.begin(), doubles.end());
    Arena<B> arena, other;
    Context<B> ctx{engine, arena, Keep::nothing}, single{engine, other};
    Stored<B>::Cache cache;
    auto const all = weights->forward({x.data(), batch}, cache, ctx);
    CHECK((all.batch == batch && all.length == 5));
    for (int item : {0, group - 1, group, batch - 1}) {
        Stored<B>::Cache own;
        auto const alone = weights->forward({x.data() + item * 108, 1}, own, single);
        CHECK(std::equal(alone.data, alone.data + 40, all.data + item * 40));
    }
}
