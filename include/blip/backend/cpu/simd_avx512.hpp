#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include <blip/backend/cpu/target.hpp>

// Sixteen floats in one 512-bit register; see simd.hpp.
#if defined(__AVX512F__)

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

// g++ 12 warns of uninitialised values inside the plain forms of some intrinsics; the forms with a
// mask of all lanes compile to the same instructions.
inline constexpr __mmask16 every_lane = 0xFFFF;

/// One bit per lane: which lanes an operation touches.
struct Mask {
    __mmask16 bits;
};

/// Sixteen floats.
struct Floats {
    __m512 value;
};

BLIP_CPU_INLINE Mask first_lanes(std::size_t count) {
    return {static_cast<__mmask16>(count >= lanes ? 0xFFFFu : (1u << count) - 1u)};
}
BLIP_CPU_INLINE Mask operator&(Mask a, Mask b) {
    return {static_cast<__mmask16>(a.bits & b.bits)};
}
/// Lanes whose byte of `bytes[0 .. count)` is not zero.
BLIP_CPU_INLINE Mask mask_of_bytes(std::uint8_t const* bytes, std::size_t count) {
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < lanes && i < count; ++i)
        bits |= (bytes[i] != 0 ? 1u : 0u) << i;
    return {static_cast<__mmask16>(bits)};
}
BLIP_CPU_INLINE Mask mask_of_bits(std::uint32_t bits) {
    return {static_cast<__mmask16>(bits)};
}

BLIP_CPU_INLINE Floats broadcast(float x) {
    return {_mm512_set1_ps(x)};
}
BLIP_CPU_INLINE Floats load(float const* p) {
    return {_mm512_loadu_ps(p)};
}
BLIP_CPU_INLINE Floats load(float const* p, Mask m) {
    return {_mm512_maskz_loadu_ps(m.bits, p)};
}
BLIP_CPU_INLINE void store(float* p, Floats x) {
    _mm512_storeu_ps(p, x.value);
}
BLIP_CPU_INLINE void store(float* p, Floats x, Mask m) {
    _mm512_mask_storeu_ps(p, m.bits, x.value);
}
BLIP_CPU_INLINE Floats operator+(Floats a, Floats b) {
    return {_mm512_add_ps(a.value, b.value)};
}
BLIP_CPU_INLINE Floats operator-(Floats a, Floats b) {
    return {_mm512_sub_ps(a.value, b.value)};
}
BLIP_CPU_INLINE Floats operator*(Floats a, Floats b) {
    return {_mm512_mul_ps(a.value, b.value)};
}
BLIP_CPU_INLINE Floats operator/(Floats a, Floats b) {
    return {_mm512_div_ps(a.value, b.value)};
}
/// a b + c, rounded once.
BLIP_CPU_INLINE Floats fma(Floats a, Floats b, Floats c) {
    return {_mm512_fmadd_ps(a.value, b.value, c.value)};
}
/// The larger; b where either is not a number.
BLIP_CPU_INLINE Floats max(Floats a, Floats b) {
    return {_mm512_maskz_max_ps(every_lane, a.value, b.value)};
}
/// The smaller; b where either is not a number.
BLIP_CPU_INLINE Floats min(Floats a, Floats b) {
    return {_mm512_maskz_min_ps(every_lane, a.value, b.value)};
}
BLIP_CPU_INLINE Floats absolute(Floats a) {
    return {_mm512_abs_ps(a.value)};
}
BLIP_CPU_INLINE Floats square_root(Floats a) {
    return {_mm512_sqrt_ps(a.value)};
}
BLIP_CPU_INLINE Floats select(Mask m, Floats yes, Floats no) {
    return {_mm512_mask_blend_ps(m.bits, no.value, yes.value)};
}
BLIP_CPU_INLINE Mask less(Floats a, Floats b) {
    return {_mm512_cmp_ps_mask(a.value, b.value, _CMP_LT_OQ)};
}
/// Nearest integer, halves to even.
BLIP_CPU_INLINE Floats nearest(Floats a) {
    return {_mm512_maskz_roundscale_ps(every_lane, a.value,
                                       _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
/// a 2^n for integral n of magnitude at most 300.
BLIP_CPU_INLINE Floats scale_by_power(Floats a, Floats n) {
    return {_mm512_maskz_scalef_ps(every_lane, a.value, n.value)};
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
    __m512 t[lanes];
    __m512 u[lanes];
    for (std::size_t i = 0; i < lanes; i += 2) {
        t[i] = _mm512_maskz_unpacklo_ps(every_lane, row[i].value, row[i + 1].value);
        t[i + 1] = _mm512_maskz_unpackhi_ps(every_lane, row[i].value, row[i + 1].value);
    }
    for (std::size_t i = 0; i < lanes; i += 4)
        for (std::size_t j = 0; j < 2; ++j) {
            __m512d const low = _mm512_castps_pd(t[i + j]);
            __m512d const high = _mm512_castps_pd(t[i + j + 2]);
            u[i + 2 * j] = _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xFF, low, high));
            u[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xFF, low, high));
        }
    // u[4 g + c] holds, in 128-bit quarter q, column 4 q + c of rows 4 g .. 4 g + 3.
    for (std::size_t c = 0; c < 4; ++c) {
        __m512 const a = _mm512_maskz_shuffle_f32x4(every_lane, u[c], u[4 + c], 0x88);
        __m512 const b = _mm512_maskz_shuffle_f32x4(every_lane, u[8 + c], u[12 + c], 0x88);
        __m512 const d = _mm512_maskz_shuffle_f32x4(every_lane, u[c], u[4 + c], 0xDD);
        __m512 const e = _mm512_maskz_shuffle_f32x4(every_lane, u[8 + c], u[12 + c], 0xDD);
        row[c].value = _mm512_maskz_shuffle_f32x4(every_lane, a, b, 0x88);
        row[8 + c].value = _mm512_maskz_shuffle_f32x4(every_lane, a, b, 0xDD);
        row[4 + c].value = _mm512_maskz_shuffle_f32x4(every_lane, d, e, 0x88);
        row[12 + c].value = _mm512_maskz_shuffle_f32x4(every_lane, d, e, 0xDD);
    }
}

/// Eight unsigned numbers of 64 bits.
struct Words {
    __m512i value;
};

BLIP_CPU_INLINE Words words(std::uint64_t x) {
    return {_mm512_set1_epi64(static_cast<long long>(x))};
}
BLIP_CPU_INLINE Words load_words(std::uint64_t const* p) {
    return {_mm512_loadu_si512(p)};
}
BLIP_CPU_INLINE void store_words(std::uint64_t* p, Words x) {
    _mm512_storeu_si512(p, x.value);
}
BLIP_CPU_INLINE Words operator^(Words a, Words b) {
    return {_mm512_xor_si512(a.value, b.value)};
}
/// The low 32 bits of a times the low 32 bits of b.
BLIP_CPU_INLINE Words multiply_low(Words a, Words b) {
    return {_mm512_maskz_mul_epu32(0xFF, a.value, b.value)};
}
BLIP_CPU_INLINE Words high_half(Words a) {
    return {_mm512_maskz_srli_epi64(0xFF, a.value, 32)};
}
/// The lower half of a below the lower half of b.
BLIP_CPU_INLINE Words lower_halves(Words a, Words b) {
    return {_mm512_mask_shuffle_epi32(a.value, 0xAAAA, b.value, _MM_PERM_CCAA)};
}

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu

#endif
