#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
#include <immintrin.h>
#endif

// Sixteen floats at a time, whatever the processor: one 512-bit register, two 256-bit registers or
// plain arrays. Every kernel is written once over this type, so lanes, tails and the order of sums
// are the same for all of them. Code compiled for different instruction sets lives in different
// inline namespaces, so that it may be linked into one program.
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

namespace blip::cpu::inline BLIP_CPU_TARGET {

/// Floats in one vector, and the granule of every packed layout.
inline constexpr std::size_t lanes = 16;

#if defined(__AVX512F__)

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
BLIP_CPU_INLINE Mask mask_of_bits(std::uint32_t bits) { return {static_cast<__mmask16>(bits)}; }

BLIP_CPU_INLINE Floats broadcast(float x) { return {_mm512_set1_ps(x)}; }
BLIP_CPU_INLINE Floats load(float const* p) { return {_mm512_loadu_ps(p)}; }
BLIP_CPU_INLINE Floats load(float const* p, Mask m) { return {_mm512_maskz_loadu_ps(m.bits, p)}; }
BLIP_CPU_INLINE void store(float* p, Floats x) { _mm512_storeu_ps(p, x.value); }
BLIP_CPU_INLINE void store(float* p, Floats x, Mask m) {
    _mm512_mask_storeu_ps(p, m.bits, x.value);
}
BLIP_CPU_INLINE Floats operator+(Floats a, Floats b) { return {_mm512_add_ps(a.value, b.value)}; }
BLIP_CPU_INLINE Floats operator-(Floats a, Floats b) { return {_mm512_sub_ps(a.value, b.value)}; }
BLIP_CPU_INLINE Floats operator*(Floats a, Floats b) { return {_mm512_mul_ps(a.value, b.value)}; }
BLIP_CPU_INLINE Floats operator/(Floats a, Floats b) { return {_mm512_div_ps(a.value, b.value)}; }
/// a b + c, rounded once.
BLIP_CPU_INLINE Floats fma(Floats a, Floats b, Floats c) {
    return {_mm512_fmadd_ps(a.value, b.value, c.value)};
}
/// The larger; b where either is not a number.
BLIP_CPU_INLINE Floats max(Floats a, Floats b) { return {_mm512_maskz_max_ps(every_lane, a.value, b.value)}; }
/// The smaller; b where either is not a number.
BLIP_CPU_INLINE Floats min(Floats a, Floats b) { return {_mm512_maskz_min_ps(every_lane, a.value, b.value)}; }
BLIP_CPU_INLINE Floats absolute(Floats a) { return {_mm512_abs_ps(a.value)}; }
BLIP_CPU_INLINE Floats select(Mask m, Floats yes, Floats no) {
    return {_mm512_mask_blend_ps(m.bits, no.value, yes.value)};
}
BLIP_CPU_INLINE Mask less(Floats a, Floats b) {
    return {_mm512_cmp_ps_mask(a.value, b.value, _CMP_LT_OQ)};
}
/// Nearest integer, halves to even.
BLIP_CPU_INLINE Floats nearest(Floats a) {
    return {_mm512_maskz_roundscale_ps(every_lane, a.value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
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

#elif defined(__AVX2__) && defined(__FMA__)

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
BLIP_CPU_INLINE Floats load(float const* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
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

#else

/// Which lanes an operation touches.
struct Mask {
    std::uint32_t bits;
    bool operator[](std::size_t i) const { return (bits >> i & 1u) != 0; }
};

/// Sixteen floats.
struct Floats {
    float value[lanes];
};

namespace detail {
template <class Function>
BLIP_CPU_INLINE Floats each(Function function) {
    Floats result;
    for (std::size_t i = 0; i < lanes; ++i)
        result.value[i] = function(i);
    return result;
}
} // namespace detail

BLIP_CPU_INLINE Mask mask_of_bits(std::uint32_t bits) { return {bits}; }
BLIP_CPU_INLINE Mask first_lanes(std::size_t count) {
    return {count >= lanes ? 0xFFFFu : (1u << count) - 1u};
}
BLIP_CPU_INLINE Mask operator&(Mask a, Mask b) { return {a.bits & b.bits}; }
/// Lanes whose byte of `bytes[0 .. count)` is not zero.
BLIP_CPU_INLINE Mask mask_of_bytes(std::uint8_t const* bytes, std::size_t count) {
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < lanes && i < count; ++i)
        bits |= (bytes[i] != 0 ? 1u : 0u) << i;
    return {bits};
}
BLIP_CPU_INLINE Floats broadcast(float x) {
    return detail::each([&](std::size_t) { return x; });
}
BLIP_CPU_INLINE Floats load(float const* p) {
    return detail::each([&](std::size_t i) { return p[i]; });
}
BLIP_CPU_INLINE Floats load(float const* p, Mask m) {
    return detail::each([&](std::size_t i) { return m[i] ? p[i] : 0.0f; });
}
BLIP_CPU_INLINE void store(float* p, Floats const& x) { std::memcpy(p, x.value, sizeof x.value); }
BLIP_CPU_INLINE void store(float* p, Floats const& x, Mask m) {
    for (std::size_t i = 0; i < lanes; ++i)
        if (m[i])
            p[i] = x.value[i];
}
BLIP_CPU_INLINE Floats operator+(Floats const& a, Floats const& b) {
    return detail::each([&](std::size_t i) { return a.value[i] + b.value[i]; });
}
BLIP_CPU_INLINE Floats operator-(Floats const& a, Floats const& b) {
    return detail::each([&](std::size_t i) { return a.value[i] - b.value[i]; });
}
BLIP_CPU_INLINE Floats operator*(Floats const& a, Floats const& b) {
    return detail::each([&](std::size_t i) { return a.value[i] * b.value[i]; });
}
BLIP_CPU_INLINE Floats operator/(Floats const& a, Floats const& b) {
    return detail::each([&](std::size_t i) { return a.value[i] / b.value[i]; });
}
/// a b + c; rounded once only where the processor has such an instruction, because the library
/// function that imitates it is a hundred times slower.
BLIP_CPU_INLINE Floats fma(Floats const& a, Floats const& b, Floats const& c) {
#ifdef __FP_FAST_FMAF
    return detail::each(
        [&](std::size_t i) { return __builtin_fmaf(a.value[i], b.value[i], c.value[i]); });
#else
    return detail::each([&](std::size_t i) { return a.value[i] * b.value[i] + c.value[i]; });
#endif
}
BLIP_CPU_INLINE Floats max(Floats const& a, Floats const& b) {
    return detail::each(
        [&](std::size_t i) { return a.value[i] > b.value[i] ? a.value[i] : b.value[i]; });
}
BLIP_CPU_INLINE Floats min(Floats const& a, Floats const& b) {
    return detail::each(
        [&](std::size_t i) { return a.value[i] < b.value[i] ? a.value[i] : b.value[i]; });
}
BLIP_CPU_INLINE Floats absolute(Floats const& a) {
    return detail::each([&](std::size_t i) { return std::fabs(a.value[i]); });
}
BLIP_CPU_INLINE Floats select(Mask m, Floats const& yes, Floats const& no) {
    return detail::each([&](std::size_t i) { return m[i] ? yes.value[i] : no.value[i]; });
}
BLIP_CPU_INLINE Mask less(Floats const& a, Floats const& b) {
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < lanes; ++i)
        bits |= (a.value[i] < b.value[i] ? 1u : 0u) << i;
    return {bits};
}
BLIP_CPU_INLINE Floats nearest(Floats const& a) {
    // Adding and taking away 1.5 * 2^23 rounds to an integer without a library call.
    constexpr float shift = 12582912.0f;
    return detail::each([&](std::size_t i) { return (a.value[i] + shift) - shift; });
}
BLIP_CPU_INLINE float power_of_two(std::int32_t n) {
    std::uint32_t const bits = static_cast<std::uint32_t>(n + 127) << 23;
    float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
}
BLIP_CPU_INLINE Floats scale_by_power(Floats const& a, Floats const& n) {
    return detail::each([&](std::size_t i) {
        auto const whole = static_cast<std::int32_t>(n.value[i]);
        std::int32_t const third = whole >> 2;
        float const factor = power_of_two(third);
        return a.value[i] * factor * factor * power_of_two(whole - 2 * third);
    });
}
BLIP_CPU_INLINE float sum(Floats a) {
    for (std::size_t half = lanes / 2; half > 0; half /= 2)
        for (std::size_t i = 0; i < half; ++i)
            a.value[i] += a.value[i + half];
    return a.value[0];
}
/// Turns 16 rows of 16 floats into columns.
BLIP_CPU_INLINE void transpose(Floats (&row)[lanes]) {
    for (std::size_t i = 0; i < lanes; ++i)
        for (std::size_t j = i + 1; j < lanes; ++j) {
            float const swapped = row[i].value[j];
            row[i].value[j] = row[j].value[i];
            row[j].value[i] = swapped;
        }
}

#endif

} // namespace blip::cpu::inline BLIP_CPU_TARGET
