#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include <blip/backend/cuda/portable.hpp>
#include <blip/core/random.hpp>

namespace blip::cuda {

/// Which elements dropout keeps, and what it multiplies them by.
template <class T>
struct Kept {
    RandomKey key{};
    std::uint64_t threshold = 0; ///< bits below it are dropped
    T scale = T(1);

    static Kept with(RandomKey key, double probability) {
        // For whole numbers, bits >= x and bits >= ceil(x) say the same: no double on the device.
        return {key, static_cast<std::uint64_t>(std::ceil(probability * 0x1p32)),
                T(1 / (1 - probability))};
    }

    BLIP_HOST_DEVICE T factor(std::uint64_t index) const {
        if (threshold == 0)
            return scale;
        return random_bits(key, index) >= threshold ? scale : T(0);
    }
};

/// y = x where its group of neighbours is kept, scaled by 1 / (1 - p), else 0.
template <class T>
struct Dropout {
    T const* x = nullptr;
    std::ptrdiff_t group = 1; ///< elements that share their fate
    Kept<T> kept{};
    T* y = nullptr; ///< may be x

    BLIP_HOST_DEVICE void operator()(std::ptrdiff_t index) const {
        T const factor = kept.factor(static_cast<std::uint64_t>(index / group));
        y[index] = factor != T(0) ? x[index] * factor : T(0);
    }
};

} // namespace blip::cuda
