#pragma once

#include <cmath>

namespace blip {

/// a b + sum, rounded once where the processor can and twice elsewhere: said outright, because a
/// compiler that may choose does so differently from tile to tile.
inline float multiply_add(float a, float b, float sum) {
#if defined(__FMA__) || defined(__FP_FAST_FMAF) || defined(__ARM_FEATURE_FMA)
    return std::fma(a, b, sum);
#else
    return a * b + sum;
#endif
}

} // namespace blip
