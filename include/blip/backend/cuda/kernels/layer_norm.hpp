#pragma once

#include <cmath>
#include <cstddef>

#include <blip/backend/cuda/portable.hpp>

namespace blip::cuda {

/// y = (s - mean)/√(variance + ε) scale + shift with s = x (+ residual), a task a row. y and sum
/// may be x.
template <class T>
struct LayerNorm {
    T const* x = nullptr;
    T const* residual = nullptr; ///< x's stride, or null
    std::ptrdiff_t x_stride = 0;
    T const* scale = nullptr;
    T const* shift = nullptr;
    T epsilon = T(0);
    T* y = nullptr;
    std::ptrdiff_t y_stride = 0;
    int columns = 0;
    T* sum = nullptr;        ///< contiguous, or null
    T* statistics = nullptr; ///< [rows, 2], or null

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t r) const {
        T const n = static_cast<T>(columns);
        T* const kept = sum ? sum + r * columns : nullptr;
        T total = T(0);
        for (int c = group.rank(); c < columns; c += group.size()) {
            T const value = added(r, c);
            if (kept)
                kept[c] = value;
            total += value;
        }
        T const mean = group.sum(total) / n;
        // Once written, s is read back: the sum may lie over x.
        auto const value_at = [&](int c) { return kept ? kept[c] : added(r, c); };
        T squares = T(0);
        for (int c = group.rank(); c < columns; c += group.size()) {
            T const difference = value_at(c) - mean;
            squares += difference * difference;
        }
        T const inverse = T(1) / std::sqrt(group.sum(squares) / n + epsilon);
        for (int c = group.rank(); c < columns; c += group.size())
            y[r * y_stride + c] = (value_at(c) - mean) * inverse * scale[c] + shift[c];
        if (statistics && group.rank() == 0) {
            statistics[2 * r] = mean;
            statistics[2 * r + 1] = inverse;
        }
    }

private:
    BLIP_HOST_DEVICE T added(std::ptrdiff_t r, int c) const {
        std::ptrdiff_t const i = r * x_stride + c;
        return residual ? x[i] + residual[i] : x[i];
    }
};

/// dx = (g - mean(g) - x̂ mean(g x̂))/σ with x̂ = (s - mean)/σ, g = dy scale, a task a row. dx may be
/// dy.
template <class T>
struct LayerNormBackwardInput {
    T const* dy = nullptr;
    std::ptrdiff_t dy_stride = 0;
    T const* s = nullptr;
    std::ptrdiff_t s_stride = 0;
    T const* scale = nullptr;
    T const* statistics = nullptr;
    T* dx = nullptr;
    std::ptrdiff_t dx_stride = 0;
    int columns = 0;

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t r) const {
        T const n = static_cast<T>(columns);
        T const mean = statistics[2 * r], inverse = statistics[2 * r + 1];
        T total = T(0), inner = T(0);
        for (int c = group.rank(); c < columns; c += group.size()) {
            T const g = dy[r * dy_stride + c] * scale[c];
            total += g;
            inner += g * ((s[r * s_stride + c] - mean) * inverse);
        }
        total = group.sum(total) / n;
        inner = group.sum(inner) / n;
        for (int c = group.rank(); c < columns; c += group.size()) {
            T const unit = (s[r * s_stride + c] - mean) * inverse;
            dx[r * dx_stride + c] =
                (dy[r * dy_stride + c] * scale[c] - total - unit * inner) * inverse;
        }
    }
};

/// dscale += Σ dy x̂ and dshift += Σ dy over rows, a task `group.columns()` columns.
template <class T>
struct LayerNormBackwardWeights {
    T const* dy = nullptr;
    std::ptrdiff_t dy_stride = 0;
    T const* s = nullptr;
    std::ptrdiff_t s_stride = 0;
    T const* statistics = nullptr;
    std::ptrdiff_t rows = 0;
    int columns = 0;
    T* dscale = nullptr;
    T* dshift = nullptr;

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t tile) const {
        int const width = group.columns();
        std::ptrdiff_t const c = tile * width + group.rank() % width;
        T scale_sum = T(0), shift_sum = T(0);
        if (c < columns)
            for (std::ptrdiff_t r = group.rank() / width; r < rows; r += group.size() / width) {
                T const d = dy[r * dy_stride + c];
                scale_sum +=
                    d * ((s[r * s_stride + c] - statistics[2 * r]) * statistics[2 * r + 1]);
                shift_sum += d;
            }
        scale_sum = group.column_sum(scale_sum);
        shift_sum = group.column_sum(shift_sum);
        if (group.rank() < width && c < columns) {
            dscale[c] += scale_sum;
            dshift[c] += shift_sum;
        }
    }
};

} // namespace blip::cuda
