// Each verb of the processor's backend at the sizes BLIP uses it with.

#include <cstddef>
#include <numeric>
#include <vector>

#include "support/report.hpp"

namespace {

using bench::B;
using blip::Layout;

/// y [rows, out] = x [rows, in] wᵀ, weights packed.
void linear(benchmark::State& state) {
    bench::Bench bench;
    auto const rows = state.range(0);
    int const out = static_cast<int>(state.range(1)), in = static_cast<int>(state.range(2));
    auto const activation = state.range(3) ? blip::Activation::gelu : blip::Activation::none;
    blip::WeightView<B> w{nullptr, out, in, Layout::panels};
    w.data = bench.random(B::stored_size(w));
    blip::Matrix<B> const x{bench.random(rows * in), rows, in, in};
    blip::Matrix<B> const y{bench.random(rows * out), rows, out, out};
    float const* bias = bench.random(out);
    for (auto _ : state)
        B::linear(bench.engine, x, w, bias, activation, y, nullptr);
    bench::report_operations(state, 2.0 * static_cast<double>(rows) * out * in);
    if (rows < 32)
        bench::report_bytes(state, 4.0 * out * in);
}
BENCHMARK(linear)
    ->ArgNames({"rows", "out", "in", "gelu"})
    ->Args({577, 768, 768, 0})
    ->Args({577, 2304, 768, 0})
    ->Args({577, 3072, 768, 1})
    ->Args({577, 768, 3072, 0})
    ->Args({140, 768, 768, 0})
    ->Args({24, 3072, 768, 1})
    ->Args({24, 30524, 768, 0})
    ->Args({3, 768, 768, 0})
    ->Args({3, 30524, 768, 0})
    ->Args({1, 30524, 768, 0})
    ->MeasureProcessCPUTime()
    ->UseRealTime();

/// Both derivatives of the same product.
void linear_backward(benchmark::State& state) {
    bench::Bench bench;
    auto const rows = state.range(0);
    int const out = static_cast<int>(state.range(1)), in = static_cast<int>(state.range(2));
    std::ptrdiff_t const size = std::ptrdiff_t{out} * in;
    blip::WeightView<B> const w{bench.random(size), out, in, Layout::rows};
    blip::Matrix<B> const x{bench.random(rows * in), rows, in, in};
    blip::Matrix<B> const dx{bench.random(rows * in), rows, in, in};
    blip::Matrix<B> const dy{bench.random(rows * out), rows, out, out};
    float* const dw = bench.random(size);
    float* const db = bench.random(out);
    for (auto _ : state) {
        B::linear_backward_input(bench.engine, dy, w, dx);
        B::linear_backward_weight(bench.engine, dy, x, dw, db);
    }
    bench::report_operations(state, 4.0 * static_cast<double>(rows) * out * in);
}
BENCHMARK(linear_backward)
    ->ArgNames({"rows", "out", "in"})
    ->Args({1154, 768, 768})
    ->Args({1154, 3072, 768})
    ->Args({70, 30524, 768})
    ->MeasureProcessCPUTime()
    ->UseRealTime();

struct AttentionInputs {
    AttentionInputs(bench::Bench& bench, int items, int heads, int queries, int keys)
        : shape{
              .items = items, .heads = heads, .head_width = 64, .queries = queries, .keys = keys} {
        std::ptrdiff_t const width = heads * 64;
        auto make = [&](int rows) {
            return blip::HeadRows<B>{bench.random(items * rows * width), rows * width, width};
        };
        q = make(queries), k = make(keys), v = make(keys), out = make(queries);
        dout = make(queries), dq = make(queries), dk = make(keys), dv = make(keys);
        lse = bench.random(std::ptrdiff_t{items} * heads * queries);
    }
    double operations() const {
        return 4.0 * 64 * shape.items * shape.heads * shape.queries * shape.keys;
    }
    blip::AttentionShape shape;
    blip::HeadRows<B> q, k, v, out, dout, dq, dk, dv;
    float* lse;
};

void attention(benchmark::State& state) {
    bench::Bench bench;
    AttentionInputs const a(bench, static_cast<int>(state.range(0)), 12,
                            static_cast<int>(state.range(1)), static_cast<int>(state.range(2)));
    for (auto _ : state)
        B::attention(bench.engine, a.shape, a.q, a.k, a.v, a.out, a.lse);
    bench::report_operations(state, a.operations());
}
BENCHMARK(attention)
    ->ArgNames({"items", "queries", "keys"})
    ->Args({1, 577, 577})
    ->Args({4, 35, 35})
    ->Args({4, 35, 577})
    ->MeasureProcessCPUTime()
    ->UseRealTime();

void attention_backward(benchmark::State& state) {
    bench::Bench bench;
    AttentionInputs const a(bench, static_cast<int>(state.range(0)), 12,
                            static_cast<int>(state.range(1)), static_cast<int>(state.range(2)));
    B::attention(bench.engine, a.shape, a.q, a.k, a.v, a.out, a.lse);
    for (auto _ : state)
        B::attention_backward(bench.engine, a.shape, a.q, a.k, a.v, a.out, a.lse, a.dout, a.dq,
                              a.dk, a.dv);
    bench::report_operations(state, 2.5 * a.operations());
}
BENCHMARK(attention_backward)
    ->ArgNames({"items", "queries", "keys"})
    ->Args({2, 577, 577})
    ->Args({2, 35, 577})
    ->MeasureProcessCPUTime()
    ->UseRealTime();

/// Cached decoding: the beams of every image attend that image's states.
void attention_indexed(benchmark::State& state) {
    bench::Bench bench;
    int const images = static_cast<int>(state.range(0)), beams = static_cast<int>(state.range(1));
    AttentionInputs const a(bench, images, 12, beams, 577);
    std::vector<int> starts, items(static_cast<std::size_t>(images));
    std::iota(items.begin(), items.end(), 0);
    for (int i = 0; i <= images; ++i)
        starts.push_back(i * beams);
    blip::IndexedAttentionShape const shape{.groups = images,
                                            .heads = 12,
                                            .head_width = 64,
                                            .keys = 577,
                                            .query_starts = starts.data(),
                                            .key_items = items.data()};
    for (auto _ : state)
        B::attention_indexed(bench.engine, shape, a.q, a.k, a.v, a.out);
    bench::report_operations(state, a.operations());
    bench::report_bytes(state, 2.0 * 4 * 768 * 577 * images);
}
BENCHMARK(attention_indexed)
    ->ArgNames({"images", "beams"})
    ->Args({1, 1})
    ->Args({1, 3})
    ->Args({8, 3})
    ->MeasureProcessCPUTime()
    ->UseRealTime();

void layer_norm(benchmark::State& state) {
    bench::Bench bench;
    auto const rows = state.range(0);
    blip::Matrix<B> const x{bench.random(rows * 768), rows, 768, 768};
    blip::Matrix<B> const y{bench.random(rows * 768), rows, 768, 768};
    float const* residual = bench.random(rows * 768);
    float const* scale = bench.random(768);
    float const* shift = bench.random(768);
    for (auto _ : state)
        B::layer_norm(bench.engine, x, residual, scale, shift, 1e-6, y, nullptr, nullptr);
    bench::report_bytes(state, 3.0 * 4 * 768 * static_cast<double>(rows));
}
BENCHMARK(layer_norm)->ArgName("rows")->Arg(577)->Arg(3)->MeasureProcessCPUTime()->UseRealTime();

void cross_entropy(benchmark::State& state) {
    bench::Bench bench;
    auto const rows = state.range(0);
    int const words = 30524;
    blip::Matrix<B> const logits{bench.random(rows * words), rows, words, words};
    blip::Matrix<B> const gradient{bench.random(rows * words), rows, words, words};
    std::vector<int> const targets(static_cast<std::size_t>(rows), 5);
    std::vector<float> const ones(static_cast<std::size_t>(rows), 1.0f);
    float* const losses = bench.random(rows);
    for (auto _ : state)
        B::cross_entropy(bench.engine, logits, targets.data(), ones.data(), ones.data(), 0.1,
                         losses, gradient);
    bench::report_bytes(state, 2.0 * 4 * words * static_cast<double>(rows));
}
BENCHMARK(cross_entropy)->ArgName("rows")->Arg(140)->MeasureProcessCPUTime()->UseRealTime();

void embed(benchmark::State& state) {
    bench::Bench bench;
    auto const rows = state.range(0);
    int const words = 30524;
    blip::WeightView<B> table{nullptr, words, 768, Layout::panels};
    table.data = bench.random(B::stored_size(table));
    float const* positions = bench.random(512 * 768);
    blip::Matrix<B> const y{bench.random(rows * 768), rows, 768, 768};
    std::vector<int> ids, places;
    for (int i = 0; i < rows; ++i) {
        ids.push_back(i * 7919 % words);
        places.push_back(i % 35);
    }
    for (auto _ : state)
        B::embed(bench.engine, ids.data(), places.data(), table, positions, y);
    bench::report_bytes(state, 3.0 * 4 * 768 * static_cast<double>(rows));
}
BENCHMARK(embed)->ArgName("rows")->Arg(140)->Arg(3)->MeasureProcessCPUTime()->UseRealTime();

} // namespace
