#include <numeric>
#include <vector>

#include "kernels_support.hpp"

using namespace blip;
using namespace blip::bench;

namespace {

constexpr int heads = 12;
constexpr int head_width = 64;
constexpr int width = heads * head_width;

struct Sequences {
    cpu::Buffer memory;
    int length;
    Sequences(int items, int rows)
        : memory(filled(static_cast<std::size_t>(items) * static_cast<std::size_t>(rows) * width)),
          length(rows) {}
    HeadRows<Cpu<float>> view() const { return {memory.get(), length * width, width}; }
};

double flops(AttentionShape const& s) {
    return 4.0 * s.items * s.heads * s.head_width * s.queries * s.keys;
}

AttentionShape shape_of(benchmark::State const& state) {
    return {.items = static_cast<int>(state.range(0)),
            .heads = heads,
            .head_width = head_width,
            .queries = static_cast<int>(state.range(1)),
            .keys = static_cast<int>(state.range(2))};
}

void attention(benchmark::State& state) {
    AttentionShape const shape = shape_of(state);
    Sequences const q(shape.items, shape.queries), k(shape.items, shape.keys),
        v(shape.items, shape.keys), out(shape.items, shape.queries);
    Fastest fastest;
    fastest.time(state, [&] {
        Cpu<float>::attention(engine(), shape, q.view(), k.view(), v.view(), out.view(), nullptr);
    });
    fastest.flops(state, engine(), flops(shape));
}

void attention_backward(benchmark::State& state) {
    AttentionShape shape = shape_of(state);
    if (state.range(3) != 0) {
        shape.dropout = 0.1;
        shape.key = {1, 2};
    }
    Sequences const q(shape.items, shape.queries), k(shape.items, shape.keys),
        v(shape.items, shape.keys), out(shape.items, shape.queries),
        dout(shape.items, shape.queries), dq(shape.items, shape.queries),
        dk(shape.items, shape.keys), dv(shape.items, shape.keys);
    auto const lse = filled(static_cast<std::size_t>(shape.items * heads * shape.queries));
    Cpu<float>::attention(engine(), shape, q.view(), k.view(), v.view(), out.view(), lse.get());
    Fastest fastest;
    fastest.time(state, [&] {
        Cpu<float>::attention_backward(engine(), shape, q.view(), k.view(), v.view(), out.view(),
                                       lse.get(), dout.view(), dq.view(), dk.view(), dv.view());
    });
    fastest.flops(state, engine(), 2.5 * flops(shape));
}

/// Beams of `groups` images attend the image's rows, as every decoding step does in every layer.
void decoding(benchmark::State& state) {
    int const groups = static_cast<int>(state.range(0));
    int const beams = static_cast<int>(state.range(1));
    int const keys = static_cast<int>(state.range(2));
    // As many layers as it takes to leave the caches, as in a model.
    constexpr int layers = 12;
    Sequences const q(1, groups * beams), k(groups * layers, keys), v(groups * layers, keys),
        out(1, groups * beams);
    std::vector<int> starts(static_cast<std::size_t>(groups) + 1), items(starts.size());
    for (std::size_t i = 0; i < starts.size(); ++i) {
        starts[i] = static_cast<int>(i) * beams;
        items[i] = static_cast<int>(i);
    }
    IndexedAttentionShape const shape{.groups = groups,
                                      .heads = heads,
                                      .head_width = head_width,
                                      .keys = keys,
                                      .query_starts = starts.data(),
                                      .key_items = items.data()};
    Fastest fastest;
    fastest.time(state, [&] {
        for (int layer = 0; layer < layers; ++layer) {
            HeadRows<Cpu<float>> keys_here = k.view(), values_here = v.view();
            keys_here.data += std::ptrdiff_t{layer} * groups * keys_here.item_stride;
            values_here.data += std::ptrdiff_t{layer} * groups * values_here.item_stride;
            Cpu<float>::attention_indexed(engine(), shape, q.view(), keys_here, values_here,
                                          out.view());
        }
    });
    fastest.bytes(state, engine(), 8.0 * groups * keys * width * layers);
}

BENCHMARK(attention)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->Args({1, 577, 577})
    ->Args({8, 577, 577})
    ->Args({4, 197, 197})
    ->Args({4, 35, 577})
    ->Args({16, 35, 35});
BENCHMARK(attention_backward)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->Args({4, 197, 197, 0})
    ->Args({2, 577, 577, 0})
    ->Args({4, 35, 197, 0})
    ->Args({4, 35, 197, 1});
BENCHMARK(decoding)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->Args({1, 1, 577})
    ->Args({1, 3, 577})
    ->Args({8, 3, 577})
    ->Args({3, 1, 20});

} // namespace
