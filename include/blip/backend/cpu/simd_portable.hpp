#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <blip/backend/cpu/target.hpp>

// Sixteen floats in an array, for any processor; see simd.hpp.
#if !defined(__AVX512F__) && !(defined(__AVX2__) && defined(__FMA__))

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

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

BLIP_CPU_INLINE Mask mask_of_bits(std::uint32_t bits) {
    return {bits};
}
BLIP_CPU_INLINE Mask first_lanes(std::size_t count) {
    return {count >= lanes ? 0xFFFFu : (1u << count) - 1u};
}
BLIP_CPU_INLINE Mask operator&(Mask a, Mask b) {
    return {a.bits & b.bits};
}
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
BLIP_CPU_INLINE void store(float* p, Floats const& x) {
    std::memcpy(p, x.value, sizeof x.value);
}
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
#if defined(__FP_FAST_FMAF) || defined(__ARM_FEATURE_FMA)
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
BLIP_CPU_INLINE Floats square_root(Floats const& a) {
    return detail::each([&](std::size_t i) { return std::sqrt(a.value[i]); });
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

/// Eight unsigned numbers of 64 bits.
struct Words {
    std::uint64_t value[8];
};

BLIP_CPU_INLINE Words words(std::uint64_t x) {
    return {{x, x, x, x, x, x, x, x}};
}
BLIP_CPU_INLINE Words load_words(std::uint64_t const* p) {
    Words x;
    std::memcpy(&x, p, sizeof x);
    return x;
}
BLIP_CPU_INLINE void store_words(std::uint64_t* p, Words const& x) {
    std::memcpy(p, &x, sizeof x);
}
BLIP_CPU_INLINE Words operator^(Words a, Words const& b) {
    for (std::size_t i = 0; i < 8; ++i)
        a.value[i] ^= b.value[i];
    return a;
}
/// The low 32 bits of a times the low 32 bits of b.
BLIP_CPU_INLINE Words multiply_low(Words a, Words const& b) {
    for (std::size_t i = 0; i < 8; ++i)
        a.value[i] = (a.value[i] & 0xFFFFFFFFu) * (b.value[i] & 0xFFFFFFFFu);
    return a;
}
BLIP_CPU_INLINE Words high_half(Words a) {
    for (std::size_t i = 0; i < 8; ++i)
        a.value[i] >>= 32;
    return a;
}
/// The lower half of a below the lower half of b.
BLIP_CPU_INLINE Words lower_halves(Words a, Words const& b) {
    for (std::size_t i = 0; i < 8; ++i)
        a.value[i] = (a.value[i] & 0xFFFFFFFFu) | b.value[i] << 32;
    return a;
}

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu

#endif
