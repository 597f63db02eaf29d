#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include <blip/backend/cpu/target.hpp>

// Sixteen floats in two 256-bit registers; see simd.hpp.
#if !defined(__AVX512F__) && defined(__AVX2__) && defined(__FMA__)

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

/// All bits of a lane set: the operation touches it.
struct Mask {
    __m256i low, high;
};

/// Sixteen floats.
struct Floats {
    __m256 low, high;
};

BLIP_CPU_INLINE Mask first_lanes(std::size_t count) {
    int const n = static_cast<int>(count < lanes ? count : lanes);
    __m256i const index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return {_mm256_cmpgt_epi32(_mm256_set1_epi32(n), index),
            _mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), index)};
}
BLIP_CPU_INLINE Mask operator&(Mask a, Mask b) {
    return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)};
}
BLIP_CPU_INLINE Mask mask_of_bits(std::uint32_t bits) {
    __m256i const all = _mm256_set1_epi32(static_cast<int>(bits));
    __m256i const low = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    __m256i const high = _mm256_slli_epi32(low, 8);
    return {_mm256_cmpeq_epi32(_mm256_and_si256(all, low), low),
            _mm256_cmpeq_epi32(_mm256_and_si256(all, high), high)};
}
/// Lanes whose byte of `bytes[0 .. count)` is not zero.
BLIP_CPU_INLINE Mask mask_of_bytes(std::uint8_t const* bytes, std::size_t count) {
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < lanes && i < count; ++i)
        bits |= (bytes[i] != 0 ? 1u : 0u) << i;
    return mask_of_bits(bits);
}
BLIP_CPU_INLINE Floats broadcast(float x) {
    __m256 const v = _mm256_set1_ps(x);
    return {v, v};
}
BLIP_CPU_INLINE Floats load(float const* p) {
    return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
BLIP_CPU_INLINE Floats load(float const* p, Mask m) {
    return {_mm256_maskload_ps(p, m.low), _mm256_maskload_ps(p + 8, m.high)};
}
BLIP_CPU_INLINE void store(float* p, Floats x) {
    _mm256_storeu_ps(p, x.low);
    _mm256_storeu_ps(p + 8, x.high);
}
BLIP_CPU_INLINE void store(float* p, Floats x, Mask m) {
    _mm256_maskstore_ps(p, m.low, x.low);
    _mm256_maskstore_ps(p + 8, m.high, x.high);
}
BLIP_CPU_INLINE Floats operator+(Floats a, Floats b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
BLIP_CPU_INLINE Floats operator-(Floats a, Floats b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
BLIP_CPU_INLINE Floats operator*(Floats a, Floats b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
BLIP_CPU_INLINE Floats operator/(Floats a, Floats b) {
    return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
BLIP_CPU_INLINE Floats fma(Floats a, Floats b, Floats c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
BLIP_CPU_INLINE Floats max(Floats a, Floats b) {
    return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
BLIP_CPU_INLINE Floats min(Floats a, Floats b) {
    return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}
BLIP_CPU_INLINE Floats absolute(Floats a) {
    __m256 const sign = _mm256_set1_ps(-0.0f);
    return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
}
BLIP_CPU_INLINE Floats square_root(Floats a) {
    return {_mm256_sqrt_ps(a.low), _mm256_sqrt_ps(a.high)};
}
BLIP_CPU_INLINE Floats select(Mask m, Floats yes, Floats no) {
    return {_mm256_blendv_ps(no.low, yes.low, _mm256_castsi256_ps(m.low)),
            _mm256_blendv_ps(no.high, yes.high, _mm256_castsi256_ps(m.high))};
}
BLIP_CPU_INLINE Mask less(Floats a, Floats b) {
    return {_mm256_castps_si256(_mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ)),
            _mm256_castps_si256(_mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ))};
}
BLIP_CPU_INLINE Floats nearest(Floats a) {
    constexpr int mode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(a.low, mode), _mm256_round_ps(a.high, mode)};
}
BLIP_CPU_INLINE __m256 power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
BLIP_CPU_INLINE __m256 scale_half(__m256 a, __m256 n) {
    // Three factors, so that each is a normal number and only the last product may round.
    __m256i const whole = _mm256_cvtps_epi32(n);
    __m256i const third = _mm256_srai_epi32(whole, 2);
    __m256i const rest = _mm256_sub_epi32(whole, _mm256_slli_epi32(third, 1));
    __m256 const factor = power_of_two(third);
    return _mm256_mul_ps(_mm256_mul_ps(_mm256_mul_ps(a, factor), factor), power_of_two(rest));
}
BLIP_CPU_INLINE Floats scale_by_power(Floats a, Floats n) {
    return {scale_half(a.low, n.low), scale_half(a.high, n.high)};
}
BLIP_CPU_INLINE float sum(Floats a) {
    float part[lanes];
    store(part, a);
    for (std::size_t half = lanes / 2; half > 0; half /= 2)
        for (std::size_t i = 0; i < half; ++i)
            part[i] += part[i + half];
    return part[0];
}
/// Turns 16 rows of 16 floats into columns.
BLIP_CPU_INLINE void transpose(Floats (&row)[lanes]) {
    float square[lanes][lanes];
    for (std::size_t i = 0; i < lanes; ++i)
        store(square[i], row[i]);
    for (std::size_t i = 0; i < lanes; i += 8)
        for (std::size_t j = 0; j < lanes; j += 8) {
            // The 8 x 8 block at rows i, columns j becomes the one at rows j, columns i.
            __m256 t[8];
            __m256 u[8];
            for (std::size_t k = 0; k < 8; k += 2) {
                __m256 const a = _mm256_loadu_ps(&square[i + k][j]);
                __m256 const b = _mm256_loadu_ps(&square[i + k + 1][j]);
                t[k] = _mm256_unpacklo_ps(a, b);
                t[k + 1] = _mm256_unpackhi_ps(a, b);
            }
            for (std::size_t k = 0; k < 8; k += 4)
                for (std::size_t l = 0; l < 2; ++l) {
                    u[k + 2 * l] = _mm256_shuffle_ps(t[k + l], t[k + l + 2], 0x44);
                    u[k + 2 * l + 1] = _mm256_shuffle_ps(t[k + l], t[k + l + 2], 0xEE);
                }
            for (std::size_t k = 0; k < 4; ++k) {
                __m256 const upper = _mm256_permute2f128_ps(u[k], u[k + 4], 0x20);
                __m256 const lower = _mm256_permute2f128_ps(u[k], u[k + 4], 0x31);
                (i == 0 ? row[j + k].low : row[j + k].high) = upper;
                (i == 0 ? row[j + k + 4].low : row[j + k + 4].high) = lower;
            }
        }
}

/// Eight unsigned numbers of 64 bits.
struct Words {
    __m256i low, high;
};

BLIP_CPU_INLINE Words words(std::uint64_t x) {
    __m256i const v = _mm256_set1_epi64x(static_cast<long long>(x));
    return {v, v};
}
BLIP_CPU_INLINE Words load_words(std::uint64_t const* p) {
    Words x;
    std::memcpy(&x, p, sizeof x);
    return x;
}
BLIP_CPU_INLINE void store_words(std::uint64_t* p, Words x) {
    std::memcpy(p, &x, sizeof x);
}
BLIP_CPU_INLINE Words operator^(Words a, Words b) {
    return {_mm256_xor_si256(a.low, b.low), _mm256_xor_si256(a.high, b.high)};
}
/// The low 32 bits of a times the low 32 bits of b.
BLIP_CPU_INLINE Words multiply_low(Words a, Words b) {
    return {_mm256_mul_epu32(a.low, b.low), _mm256_mul_epu32(a.high, b.high)};
}
BLIP_CPU_INLINE Words high_half(Words a) {
    return {_mm256_srli_epi64(a.low, 32), _mm256_srli_epi64(a.high, 32)};
}
/// The lower half of a below the lower half of b.
BLIP_CPU_INLINE Words lower_halves(Words a, Words b) {
    return {_mm256_blend_epi32(a.low, _mm256_slli_epi64(b.low, 32), 0xAA),
            _mm256_blend_epi32(a.high, _mm256_slli_epi64(b.high, 32), 0xAA)};
}

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu

#endif
