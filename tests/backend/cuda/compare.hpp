#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/backend/reference/reference.hpp>
#include <blip/core/random.hpp>

namespace blip::test {

/// Values in the memory of backend B.
template <class B, class T>
class Buffer {
public:
    Buffer(typename B::Engine& engine, std::vector<T> const& values)
        : engine_(engine), size_(static_cast<std::ptrdiff_t>(values.size())),
          memory_(B::allocate(values.size() * sizeof(T) + 64)) {
        B::upload(engine, data(), values.data(), size_);
    }
    T* data() { return static_cast<T*>(memory_.data()); }
    std::vector<double> values() {
        std::vector<T> host(static_cast<std::size_t>(size_));
        B::download(engine_, host.data(), static_cast<T const*>(data()), size_);
        return {host.begin(), host.end()};
    }

private:
    typename B::Engine& engine_;
    std::ptrdiff_t size_;
    typename B::Memory memory_;
};

/// What one verb gave: named arrays.
using Results = std::vector<std::pair<std::string, std::vector<double>>>;

/// Runs verbs of one backend on inputs that are the same for every backend.
template <class B>
struct Bench {
    using T = typename B::scalar;
    using Rows = Matrix<B>;
    using Heads = HeadRows<B>;

    static constexpr std::ptrdiff_t long_sum = 10007;

    typename B::Engine engine{};
    std::uint64_t stream = 0;
    Results results{};

    Buffer<B, T> numbers(std::ptrdiff_t n) {
        RandomKey const key{7, stream++};
        std::vector<T> values;
        for (std::ptrdiff_t i = 0; i < n; ++i) // float first, so that every backend gets the same
            values.push_back(static_cast<T>(
                static_cast<float>(2 * random_uniform(key, static_cast<std::uint64_t>(i)) - 1)));
        return {engine, values};
    }
    /// Not-a-number everywhere: shows what a verb leaves unwritten.
    Buffer<B, T> unwritten(std::ptrdiff_t n) {
        return {engine,
                std::vector<T>(static_cast<std::size_t>(n), std::numeric_limits<T>::quiet_NaN())};
    }
    Buffer<B, int> whole(std::vector<int> const& values) { return {engine, values}; }
    void keep(std::string name, Buffer<B, T>& x) {
        results.emplace_back(std::move(name), x.values());
    }

    void linear(int rows, int in, int out, int gap) {
        for (auto const activation : {Activation::none, Activation::gelu, Activation::relu}) {
            std::ptrdiff_t const xs = in + gap, ys = out + gap;
            auto x = numbers(rows * xs), w = numbers(std::ptrdiff_t{out} * in), bias = numbers(out);
            auto y = unwritten(rows * ys), u = unwritten(std::ptrdiff_t{rows} * out),
                 plain = unwritten(rows * ys);
            Rows const xm{x.data(), rows, in, xs}, ym{y.data(), rows, out, ys};
            WeightView<B> const view{w.data(), out, in};
            B::linear(engine, xm, view, bias.data(), activation, ym, u.data());
            B::linear(engine, xm, view, nullptr, activation, {plain.data(), rows, out, ys},
                      nullptr);
            keep("linear y", y), keep("linear u", u), keep("linear plain", plain);
            auto dy = numbers(rows * ys), dx = unwritten(rows * xs);
            auto dw = numbers(std::ptrdiff_t{out} * in), db = numbers(out);
            Rows const dym{dy.data(), rows, out, ys};
            B::linear_backward_input(engine, dym, view, {dx.data(), rows, in, xs});
            B::linear_backward_weight(engine, dym, xm, dw.data(), db.data());
            keep("linear dx", dx), keep("linear dw", dw), keep("linear db", db);
            auto du = numbers(std::ptrdiff_t{rows} * out);
            B::activation_backward(engine, activation, u.data(), du.data(), du.data(), rows * out);
            keep("activation du", du);
        }
    }

    void packing(int in, int out) {
        std::ptrdiff_t const n = std::ptrdiff_t{in} * out;
        auto rows = numbers(n), back = unwritten(n);
        WeightView<B> view{nullptr, out, in, Layout::panels};
        auto stored = unwritten(B::stored_size(view));
        view.data = stored.data();
        B::pack(engine, rows.data(), view);
        B::unpack(engine, view, back.data());
        keep("unpack", back);
    }

    void layer_norm(int rows, int width, int gap) {
        std::ptrdiff_t const stride = width + gap, n = std::ptrdiff_t{rows} * width;
        auto x = numbers(rows * stride), residual = numbers(rows * stride);
        auto scale = numbers(width), shift = numbers(width);
        auto y = unwritten(n), sum = unwritten(n), statistics = unwritten(2 * rows),
             plain = unwritten(n);
        Rows const xm{x.data(), rows, width, stride};
        B::layer_norm(engine, xm, residual.data(), scale.data(), shift.data(), 1e-6,
                      {y.data(), rows, width, width}, sum.data(), statistics.data());
        B::layer_norm(engine, xm, nullptr, scale.data(), shift.data(), 1e-5,
                      {plain.data(), rows, width, width}, nullptr, nullptr);
        keep("norm y", y), keep("norm sum", sum), keep("norm statistics", statistics);
        keep("norm plain", plain);
        auto dy = numbers(n), dscale = numbers(width), dshift = numbers(width);
        Rows const dym{dy.data(), rows, width, width};
        B::layer_norm_backward(engine, dym, {sum.data(), rows, width, width}, scale.data(),
                               statistics.data(), dym, dscale.data(), dshift.data());
        keep("norm dx", dy), keep("norm dscale", dscale), keep("norm dshift", dshift);
    }

    void attention(AttentionShape shape, std::vector<unsigned char> const& mask) {
        std::ptrdiff_t const width = std::ptrdiff_t{shape.heads} * shape.head_width;
        std::ptrdiff_t const qn = shape.items * shape.queries * width,
                             kn = shape.items * shape.keys * width;
        Buffer<B, unsigned char> seen(engine, mask);
        if (!mask.empty())
            shape.key_mask = seen.data();
        auto q = numbers(qn), kv = numbers(2 * kn), out = unwritten(qn), dout = numbers(qn);
        std::ptrdiff_t const rows = std::ptrdiff_t{shape.items} * shape.heads * shape.queries;
        auto lse = unwritten(rows), p = unwritten(rows * shape.keys);
        auto dq = unwritten(qn), dkv = unwritten(2 * kn);
        auto const queries = [&](auto& x) { return Heads{x.data(), shape.queries * width, width}; };
        auto const keys = [&](auto& x, std::ptrdiff_t first) { // k and v side by side in a row
            return Heads{x.data() + first, 2 * shape.keys * width, 2 * width};
        };
        B::attention(engine, shape, queries(q), keys(kv, 0), keys(kv, width), queries(out),
                     lse.data());
        B::attention_probabilities(engine, shape, queries(q), keys(kv, 0), p.data());
        B::attention_backward(engine, shape, queries(q), keys(kv, 0), keys(kv, width), queries(out),
                              lse.data(), queries(dout), queries(dq), keys(dkv, 0),
                              keys(dkv, width));
        keep("attention", out), keep("lse", lse), keep("probabilities", p);
        keep("attention dq", dq), keep("attention dk, dv", dkv);
    }

    void attention_indexed(int heads, int head_width) {
        std::ptrdiff_t const width = std::ptrdiff_t{heads} * head_width;
        auto q = numbers(6 * width), k = numbers(3 * 7 * width), v = numbers(3 * 7 * width);
        auto starts = whole({0, 2, 2, 3, 6}), items = whole({1, 0, 2, 1}),
             counts = whole({5, 2, 0, 1});
        auto rows = whole({6, 0, 3, 3, 1, 2, 2, 0, 0, 0, 1, 1, 1, 1, 1, 4, 0, 0, 0, 0});
        for (int variant = 0; variant < 3; ++variant) {
            auto out = unwritten(6 * width);
            IndexedAttentionShape const shape{.groups = 4,
                                              .heads = heads,
                                              .head_width = head_width,
                                              .keys = 5,
                                              .query_starts = starts.data(),
                                              .key_items = items.data(),
                                              .key_rows = variant > 0 ? rows.data() : nullptr,
                                              .key_counts = variant > 1 ? counts.data() : nullptr};
            B::attention_indexed(engine, shape, {q.data(), 0, width}, {k.data(), 7 * width, width},
                                 {v.data(), 7 * width, width}, {out.data(), 0, width});
            keep("attention indexed", out);
        }
    }

    void embedding(int width) {
        auto ids = whole({4, 1, 4, 0, 1, 1, 6}), positions = whole({0, 1, 2, 0, 1, 2, 3});
        auto table = numbers(7 * width), places = numbers(4 * width), y = unwritten(7 * width);
        B::embed(engine, ids.data(), positions.data(), {table.data(), 7, width}, places.data(),
                 {y.data(), 7, width, width});
        keep("embed", y);
        for (int const padding : {-1, 1}) {
            B::embed_backward(engine, ids.data(), positions.data(), padding,
                              {y.data(), 7, width, width}, table.data(), places.data());
            keep("embed dtable", table), keep("embed dpositions", places);
        }
    }

    void images(int count, int grid, int patch, int width) {
        int const size = grid * patch, length = grid * grid;
        std::ptrdiff_t const n = std::ptrdiff_t{count} * 3 * size * size;
        auto pixels = numbers(n), rows = unwritten(n), back = unwritten(n);
        B::patches(engine, pixels.data(), count, size, patch, rows.data());
        B::patches_backward(engine, rows.data(), count, size, patch, back.data());
        keep("patches", rows), keep("patches back", back);
        std::ptrdiff_t const places = std::ptrdiff_t{length + 1} * width;
        auto x = numbers(std::ptrdiff_t{count} * length * width), first = numbers(width);
        auto positions = numbers(places), y = unwritten(count * places);
        B::prepend(engine, x.data(), first.data(), positions.data(), count, length, width,
                   y.data());
        keep("prepend", y);
        auto dx = unwritten(std::ptrdiff_t{count} * length * width);
        B::prepend_backward(engine, y.data(), count, length, width, dx.data(), first.data(),
                            positions.data());
        keep("prepend dx", dx), keep("prepend dfirst", first),
            keep("prepend dpositions", positions);
    }

    void rows(int width) {
        auto x = numbers(5 * width), b = numbers(5 * width), y = unwritten(5 * width);
        B::add(engine, x.data(), b.data(), y.data(), 5 * width);
        keep("add", y);
        B::scale(engine, y.data(), -0.75, x.data(), 5 * width);
        keep("scale", x);
        for (double const probability : {0.0, 0.1, 0.5})
            for (int const group : {1, 3}) {
                auto dropped = unwritten(5 * width);
                B::dropout(engine, x.data(), 5 * width, group, probability, {3, 9}, dropped.data());
                keep("dropout", dropped);
            }
        auto places = whole({3, 0, 4, 1});
        auto gathered = unwritten(4 * width), scattered = numbers(5 * width);
        B::gather_rows(engine, {x.data(), 5, width, width}, places.data(),
                       {gathered.data(), 4, width, width});
        B::scatter_rows(engine, {b.data(), 4, width, width}, places.data(),
                        {scattered.data(), 5, width, width});
        keep("gather", gathered), keep("scatter", scattered);
    }

    void cross_entropy(int vocabulary) {
        auto logits = numbers(4 * vocabulary), losses = unwritten(4),
             separate = unwritten(4 * vocabulary);
        auto targets = whole({vocabulary - 1, -100, 0, 1});
        auto target_weights = numbers(4), uniform_weights = numbers(4);
        for (bool const in_place : {false, true}) {
            auto& gradient = in_place ? logits : separate;
            B::cross_entropy(engine, {logits.data(), 4, vocabulary, vocabulary}, targets.data(),
                             target_weights.data(), uniform_weights.data(), 0.1, losses.data(),
                             {gradient.data(), 4, vocabulary, vocabulary});
            keep("losses", losses), keep("dlogits", gradient);
        }
    }

    void contrastive(int rows, int width, int gap) {
        std::ptrdiff_t const stride = width + gap, n = rows * stride;
        auto x = numbers(n), y = unwritten(n), norms = unwritten(rows), dy = numbers(n);
        Rows const xm{x.data(), rows, width, stride}, ym{y.data(), rows, width, stride},
            dym{dy.data(), rows, width, stride};
        B::normalize_rows(engine, xm, 0.3, ym, norms.data()); // short rows are below 0.3
        keep("unit rows", y), keep("norms", norms);
        B::normalize_rows_backward(engine, dym, ym, norms.data(), 0.3, dym);
        keep("unit rows dx", dy);
        B::normalize_rows(engine, xm, 1e-12, xm, nullptr);
        keep("unit rows in place", x);

        Buffer<B, T> divisor(engine, {T(0.0625f)}), slope(engine, {T(0.5f)});
        auto a = numbers(n), quotient = unwritten(n), da = numbers(n);
        B::divide(engine, a.data(), divisor.data(), quotient.data(), n);
        B::divide_backward(engine, da.data(), quotient.data(), divisor.data(), da.data(),
                           slope.data(), n);
        keep("quotient", quotient), keep("quotient dx", da), keep("quotient ddivisor", slope);

        std::vector<int> row_ids, key_ids;
        for (int r = 0; r < rows; ++r)
            row_ids.push_back(r / 2);
        for (int c = 0; c < width; ++c)
            key_ids.push_back(c % 3 == 2 ? -1 : c / 2);
        auto ids = whole(row_ids), keys = whole(key_ids);
        auto scores = numbers(n), targets = unwritten(n), losses = unwritten(rows),
             gradient = unwritten(n), transposed = unwritten(std::ptrdiff_t{rows} * (width + 1));
        Rows const sm{scores.data(), rows, width, stride}, tm{targets.data(), rows, width, stride};
        B::soft_targets(engine, sm, ids.data(), keys.data(), 0.4, tm);
        keep("soft targets", targets);
        B::soft_cross_entropy(engine, sm, tm, 0.5, losses.data(),
                              {gradient.data(), rows, width, stride});
        keep("soft losses", losses), keep("soft gradient", gradient);
        B::soft_cross_entropy(engine, sm, tm, 2, losses.data(), {nullptr, rows, width, stride});
        keep("soft losses alone", losses);
        B::soft_cross_entropy(engine, sm, tm, 1, losses.data(), sm);
        keep("soft gradient in place", scores);
        B::soft_targets(engine, xm, ids.data(), keys.data(), 1, xm);
        keep("soft targets in place", x);
        // Columns of a wider matrix, as a queue is written.
        B::transpose(engine, {a.data(), rows, width, stride},
                     {transposed.data(), width, rows, rows});
        keep("transposed", transposed);
    }

    void optimizer(int n) {
        auto values = numbers(n), gradient = numbers(n), first = numbers(n), squares = numbers(n),
             mean = numbers(n), second = unwritten(n);
        B::normalize_rows(engine, {squares.data(), n, 1, 1}, 1e-12, {squares.data(), n, 1, 1},
                          second.data()); // |x|: a second moment is not negative
        AdamWStep const step{.shrink = 0.99,
                             .beta1 = 0.9,
                             .beta2 = 0.999,
                             .step_size = 0.125,
                             .root_correction = 0.25,
                             .epsilon = 1e-8};
        B::adamw(engine, step, gradient.data(), first.data(), second.data(), values.data(), n);
        B::average(engine, values.data(), 0.995, mean.data(), n);
        keep("first moment", first), keep("second moment", second), keep("values", values);
        keep("average", mean);
        // Less than a group's share, and more than every group's.
        for (std::ptrdiff_t const count : {std::ptrdiff_t{n}, std::ptrdiff_t{0}, long_sum}) {
            auto x = numbers(count);
            results.emplace_back("sum of squares",
                                 std::vector{B::sum_of_squares(engine, x.data(), count)});
        }
    }

    /// Every verb; attention has up to `rows_count` + 2 keys.
    void everything(std::vector<int> const& widths, int rows_count) {
        for (int const width : widths) {
            linear(rows_count, width, width + 3, 2);
            linear(1, width, 5, 0);
            packing(width, 5);
            layer_norm(rows_count, width, 3);
            embedding(width);
            images(2, 2, 3, width);
            rows(width);
            cross_entropy(width + 2);
            contrastive(rows_count, width, 2);
            optimizer(rows_count * width);
            attention_indexed(2, width);
            for (auto const causal : {Causal::no, Causal::yes})
                for (double const dropout : {0.0, 0.3}) {
                    AttentionShape shape{.items = 2,
                                         .heads = 2,
                                         .head_width = width,
                                         .queries = rows_count,
                                         .keys = rows_count + 2,
                                         .causal = causal,
                                         .dropout = dropout,
                                         .key = {5, 1}};
                    attention(shape, {});
                    std::vector<unsigned char> mask(static_cast<std::size_t>(2 * shape.keys), 1);
                    std::fill_n(mask.begin(), shape.keys, 0); // one item sees nothing
                    mask[static_cast<std::size_t>(shape.keys) + 1] = 0;
                    attention(shape, mask);
                    shape.keys = rows_count - 1; // with a causal mask the first query sees no key
                    attention(shape, {});
                }
        }
    }
};

/// The first array whose distance from the expected one exceeds `tolerance` relative to its norm,
/// in words; empty where all agree. Not-a-number agrees only with itself in the same place: the
/// gaps between rows that no verb may write.
inline std::string first_difference(Results const& found, Results const& expected,
                                    double tolerance) {
    if (found.size() != expected.size())
        return "another number of results";
    for (std::size_t i = 0; i < found.size(); ++i) {
        double distance = 0, norm = 0;
        for (std::size_t j = 0; j < expected[i].second.size(); ++j) {
            double const f = found[i].second[j], e = expected[i].second[j];
            if (std::isnan(f) && std::isnan(e))
                continue;
            distance += (f - e) * (f - e);
            norm += e * e;
        }
        if (!(std::sqrt(distance) <= tolerance * std::sqrt(norm) + tolerance * 1e-3))
            return found[i].first + " (result " + std::to_string(i) + "): distance " +
                   std::to_string(std::sqrt(distance)) + " of norm " +
                   std::to_string(std::sqrt(norm));
    }
    return {};
}

} // namespace blip::test
