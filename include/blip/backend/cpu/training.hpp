#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

#include <blip/backend/backend.hpp>
#include <blip/backend/cpu/cross_entropy.hpp>
#include <blip/backend/cpu/engine.hpp>
#include <blip/backend/cpu/exponential.hpp>
#include <blip/backend/cpu/simd.hpp>

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

/// Σ a b.
BLIP_CPU_INLINE float dot(float const* a, float const* b, std::size_t count) {
    Floats total = broadcast(0.0f);
    for (std::size_t c = 0; c < count; c += lanes) {
        Mask const mask = first_lanes(count - c);
        total = fma(load(a + c, mask), load(b + c, mask), total);
    }
    return sum(total);
}

/// y = x factor.
BLIP_CPU_INLINE void scale_row(float const* x, float factor, float* y, std::size_t count) {
    Floats const by = broadcast(factor);
    for (std::size_t c = 0; c < count; c += lanes) {
        Mask const mask = first_lanes(count - c);
        store(y + c, load(x + c, mask) * by, mask);
    }
}

/// targets = α softmax(z) + (1 - α) / (equal ids) where ids are equal, one row.
inline void soft_target_row(float const* z, int id, int const* key_ids, double alpha, float* t,
                            std::size_t count) {
    Floats const base = broadcast(static_cast<float>(summarize_logits(z, count).log_sum));
    Floats const share = broadcast(static_cast<float>(alpha));
    for (std::size_t c = 0; c < count; c += lanes) {
        Mask const mask = first_lanes(count - c);
        store(t + c, share * exponential(load(z + c, mask) - base), mask);
    }
    auto const equal = std::count(key_ids, key_ids + count, id);
    auto const hard = static_cast<float>((1 - alpha) / static_cast<double>(equal));
    for (std::size_t c = 0; equal > 0 && c < count; ++c)
        if (key_ids[c] == id)
            t[c] += hard;
}

/// The loss of one row, -Σ t log softmax(z); `gradient` (may be null or z) receives weight times
/// its derivative. Sums in double over blocks, as in `summarize_logits`.
inline double soft_cross_entropy_row(float const* z, float const* t, double weight, float* gradient,
                                     std::size_t count) {
    double const log_sum = summarize_logits(z, count).log_sum;
    double mass = 0, inner = 0;
    for (std::size_t block = 0; block < count; block += 1024) {
        std::size_t const end = std::min(count, block + 1024);
        Floats masses = broadcast(0.0f), inners = broadcast(0.0f);
        for (std::size_t c = block; c < end; c += lanes) {
            Mask const mask = first_lanes(end - c);
            Floats const target = load(t + c, mask);
            masses = masses + target;
            inners = fma(target, load(z + c, mask), inners);
        }
        mass += static_cast<double>(sum(masses));
        inner += static_cast<double>(sum(inners));
    }
    if (gradient != nullptr) {
        Floats const base = broadcast(static_cast<float>(log_sum));
        Floats const scale = broadcast(static_cast<float>(weight));
        Floats const all = broadcast(static_cast<float>(mass));
        for (std::size_t c = 0; c < count; c += lanes) {
            Mask const mask = first_lanes(count - c);
            Floats const p = all * exponential(load(z + c, mask) - base);
            store(gradient + c, scale * (p - load(t + c, mask)), mask);
        }
    }
    return mass * log_sum - inner;
}

/// Σ x²: in float over blocks so short that no digit counts, in double over these.
inline double squares_of(float const* x, std::size_t count) {
    constexpr std::size_t block = 32 * lanes;
    double total = 0;
    for (std::size_t begin = 0; begin < count; begin += block) {
        std::size_t const end = std::min(count, begin + block);
        Floats even = broadcast(0.0f), odd = broadcast(0.0f);
        for (std::size_t i = begin; i < end; i += 2 * lanes) {
            Floats const a = load(x + i, first_lanes(end - i));
            even = fma(a, a, even);
            if (i + lanes >= end)
                continue;
            Floats const b = load(x + i + lanes, first_lanes(end - i - lanes));
            odd = fma(b, b, odd);
        }
        total += static_cast<double>(sum(even + odd));
    }
    return total;
}

/// The host's verbs of contrastive learning and of the optimizer.
template <class B>
struct TrainingVerbs {
    using View = Matrix<B>;

    static void normalize_rows(Engine& engine, View x, double epsilon, View y, float* norms) {
        auto const width = static_cast<std::size_t>(x.columns);
        each_row(engine, x.rows, width, [=](std::ptrdiff_t r) {
            float const* const from = x.data + r * x.stride;
            float const norm =
                std::max(std::sqrt(dot(from, from, width)), static_cast<float>(epsilon));
            scale_row(from, 1 / norm, y.data + r * y.stride, width);
            if (norms != nullptr)
                norms[r] = norm;
        });
    }

    static void normalize_rows_backward(Engine& engine, View dy, View y, float const* norms,
                                        double epsilon, View dx) {
        auto const width = static_cast<std::size_t>(y.columns);
        each_row(engine, y.rows, width, [=](std::ptrdiff_t r) {
            float const* const d = dy.data + r * dy.stride;
            float const* const unit = y.data + r * y.stride;
            bool const clamped = norms[r] <= static_cast<float>(epsilon);
            Floats const along = broadcast(clamped ? 0.0f : -dot(d, unit, width));
            Floats const inverse = broadcast(1 / norms[r]);
            for (std::size_t c = 0; c < width; c += lanes) {
                Mask const mask = first_lanes(width - c);
                Floats const across = fma(along, load(unit + c, mask), load(d + c, mask));
                store(dx.data + r * dx.stride + c, across * inverse, mask);
            }
        });
    }

    static void divide(Engine& engine, float const* x, float const* divisor, float* y,
                       std::ptrdiff_t n) {
        Floats const by = broadcast(*divisor);
        each_lane(engine, n,
                  [=](std::size_t i, Mask mask) { store(y + i, load(x + i, mask) / by, mask); });
    }

    static void divide_backward(Engine& engine, float const* dy, float const* y,
                                float const* divisor, float* dx, float* ddivisor,
                                std::ptrdiff_t n) {
        // In one thread: there are as many numbers as features of a batch, and the order of the
        // sum must not depend on threads.
        double total = 0;
        for (std::ptrdiff_t i = 0; i < n; i += 1024)
            total += static_cast<double>(dot(
                dy + i, y + i, static_cast<std::size_t>(std::min<std::ptrdiff_t>(1024, n - i))));
        divide(engine, dy, divisor, dx, n);
        *ddivisor -= static_cast<float>(total / static_cast<double>(*divisor));
    }

    static void soft_targets(Engine& engine, View scores, int const* ids, int const* key_ids,
                             double alpha, View targets) {
        auto const count = static_cast<std::size_t>(scores.columns);
        each_row(engine, scores.rows, 8 * count, [=](std::ptrdiff_t r) {
            soft_target_row(scores.data + r * scores.stride, ids[r], key_ids, alpha,
                            targets.data + r * targets.stride, count);
        });
    }

    static void soft_cross_entropy(Engine& engine, View scores, View targets, double weight,
                                   float* losses, View gradient) {
        auto const count = static_cast<std::size_t>(scores.columns);
        each_row(engine, scores.rows, 8 * count, [=](std::ptrdiff_t r) {
            float* const g =
                gradient.data == nullptr ? nullptr : gradient.data + r * gradient.stride;
            losses[r] = static_cast<float>(weight *
                                           soft_cross_entropy_row(scores.data + r * scores.stride,
                                                                  targets.data + r * targets.stride,
                                                                  weight, g, count));
        });
    }

    static void transpose(Engine& engine, View x, View y) {
        auto const rows = static_cast<std::size_t>(x.rows);
        each_row(engine, x.columns, rows, [=](std::ptrdiff_t c) {
            for (std::ptrdiff_t r = 0; r < x.rows; ++r)
                y.data[c * y.stride + r] = x.data[r * x.stride + c];
        });
    }

    static void average(Engine& engine, float const* p, double momentum, float* m,
                        std::ptrdiff_t n) {
        Floats const old_share = broadcast(static_cast<float>(momentum));
        Floats const new_share = broadcast(static_cast<float>(1 - momentum));
        each_lane(engine, n, [=](std::size_t i, Mask mask) {
            store(m + i, old_share * load(m + i, mask) + new_share * load(p + i, mask), mask);
        });
    }

    static void adamw(Engine& engine, AdamWStep step, float const* gradient, float* first,
                      float* second, float* values, std::ptrdiff_t n) {
        auto const all = [](double x) { return broadcast(static_cast<float>(x)); };
        Floats const shrink = all(step.shrink), beta1 = all(step.beta1), beta2 = all(step.beta2);
        Floats const rest1 = all(1 - step.beta1), rest2 = all(1 - step.beta2);
        Floats const size = all(step.step_size), root = all(step.root_correction);
        Floats const epsilon = all(step.epsilon);
        each_lane(engine, n, [=](std::size_t i, Mask mask) {
            Floats const g = load(gradient + i, mask);
            Floats const m = beta1 * load(first + i, mask) + rest1 * g;
            Floats const v = beta2 * load(second + i, mask) + rest2 * g * g;
            Floats const change = size * m / (square_root(v) / root + epsilon);
            store(first + i, m, mask);
            store(second + i, v, mask);
            store(values + i, shrink * load(values + i, mask) - change, mask);
        });
    }

    static double sum_of_squares(Engine& engine, float const* x, std::ptrdiff_t n) {
        // Pieces of one size whatever the threads are, added up in their order.
        constexpr std::size_t piece = std::size_t{1} << 16;
        auto const count = static_cast<std::size_t>(n);
        std::vector<double> sums((count + piece - 1) / piece);
        engine.parallel_ranges(sums.size(), 1, [&](std::size_t begin, std::size_t end) {
            for (std::size_t p = begin; p < end; ++p)
                sums[p] = squares_of(x + p * piece, std::min(piece, count - p * piece));
        });
        return std::accumulate(sums.begin(), sums.end(), 0.0);
    }

private:
    /// f(row) for every row, each costing about `work` numbers.
    template <class Function>
    static void each_row(Engine& engine, std::ptrdiff_t rows, std::size_t work, Function f) {
        engine.parallel_ranges(static_cast<std::size_t>(rows), 16384 / (work + 1) + 1,
                               [&](std::size_t begin, std::size_t end) {
                                   for (std::size_t r = begin; r < end; ++r)
                                       f(static_cast<std::ptrdiff_t>(r));
                               });
    }

    /// f(i, mask) for every run of lanes below n.
    template <class Function>
    static void each_lane(Engine& engine, std::ptrdiff_t n, Function f) {
        auto const count = static_cast<std::size_t>(n);
        engine.parallel_ranges((count + lanes - 1) / lanes, 2048,
                               [&](std::size_t begin, std::size_t end) {
                                   for (std::size_t run = begin; run < end; ++run)
                                       f(run * lanes, first_lanes(count - run * lanes));
                               });
    }
};

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
