// One block of each network, and one step of cached decoding.

#include <cstddef>
#include <vector>

#include <blip/config/presets.hpp>
#include <blip/networks/decoder_session.hpp>
#include <blip/networks/text_encoder.hpp>
#include <blip/networks/vision_encoder.hpp>

#include "support/report.hpp"

namespace {

using bench::B;
using Vision = blip::config::vit_base<384>;
using Text = blip::config::bert_base<768>;

constexpr double products(double rows, double width) {
    return 2 * rows * width * width;
}
constexpr double attention(double queries, double keys, double width) {
    return 4 * queries * keys * width;
}

void vision_block(benchmark::State& state) {
    using Block = blip::VisionBlock<Vision, B>;
    bench::Bench bench;
    auto const weights = bench.weights<Block>();
    int const images = static_cast<int>(state.range(0));
    auto const x = bench.context.tokens<768>(images, 577);
    bench::Bench::fill(x.data, x.size(), 1);
    for (auto _ : state) {
        blip::Scope scope(bench.arena);
        Block::Cache unused;
        benchmark::DoNotOptimize(weights->forward(x, unused, bench.context).data);
    }
    bench::report_operations(state, images * (products(577, 768) * 12 + attention(577, 577, 768)));
}
BENCHMARK(vision_block)->ArgName("images")->Arg(1)->Arg(8)->MeasureProcessCPUTime()->UseRealTime();

/// A block of the text network over captions of 35 tokens that look at an image each.
void text_block(benchmark::State& state) {
    using Block = blip::TextBlock<Text, B>;
    bench::Bench bench;
    auto const weights = bench.weights<Block>();
    int const texts = static_cast<int>(state.range(0));
    auto const x = bench.context.tokens<768>(texts, 35);
    bench::Bench::fill(x.data, x.size(), 1);
    auto const image = bench.context.tokens<768>(texts, 577);
    bench::Bench::fill(image.data, image.size(), 1);
    Block::States const states{.states = image};
    for (auto _ : state) {
        blip::Scope scope(bench.arena);
        Block::Cache unused;
        benchmark::DoNotOptimize(
            weights->forward(x, unused, bench.context, blip::SelfMask{blip::Causal::yes}, states)
                .data);
    }
    bench::report_operations(state, texts * (products(35, 768) * 14 + products(577, 768) * 2 +
                                             attention(35, 35 + 577, 768)));
}
BENCHMARK(text_block)->ArgName("texts")->Arg(4)->MeasureProcessCPUTime()->UseRealTime();

/// One token for every beam, through all twelve blocks and the head: bound by reading weights.
void decoder_step(benchmark::State& state) {
    using Session = blip::DecoderSession<Text, B>;
    bench::Bench bench;
    auto const weights = bench.weights<Session::Decoder>();
    int const images = static_cast<int>(state.range(0)), beams = static_cast<int>(state.range(1));
    auto const rows = static_cast<std::size_t>(images * beams);
    auto const states = bench.context.tokens<768>(images, 577);
    bench::Bench::fill(states.data, states.size(), 1);
    std::vector<blip::Prompt> const prompts(static_cast<std::size_t>(images),
                                            blip::Prompt::plain({30522}));
    std::vector<float> logits(rows * 30524);
    std::vector<int> parents, tokens(rows, 2000);
    for (std::size_t r = 0; r < rows; ++r)
        parents.push_back(static_cast<int>(r));
    std::vector<int> first;
    for (std::size_t r = 0; r < rows; ++r)
        first.push_back(static_cast<int>(r) / beams);
    for (auto _ : state) {
        state.PauseTiming();
        blip::Scope scope(bench.arena);
        Session session(*weights, states, prompts, static_cast<int>(rows) * 20, bench.context);
        session.start(std::span(logits).first(static_cast<std::size_t>(images) * 30524));
        session.advance(first, tokens, logits);
        state.ResumeTiming();
        for (int i = 0; i < 8; ++i)
            session.advance(parents, tokens, logits);
    }
    double const read = 12.0 * 768 * 768 * 14 - 12.0 * 768 * 768 * 2 + 768.0 * (30524 + 768);
    double const cross = 12.0 * 2 * 768 * 577 * images;
    bench::report_bytes(state, 8 * 4 * (read + cross));
    bench::report_operations(state, 8.0 * 2 * static_cast<double>(rows) * read);
}
BENCHMARK(decoder_step)
    ->ArgNames({"images", "beams"})
    ->Args({1, 1})
    ->Args({1, 3})
    ->Args({8, 3})
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

} // namespace
