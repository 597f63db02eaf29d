#pragma once

#include <cmath>
#include <cstddef>
#include <cstring>
#include <numbers>
#include <vector>

#include <blip/backend/backend.hpp>
#include <blip/backend/reference/attention.hpp>
#include <blip/backend/reference/dual.hpp>
#include <blip/backend/reference/training.hpp>

namespace blip {

/// The backend that says what every verb means: plain loops in one thread over any scalar (float,
/// double, Dual). Every other backend is tested against it.
template <class T>
struct Reference : reference::TrainingVerbs<Reference<T>, T> {
    using scalar = T;
    using gradient = Reference<T>;

    /// Nothing is needed to compute with plain loops.
    struct Engine {};

    class Memory {
    public:
        Memory() = default;
        explicit Memory(std::size_t bytes) : values_((bytes + 63) / 64) {}
        void* data() { return values_.data(); }
        void const* data() const { return values_.data(); }

    private:
        struct alignas(64) Line {
            std::byte bytes[64];
        };
        std::vector<Line> values_;
    };

    static Memory allocate(std::size_t bytes) { return Memory(bytes); }
    static void poison(void* data, std::size_t bytes) { std::memset(data, 0xFF, bytes); }

    template <class To, class From>
    static void upload(Engine&, To* to, From const* from, std::ptrdiff_t n) {
        for (std::ptrdiff_t i = 0; i < n; ++i)
            to[i] = static_cast<To>(from[i]);
    }
    template <class To, class From>
    static void download(Engine&, To* to, From const* from, std::ptrdiff_t n) {
        for (std::ptrdiff_t i = 0; i < n; ++i)
            to[i] = static_cast<To>(from[i]);
    }
    static void zero(Engine&, T* x, std::ptrdiff_t n) {
        for (std::ptrdiff_t i = 0; i < n; ++i)
            x[i] = T(0);
    }
    static void copy(Engine&, T* to, T const* from, std::ptrdiff_t n) {
        for (std::ptrdiff_t i = 0; i < n; ++i)
            to[i] = from[i];
    }

    static std::ptrdiff_t stored_size(WeightView<Reference> w) {
        return std::ptrdiff_t{w.out} * w.in;
    }
    static void pack(Engine& engine, T const* row_major, WeightView<Reference> w) {
        copy(engine, w.data, row_major, stored_size(w));
    }

    static void unpack(Engine& engine, WeightView<Reference> w, T* row_major) {
        copy(engine, row_major, w.data, stored_size(w));
    }

    static T activate(Activation activation, T u) {
        using std::erf;
        if (activation == Activation::gelu)
            return T(0.5) * u * (T(1) + erf(u * T(1 / std::numbers::sqrt2)));
        if (activation == Activation::relu)
            return u > T(0) ? u : T(0);
        return u;
    }

    static T activation_slope(Activation activation, T u) {
        using std::erf, std::exp;
        if (activation == Activation::gelu) {
            T const density =
                T(std::numbers::inv_sqrtpi / std::numbers::sqrt2) * exp(T(-0.5) * u * u);
            return T(0.5) * (T(1) + erf(u * T(1 / std::numbers::sqrt2))) + u * density;
        }
        if (activation == Activation::relu)
            return u > T(0) ? T(1) : T(0);
        return T(1);
    }

    static void linear(Engine&, Matrix<Reference> x, WeightView<Reference> w, T const* bias,
                       Activation activation, Matrix<Reference> y, T* u) {
        for (std::ptrdiff_t r = 0; r < x.rows; ++r)
            for (int o = 0; o < w.out; ++o) {
                T sum = bias ? bias[o] : T(0);
                for (int i = 0; i < w.in; ++i)
                    sum += x.data[r * x.stride + i] * w.data[std::ptrdiff_t{o} * w.in + i];
                if (u)
                    u[r * w.out + o] = sum;
                y.data[r * y.stride + o] = activate(activation, sum);
            }
    }

    static void linear_backward_input(Engine&, Matrix<Reference> dy, WeightView<Reference> w,
                                      Matrix<Reference> dx) {
        for (std::ptrdiff_t r = 0; r < dy.rows; ++r) {
            T* row = dx.data + r * dx.stride;
            for (int i = 0; i < w.in; ++i)
                row[i] = T(0);
            for (int o = 0; o < w.out; ++o)
                for (int i = 0; i < w.in; ++i)
                    row[i] += dy.data[r * dy.stride + o] * w.data[std::ptrdiff_t{o} * w.in + i];
        }
    }

    static void linear_backward_weight(Engine&, Matrix<Reference> dy, Matrix<Reference> x, T* dw,
                                       T* db) {
        for (std::ptrdiff_t r = 0; r < dy.rows; ++r)
            for (int o = 0; o < dy.columns; ++o) {
                T const g = dy.data[r * dy.stride + o];
                if (db)
                    db[o] += g;
                for (int i = 0; i < x.columns; ++i)
                    dw[std::ptrdiff_t{o} * x.columns + i] += g * x.data[r * x.stride + i];
            }
    }

    static void activation_backward(Engine&, Activation activation, T const* u, T const* dy, T* du,
                                    std::ptrdiff_t n) {
        for (std::ptrdiff_t i = 0; i < n; ++i)
            du[i] = dy[i] * activation_slope(activation, u[i]);
    }

    static void layer_norm(Engine&, Matrix<Reference> x, T const* residual, T const* scale,
                           T const* shift, double epsilon, Matrix<Reference> y, T* sum,
                           T* statistics) {
        using std::sqrt;
        std::vector<T> s(static_cast<std::size_t>(x.columns));
        T const n = T(static_cast<double>(x.columns));
        for (std::ptrdiff_t r = 0; r < x.rows; ++r) {
            T mean{}, variance{};
            for (int c = 0; c < x.columns; ++c) {
                T& value = s[static_cast<std::size_t>(c)];
                value = x.data[r * x.stride + c];
                if (residual)
                    value += residual[r * x.stride + c];
                if (sum)
                    sum[r * x.columns + c] = value;
                mean += value;
            }
            mean /= n;
            for (T const& value : s)
                variance += (value - mean) * (value - mean);
            T const inverse = T(1) / sqrt(variance / n + T(epsilon));
            for (int c = 0; c < x.columns; ++c)
                y.data[r * y.stride + c] =
                    (s[static_cast<std::size_t>(c)] - mean) * inverse * scale[c] + shift[c];
            if (statistics) {
                statistics[2 * r] = mean;
                statistics[2 * r + 1] = inverse;
            }
        }
    }

    /// With x̂ = (s - mean)/σ and g = dy scale: dx = (g - mean(g) - x̂ mean(g x̂))/σ.
    static void layer_norm_backward(Engine&, Matrix<Reference> dy, Matrix<Reference> s,
                                    T const* scale, T const* statistics, Matrix<Reference> dx,
                                    T* dscale, T* dshift) {
        T const n = T(static_cast<double>(s.columns));
        for (std::ptrdiff_t r = 0; r < s.rows; ++r) {
            T const mean = statistics[2 * r], inverse = statistics[2 * r + 1];
            T sum{}, inner{};
            for (int c = 0; c < s.columns; ++c) {
                T const d = dy.data[r * dy.stride + c];
                T const unit = (s.data[r * s.stride + c] - mean) * inverse;
                dscale[c] += d * unit;
                dshift[c] += d;
                sum += d * scale[c];
                inner += d * scale[c] * unit;
            }
            for (int c = 0; c < s.columns; ++c) {
                T const unit = (s.data[r * s.stride + c] - mean) * inverse;
                dx.data[r * dx.stride + c] =
                    (dy.data[r * dy.stride + c] * scale[c] - sum / n - unit * (inner / n)) *
                    inverse;
            }
        }
    }

    using Heads = HeadRows<Reference>;
    static void attention(Engine&, AttentionShape const& shape, Heads q, Heads k, Heads v,
                          Heads out, T* lse) {
        reference::attention(shape, q, k, v, out, lse);
    }
    static void attention_backward(Engine&, AttentionShape const& shape, Heads q, Heads k, Heads v,
                                   Heads, T const*, Heads dout, Heads dq, Heads dk, Heads dv) {
        reference::attention_backward(shape, q, k, v, dout, dq, dk, dv);
    }
    static void attention_indexed(Engine&, IndexedAttentionShape const& shape, Heads q, Heads k,
                                  Heads v, Heads out) {
        reference::attention_indexed(shape, q, k, v, out);
    }
    static void attention_probabilities(Engine&, AttentionShape const& shape, Heads q, Heads k,
                                        T* p) {
        std::vector<T> row;
        for (int item = 0; item < shape.items; ++item)
            for (int head = 0; head < shape.heads; ++head)
                for (int query = 0; query < shape.queries; ++query) {
                    reference::probabilities(shape, q, k, item, head, query, row);
                    for (T const& value : row)
                        *p++ = value;
                }
    }

    static void embed(Engine&, int const* ids, int const* positions, WeightView<Reference> table,
                      T const* position_table, Matrix<Reference> y) {
        for (std::ptrdiff_t r = 0; r < y.rows; ++r)
            for (int c = 0; c < y.columns; ++c)
                y.data[r * y.stride + c] =
                    table.data[std::ptrdiff_t{ids[r]} * y.columns + c] +
                    position_table[std::ptrdiff_t{positions[r]} * y.columns + c];
    }
    static void embed_backward(Engine&, int const* ids, int const* positions, int padding,
                               Matrix<Reference> dy, T* dtable, T* dpositions) {
        for (std::ptrdiff_t r = 0; r < dy.rows; ++r)
            for (int c = 0; c < dy.columns; ++c) {
                T const g = dy.data[r * dy.stride + c];
                if (ids[r] != padding)
                    dtable[std::ptrdiff_t{ids[r]} * dy.columns + c] += g;
                dpositions[std::ptrdiff_t{positions[r]} * dy.columns + c] += g;
            }
    }

    static void patches(Engine&, T const* images, int count, int size, int patch, T* rows) {
        each_pixel(count, size, patch, [&](std::ptrdiff_t pixel, std::ptrdiff_t entry) {
            rows[entry] = images[pixel];
        });
    }
    static void patches_backward(Engine&, T const* drows, int count, int size, int patch,
                                 T* dimages) {
        each_pixel(count, size, patch, [&](std::ptrdiff_t pixel, std::ptrdiff_t entry) {
            dimages[pixel] = drows[entry];
        });
    }

    static void prepend(Engine&, T const* x, T const* first, T const* positions, int count,
                        int length, int width, T* y) {
        for (int item = 0; item < count; ++item)
            for (int t = 0; t <= length; ++t)
                for (int c = 0; c < width; ++c) {
                    T const value =
                        t == 0 ? first[c] : x[(std::ptrdiff_t{item} * length + t - 1) * width + c];
                    *y++ = value + positions[std::ptrdiff_t{t} * width + c];
                }
    }
    static void prepend_backward(Engine&, T const* dy, int count, int length, int width, T* dx,
                                 T* dfirst, T* dpositions) {
        for (int item = 0; item < count; ++item)
            for (int t = 0; t <= length; ++t)
                for (int c = 0; c < width; ++c) {
                    T const g = *dy++;
                    dpositions[std::ptrdiff_t{t} * width + c] += g;
                    if (t == 0)
                        dfirst[c] += g;
                    else
                        dx[(std::ptrdiff_t{item} * length + t - 1) * width + c] = g;
                }
    }

    static void add(Engine&, T const* a, T const* b, T* y, std::ptrdiff_t n) {
        for (std::ptrdiff_t i = 0; i < n; ++i)
            y[i] = a[i] + b[i];
    }
    static void scale(Engine&, T const* x, double factor, T* y, std::ptrdiff_t n) {
        for (std::ptrdiff_t i = 0; i < n; ++i)
            y[i] = T(factor) * x[i];
    }
    static void dropout(Engine&, T const* x, std::ptrdiff_t n, std::ptrdiff_t group,
                        double probability, RandomKey key, T* y) {
        for (std::ptrdiff_t i = 0; i < n; ++i) {
            bool const keep =
                random_bits(key, static_cast<std::uint64_t>(i / group)) >= probability * 0x1p32;
            y[i] = keep ? x[i] * T(1 / (1 - probability)) : T(0);
        }
    }
    static void gather_rows(Engine&, Matrix<Reference> x, int const* rows, Matrix<Reference> y) {
        for (std::ptrdiff_t r = 0; r < y.rows; ++r)
            for (int c = 0; c < y.columns; ++c)
                y.data[r * y.stride + c] = x.data[rows[r] * x.stride + c];
    }
    static void scatter_rows(Engine&, Matrix<Reference> x, int const* rows, Matrix<Reference> y) {
        for (std::ptrdiff_t r = 0; r < x.rows; ++r)
            for (int c = 0; c < x.columns; ++c)
                y.data[rows[r] * y.stride + c] = x.data[r * x.stride + c];
    }

    static void cross_entropy(Engine&, Matrix<Reference> logits, int const* targets,
                              T const* target_weights, T const* uniform_weights, double smoothing,
                              T* losses, Matrix<Reference> gradient) {
        using std::exp, std::log;
        T const keep = T(1 - smoothing), share = T(smoothing / logits.columns);
        for (std::ptrdiff_t r = 0; r < logits.rows; ++r) {
            T const* z = logits.data + r * logits.stride;
            T most = z[0], sum{}, total{};
            for (int c = 1; c < logits.columns; ++c)
                most = most < z[c] ? z[c] : most;
            for (int c = 0; c < logits.columns; ++c) {
                sum += exp(T(z[c] - most));
                total += z[c];
            }
            T const log_sum = most + log(sum);
            T const tw = targets[r] < 0 ? T(0) : target_weights[r];
            T const uw = uniform_weights[r];
            T loss = uw * share * (T(static_cast<double>(logits.columns)) * log_sum - total);
            if (targets[r] >= 0)
                loss += tw * keep * (log_sum - z[targets[r]]);
            losses[r] = loss;
            if (!gradient.data)
                continue;
            T const mass = tw * keep + uw * T(smoothing);
            T* g = gradient.data + r * gradient.stride;
            for (int c = 0; c < logits.columns; ++c) {
                T const target = c == targets[r] ? tw * keep : T(0);
                g[c] = mass * exp(T(z[c] - log_sum)) - target - uw * share;
            }
        }
    }

private:
    /// Calls f(index of the pixel in [n, 3, size, size], index in [n, patches, 3 patch²]).
    template <class F>
    static void each_pixel(int count, int size, int patch, F f) {
        int const grid = size / patch;
        std::ptrdiff_t entry = 0;
        for (int item = 0; item < count; ++item)
            for (int py = 0; py < grid; ++py)
                for (int px = 0; px < grid; ++px)
                    for (int c = 0; c < 3; ++c)
                        for (int y = 0; y < patch; ++y)
                            for (int x = 0; x < patch; ++x, ++entry)
                                f(((std::ptrdiff_t{item} * 3 + c) * size + py * patch + y) * size +
                                      px * patch + x,
                                  entry);
    }
};

static_assert(Backend<Reference<double>> && Backend<Reference<Dual>>);

} // namespace blip
