#pragma once

#include <cstddef>

#include <blip/backend/backend.hpp>
#include <blip/backend/cpu/engine.hpp>
#include <blip/backend/cpu/exponential.hpp>
#include <blip/backend/cpu/simd.hpp>

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

/// The share of the standard normal distribution below x, (1 + erf(x/√2)) / 2, accurate also where
/// 1 + erf would cancel.
BLIP_CPU_INLINE Floats normal_share(Floats x) {
    // For t = |x| < 6 the share below -t is e^(t q(t)) / 2, with q the Chebyshev fit of
    // log(erfc(t/√2)) / t; beyond, it is under 1e-9.
    static constexpr float fit[] = {-1.7286561e-10f, 7.6048439e-9f,  -1.5178615e-7f,
                                    1.8131868e-6f,   -1.4300020e-5f, 7.5869291e-5f,
                                    -2.4258574e-4f,  6.3200991e-5f,  4.7681839e-3f,
                                    -3.6331594e-2f,  -3.1831035e-1f, -7.9788452e-1f};
    // The exponential of what is far below would be denormal, which processors are slow at.
    Floats const t = min(absolute(x), broadcast(6.0f));
    Floats const below = exponential(t * polynomial(fit, t)) * broadcast(0.5f);
    Floats const tail = select(less(t, broadcast(6.0f)), below, broadcast(0.0f));
    return select(less(x, broadcast(0.0f)), tail, broadcast(1.0f) - tail);
}

/// x Φ(x), the exact GELU.
BLIP_CPU_INLINE Floats gelu(Floats x) {
    return x * normal_share(x);
}

/// Φ(x) + x φ(x), the derivative of the GELU.
BLIP_CPU_INLINE Floats gelu_slope(Floats x) {
    Floats const density = exponential(x * x * broadcast(-0.5f)) * broadcast(0.398942280f);
    return fma(x, density, normal_share(x));
}

BLIP_CPU_INLINE Floats activate(Activation activation, Floats x) {
    switch (activation) {
    case Activation::gelu:
        return gelu(x);
    case Activation::relu:
        return max(broadcast(0.0f), x);
    case Activation::none:
        break;
    }
    return x;
}

/// du[i] = dy[i] activation'(u[i]); du may be dy.
inline void activation_backward(Engine& engine, Activation activation, float const* u,
                                float const* dy, float* du, std::size_t count) {
    engine.parallel_ranges(count, 1 << 14, [=](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; i += lanes) {
            Mask const mask = first_lanes(end - i);
            Floats const x = load(u + i, mask);
            Floats slope = broadcast(1.0f);
            if (activation == Activation::gelu)
                slope = gelu_slope(x);
            else if (activation == Activation::relu)
                slope = select(less(broadcast(0.0f), x), slope, broadcast(0.0f));
            store(du + i, load(dy + i, mask) * slope, mask);
        }
    });
}

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
