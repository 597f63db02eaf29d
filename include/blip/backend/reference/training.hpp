#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include <blip/backend/backend.hpp>

namespace blip::reference {

/// The reference's verbs of contrastive learning and of the optimizer.
template <class B, class T>
struct TrainingVerbs {
    static void normalize_rows(auto&, Matrix<B> x, double epsilon, Matrix<B> y, T* norms) {
        using std::sqrt;
        for (std::ptrdiff_t r = 0; r < x.rows; ++r) {
            T const* from = x.data + r * x.stride;
            T squares{};
            for (int c = 0; c < x.columns; ++c)
                squares += from[c] * from[c];
            T norm = T(epsilon);
            if (squares > T(epsilon * epsilon))
                norm = sqrt(squares);
            for (int c = 0; c < x.columns; ++c)
                y.data[r * y.stride + c] = from[c] / norm;
            if (norms)
                norms[r] = norm;
        }
    }

    static void normalize_rows_backward(auto&, Matrix<B> dy, Matrix<B> y, T const* norms,
                                        double epsilon, Matrix<B> dx) {
        for (std::ptrdiff_t r = 0; r < y.rows; ++r) {
            T const *d = dy.data + r * dy.stride, *unit = y.data + r * y.stride;
            T along{};
            if (norms[r] > T(epsilon))
                for (int c = 0; c < y.columns; ++c)
                    along += d[c] * unit[c];
            for (int c = 0; c < y.columns; ++c)
                dx.data[r * dx.stride + c] = (d[c] - along * unit[c]) / norms[r];
        }
    }

    static void divide(auto&, T const* x, T const* divisor, T* y, std::ptrdiff_t n) {
        for (std::ptrdiff_t i = 0; i < n; ++i)
            y[i] = x[i] / *divisor;
    }

    static void divide_backward(auto&, T const* dy, T const* y, T const* divisor, T* dx,
                                T* ddivisor, std::ptrdiff_t n) {
        T sum{};
        for (std::ptrdiff_t i = 0; i < n; ++i) {
            sum += dy[i] * y[i];
            dx[i] = dy[i] / *divisor;
        }
        *ddivisor -= sum / *divisor;
    }

    static void soft_targets(auto&, Matrix<B> scores, int const* ids, int const* key_ids,
                             double alpha, Matrix<B> targets) {
        using std::exp;
        for (std::ptrdiff_t r = 0; r < scores.rows; ++r) {
            T const* z = scores.data + r * scores.stride;
            T* t = targets.data + r * targets.stride;
            T most = z[0], sum{};
            double equal = 0;
            for (int c = 0; c < scores.columns; ++c) {
                most = most < z[c] ? z[c] : most;
                equal += ids[r] == key_ids[c] ? 1 : 0;
            }
            for (int c = 0; c < scores.columns; ++c)
                sum += exp(T(z[c] - most));
            for (int c = 0; c < scores.columns; ++c) {
                T const hard = ids[r] == key_ids[c] ? T((1 - alpha) / equal) : T(0);
                t[c] = T(alpha) * exp(T(z[c] - most)) / sum + hard;
            }
        }
    }

    static void soft_cross_entropy(auto&, Matrix<B> scores, Matrix<B> targets, double weight,
                                   T* losses, Matrix<B> gradient) {
        using std::exp, std::log;
        for (std::ptrdiff_t r = 0; r < scores.rows; ++r) {
            T const *z = scores.data + r * scores.stride, *t = targets.data + r * targets.stride;
            T most = z[0], sum{}, mass{}, inner{};
            for (int c = 1; c < scores.columns; ++c)
                most = most < z[c] ? z[c] : most;
            for (int c = 0; c < scores.columns; ++c)
                sum += exp(T(z[c] - most));
            T const log_sum = most + log(sum);
            for (int c = 0; c < scores.columns; ++c) {
                mass += t[c];
                inner += t[c] * (log_sum - z[c]);
            }
            losses[r] = T(weight) * inner;
            if (!gradient.data)
                continue;
            T* g = gradient.data + r * gradient.stride;
            for (int c = 0; c < scores.columns; ++c)
                g[c] = T(weight) * (mass * exp(T(z[c] - log_sum)) - t[c]);
        }
    }

    static void transpose(auto&, Matrix<B> x, Matrix<B> y) {
        for (std::ptrdiff_t r = 0; r < x.rows; ++r)
            for (int c = 0; c < x.columns; ++c)
                y.data[c * y.stride + r] = x.data[r * x.stride + c];
    }

    static void average(auto&, T const* p, double momentum, T* m, std::ptrdiff_t n) {
        for (std::ptrdiff_t i = 0; i < n; ++i)
            m[i] = T(momentum) * m[i] + T(1 - momentum) * p[i];
    }

    static void adamw(auto&, AdamWStep step, T const* gradient, T* first, T* second, T* values,
                      std::ptrdiff_t n) {
        using std::sqrt;
        for (std::ptrdiff_t i = 0; i < n; ++i) {
            T const g = gradient[i];
            values[i] *= T(step.shrink);
            first[i] = T(step.beta1) * first[i] + T(1 - step.beta1) * g;
            second[i] = T(step.beta2) * second[i] + T(1 - step.beta2) * g * g;
            values[i] -= T(step.step_size) * first[i] /
                         (sqrt(second[i]) / T(step.root_correction) + T(step.epsilon));
        }
    }

    static double sum_of_squares(auto&, T const* x, std::ptrdiff_t n) {
        double sum = 0;
        for (std::ptrdiff_t i = 0; i < n; ++i)
            sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
        return sum;
    }
};

} // namespace blip::reference
