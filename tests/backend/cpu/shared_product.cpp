#include <cstddef>
#include <thread>
#include <vector>

#include <blip/backend/cpu/product.hpp>

#include "backend/cpu/numbers.hpp"
#include "support/catch.hpp"

using namespace blip;
using blip::test::numbers;

namespace {

/// y = gelu(u), u = result + bias + left right, kept too; the depth takes two blocks where rows are
/// not few.
struct Sums {
    static constexpr std::size_t columns = 100, depth = 900;
    std::size_t rows;
    std::vector<float> x = numbers(rows * depth, 1), w = numbers(columns * depth, 2),
                       bias = numbers(columns, 3), start = numbers(rows * columns, 4);

    explicit Sums(std::size_t count) : rows(count) {}

    std::vector<float> run(cpu::Engine& engine) const {
        std::vector<float> y = start, before(rows * columns);
        cpu::Result result;
        result.data = y.data();
        result.stride = columns;
        result.start = cpu::Start::both;
        result.bias = bias.data();
        result.activation = Activation::gelu;
        result.before_activation = before.data();
        result.before_stride = columns;
        cpu::multiply(engine, rows, columns, depth, {x.data(), depth},
                      {w.data(), depth, cpu::RightOrder::column_rows}, result);
        y.insert(y.end(), before.begin(), before.end());
        return y;
    }
};

} // namespace

TEST_CASE("Threads that share a product, whoever else uses them, give the bits of one") {
    for (std::size_t rows : {40u, 120u}) {
        Sums const sums(rows);
        cpu::Engine alone(1);
        auto const expected = sums.run(alone);
        for (std::size_t threads : {2u, 8u}) {
            cpu::Engine engine(threads);
            REQUIRE(sums.run(engine) == expected);
            // Two callers at once: one finds the threads busy.
            std::vector<float> first, second;
            std::thread other([&] { first = sums.run(engine); });
            second = sums.run(engine);
            other.join();
            REQUIRE(first == expected);
            REQUIRE(second == expected);
            // And within a loop of the same threads.
            std::vector<std::vector<float>> all(3);
            engine.parallel_for(all.size(), [&](std::size_t i) { all[i] = sums.run(engine); });
            for (auto const& y : all)
                REQUIRE(y == expected);
        }
    }
}
