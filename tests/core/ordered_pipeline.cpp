#include <support/catch.hpp>

#include <atomic>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include <blip/core/ordered_pipeline.hpp>

namespace {

using Pipeline = blip::OrderedPipeline<int, int>;

Pipeline::Source count_to(int end, std::atomic<int>& taken) {
    return [end, &taken, next = 0]() mutable -> std::optional<int> {
        if (next == end)
            return std::nullopt;
        ++taken;
        return next++;
    };
}

void nap(int item) {
    std::this_thread::sleep_for(std::chrono::microseconds((item * 7919) % 400));
}

} // namespace

TEST_CASE("results come in the order of their items") {
    for (std::size_t threads : {1u, 2u, 5u}) {
        std::atomic<int> taken{0};
        Pipeline pipeline(count_to(200, taken),
                          [](int item) {
                              nap(item);
                              return 3 * item;
                          },
                          {.threads = threads, .capacity = 7});
        for (int i = 0; i < 200; ++i)
            REQUIRE(pipeline.next() == 3 * i);
        CHECK_FALSE(pipeline.next());
        CHECK_FALSE(pipeline.next());
    }
}

TEST_CASE("no more than the capacity is taken ahead") {
    std::atomic<int> taken{0};
    Pipeline pipeline(count_to(1000, taken), [](int item) { return item; },
                      {.threads = 3, .capacity = 5});
    for (int i = 0; i < 20; ++i) {
        REQUIRE(pipeline.next() == i);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        CHECK(taken <= i + 1 + 5);
    }
}

TEST_CASE("an item's failure is met in its place, a source's at the end") {
    std::atomic<int> taken{0};
    Pipeline pipeline(
        [next = 0]() mutable -> std::optional<int> {
            if (next == 4)
                throw std::domain_error("source");
            return next++;
        },
        [](int item) {
            if (item == 1)
                throw std::range_error("item");
            return item;
        },
        {.threads = 2, .capacity = 3});
    CHECK(pipeline.next() == 0);
    CHECK_THROWS_AS(pipeline.next(), std::range_error);
    CHECK(pipeline.next() == 2);
    CHECK(pipeline.next() == 3);
    CHECK_THROWS_AS(pipeline.next(), std::domain_error);
    CHECK_FALSE(pipeline.next());
}

TEST_CASE("a consumer can give up waiting, and leave early") {
    std::atomic<bool> go_on{false};
    Pipeline pipeline([]() -> std::optional<int> { return 1; },
                      [&](int item) {
                          while (!go_on)
                              std::this_thread::sleep_for(std::chrono::milliseconds(1));
                          return item;
                      },
                      {.threads = 1, .capacity = 2});
    CHECK_FALSE(pipeline.next([] { return true; }));
    go_on = true;
    CHECK(pipeline.next() == 1);
}
