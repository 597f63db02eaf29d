#pragma once

#include <cstddef>

#include <blip/backend/cpu/simd.hpp>

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

/// The polynomial whose highest coefficient comes first.
template <std::size_t Count>
BLIP_CPU_INLINE Floats polynomial(float const (&coefficients)[Count], Floats x) {
    Floats value = broadcast(coefficients[0]);
#pragma GCC unroll 16
    for (std::size_t i = 1; i < Count; ++i)
        value = fma(value, x, broadcast(coefficients[i]));
    return value;
}

/// e^x with a relative error below 1.5 * 2^-23; 0 far below, infinity far above, NaN from NaN.
BLIP_CPU_INLINE Floats exponential(Floats x) {
    // e^r = 1 + r + r^2 p(r) on |r| <= ln(2) / 2; p is the Chebyshev fit of degree 4.
    static constexpr float fit[] = {1.3926177e-3f, 8.3631743e-3f, 4.1666556e-2f, 1.6666578e-1f,
                                    0.5f};
    x = min(broadcast(120.0f), max(broadcast(-150.0f), x));
    Floats const n = nearest(x * broadcast(1.44269504f));
    // ln 2 in two parts, the first short enough for an exact product.
    Floats const r = fma(n, broadcast(2.9088971e-5f), fma(n, broadcast(-0.69317626953125f), x));
    Floats const tail = fma(polynomial(fit, r), r * r, r);
    return scale_by_power(tail + broadcast(1.0f), n);
}

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
