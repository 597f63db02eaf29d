#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

#include <benchmark/benchmark.h>

#include <blip/backend/cpu/cpu.hpp>

namespace blip::bench {

inline double seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

/// What all threads together can do at best: multiply-adds that wait for nothing.
inline double peak_flops(cpu::Engine& engine) {
    static double const peak = [&] {
        double best = 0;
        std::size_t const threads = engine.threads();
        constexpr int rounds = 2000000;
        for (int repeat = 0; repeat < 5; ++repeat) {
            double const start = seconds();
            engine.parallel_for(threads, [](std::size_t) {
                cpu::Floats sums[12];
                for (auto& sum : sums)
                    sum = cpu::broadcast(1.0f);
                cpu::Floats const factor = cpu::broadcast(0.999f);
                for (int i = 0; i < rounds; ++i)
#pragma GCC unroll 12
                    for (auto& sum : sums)
                        sum = cpu::fma(sum, factor, factor);
                for (auto& sum : sums)
                    benchmark::DoNotOptimize(sum);
            });
            best = std::max(best, 2.0 * 12 * cpu::lanes * rounds * static_cast<double>(threads) /
                                      (seconds() - start));
        }
        return best;
    }();
    return peak;
}

/// Bytes a second that all threads together read from memory at best.
inline double peak_bandwidth(cpu::Engine& engine) {
    static double const peak = [&] {
        constexpr std::size_t count = std::size_t{64} << 20;
        auto const memory = cpu::allocate(count);
        std::fill_n(memory.get(), count, 1.0f);
        double best = 0;
        for (int repeat = 0; repeat < 5; ++repeat) {
            double const start = seconds();
            engine.parallel_for(engine.threads() * 8, [&](std::size_t part) {
                std::size_t const parts = engine.threads() * 8;
                cpu::Floats sums[4] = {cpu::broadcast(0.0f), cpu::broadcast(0.0f),
                                       cpu::broadcast(0.0f), cpu::broadcast(0.0f)};
                for (std::size_t i = count * part / parts; i + 64 <= count * (part + 1) / parts;
                     i += 64)
                    for (std::size_t v = 0; v < 4; ++v) {
                        __builtin_prefetch(memory.get() + i + v * cpu::lanes + 1024);
                        sums[v] = sums[v] + cpu::load(memory.get() + i + v * cpu::lanes);
                    }
                benchmark::DoNotOptimize(sums);
            });
            best = std::max(best, 4.0 * static_cast<double>(count) / (seconds() - start));
        }
        return best;
    }();
    return peak;
}

/// Reports the fastest repetition, because other work on a machine only ever adds time.
class Fastest {
public:
    template <class Function>
    void time(benchmark::State& state, Function function) {
        for (auto _ : state) {
            double const start = seconds();
            function();
            benchmark::ClobberMemory();
            best_ = std::min(best_, seconds() - start);
        }
        state.counters["ms_min"] = best_ * 1e3;
    }
    void flops(benchmark::State& state, cpu::Engine& engine, double count) const {
        state.counters["GFLOP/s"] = count / best_ * 1e-9;
        state.counters["of_peak"] = count / best_ / peak_flops(engine);
    }
    void bytes(benchmark::State& state, cpu::Engine& engine, double count) const {
        state.counters["GB/s"] = count / best_ * 1e-9;
        state.counters["of_bandwidth"] = count / best_ / peak_bandwidth(engine);
    }

private:
    double best_ = 1e30;
};

inline cpu::Engine& engine() {
    static cpu::Engine shared;
    return shared;
}

inline cpu::Buffer filled(std::size_t count) {
    auto memory = cpu::allocate(count);
    for (std::size_t i = 0; i < count; ++i)
        memory[i] = static_cast<float>(i * 7919 % 1009) * 2e-3f - 1.0f;
    return memory;
}

} // namespace blip::bench
