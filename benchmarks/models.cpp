// Whole models with random weights: the image encoder, and captions of 20 forced tokens.

#include <memory>
#include <utility>

#include <blip/config/presets.hpp>
#include <blip/models/captioner.hpp>
#include <blip/text/bert_base_uncased.hpp>

#include "support/report.hpp"

namespace {

using bench::B;
using Captioner = blip::Captioner<blip::config::caption_base, B>;

Captioner const& captioner() {
    static Captioner const model = [] {
        bench::Bench bench;
        blip::ModelSettings settings;
        settings.compatibility = blip::Compatibility::hugging_face;
        return Captioner(bench.weights<Captioner::Network>(), settings,
                         blip::Tokenizer(blip::bert_base_uncased()), blip::Preprocess{},
                         B::Engine());
    }();
    return model;
}

blip::Pixels pixels(std::size_t count) {
    blip::Pixels made(blip::Pixels::shape_type{count, 3, 384, 384});
    bench::Bench::fill(made.data(), static_cast<std::ptrdiff_t>(made.size()), 1);
    return made;
}

constexpr double image_operations = 111e9;

void vision_encoder(benchmark::State& state) {
    auto const images = pixels(static_cast<std::size_t>(state.range(0)));
    for (auto _ : state)
        benchmark::DoNotOptimize(captioner().encode(images));
    bench::report_operations(state, image_operations * static_cast<double>(state.range(0)));
}
BENCHMARK(vision_encoder)
    ->ArgName("images")
    ->Arg(1)
    ->Arg(8)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void caption(benchmark::State& state) {
    auto const images = pixels(static_cast<std::size_t>(state.range(0)));
    blip::CaptionOptions options;
    options.prompt = "";
    options.beams = static_cast<int>(state.range(1));
    options.max_new_tokens = 20;
    options.min_length = 1000; // the end token stays banned
    for (auto _ : state)
        benchmark::DoNotOptimize(captioner().generate(images, options));
    state.counters["images/s"] = benchmark::Counter(static_cast<double>(state.range(0)),
                                                    benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(caption)
    ->ArgNames({"images", "beams"})
    ->Args({1, 1})
    ->Args({1, 3})
    ->Args({8, 3})
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

} // namespace
