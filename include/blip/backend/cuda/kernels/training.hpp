#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include <blip/backend/backend.hpp>
#include <blip/backend/cuda/group.hpp>
#include <blip/backend/cuda/portable.hpp>

namespace blip::cuda {

/// norm = max(‖x[r]‖, ε), y[r] = x[r] / norm, a task a row. y may be x.
template <class T>
struct NormalizeRows {
    T const* x = nullptr;
    std::ptrdiff_t x_stride = 0;
    int columns = 0;
    T epsilon = T(0);
    T* y = nullptr;
    std::ptrdiff_t y_stride = 0;
    T* norms = nullptr; ///< may be null

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t r) const {
        T squares = T(0);
        for (int c = group.rank(); c < columns; c += group.size())
            squares += x[r * x_stride + c] * x[r * x_stride + c];
        T const norm = larger(std::sqrt(group.sum(squares)), epsilon);
        for (int c = group.rank(); c < columns; c += group.size())
            y[r * y_stride + c] = x[r * x_stride + c] / norm;
        if (norms && group.rank() == 0)
            norms[r] = norm;
    }
};

/// dx = (dy - (dy·y) y) / norm, a task a row. dx may be dy.
template <class T>
struct NormalizeRowsBackward {
    T const* dy = nullptr;
    std::ptrdiff_t dy_stride = 0;
    T const* y = nullptr;
    std::ptrdiff_t y_stride = 0;
    int columns = 0;
    T const* norms = nullptr;
    T epsilon = T(0);
    T* dx = nullptr;
    std::ptrdiff_t dx_stride = 0;

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t r) const {
        T along = T(0);
        for (int c = group.rank(); c < columns; c += group.size())
            along += dy[r * dy_stride + c] * y[r * y_stride + c];
        along = group.sum(along);
        if (norms[r] <= epsilon)
            along = T(0);
        for (int c = group.rank(); c < columns; c += group.size())
            dx[r * dx_stride + c] =
                (dy[r * dy_stride + c] - along * y[r * y_stride + c]) / norms[r];
    }
};

/// y = x / divisor, elementwise; y may be x.
template <class T>
struct Divide {
    T const* x = nullptr;
    T const* divisor = nullptr;
    T* y = nullptr;

    BLIP_HOST_DEVICE void operator()(std::ptrdiff_t i) const { y[i] = x[i] / *divisor; }
};

/// ddivisor -= Σ dy y / divisor; one task, because there are only as many numbers as features of a
/// batch and their sum has one order.
template <class T>
struct DivisorGradient {
    T const* dy = nullptr;
    T const* y = nullptr;
    std::ptrdiff_t count = 0;
    T const* divisor = nullptr;
    T* ddivisor = nullptr;

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t) const {
        T sum = T(0);
        for (std::ptrdiff_t i = group.rank(); i < count; i += group.size())
            sum += dy[i] * y[i];
        sum = group.sum(sum);
        if (group.rank() == 0)
            *ddivisor -= sum / *divisor;
    }
};

/// What a soft-max needs of a row: log Σ e^z.
template <class T, class Group>
BLIP_HOST_DEVICE T row_log_sum(Group const& group, T const* z, int columns) {
    T most = -std::numeric_limits<T>::infinity();
    for (int c = group.rank(); c < columns; c += group.size())
        most = larger(most, z[c]);
    most = group.max(most);
    T sum = T(0);
    for (int c = group.rank(); c < columns; c += group.size())
        sum += std::exp(z[c] - most);
    return most + std::log(group.sum(sum));
}

/// targets = α softmax(scores) + (1 - α) times the even distribution over equal ids, a task a row.
/// targets may be scores.
template <class T>
struct SoftTargets {
    T const* scores = nullptr;
    std::ptrdiff_t stride = 0;
    int columns = 0;
    int const* ids = nullptr;
    int const* key_ids = nullptr;
    T alpha = T(0);
    T* targets = nullptr;
    std::ptrdiff_t targets_stride = 0;

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t r) const {
        T const* z = scores + r * stride;
        T const log_sum = row_log_sum(group, z, columns);
        T equal = T(0);
        for (int c = group.rank(); c < columns; c += group.size())
            equal += ids[r] == key_ids[c] ? T(1) : T(0);
        equal = group.sum(equal);
        for (int c = group.rank(); c < columns; c += group.size()) {
            T const hard = ids[r] == key_ids[c] ? (T(1) - alpha) / equal : T(0);
            targets[r * targets_stride + c] = alpha * std::exp(z[c] - log_sum) + hard;
        }
    }
};

/// Cross entropy of one row against soft targets and its derivative, a task a row.
template <class T>
struct SoftCrossEntropy {
    T const* scores = nullptr;
    std::ptrdiff_t stride = 0;
    int columns = 0;
    T const* targets = nullptr;
    std::ptrdiff_t targets_stride = 0;
    T weight = T(1);
    T* losses = nullptr;
    T* gradient = nullptr; ///< may be null or the scores
    std::ptrdiff_t gradient_stride = 0;

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t r) const {
        T const* z = scores + r * stride;
        T const* t = targets + r * targets_stride;
        T const log_sum = row_log_sum(group, z, columns);
        T mass = T(0), inner = T(0);
        for (int c = group.rank(); c < columns; c += group.size()) {
            mass += t[c];
            inner += t[c] * (log_sum - z[c]);
        }
        mass = group.sum(mass);
        inner = group.sum(inner);
        if (group.rank() == 0)
            losses[r] = weight * inner;
        if (!gradient)
            return;
        for (int c = group.rank(); c < columns; c += group.size())
            gradient[r * gradient_stride + c] = weight * (mass * std::exp(z[c] - log_sum) - t[c]);
    }
};

/// y = xᵀ, elementwise over y.
template <class T>
struct TransposeRows {
    T const* x = nullptr;
    std::ptrdiff_t x_stride = 0;
    std::ptrdiff_t rows = 0; ///< of x
    T* y = nullptr;
    std::ptrdiff_t y_stride = 0;

    BLIP_HOST_DEVICE void operator()(std::ptrdiff_t i) const {
        y[i / rows * y_stride + i % rows] = x[i % rows * x_stride + i / rows];
    }
};

/// m = keep m + rest p, elementwise.
template <class T>
struct Average {
    T const* p = nullptr;
    T keep = T(0);
    T rest = T(0);
    T* m = nullptr;

    BLIP_HOST_DEVICE void operator()(std::ptrdiff_t i) const { m[i] = keep * m[i] + rest * p[i]; }
};

/// One step of AdamW, elementwise. The constants are computed in double on the host.
template <class T>
struct AdamW {
    T shrink, beta1, rest1, beta2, rest2, step_size, root_correction, epsilon;
    T const* gradient = nullptr;
    T* first = nullptr;
    T* second = nullptr;
    T* values = nullptr;

    static AdamW with(AdamWStep const& step) {
        return {static_cast<T>(step.shrink),          static_cast<T>(step.beta1),
                static_cast<T>(1 - step.beta1),       static_cast<T>(step.beta2),
                static_cast<T>(1 - step.beta2),       static_cast<T>(step.step_size),
                static_cast<T>(step.root_correction), static_cast<T>(step.epsilon)};
    }

    BLIP_HOST_DEVICE void operator()(std::ptrdiff_t i) const {
        T const g = gradient[i];
        first[i] = beta1 * first[i] + rest1 * g;
        second[i] = beta2 * second[i] + rest2 * g * g;
        values[i] = shrink * values[i] -
                    step_size * first[i] / (std::sqrt(second[i]) / root_correction + epsilon);
    }
};

/// sums[task] = Σ x² in double over every `tasks`-th piece of as many numbers as a group has
/// threads, beginning with piece `task`.
template <class T>
struct SumOfSquares {
    T const* x = nullptr;
    std::ptrdiff_t count = 0;
    std::ptrdiff_t tasks = 1;
    double* sums = nullptr;

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t task) const {
        double sum = 0;
        std::ptrdiff_t const step = tasks * group.size();
        for (std::ptrdiff_t i = task * group.size() + group.rank(); i < count; i += step)
            sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
        sum = group.sum(sum);
        if (group.rank() == 0)
            sums[task] = sum;
    }
};

} // namespace blip::cuda
