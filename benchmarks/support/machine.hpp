#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <vector>

#include <blip/backend/cpu/engine.hpp>
#include <blip/backend/cpu/memory.hpp>
#include <blip/backend/cpu/simd.hpp>

namespace bench {

/// What the machine can do at best with the instructions this program was compiled for.
struct Machine {
    double gflops;    ///< multiply-adds in registers, two operations each
    double gigabytes; ///< a second, read from memory
};

namespace detail {

/// Keeps a value that nothing reads.
inline void keep(float value) {
    asm volatile("" : : "g"(&value) : "memory");
}

/// `rounds` times 20 independent multiply-adds of a whole register.
inline void multiply_add(std::size_t rounds) {
    namespace cpu = blip::cpu;
    constexpr std::size_t chains = 10;
    cpu::Floats sums[chains];
    for (auto& sum : sums)
        sum = cpu::broadcast(0.5f);
    // Read through a volatile so that the loop cannot be computed beforehand.
    float volatile factor = 0.5f, addend = 0.25f;
    cpu::Floats const x = cpu::broadcast(factor);
    cpu::Floats const y = cpu::broadcast(addend);
    for (std::size_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 10
        for (auto& sum : sums)
            sum = cpu::fma(sum, x, y);
#pragma GCC unroll 10
        for (auto& sum : sums)
            sum = cpu::fma(sum, x, y);
    }
    float out[cpu::lanes];
    for (auto& sum : sums) {
        cpu::store(out, sum);
        keep(out[0]);
    }
}

/// Adds up `count` floats, a multiple of 8 registers.
inline void read_all(float const* data, std::size_t count) {
    namespace cpu = blip::cpu;
    cpu::Floats sums[8];
    for (auto& sum : sums)
        sum = cpu::broadcast(0.0f);
    for (std::size_t i = 0; i + 8 * cpu::lanes <= count; i += 8 * cpu::lanes)
#pragma GCC unroll 8
        for (std::size_t j = 0; j < 8; ++j)
            sums[j] = sums[j] + cpu::load(data + i + j * cpu::lanes);
    float out[cpu::lanes];
    for (auto& sum : sums) {
        cpu::store(out, sum);
        keep(out[0]);
    }
}

template <class Function>
double least_seconds(int repeats, Function const& function) {
    double least = 1e30;
    for (int i = 0; i < repeats; ++i) {
        auto const start = std::chrono::steady_clock::now();
        function();
        std::chrono::duration<double> const passed = std::chrono::steady_clock::now() - start;
        least = std::min(least, passed.count());
    }
    return least;
}

} // namespace detail

/// Measures both limits with the threads of `engine`; takes about half a second.
inline Machine measure_machine(blip::cpu::Engine& engine) {
    std::size_t const threads = engine.threads();
    constexpr std::size_t rounds = 1'000'000;
    double const multiply = detail::least_seconds(5, [&] {
        engine.parallel_for(threads, [](std::size_t) { detail::multiply_add(rounds); });
    });
    double const operations = 2.0 * 20 * static_cast<double>(blip::cpu::lanes * rounds * threads);

    std::size_t const count = std::size_t{1} << 26;
    auto const memory = blip::cpu::allocate(count);
    engine.parallel_ranges(count, 1 << 20, [&](std::size_t begin, std::size_t end) {
        std::memset(memory.get() + begin, 0, (end - begin) * sizeof(float));
    });
    double const read = detail::least_seconds(5, [&] {
        engine.parallel_ranges(count, 1 << 20, [&](std::size_t begin, std::size_t end) {
            detail::read_all(memory.get() + begin, end - begin);
        });
    });
    return {operations / multiply * 1e-9, static_cast<double>(count * sizeof(float)) / read * 1e-9};
}

/// The limits of this machine with every thread, measured once.
inline Machine const& machine() {
    static Machine const measured = [] {
        blip::cpu::Engine engine;
        return measure_machine(engine);
    }();
    return measured;
}

} // namespace bench
