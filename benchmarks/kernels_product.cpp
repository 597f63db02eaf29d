#include <utility>

#include <Eigen/Core>

#include "kernels_support.hpp"

using namespace blip;
using namespace blip::bench;

namespace {

void linear(benchmark::State& state, Layout layout) {
    auto const m = static_cast<int>(state.range(0));
    auto const out = static_cast<int>(state.range(1));
    auto const in = static_cast<int>(state.range(2));
    auto const rows = static_cast<std::size_t>(m);
    auto const x = filled(rows * static_cast<std::size_t>(in));
    auto const y = filled(rows * static_cast<std::size_t>(out));
    auto const w = filled(static_cast<std::size_t>(out) * static_cast<std::size_t>(in));
    WeightView<Cpu<float>> view{w.get(), out, in, layout};
    auto const stored = cpu::allocate(static_cast<std::size_t>(Cpu<float>::stored_size(view)));
    view.data = stored.get();
    Cpu<float>::pack(engine(), w.get(), view);
    Fastest fastest;
    fastest.time(state, [&] {
        Cpu<float>::linear(engine(), {x.get(), m, in, in}, view, nullptr, Activation::none,
                           {y.get(), m, out, out}, nullptr);
    });
    fastest.flops(state, engine(), 2.0 * m * out * in);
    if (m <= 24)
        fastest.bytes(state, engine(), 4.0 * out * in);
}

void panels(benchmark::State& state) {
    linear(state, Layout::panels);
}
void rows(benchmark::State& state) {
    linear(state, Layout::rows);
}

/// The same product by Eigen, rows split over the threads: the baseline of the library's own
/// kernels.
void eigen(benchmark::State& state) {
    using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    auto const m = static_cast<Eigen::Index>(state.range(0));
    auto const out = static_cast<Eigen::Index>(state.range(1));
    auto const in = static_cast<Eigen::Index>(state.range(2));
    Rows const x = Rows::Random(m, in), w = Rows::Random(out, in);
    Rows y(m, out);
    Fastest fastest;
    fastest.time(state, [&] {
        auto const most = static_cast<std::size_t>(m);
        engine().parallel_ranges(most, 1, [&](std::size_t begin, std::size_t end) {
            auto const first = static_cast<Eigen::Index>(begin);
            auto const count = static_cast<Eigen::Index>(end - begin);
            y.middleRows(first, count).noalias() = x.middleRows(first, count) * w.transpose();
        });
    });
    fastest.flops(state, engine(), 2.0 * static_cast<double>(m * out * in));
}

void backward_input(benchmark::State& state) {
    auto const m = static_cast<int>(state.range(0));
    auto const out = static_cast<int>(state.range(1));
    auto const in = static_cast<int>(state.range(2));
    auto const dx = filled(static_cast<std::size_t>(m) * static_cast<std::size_t>(in));
    auto const dy = filled(static_cast<std::size_t>(m) * static_cast<std::size_t>(out));
    auto const w = filled(static_cast<std::size_t>(out) * static_cast<std::size_t>(in));
    Fastest fastest;
    fastest.time(state, [&] {
        Cpu<float>::linear_backward_input(engine(), {dy.get(), m, out, out},
                                          {w.get(), out, in, Layout::rows}, {dx.get(), m, in, in});
    });
    fastest.flops(state, engine(), 2.0 * m * out * in);
}

void backward_weight(benchmark::State& state) {
    auto const m = static_cast<int>(state.range(0));
    auto const out = static_cast<int>(state.range(1));
    auto const in = static_cast<int>(state.range(2));
    auto const x = filled(static_cast<std::size_t>(m) * static_cast<std::size_t>(in));
    auto const dy = filled(static_cast<std::size_t>(m) * static_cast<std::size_t>(out));
    auto const dw = filled(static_cast<std::size_t>(out) * static_cast<std::size_t>(in));
    auto const db = filled(static_cast<std::size_t>(out));
    Fastest fastest;
    fastest.time(state, [&] {
        Cpu<float>::linear_backward_weight(engine(), {dy.get(), m, out, out}, {x.get(), m, in, in},
                                           dw.get(), db.get());
    });
    fastest.flops(state, engine(), 2.0 * m * out * in);
}

void encoder_shapes(benchmark::internal::Benchmark* b) {
    b->UseRealTime()->Unit(benchmark::kMillisecond);
    for (int m : {577, 4616})
        for (auto [out, in] : {std::pair{768, 768}, {2304, 768}, {3072, 768}, {768, 3072}})
            b->Args({m, out, in});
}
void training_shapes(benchmark::internal::Benchmark* b) {
    b->UseRealTime()->Unit(benchmark::kMillisecond);
    for (auto [out, in] : {std::pair{768, 768}, {2304, 768}, {3072, 768}, {768, 3072}})
        b->Args({788, out, in});
    b->Args({140, 30524, 768});
}
void few_shapes(benchmark::internal::Benchmark* b) {
    b->UseRealTime()->Unit(benchmark::kMillisecond);
    for (int m : {1, 3, 8, 24})
        for (auto [out, in] : {std::pair{768, 768}, {3072, 768}, {768, 3072}, {30524, 768}})
            b->Args({m, out, in});
}

BENCHMARK(panels)->Apply(encoder_shapes)->Apply(few_shapes);
BENCHMARK(eigen)->Apply(encoder_shapes)->Args({3, 30524, 768});
BENCHMARK(rows)->Apply(training_shapes)->Args({3, 30524, 768});
BENCHMARK(backward_input)->Apply(training_shapes);
BENCHMARK(backward_weight)->Apply(training_shapes);

} // namespace
