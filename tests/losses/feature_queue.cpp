#include <support/catch.hpp>

#include <numeric>
#include <vector>

#include <blip/backend/reference/reference.hpp>
#include <blip/losses/feature_queue.hpp>
#include <support/network.hpp>
#include <support/random_weights.hpp>

using namespace blip;
using B = Reference<double>;
using Queue = FeatureQueue<3, 6, B>;

namespace {

/// The j-th column of a queue.
std::vector<double> column(Matrix<B> queue, int j) {
    std::vector<double> values;
    for (std::ptrdiff_t r = 0; r < queue.rows; ++r)
        values.push_back(queue.data[r * queue.stride + j]);
    return values;
}

struct Step {
    std::vector<double> image, text;
    std::vector<std::int64_t> ids;

    Step(int count, std::uint64_t number)
        : image(test::random_values(3 * count, {number, 1})),
          text(test::random_values(3 * count, {number, 2})), ids(static_cast<std::size_t>(count)) {
        std::iota(ids.begin(), ids.end(), static_cast<std::int64_t>(100 * number));
    }
    FeaturePair<3, B> features() {
        int const count = static_cast<int>(ids.size());
        return {{image.data(), count, 1}, {text.data(), count, 1}};
    }
};

} // namespace

TEST_CASE("a fresh queue holds random unit columns of no picture") {
    B::Engine engine;
    Queue const queue(engine, {5, 0}), same(engine, {5, 0}), other(engine, {6, 0});
    for (auto const part : {queue.image(), queue.text()})
        for (int j = 0; j < 6; ++j) {
            auto const v = column(part, j);
            CHECK(v[0] * v[0] + v[1] * v[1] + v[2] * v[2] == Approx(1).epsilon(1e-14));
        }
    CHECK(column(queue.image(), 0) != column(queue.text(), 0));
    CHECK(column(queue.image(), 2) == column(same.image(), 2));
    CHECK(column(queue.image(), 2) != column(other.image(), 2));
    CHECK(queue.pointer() == 0);
    for (auto const id : queue.ids())
        CHECK(id == unknown_picture);
}

TEST_CASE("a queue replaces its oldest columns and wraps around") {
    B::Engine engine;
    Queue queue(engine, {5, 0});
    auto const untouched = column(queue.text(), 5);
    std::vector<Step> steps;
    for (std::uint64_t number = 1; number <= 4; ++number) {
        auto& step = steps.emplace_back(2, number);
        queue.enqueue(engine, step.features(), step.ids);
        CHECK(queue.pointer() == static_cast<int>(2 * number % 6));
        if (number == 2)
            CHECK(column(queue.text(), 5) == untouched);
    }
    // Steps 4, 2, 3 are left, in this order.
    std::size_t const order[] = {3, 1, 2};
    for (int place = 0; place < 3; ++place) {
        auto& step = steps[order[place]];
        for (int i = 0; i < 2; ++i) {
            int const j = 2 * place + i;
            CHECK(queue.ids()[static_cast<std::size_t>(j)] ==
                  step.ids[static_cast<std::size_t>(i)]);
            for (std::size_t r = 0; r < 3; ++r) {
                auto const from = static_cast<std::size_t>(3 * i) + r;
                CHECK(column(queue.image(), j)[r] == step.image[from]);
                CHECK(column(queue.text(), j)[r] == step.text[from]);
            }
        }
    }
    Step unknown(3, 9);
    queue.restore(std::vector<std::int64_t>(6, 4), 3);
    queue.enqueue(engine, unknown.features());
    CHECK(queue.pointer() == 0);
    CHECK(std::vector(queue.ids().begin(), queue.ids().end()) ==
          std::vector<std::int64_t>{4, 4, 4, unknown_picture, unknown_picture, unknown_picture});
}

TEST_CASE("a queue refuses what would not fit") {
    B::Engine engine;
    Queue queue(engine, {5, 0});
    Step four(4, 1), three(3, 2);
    CHECK_THROWS_WITH(
        queue.enqueue(engine, four.features(), four.ids),
        "feature queue: its length, 6, must be a multiple of the number of pictures a "
        "step, 4; choose another batch size");
    CHECK_THROWS_AS(queue.enqueue(engine, three.features(), four.ids), ArgumentError);
    CHECK(queue.pointer() == 0);
    CHECK_THROWS_AS(queue.restore(std::vector<std::int64_t>(5), 0), ArgumentError);
    CHECK_THROWS_AS(queue.restore(std::vector<std::int64_t>(6), 6), ArgumentError);
    CHECK_THROWS_AS(queue.restore(std::vector<std::int64_t>(6), -1), ArgumentError);
}

TEST_CASE("a queue that another batch size has filled begins its round anew") {
    B::Engine engine;
    Queue queue(engine, {5, 0});
    Step three(3, 2), again(3, 4);
    queue.restore(std::vector<std::int64_t>(6, 7), 4);
    queue.enqueue(engine, three.features(), three.ids);
    CHECK(queue.pointer() == 3);
    auto expected = three.ids;
    expected.insert(expected.end(), {7, 7, 7});
    CHECK(std::vector(queue.ids().begin(), queue.ids().end()) == expected);
    queue.enqueue(engine, again.features(), again.ids);
    CHECK(queue.pointer() == 0);
    CHECK(queue.ids()[3] == again.ids[0]);
}
