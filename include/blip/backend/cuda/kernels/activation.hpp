#pragma once

#include <cmath>
#include <cstddef>
#include <numbers>

#include <blip/backend/backend.hpp>
#include <blip/backend/cuda/portable.hpp>

namespace blip::cuda {

template <class T>
BLIP_HOST_DEVICE T activate(Activation activation, T u) {
    if (activation == Activation::gelu)
        return T(0.5) * u * (T(1) + std::erf(u * T(1 / std::numbers::sqrt2)));
    if (activation == Activation::relu)
        return u > T(0) ? u : T(0);
    return u;
}

template <class T>
BLIP_HOST_DEVICE T activation_slope(Activation activation, T u) {
    if (activation == Activation::gelu) {
        T const density =
            T(std::numbers::inv_sqrtpi / std::numbers::sqrt2) * std::exp(T(-0.5) * u * u);
        return T(0.5) * (T(1) + std::erf(u * T(1 / std::numbers::sqrt2))) + u * density;
    }
    if (activation == Activation::relu)
        return u > T(0) ? T(1) : T(0);
    return T(1);
}

/// What follows a product: u = product + bias, y = activation(u), for element `index` of [rows,
/// columns].
template <class T>
struct BiasActivation {
    T const* product = nullptr; ///< rows `product_stride` apart; may be y or u
    std::ptrdiff_t product_stride = 0;
    T const* bias = nullptr; ///< [columns] or null
    Activation activation = Activation::none;
    int columns = 0;
    T* y = nullptr;
    std::ptrdiff_t y_stride = 0;
    T* u = nullptr; ///< contiguous, or null

    BLIP_HOST_DEVICE void operator()(std::ptrdiff_t index) const {
        std::ptrdiff_t const r = index / columns, c = index - r * columns;
        T value = product[r * product_stride + c];
        if (bias)
            value += bias[c];
        if (u)
            u[index] = value;
        y[r * y_stride + c] = activate(activation, value);
    }
};

/// du = dy activation'(u), elementwise.
template <class T>
struct ActivationBackward {
    Activation activation = Activation::none;
    T const* u = nullptr;
    T const* dy = nullptr;
    T* du = nullptr; ///< may be dy

    BLIP_HOST_DEVICE void operator()(std::ptrdiff_t index) const {
        du[index] = dy[index] * activation_slope(activation, u[index]);
    }
};

} // namespace blip::cuda
