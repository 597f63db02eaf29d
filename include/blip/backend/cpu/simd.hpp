#pragma once

// Sixteen floats at a time (`Floats`, `Mask`), whatever the processor: one 512-bit register, two
// 256-bit registers or plain arrays. Every kernel is written once over these types, so lanes, tails
// and the order of sums are the same for all of them. Exactly one of these headers has content.
#include <blip/backend/cpu/simd_avx2.hpp>
#include <blip/backend/cpu/simd_avx512.hpp>
#include <blip/backend/cpu/simd_portable.hpp>
#include <blip/backend/cpu/target.hpp>
