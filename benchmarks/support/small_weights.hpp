#pragma once

#include <cstddef>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/core/weights.hpp>

namespace blip::bench {

/// `count` different numbers in [-scale, scale).
inline void fill(float* data, std::ptrdiff_t count, float scale) {
    for (std::ptrdiff_t i = 0; i < count; ++i)
        data[i] = scale * (static_cast<float>(i * 7919 % 1009) / 505 - 1);
}

/// Packed parameters small enough that nothing overflows in a deep network.
template <class Layer>
Weights<Layer> small_weights(cpu::Engine& engine) {
    Weights<Layer> made(engine, Layout::panels);
    fill(made.data(), made.size(), 0.03f);
    return made;
}

} // namespace blip::bench
