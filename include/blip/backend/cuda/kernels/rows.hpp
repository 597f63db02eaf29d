#pragma once

#include <cstddef>

#include <blip/backend/cuda/portable.hpp>

namespace blip::cuda {

/// y = a + b, elementwise; y may be either.
template <class T>
struct Add {
    T const* a = nullptr;
    T const* b = nullptr;
    T* y = nullptr;

    BLIP_HOST_DEVICE void operator()(std::ptrdiff_t index) const { y[index] = a[index] + b[index]; }
};

/// y = factor x, elementwise; y may be x.
template <class T>
struct Scale {
    T const* x = nullptr;
    T factor = 1;
    T* y = nullptr;

    BLIP_HOST_DEVICE void operator()(std::ptrdiff_t index) const { y[index] = factor * x[index]; }
};

/// Whose place `rows` says: the read row's or the written one's.
enum class Listed { from, to };

/// Copies rows, a task a row: y[r] = x[rows[r]], or y[rows[r]] = x[r] where rows are distinct.
template <class T, Listed listed>
struct MoveRows {
    T const* x = nullptr;
    std::ptrdiff_t x_stride = 0;
    int const* rows = nullptr;
    T* y = nullptr;
    std::ptrdiff_t y_stride = 0;
    int columns = 0;

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t r) const {
        std::ptrdiff_t const from = listed == Listed::from ? rows[r] : r;
        std::ptrdiff_t const to = listed == Listed::to ? rows[r] : r;
        for (int c = group.rank(); c < columns; c += group.size())
            y[to * y_stride + c] = x[from * x_stride + c];
    }
};
template <class T>
using GatherRows = MoveRows<T, Listed::from>;
template <class T>
using ScatterRows = MoveRows<T, Listed::to>;

/// sums[c] += Σ x[r, c] over rows, a task `group.columns()` columns. Neighbouring threads read
/// neighbouring columns, and the order of the sum is fixed by the group's size.
template <class T>
struct ColumnSums {
    T const* x = nullptr;
    std::ptrdiff_t stride = 0;
    std::ptrdiff_t rows = 0;
    int columns = 0;
    T* sums = nullptr;

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t tile) const {
        int const width = group.columns();
        std::ptrdiff_t const c = tile * width + group.rank() % width;
        T sum = T(0);
        if (c < columns)
            for (std::ptrdiff_t r = group.rank() / width; r < rows; r += group.size() / width)
                sum += x[r * stride + c];
        sum = group.column_sum(sum);
        if (group.rank() < width && c < columns)
            sums[c] += sum;
    }
};

} // namespace blip::cuda
