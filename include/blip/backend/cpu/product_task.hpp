#pragma once

#include <cstddef>

#include <blip/backend/cpu/activation.hpp>
#include <blip/backend/cpu/pack.hpp>
#include <blip/backend/cpu/tile.hpp>

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

/// Result of a product, and what happens to it while it is still in the cache: with s the sums,
/// begun as `start` says, u = s, y = activation(s) + residual.
struct Result {
    float* data = nullptr;
    std::size_t stride = 0;
    Start start = Start::zero;
    float const* bias = nullptr;
    Activation activation = Activation::none;
    float* before_activation = nullptr; ///< receives u where it is not null
    std::size_t before_stride = 0;
    float const* residual = nullptr; ///< must not be the result itself (that is Start::result)
    std::size_t residual_stride = 0;
};

namespace detail {

/// Applies what follows the sums to rows x columns of the result at (row, column).
inline void finish(Result const& y, std::size_t row, std::size_t rows, std::size_t column,
                   std::size_t columns) {
    for (std::size_t r = row; r < row + rows; ++r) {
        float* const to = y.data + r * y.stride + column;
        for (std::size_t j = 0; j < columns; j += lanes) {
            Mask const mask = first_lanes(columns - j);
            Floats value = load(to + j, mask);
            if (y.before_activation != nullptr)
                store(y.before_activation + r * y.before_stride + column + j, value, mask);
            value = activate(y.activation, value);
            if (y.residual != nullptr)
                value = value + load(y.residual + r * y.residual_stride + column + j, mask);
            store(to + j, value, mask);
        }
    }
}

/// Factors, result and sizes of one product.
struct Product {
    Left left;
    Right right;
    Result result;
    std::size_t columns;
    std::size_t depth;
    bool finishes;
};

/// Puts the columns from panel n on into a task.
inline void place(TileTask& task, Product const& p, std::size_t n, std::size_t row) {
    std::size_t const column = n * panel_width;
    task.columns = p.columns - column;
    task.c = p.result.data + row * p.result.stride + column;
    task.bias = p.result.bias == nullptr ? nullptr : p.result.bias + column;
}

} // namespace detail

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
