#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

#include <blip/backend/backend.hpp>
#include <blip/backend/cpu/activation.hpp>
#include <blip/backend/cpu/attention.hpp>
#include <blip/backend/cpu/attention_backward.hpp>
#include <blip/backend/cpu/cross_entropy.hpp>
#include <blip/backend/cpu/dropout.hpp>
#include <blip/backend/cpu/engine.hpp>
#include <blip/backend/cpu/memory.hpp>
#include <blip/backend/cpu/normalize.hpp>
#include <blip/backend/cpu/pack.hpp>
#include <blip/backend/cpu/product.hpp>
#include <blip/backend/cpu/rows.hpp>
#include <blip/backend/cpu/training.hpp>

namespace blip {

/// The host as backend; `Scalar` says how weights are kept and multiplied.
template <class Scalar>
struct Cpu;

/// float32 on the host's vector units. Results depend neither on the number of threads nor on what
/// else is in a batch.
template <>
struct Cpu<float> : cpu::TrainingVerbs<Cpu<float>> {
    using scalar = float;
    using gradient = Cpu<float>;
    using Engine = cpu::Engine;
    using View = Matrix<Cpu>;
    using Heads = HeadRows<Cpu>;
    /// One picture of 384 pixels in patches of 16, or three of 224.
    static constexpr int rows_together = 640;
    static constexpr bool on_host =
        true; ///< backend memory is host memory: files are packed in place

    /// Bytes on a cache line, large ones on huge pages.
    class Memory {
    public:
        Memory() = default;
        explicit Memory(std::size_t bytes) : values_(cpu::allocate(bytes / sizeof(float) + 1)) {}
        void* data() { return values_.get(); }
        void const* data() const { return values_.get(); }

    private:
        cpu::Buffer values_;
    };

    static Memory allocate(std::size_t bytes) { return Memory(bytes); }
    static void poison(void* data, std::size_t bytes) { std::memset(data, 0xFF, bytes); }

    template <class To, class From>
    static void upload(Engine& engine, To* to, From const* from, std::ptrdiff_t n) {
        convert(engine, to, from, n);
    }
    template <class To, class From>
    static void download(Engine& engine, To* to, From const* from, std::ptrdiff_t n) {
        convert(engine, to, from, n);
    }
    static void zero(Engine& engine, float* x, std::ptrdiff_t n) {
        engine.parallel_ranges(size(n), 1 << 16, [=](std::size_t begin, std::size_t end) {
            std::memset(x + begin, 0, (end - begin) * sizeof(float));
        });
    }
    static void copy(Engine& engine, float* to, float const* from, std::ptrdiff_t n) {
        convert(engine, to, from, n);
    }

    static std::ptrdiff_t stored_size(WeightView<Cpu> w) {
        return w.layout == Layout::rows
                   ? std::ptrdiff_t{w.out} * w.in
                   : static_cast<std::ptrdiff_t>(cpu::packed_size(size(w.out), size(w.in)));
    }
    static void pack(Engine& engine, float const* row_major, WeightView<Cpu> w) {
        if (w.layout == Layout::rows)
            copy(engine, w.data, row_major, stored_size(w));
        else
            cpu::pack_panels(engine, {row_major, size(w.in), cpu::RightOrder::column_rows},
                             size(w.out), size(w.in), w.data);
    }
    static void unpack(Engine& engine, WeightView<Cpu> w, float* row_major) {
        if (w.layout == Layout::rows)
            copy(engine, row_major, w.data, stored_size(w));
        else
            cpu::unpack_panels(engine, w.data, size(w.out), size(w.in), row_major);
    }

    static void linear(Engine& engine, View x, WeightView<Cpu> w, float const* bias,
                       Activation activation, View y, float* u) {
        cpu::Result result;
        result.data = y.data;
        result.stride = size(y.stride);
        result.start = bias == nullptr ? cpu::Start::zero : cpu::Start::bias;
        result.bias = bias;
        result.activation = activation;
        result.before_activation = u;
        result.before_stride = size(w.out);
        cpu::Right const weight{w.data, size(w.in),
                                w.layout == Layout::rows ? cpu::RightOrder::column_rows
                                                         : cpu::RightOrder::panels};
        cpu::multiply(engine, size(x.rows), size(w.out), size(w.in), {x.data, size(x.stride)},
                      weight, result);
    }

    static void linear_backward_input(Engine& engine, View dy, WeightView<Cpu> w, View dx) {
        // Only inspections differentiate models loaded for inference; they can afford a copy.
        auto const loan =
            engine.scratch().borrow(w.layout == Layout::rows ? 1 : size(w.out) * size(w.in));
        float const* weight = w.data;
        if (w.layout != Layout::rows) {
            unpack(engine, w, loan.data());
            weight = loan.data();
        }
        cpu::Result result;
        result.data = dx.data;
        result.stride = size(dx.stride);
        cpu::multiply(engine, size(dy.rows), size(w.in), size(w.out), {dy.data, size(dy.stride)},
                      {weight, size(w.in), cpu::RightOrder::depth_rows}, result);
    }

    static void linear_backward_weight(Engine& engine, View dy, View x, float* dw, float* db) {
        cpu::Result result;
        result.data = dw;
        result.stride = size(x.columns);
        result.start = cpu::Start::result;
        cpu::multiply(engine, size(dy.columns), size(x.columns), size(dy.rows),
                      {dy.data, size(dy.stride), cpu::LeftOrder::depth_rows},
                      {x.data, size(x.stride), cpu::RightOrder::depth_rows}, result);
        if (db != nullptr)
            cpu::add_column_sums(engine, size(dy.rows), size(dy.columns), rows(dy), db);
    }

    static void activation_backward(Engine& engine, Activation activation, float const* u,
                                    float const* dy, float* du, std::ptrdiff_t n) {
        cpu::activation_backward(engine, activation, u, dy, du, size(n));
    }

    static void layer_norm(Engine& engine, View x, float const* residual, float const* scale,
                           float const* shift, double epsilon, View y, float* sum,
                           float* statistics) {
        cpu::layer_norm(engine, size(x.rows), size(x.columns), rows(x), {residual, size(x.stride)},
                        {scale, shift, epsilon, sum, statistics}, {y.data, size(y.stride)});
    }
    static void layer_norm_backward(Engine& engine, View dy, View s, float const* scale,
                                    float const* statistics, View dx, float* dscale,
                                    float* dshift) {
        cpu::layer_norm_backward(engine, size(s.rows), size(s.columns), rows(dy), rows(s), scale,
                                 statistics, {dx.data, size(dx.stride)}, dscale, dshift);
    }

    static void attention(Engine& engine, AttentionShape const& shape, Heads q, Heads k, Heads v,
                          Heads out, float* lse) {
        std::size_t const heads = size(shape.heads);
        std::size_t const queries = size(shape.queries);
        std::size_t const keys = size(shape.keys);
        std::size_t const width = size(shape.head_width);
        std::size_t const tasks = size(shape.items) * heads;
        if (tasks == 0 || queries == 0)
            return;
        // Queries of a head are divided only where heads are too few for the threads: each part
        // copies the keys for itself.
        std::size_t const wanted = (2 * engine.threads() + tasks - 1) / tasks;
        std::size_t const parts =
            engine.threads() == 1 || tasks >= 2 * engine.threads()
                ? 1
                : std::min(wanted, (queries + 4 * cpu::tile_rows - 1) / (4 * cpu::tile_rows));
        std::size_t const work = queries * keys * width / parts + 1;
        engine.parallel_ranges(
            tasks * parts, 100000 / work + 1, [&](std::size_t begin, std::size_t end) {
                auto const loan = engine.scratch().borrow(cpu::attention_scratch(width, keys));
                for (std::size_t i = begin; i < end; ++i) {
                    std::size_t const item = i / parts / heads;
                    std::size_t const head = i / parts % heads;
                    std::size_t const part = i % parts;
                    cpu::attend_head(head_task(shape, item, head),
                                     {at(q, item, head, width), size(q.row_stride)},
                                     {at(k, item, head, width), size(k.row_stride)},
                                     {at(v, item, head, width), size(v.row_stride)},
                                     queries * part / parts, queries * (part + 1) / parts,
                                     {at(out, item, head, width), size(out.row_stride)},
                                     lse == nullptr ? nullptr
                                                    : lse + (item * heads + head) * queries,
                                     loan.data());
                }
            });
    }

    static void attention_backward(Engine& engine, AttentionShape const& shape, Heads q, Heads k,
                                   Heads v, Heads out, float const* lse, Heads dout, Heads dq,
                                   Heads dk, Heads dv) {
        std::size_t const heads = size(shape.heads);
        std::size_t const queries = size(shape.queries);
        std::size_t const keys = size(shape.keys);
        std::size_t const width = size(shape.head_width);
        std::size_t const work = queries * keys * width + 1;
        engine.parallel_ranges(
            size(shape.items) * heads, 50000 / work + 1, [&](std::size_t begin, std::size_t end) {
                auto const loan =
                    engine.scratch().borrow(cpu::attention_backward_scratch(width, keys));
                for (std::size_t i = begin; i < end; ++i) {
                    std::size_t const item = i / heads;
                    std::size_t const head = i % heads;
                    cpu::HeadGradient gradient;
                    gradient.q = {at(q, item, head, width), size(q.row_stride)};
                    gradient.k = {at(k, item, head, width), size(k.row_stride)};
                    gradient.v = {at(v, item, head, width), size(v.row_stride)};
                    gradient.out = {at(out, item, head, width), size(out.row_stride)};
                    gradient.dout = {at(dout, item, head, width), size(dout.row_stride)};
                    gradient.log_sums = lse + i * queries;
                    gradient.dq = {at(dq, item, head, width), size(dq.row_stride)};
                    gradient.dk = {at(dk, item, head, width), size(dk.row_stride)};
                    gradient.dv = {at(dv, item, head, width), size(dv.row_stride)};
                    cpu::attend_head_backward(head_task(shape, item, head), gradient, loan.data());
                }
            });
    }

    static void attention_indexed(Engine& engine, IndexedAttentionShape const& shape, Heads q,
                                  Heads k, Heads v, Heads out) {
        std::size_t const heads = size(shape.heads);
        std::size_t const width = size(shape.head_width);
        std::size_t const most = size(shape.keys);
        std::size_t const groups = size(shape.groups);
        std::size_t const work = groups == 0 ? 1 : most * width * 4 + 1;
        engine.parallel_ranges(
            groups * heads, 50000 / work + 1, [&](std::size_t begin, std::size_t end) {
                auto const loan = engine.scratch().borrow(cpu::attention_scratch(width, most));
                for (std::size_t i = begin; i < end; ++i) {
                    std::size_t const group = i / heads;
                    std::size_t const head = i % heads;
                    std::size_t const first = size(shape.query_starts[group]);
                    std::size_t const queries = size(shape.query_starts[group + 1]) - first;
                    std::size_t const item = size(shape.key_items[group]);
                    int const* const index =
                        shape.key_rows == nullptr ? nullptr : shape.key_rows + group * most;
                    cpu::HeadTask task;
                    task.width = width;
                    task.queries = queries;
                    task.keys = shape.key_counts == nullptr ? most : size(shape.key_counts[group]);
                    task.scale = scale(width);
                    cpu::attend_head(
                        task,
                        {q.data + first * size(q.row_stride) + head * width, size(q.row_stride)},
                        {at(k, item, head, width), size(k.row_stride), index},
                        {at(v, item, head, width), size(v.row_stride), index}, 0, queries,
                        {out.data + first * size(out.row_stride) + head * width,
                         size(out.row_stride)},
                        nullptr, loan.data());
                }
            });
    }

    static void attention_probabilities(Engine& engine, AttentionShape const& shape, Heads q,
                                        Heads k, float* p) {
        std::size_t const heads = size(shape.heads);
        std::size_t const queries = size(shape.queries);
        std::size_t const keys = size(shape.keys);
        std::size_t const width = size(shape.head_width);
        engine.parallel_ranges(
            size(shape.items) * heads, 1, [&](std::size_t begin, std::size_t end) {
                auto const loan = engine.scratch().borrow(cpu::attention_scratch(width, keys));
                for (std::size_t i = begin; i < end; ++i) {
                    std::size_t const item = i / heads;
                    std::size_t const head = i % heads;
                    cpu::attend_probabilities(head_task(shape, item, head),
                                              {at(q, item, head, width), size(q.row_stride)},
                                              {at(k, item, head, width), size(k.row_stride)},
                                              p + i * queries * keys, loan.data());
                }
            });
    }

    static void embed(Engine& engine, int const* ids, int const* positions, WeightView<Cpu> table,
                      float const* position_table, View y) {
        cpu::embed(engine, size(y.rows), size(y.columns), ids, positions, table.data,
                   table.layout == Layout::panels, position_table, {y.data, size(y.stride)});
    }
    static void embed_backward(Engine& engine, int const* ids, int const* positions, int padding,
                               View dy, float* dtable, float* dpositions) {
        cpu::embed_backward(engine, size(dy.rows), size(dy.columns), ids, positions, padding,
                            rows(dy), dtable, dpositions);
    }
    static void patches(Engine& engine, float const* images, int count, int image_size, int patch,
                        float* patch_rows) {
        cpu::patches(engine, images, size(count), size(image_size), size(patch), patch_rows);
    }
    static void patches_backward(Engine& engine, float const* drows, int count, int image_size,
                                 int patch, float* dimages) {
        cpu::patches_backward(engine, drows, size(count), size(image_size), size(patch), dimages);
    }
    static void prepend(Engine& engine, float const* x, float const* first, float const* positions,
                        int count, int length, int width, float* y) {
        cpu::prepend(engine, x, first, positions, size(count), size(length), size(width), y);
    }
    static void prepend_backward(Engine& engine, float const* dy, int count, int length, int width,
                                 float* dx, float* dfirst, float* dpositions) {
        cpu::prepend_backward(engine, dy, size(count), size(length), size(width), dx, dfirst,
                              dpositions);
    }

    static void add(Engine& engine, float const* a, float const* b, float* y, std::ptrdiff_t n) {
        cpu::add(engine, a, b, y, size(n));
    }
    static void scale(Engine& engine, float const* x, double factor, float* y, std::ptrdiff_t n) {
        cpu::scale(engine, x, static_cast<float>(factor), y, size(n));
    }
    static void dropout(Engine& engine, float const* x, std::ptrdiff_t n, std::ptrdiff_t group,
                        double probability, RandomKey key, float* y) {
        cpu::dropout(engine, x, size(n), size(group), probability, key, y);
    }
    static void gather_rows(Engine& engine, View x, int const* index, View y) {
        cpu::gather_rows(engine, size(y.rows), size(y.columns), rows(x), index,
                         {y.data, size(y.stride)});
    }
    static void scatter_rows(Engine& engine, View x, int const* index, View y) {
        cpu::scatter_rows(engine, size(x.rows), size(x.columns), rows(x), index,
                          {y.data, size(y.stride)});
    }

    static void cross_entropy(Engine& engine, View logits, int const* targets,
                              float const* target_weights, float const* uniform_weights,
                              double smoothing, float* losses, View gradient_rows) {
        cpu::cross_entropy(engine, size(logits.rows), size(logits.columns), rows(logits), targets,
                           target_weights, uniform_weights, smoothing, losses,
                           {gradient_rows.data, size(gradient_rows.stride)});
    }

private:
    template <class Integer>
    static constexpr std::size_t size(Integer n) {
        return static_cast<std::size_t>(n);
    }
    static cpu::ConstRows rows(View x) { return {x.data, size(x.stride)}; }
    static float* at(Heads x, std::size_t item, std::size_t head, std::size_t width) {
        return x.data + item * size(x.item_stride) + head * width;
    }
    static float scale(std::size_t width) {
        return static_cast<float>(1 / std::sqrt(static_cast<double>(width)));
    }
    static cpu::HeadTask head_task(AttentionShape const& shape, std::size_t item,
                                   std::size_t head) {
        cpu::HeadTask task;
        task.width = size(shape.head_width);
        task.queries = size(shape.queries);
        task.keys = size(shape.keys);
        task.causal = shape.causal == Causal::yes;
        task.mask = shape.key_mask == nullptr ? nullptr : shape.key_mask + item * task.keys;
        task.scale = scale(task.width);
        if (shape.dropout != 0)
            task.dropout.emplace(shape.dropout, shape.key);
        task.first_element = (item * size(shape.heads) + head) * task.queries * task.keys;
        return task;
    }
    template <class To, class From>
    static void convert(Engine& engine, To* to, From const* from, std::ptrdiff_t n) {
        engine.parallel_ranges(size(n), 1 << 16, [=](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i)
                to[i] = static_cast<To>(from[i]);
        });
    }
};

static_assert(Backend<Cpu<float>>);

} // namespace blip
