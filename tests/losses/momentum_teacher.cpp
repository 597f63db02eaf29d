#include <support/catch.hpp>

#include <tuple>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/layers/mlp.hpp>
#include <blip/losses/momentum_teacher.hpp>
#include <support/random_weights.hpp>

using namespace blip;

namespace {

using B = Cpu<float>;

struct Copied {
    using backend = B;
    Linear<5, 3, B> first;
    Mlp<3, 7, B> second;

    static constexpr auto fields() {
        return std::tuple{Field{"first", &Copied::first}, Field{"second", &Copied::second}};
    }
};

struct Trained {
    using backend = B;
    Linear<5, 3, B> first;
    Mlp<3, 7, B> second;
    Linear<3, 2, B> head;

    static constexpr auto fields() {
        return std::tuple{Field{"first", &Trained::first}, Field{"second", &Trained::second},
                          Field{"head", &Trained::head}};
    }
};

/// The same members in another order.
struct Turned {
    using backend = B;
    Mlp<3, 7, B> second;
    Linear<5, 3, B> first;

    static constexpr auto fields() {
        return std::tuple{Field{"second", &Turned::second}, Field{"first", &Turned::first}};
    }
};

} // namespace

TEST_CASE("a momentum teacher copies and then follows the beginning of a network") {
    B::Engine engine(2);
    Weights<Trained> online(engine);
    test::randomize(online, engine, {1, 0});
    MomentumTeacher<Copied, Trained> teacher(engine, online);
    auto const start = test::parameter_values(teacher.weights(), engine);
    auto const same = test::parameter_values(online, engine);
    CHECK(std::equal(start.begin(), start.end(), same.begin()));
    test::randomize(online, engine, {2, 0});
    auto const target = test::parameter_values(online, engine);
    teacher.update(engine, online, 0.75);
    auto const moved = test::parameter_values(teacher.weights(), engine);
    for (std::size_t i = 0; i < moved.size(); ++i)
        CHECK(moved[i] == Approx(0.75 * start[i] + 0.25 * target[i]).epsilon(1e-6));
}

TEST_CASE("a momentum teacher refuses a network that does not begin as it does") {
    B::Engine engine(1);
    Weights<Turned> turned(engine);
    CHECK_THROWS_AS((MomentumTeacher<Copied, Turned>(engine, turned)), ArgumentError);
    Weights<Trained> packed(engine, Layout::panels);
    CHECK_THROWS_AS((MomentumTeacher<Copied, Trained>(engine, packed)), ArgumentError);
}
