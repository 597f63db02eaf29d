#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include <benchmark/benchmark.h>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/core/context.hpp>
#include <blip/core/random.hpp>
#include <blip/core/weights.hpp>

#include "machine.hpp"

namespace bench {

using B = blip::Cpu<float>;

/// Adds GFLOP/s, and its share of what the machine's multiply-add units can do, to a result.
inline void report_operations(benchmark::State& state, double operations) {
    using benchmark::Counter;
    double const giga = operations * 1e-9;
    state.counters["GFLOP/s"] = Counter(giga, Counter::kIsIterationInvariantRate);
    state.counters["of_peak"] =
        Counter(giga / machine().gflops, Counter::kIsIterationInvariantRate);
}

/// Adds GB/s, and its share of the machine's reading from memory, to a result.
inline void report_bytes(benchmark::State& state, double bytes) {
    using benchmark::Counter;
    double const giga = bytes * 1e-9;
    state.counters["GB/s"] = Counter(giga, Counter::kIsIterationInvariantRate);
    state.counters["of_memory"] =
        Counter(giga / machine().gigabytes, Counter::kIsIterationInvariantRate);
}

/// An engine with every thread, and memory for what is measured.
struct Bench {
    B::Engine engine{};
    blip::Arena<B> arena{};
    blip::Context<B> context{engine, arena, blip::Keep::nothing};

    /// `count` values spread evenly over [-scale, scale).
    float* random(std::ptrdiff_t count, float scale = 1) {
        float* const data = context.take(count);
        fill(data, count, scale);
        return data;
    }
    static void fill(float* data, std::ptrdiff_t count, float scale) {
        blip::RandomKey const key{3, 0};
        for (std::ptrdiff_t i = 0; i < count; ++i)
            data[i] = scale * static_cast<float>(
                                  2 * random_uniform(key, static_cast<std::uint64_t>(i)) - 1);
    }

    /// Parameters of a layer, small enough that nothing overflows in a deep network.
    template <class Layer>
    blip::Weights<Layer> weights(blip::Layout layout = blip::Layout::panels) {
        blip::Weights<Layer> made(engine, layout);
        fill(made.data(), made.size(), 0.03f);
        return made;
    }
};

} // namespace bench
