#pragma once

#include <cstddef>
#include <numeric>
#include <vector>

#include <blip/backend/backend.hpp>
#include <blip/backend/cuda/kernels/training.hpp>

namespace blip::cuda {

/// The verbs of contrastive learning and of the optimizer, in terms of what `Verbs` asks of B.
template <class B, class T, class Engine>
struct TrainingVerbs {
    static void normalize_rows(Engine& engine, Matrix<B> x, double epsilon, Matrix<B> y, T* norms) {
        B::rows(engine,
                NormalizeRows<T>{.x = x.data,
                                 .x_stride = x.stride,
                                 .columns = x.columns,
                                 .epsilon = static_cast<T>(epsilon),
                                 .y = y.data,
                                 .y_stride = y.stride,
                                 .norms = norms},
                x.rows);
    }

    static void normalize_rows_backward(Engine& engine, Matrix<B> dy, Matrix<B> y, T const* norms,
                                        double epsilon, Matrix<B> dx) {
        B::rows(engine,
                NormalizeRowsBackward<T>{.dy = dy.data,
                                         .dy_stride = dy.stride,
                                         .y = y.data,
                                         .y_stride = y.stride,
                                         .columns = y.columns,
                                         .norms = norms,
                                         .epsilon = static_cast<T>(epsilon),
                                         .dx = dx.data,
                                         .dx_stride = dx.stride},
                y.rows);
    }

    static void divide(Engine& engine, T const* x, T const* divisor, T* y, std::ptrdiff_t n) {
        B::elements(engine, Divide<T>{x, divisor, y}, n);
    }

    static void divide_backward(Engine& engine, T const* dy, T const* y, T const* divisor, T* dx,
                                T* ddivisor, std::ptrdiff_t n) {
        // dx may be dy, so whatever else reads dy goes first.
        B::rows(engine, DivisorGradient<T>{dy, y, n, divisor, ddivisor}, 1);
        B::elements(engine, Divide<T>{dy, divisor, dx}, n);
    }

    static void soft_targets(Engine& engine, Matrix<B> scores, int const* ids, int const* key_ids,
                             double alpha, Matrix<B> targets) {
        B::rows(engine,
                SoftTargets<T>{.scores = scores.data,
                               .stride = scores.stride,
                               .columns = scores.columns,
                               .ids = ids,
                               .key_ids = key_ids,
                               .alpha = static_cast<T>(alpha),
                               .targets = targets.data,
                               .targets_stride = targets.stride},
                scores.rows);
    }

    static void soft_cross_entropy(Engine& engine, Matrix<B> scores, Matrix<B> targets,
                                   double weight, T* losses, Matrix<B> gradient) {
        B::rows(engine,
                SoftCrossEntropy<T>{.scores = scores.data,
                                    .stride = scores.stride,
                                    .columns = scores.columns,
                                    .targets = targets.data,
                                    .targets_stride = targets.stride,
                                    .weight = static_cast<T>(weight),
                                    .losses = losses,
                                    .gradient = gradient.data,
                                    .gradient_stride = gradient.stride},
                scores.rows);
    }

    static void transpose(Engine& engine, Matrix<B> x, Matrix<B> y) {
        B::elements(engine, TransposeRows<T>{x.data, x.stride, x.rows, y.data, y.stride},
                    x.rows * x.columns);
    }

    static void average(Engine& engine, T const* p, double momentum, T* m, std::ptrdiff_t n) {
        B::elements(engine,
                    Average<T>{p, static_cast<T>(momentum), static_cast<T>(1 - momentum), m}, n);
    }

    static void adamw(Engine& engine, AdamWStep const& step, T const* gradient, T* first, T* second,
                      T* values, std::ptrdiff_t n) {
        auto kernel = AdamW<T>::with(step);
        kernel.gradient = gradient;
        kernel.first = first;
        kernel.second = second;
        kernel.values = values;
        B::elements(engine, kernel, n);
    }

    static double sum_of_squares(Engine& engine, T const* x, std::ptrdiff_t n) {
        // As many groups as use the whole memory bandwidth of a device.
        std::ptrdiff_t const count = n / 4096 < 1024 ? n / 4096 + 1 : 1024;
        std::vector<double> sums(static_cast<std::size_t>(count));
        auto memory = B::allocate(sums.size() * sizeof(double));
        auto* const device = static_cast<double*>(memory.data());
        B::rows(engine, SumOfSquares<T>{x, n, count, device}, count);
        B::download(engine, sums.data(), static_cast<double const*>(device), count);
        return std::accumulate(sums.begin(), sums.end(), 0.0);
    }
};

} // namespace blip::cuda
