#include <cstddef>
#include <vector>

#include "kernels_support.hpp"

using namespace blip;
using namespace blip::bench;

namespace {

constexpr int width = 768;

void gelu(benchmark::State& state) {
    auto const count = static_cast<std::size_t>(state.range(0)) * 3072;
    auto const x = filled(count), y = filled(count), g = filled(count);
    Fastest fastest;
    fastest.time(state, [&] {
        engine().parallel_ranges(count, 1 << 14, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; i += cpu::lanes)
                cpu::store(y.get() + i, cpu::gelu(cpu::load(x.get() + i)),
                           cpu::first_lanes(end - i));
        });
    });
    fastest.bytes(state, engine(), 8.0 * static_cast<double>(count));
}

void gelu_backward(benchmark::State& state) {
    auto const count = state.range(0) * 3072;
    auto const size = static_cast<std::size_t>(count);
    auto const u = filled(size), dy = filled(size), du = filled(size);
    Fastest fastest;
    fastest.time(state, [&] {
        Cpu<float>::activation_backward(engine(), Activation::gelu, u.get(), dy.get(), du.get(),
                                        count);
    });
    fastest.bytes(state, engine(), 12.0 * static_cast<double>(count));
}

void layer_norm(benchmark::State& state) {
    auto const rows = state.range(0);
    auto const count = static_cast<std::size_t>(rows) * width;
    auto const x = filled(count), residual = filled(count), y = filled(count), sum = filled(count),
               scale = filled(width), shift = filled(width);
    Fastest fastest;
    fastest.time(state, [&] {
        Cpu<float>::layer_norm(engine(), {x.get(), rows, width, width}, residual.get(), scale.get(),
                               shift.get(), 1e-6, {y.get(), rows, width, width}, sum.get(),
                               nullptr);
    });
    fastest.bytes(state, engine(), 16.0 * static_cast<double>(count));
}

void layer_norm_backward(benchmark::State& state) {
    auto const rows = state.range(0);
    auto const count = static_cast<std::size_t>(rows) * width;
    auto const x = filled(count), y = filled(count), dy = filled(count), dx = filled(count),
               scale = filled(width), shift = filled(width),
               statistics = filled(2 * static_cast<std::size_t>(rows));
    Cpu<float>::layer_norm(engine(), {x.get(), rows, width, width}, nullptr, scale.get(),
                           shift.get(), 1e-6, {y.get(), rows, width, width}, nullptr,
                           statistics.get());
    Fastest fastest;
    fastest.time(state, [&] {
        Cpu<float>::layer_norm_backward(
            engine(), {dy.get(), rows, width, width}, {x.get(), rows, width, width}, scale.get(),
            statistics.get(), {dx.get(), rows, width, width}, scale.get(), shift.get());
    });
    fastest.bytes(state, engine(), 12.0 * static_cast<double>(count));
}

void cross_entropy(benchmark::State& state) {
    constexpr int classes = 30524;
    auto const rows = state.range(0);
    auto const count = static_cast<std::size_t>(rows) * classes;
    auto const logits = filled(count), gradient = filled(count),
               weights = filled(static_cast<std::size_t>(rows)),
               losses = filled(static_cast<std::size_t>(rows));
    std::vector<int> const targets(static_cast<std::size_t>(rows), 7);
    Fastest fastest;
    fastest.time(state, [&] {
        Cpu<float>::cross_entropy(engine(), {logits.get(), rows, classes, classes}, targets.data(),
                                  weights.get(), weights.get(), 0.1, losses.get(),
                                  {gradient.get(), rows, classes, classes});
    });
    fastest.bytes(state, engine(), 8.0 * static_cast<double>(count));
}

void dropout(benchmark::State& state) {
    auto const count = state.range(0) * width;
    auto const x = filled(static_cast<std::size_t>(count));
    Fastest fastest;
    fastest.time(state, [&] {
        Cpu<float>::dropout(engine(), x.get(), count, 1, 0.1, {1, 2}, x.get());
    });
    fastest.bytes(state, engine(), 8.0 * static_cast<double>(count));
}

/// What a loop of two empty parts costs.
void empty_loop(benchmark::State& state) {
    Fastest().time(state, [&] { engine().parallel_for(engine().threads(), [](std::size_t) {}); });
}

BENCHMARK(gelu)->UseRealTime()->Unit(benchmark::kMillisecond)->Arg(577);
BENCHMARK(gelu_backward)->UseRealTime()->Unit(benchmark::kMillisecond)->Arg(788);
BENCHMARK(layer_norm)->UseRealTime()->Unit(benchmark::kMillisecond)->Arg(3)->Arg(577);
BENCHMARK(layer_norm_backward)->UseRealTime()->Unit(benchmark::kMillisecond)->Arg(788);
BENCHMARK(cross_entropy)->UseRealTime()->Unit(benchmark::kMillisecond)->Arg(140);
BENCHMARK(dropout)->UseRealTime()->Unit(benchmark::kMillisecond)->Arg(788);
BENCHMARK(empty_loop)->UseRealTime();

} // namespace
