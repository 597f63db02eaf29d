#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <blip/backend/cpu/engine.hpp>

#include "support/catch.hpp"

using namespace blip;

TEST_CASE("Every part of a loop runs once") {
    for (std::size_t threads : {1u, 2u, 3u, 8u}) {
        cpu::ThreadPool pool(threads);
        REQUIRE(pool.size() == threads);
        for (std::size_t count : {0u, 1u, 2u, 7u, 1000u})
            for (int repeat = 0; repeat < 50; ++repeat) {
                std::vector<std::atomic<int>> seen(count);
                pool.parallel_for(count, [&](std::size_t i) { ++seen[i]; });
                for (auto const& times : seen)
                    REQUIRE(times == 1);
            }
    }
}

TEST_CASE("Ranges cover everything without overlap") {
    cpu::Engine engine(3);
    for (std::size_t count : {0u, 1u, 5u, 99u, 1000u})
        for (std::size_t grain : {1u, 10u, 5000u}) {
            std::vector<std::atomic<int>> seen(count);
            engine.parallel_ranges(count, grain, [&](std::size_t begin, std::size_t end) {
                for (std::size_t i = begin; i < end; ++i)
                    ++seen[i];
            });
            for (auto const& times : seen)
                REQUIRE(times == 1);
        }
}

TEST_CASE("Loops inside loops run on their own thread") {
    cpu::ThreadPool pool(3);
    std::atomic<int> total = 0;
    pool.parallel_for(5, [&](std::size_t) {
        auto const outer = std::this_thread::get_id();
        pool.parallel_for(7, [&](std::size_t) {
            if (std::this_thread::get_id() == outer)
                ++total;
        });
    });
    REQUIRE(total == 35);
}

TEST_CASE("Several application threads share one pool") {
    cpu::ThreadPool pool(3);
    std::atomic<int> total = 0;
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 4; ++caller)
        callers.emplace_back([&] {
            for (int repeat = 0; repeat < 300; ++repeat)
                pool.parallel_for(10, [&](std::size_t) { ++total; });
        });
    for (auto& caller : callers)
        caller.join();
    REQUIRE(total == 4 * 300 * 10);
}

TEST_CASE("An exception of a part reaches the caller, and the pool goes on working") {
    cpu::ThreadPool pool(3);
    for (std::size_t thrower : {0u, 5u, 19u})
        REQUIRE_THROWS_WITH(pool.parallel_for(20,
                                              [&](std::size_t i) {
                                                  if (i == thrower)
                                                      throw std::runtime_error("part failed");
                                              }),
                            "part failed");
    std::atomic<int> total = 0;
    pool.parallel_for(20, [&](std::size_t) { ++total; });
    REQUIRE(total == 20);
}

TEST_CASE("The number of threads is checked") {
    REQUIRE_THROWS_AS(cpu::ThreadPool(100000), ArgumentError);
    char const* const before = std::getenv("BLIP_THREADS");
    std::string const kept = before == nullptr ? "" : before;
    setenv("BLIP_THREADS", "2", 1);
    REQUIRE(cpu::default_threads() == 2);
    for (char const* wrong : {"0", "two", "-1", "3x", "99999999999999999999"}) {
        setenv("BLIP_THREADS", wrong, 1);
        REQUIRE_THROWS_AS(cpu::default_threads(), ArgumentError);
    }
    if (before == nullptr)
        unsetenv("BLIP_THREADS");
    else
        setenv("BLIP_THREADS", kept.c_str(), 1);
    REQUIRE(cpu::default_threads() >= 1);
}

TEST_CASE("Scratch memory is lent again, and large enough") {
    cpu::Scratch scratch;
    float* first = nullptr;
    {
        auto const loan = scratch.borrow(1000);
        first = loan.data();
        REQUIRE(reinterpret_cast<std::uintptr_t>(first) % cpu::cache_line == 0);
        auto const other = scratch.borrow(1000);
        REQUIRE(other.data() != first);
    }
    {
        auto const a = scratch.borrow(900);
        auto const b = scratch.borrow(900);
        REQUIRE((a.data() == first || b.data() == first));
    }
    auto const large = scratch.borrow(3u << 20);
    large.data()[(3u << 20) - 1] = 1.0f;
    REQUIRE_THROWS_AS(cpu::allocate(static_cast<std::size_t>(-1) / 4), std::bad_alloc);
}
