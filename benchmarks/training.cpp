// What a training step does to whole buffers, beside forward and backward: AdamW, the moving
// average, the norm of the gradient and clipping, as a fraction of the memory bandwidth; and a
// checkpoint, in bytes a second.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <tuple>

#include <unistd.h>

#include <blip/core/weights.hpp>
#include <blip/train/adamw.hpp>
#include <blip/train/clip.hpp>
#include <blip/train/training_state.hpp>

#include "kernels_support.hpp"

namespace {

using namespace blip;
using bench::engine, bench::Fastest;
using B = Cpu<float>;

/// As many numbers as a ViT-B of 384 pixels has, in one parameter: no cache holds them.
struct Numbers {
    using backend = B;
    using Grad = Numbers;
    static constexpr int rows = 86 * 1024;

    Parameter<B, rows, 1024> values;

    static constexpr auto fields() { return std::tuple{Field{"values", &Numbers::values}}; }
};

void fill(Weights<Numbers>& weights) {
    for (std::ptrdiff_t i = 0; i < weights.size(); ++i)
        weights.data()[i] = static_cast<float>(i % 1000 - 500) * 1e-3f;
}

void adamw(benchmark::State& state) {
    Weights<Numbers> weights(engine()), gradient(engine());
    fill(weights);
    fill(gradient);
    AdamW<Numbers> optimizer(engine());
    Fastest fastest;
    fastest.time(state, [&] { optimizer.step(engine(), weights, gradient, 1e-5); });
    // Reads gradient, moments and weights, writes all but the gradient.
    fastest.bytes(state, engine(), 7.0 * sizeof(float) * static_cast<double>(weights.size()));
}
BENCHMARK(adamw)->UseRealTime()->Unit(benchmark::kMillisecond);

void average_weights(benchmark::State& state) {
    Weights<Numbers> weights(engine()), average(engine());
    fill(weights);
    Fastest fastest;
    fastest.time(state, [&] {
        B::average(engine(), weights.data(), 0.995, average.data(), weights.size());
    });
    fastest.bytes(state, engine(), 3.0 * sizeof(float) * static_cast<double>(weights.size()));
}
BENCHMARK(average_weights)->UseRealTime()->Unit(benchmark::kMillisecond);

void norm_of_gradient(benchmark::State& state) {
    Weights<Numbers> gradient(engine());
    fill(gradient);
    Fastest fastest;
    fastest.time(state, [&] { benchmark::DoNotOptimize(gradient_norm(engine(), gradient)); });
    fastest.bytes(state, engine(), sizeof(float) * static_cast<double>(gradient.size()));
}
BENCHMARK(norm_of_gradient)->UseRealTime()->Unit(benchmark::kMillisecond);

void clip(benchmark::State& state) {
    Weights<Numbers> gradient(engine());
    fill(gradient);
    Fastest fastest;
    double norm = gradient_norm(engine(), gradient);
    // Always a little too long, so that it is scaled every time.
    fastest.time(state, [&] { norm = 0.999 * clip_gradient(engine(), gradient, 0.999 * norm); });
    fastest.bytes(state, engine(), 3.0 * sizeof(float) * static_cast<double>(gradient.size()));
}
BENCHMARK(clip)->UseRealTime()->Unit(benchmark::kMillisecond);

/// Writing waits for the disk; reading finds the file in the system's cache.
void checkpoint(benchmark::State& state, bool write) {
    Weights<Numbers> weights(engine());
    fill(weights);
    TrainingState<B> training(engine());
    add_weights(training, "model", weights);
    auto const path = std::filesystem::temp_directory_path() /
                      join("blip_benchmark_", ::getpid(), ".safetensors");
    training.save(path);
    Fastest fastest;
    fastest.time(state, [&] { write ? training.save(path) : training.restore(path); });
    fastest.bytes(state, engine(), sizeof(float) * static_cast<double>(weights.size()));
    std::filesystem::remove(path);
}
BENCHMARK_CAPTURE(checkpoint, save, true)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(checkpoint, restore, false)->UseRealTime()->Unit(benchmark::kMillisecond);

} // namespace
