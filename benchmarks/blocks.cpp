// One block of each network, and one step of cached decoding.

#include <cstddef>
#include <span>
#include <vector>

#include <blip/config/presets.hpp>
#include <blip/core/context.hpp>
#include <blip/networks/decoder_session.hpp>
#include <blip/networks/text_encoder.hpp>
#include <blip/networks/vision_encoder.hpp>

#include "kernels_support.hpp"
#include "support/small_weights.hpp"

using namespace blip;
using namespace blip::bench;

namespace {

using B = Cpu<float>;
using Vision = config::vit_base<384>;
using Text = config::bert_base<768>;

constexpr double products(double rows, double width) {
    return 2 * rows * width * width;
}
constexpr double attention(double queries, double keys, double width) {
    return 4 * queries * keys * width;
}

/// Memory of a call that keeps nothing for backward.
struct Call {
    Arena<B> arena{};
    Context<B> context{.engine = engine(), .arena = arena, .keep = Keep::nothing};

    Tokens<768, B> tokens(int batch, int length) {
        auto const made = context.tokens<768>(batch, length);
        fill(made.data, made.size(), 1);
        return made;
    }
};

void vision_block(benchmark::State& state) {
    using Block = VisionBlock<Vision, B>;
    Call call;
    auto const weights = small_weights<Block>(engine());
    int const images = static_cast<int>(state.range(0));
    auto const x = call.tokens(images, 577);
    Fastest fastest;
    fastest.time(state, [&] {
        Scope scope(call.arena);
        Block::Cache unused;
        weights->forward(x, unused, call.context);
    });
    fastest.flops(state, engine(), images * (products(577, 768) * 12 + attention(577, 577, 768)));
}
BENCHMARK(vision_block)->UseRealTime()->Unit(benchmark::kMillisecond)->Arg(1)->Arg(8);

/// A block of the text network over captions of 35 tokens that look at an image each.
void text_block(benchmark::State& state) {
    using Block = TextBlock<Text, B>;
    Call call;
    auto const weights = small_weights<Block>(engine());
    int const texts = static_cast<int>(state.range(0));
    auto const x = call.tokens(texts, 35);
    Block::States const image{.states = call.tokens(texts, 577)};
    Fastest fastest;
    fastest.time(state, [&] {
        Scope scope(call.arena);
        Block::Cache unused;
        weights->forward(x, unused, call.context, SelfMask{Causal::yes}, image);
    });
    fastest.flops(
        state, engine(),
        texts * (products(35, 768) * 14 + products(577, 768) * 2 + attention(35, 35 + 577, 768)));
}
BENCHMARK(text_block)->UseRealTime()->Unit(benchmark::kMillisecond)->Arg(4);

/// One token for every beam, through all blocks and the head: bound by reading the weights.
void decoder_step(benchmark::State& state) {
    using Session = DecoderSession<Text, B>;
    Call call;
    auto const weights = small_weights<Session::Decoder>(engine());
    int const images = static_cast<int>(state.range(0)), beams = static_cast<int>(state.range(1));
    auto const rows = static_cast<std::size_t>(images * beams);
    std::vector<float> logits(rows * 30524);
    std::vector<int> from_item, parents;
    for (int r = 0; r < images * beams; ++r) {
        from_item.push_back(r / beams);
        parents.push_back(r);
    }
    std::vector<int> const tokens(rows, 2000);
    Session session(*weights, call.tokens(images, 577),
                    std::vector(static_cast<std::size_t>(images), Prompt::plain({30522})),
                    static_cast<int>(rows) * 32, call.context);
    session.start(std::span(logits).first(static_cast<std::size_t>(images) * 30524));
    session.advance(from_item, tokens, logits);
    Fastest fastest;
    fastest.time(state, [&] { session.advance(parents, tokens, logits); });
    double const read = 12 * 12.0 * 768 * 768 + 768.0 * (30524 + 768);
    fastest.bytes(state, engine(), 4 * (read + 12 * 2.0 * 768 * 577 * images));
    fastest.flops(state, engine(), 2 * static_cast<double>(rows) * read);
}
BENCHMARK(decoder_step)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(20)
    ->ArgNames({"images", "beams"})
    ->Args({1, 1})
    ->Args({1, 3})
    ->Args({8, 3});

} // namespace
