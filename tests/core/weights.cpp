#include <support/catch.hpp>

#include <cstdint>
#include <tuple>
#include <vector>

#include <blip/backend/reference/reference.hpp>
#include <blip/core/weights.hpp>
#include <blip/layers/mlp.hpp>
#include <support/random_weights.hpp>

using namespace blip;
using B = Reference<float>;

namespace {

/// The reference backend with room for 5 more scalars where a weight lies in panels.
struct Padded : Reference<float> {
    using gradient = Padded;
    static std::ptrdiff_t stored_size(WeightView<Padded> w) {
        return std::ptrdiff_t{w.out} * w.in + (w.layout == Layout::panels ? 5 : 0);
    }
};

struct Pair {
    using backend = Padded;
    Weight<Padded, 4, 4> weight;
    Parameter<Padded, 16> bias;
    static constexpr auto fields() {
        return std::tuple{Field{"weight", &Pair::weight}, Field{"bias", &Pair::bias}};
    }
};

} // namespace

TEST_CASE("weights lie in one flat buffer, every parameter on 64 bytes, zeros between") {
    B::Engine engine;
    Weights<Mlp<3, 5, B>> weights(engine);
    test::randomize(weights, engine, {1, 0});
    // 15, 5, 15 and 3 floats, each rounded up to 16.
    CHECK(weights.size() == 64);
    CHECK(weights->up.weight.data == weights.data());
    CHECK(weights->down.bias.data == weights.data() + 48);
    std::vector<bool> used(64);
    for (auto const& p : list_parameters(*weights)) {
        CHECK(reinterpret_cast<std::uintptr_t>(p.data) % 64 == 0);
        for (std::ptrdiff_t i = 0; i < p.size; ++i)
            used[static_cast<std::size_t>(p.data - weights.data() + i)] = true;
    }
    for (std::size_t i = 0; i < 64; ++i)
        CHECK((weights.data()[i] != 0) == used[i]);
    // The same as a list, with shapes that are known at run time only.
    auto const list = list_parameters(*weights);
    REQUIRE(list.size() == 4);
    CHECK(list[2].path == "down.weight");
    CHECK(list[2].data == weights->down.weight.data);
    CHECK((list[2].is_weight && list[2].layout == Layout::rows && list[2].size == 15));
    CHECK((list[2].shape.size() == 2 && list[2].shape[0] == 3 && list[2].shape[1] == 5));
    auto const view = list[2].view();
    CHECK((view.data == weights->down.weight.data && view.out == 3 && view.in == 5));
    CHECK((list[3].path == "down.bias" && !list[3].is_weight && list[3].shape.size() == 1));
    weights.zero(engine);
    CHECK(std::vector<float>(weights.data(), weights.data() + 64) == std::vector<float>(64));
}

TEST_CASE("weights start at zero with the settings' defaults") {
    B::Engine engine;
    Weights<Mlp<3, 5, B>> const weights(engine);
    for (std::ptrdiff_t i = 0; i < weights.size(); ++i)
        CHECK(weights.data()[i] == 0);
    CHECK(weights.layout() == Layout::rows);
}

TEST_CASE("moving weights leaves the parameters where they are") {
    B::Engine engine;
    Weights<Mlp<3, 5, B>> first(engine);
    first->down.bias.data[2] = 8;
    auto const second = std::move(first);
    CHECK(second->down.bias.data == second.data() + 48);
    CHECK(second->down.bias.data[2] == 8);
}

TEST_CASE("packed weights take the room that the backend asks for") {
    Padded::Engine engine;
    Weights<Pair> rows(engine), panels(engine, Layout::panels);
    CHECK((rows.size() == 32 && panels.size() == 48));
    CHECK((rows->weight.layout == Layout::rows && panels->weight.layout == Layout::panels));
    CHECK((panels.layout() == Layout::panels && panels->bias.data == panels.data() + 32));
}
