// Whole models with made-up weights: the image encoder, and captions of 20 forced tokens.

#include <cstddef>
#include <cstdint>

#include <blip/config/presets.hpp>
#include <blip/models/captioner.hpp>
#include <blip/text/bert_base_uncased.hpp>

#include "kernels_support.hpp"
#include "support/small_weights.hpp"

using namespace blip;
using namespace blip::bench;

namespace {

using Model = Captioner<config::caption_base, Cpu<float>>;

Model const& captioner() {
    static Model const model = [] {
        ModelSettings settings;
        settings.compatibility = Compatibility::hugging_face;
        return Model(small_weights<Model::Network>(engine()), settings,
                     Tokenizer(bert_base_uncased()), Preprocess{}, engine());
    }();
    return model;
}

Pixels pixels(std::int64_t count) {
    Pixels made(Pixels::shape_type{static_cast<std::size_t>(count), 3, 384, 384});
    fill(made.data(), static_cast<std::ptrdiff_t>(made.size()), 1);
    return made;
}

/// Operations of an image, of the cross-attention keys and values of an image, and of a token.
constexpr double vision_flops = 111e9, cross_flops = 16.3e9, token_flops = 0.22e9;

void vision_encoder(benchmark::State& state) {
    auto const images = pixels(state.range(0));
    Fastest fastest;
    fastest.time(state, [&] { benchmark::DoNotOptimize(captioner().encode(images)); });
    fastest.flops(state, engine(), vision_flops * static_cast<double>(state.range(0)));
}
BENCHMARK(vision_encoder)->UseRealTime()->Unit(benchmark::kMillisecond)->Arg(1)->Arg(8);

void caption(benchmark::State& state) {
    auto const images = pixels(state.range(0));
    CaptionOptions options;
    options.prompt = "";
    options.beams = static_cast<int>(state.range(1));
    options.max_new_tokens = 20;
    options.min_length = 1000; // the end token stays banned
    Fastest fastest;
    fastest.time(state, [&] { benchmark::DoNotOptimize(captioner().generate(images, options)); });
    double const tokens = 20 * static_cast<double>(state.range(1));
    fastest.flops(state, engine(),
                  static_cast<double>(state.range(0)) *
                      (vision_flops + cross_flops + tokens * token_flops));
}
BENCHMARK(caption)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->ArgNames({"images", "beams"})
    ->Args({1, 1})
    ->Args({1, 3})
    ->Args({8, 3});

} // namespace
