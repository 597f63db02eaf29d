#pragma once

#include <cstddef>

// Code compiled for different instruction sets lives in different inline namespaces, so that it may
// be linked into one program.
#if defined(__AVX512F__)
#define BLIP_CPU_TARGET avx512
#elif defined(__AVX2__) && defined(__FMA__)
#define BLIP_CPU_TARGET avx2
#else
#define BLIP_CPU_TARGET portable
#endif

// The smallest functions must be inlined even where a compiler counts their size as too much: a
// call would spill all accumulators of the kernel around it.
#define BLIP_CPU_INLINE [[gnu::always_inline]] inline

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

/// Floats in one vector, and the granule of every packed layout.
inline constexpr std::size_t lanes = 16;

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
