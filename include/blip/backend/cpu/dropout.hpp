#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <blip/backend/cpu/engine.hpp>
#include <blip/backend/cpu/simd.hpp>
#include <blip/core/random.hpp>

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

namespace detail {

/// Blocks of random numbers worked out side by side, one in each 64-bit lane.
inline constexpr std::size_t random_width = 8;

/// words[4 i + j] = random_block(key, first + i)[j] for 8 blocks.
inline void random_blocks(RandomKey key, std::uint64_t first, std::uint32_t* out) {
    std::uint64_t counters[random_width];
    for (std::size_t i = 0; i < random_width; ++i)
        counters[i] = first + i;
    // Products look at lower halves alone, so upper halves may hold anything until the end.
    Words c0 = load_words(counters);
    Words c1 = high_half(c0);
    Words c2 = words(key.stream);
    Words c3 = words(key.stream >> 32);
    auto k0 = static_cast<std::uint32_t>(key.seed);
    auto k1 = static_cast<std::uint32_t>(key.seed >> 32);
    for (int round = 0; round < 10; ++round) {
        Words const p0 = multiply_low(c0, words(0xD2511F53u));
        Words const p1 = multiply_low(c2, words(0xCD9E8D57u));
        c0 = high_half(p1) ^ c1 ^ words(k0);
        c2 = high_half(p0) ^ c3 ^ words(k1);
        c1 = p1;
        c3 = p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    std::uint64_t front[random_width];
    std::uint64_t back[random_width];
    store_words(front, lower_halves(c0, c1));
    store_words(back, lower_halves(c2, c3));
    for (std::size_t i = 0; i < random_width; ++i) {
        out[4 * i] = static_cast<std::uint32_t>(front[i]);
        out[4 * i + 1] = static_cast<std::uint32_t>(front[i] >> 32);
        out[4 * i + 2] = static_cast<std::uint32_t>(back[i]);
        out[4 * i + 3] = static_cast<std::uint32_t>(back[i] >> 32);
    }
}

} // namespace detail

/// What dropout does to its elements.
struct DropoutRule {
    std::uint64_t threshold = 0; ///< random words from here on keep their element
    float kept = 1;              ///< factor of what is kept
    RandomKey key{};

    DropoutRule(double probability, RandomKey from)
        : threshold(static_cast<std::uint64_t>(std::ceil(probability * 0x1p32))),
          kept(static_cast<float>(1 / (1 - probability))), key(from) {}
};

/// factors[i] = what element `first + i` is multiplied by: 0 or `rule.kept`.
inline void dropout_factors(DropoutRule const& rule, std::uint64_t first, std::size_t count,
                            float* factors) {
    constexpr std::size_t run = 4 * detail::random_width;
    std::uint32_t words[run];
    std::size_t skip = first % 4;
    for (std::size_t i = 0; i < count;) {
        detail::random_blocks(rule.key, (first + i) / 4, words);
        std::size_t const take = std::min(count - i, run - skip);
        for (std::size_t j = 0; j < take; ++j)
            factors[i + j] = words[skip + j] >= rule.threshold ? rule.kept : 0.0f;
        i += take;
        skip = 0;
    }
}

/// y = x times the dropout factor of its group of `group` elements; y may be x.
inline void dropout(Engine& engine, float const* x, std::size_t count, std::size_t group,
                    double probability, RandomKey key, float* y) {
    DropoutRule const rule(probability, key);
    std::size_t const groups = (count + group - 1) / group;
    engine.parallel_ranges(groups, 4096 / group + 1, [&](std::size_t begin, std::size_t end) {
        float factors[256] = {};
        for (std::size_t g = begin; g < end; g += 256) {
            std::size_t const here = std::min<std::size_t>(256, end - g);
            dropout_factors(rule, g, here, factors);
            if (group == 1) {
                for (std::size_t i = 0; i < here; i += lanes) {
                    Mask const mask = first_lanes(here - i);
                    Floats const factor = load(factors + i);
                    Floats const zero = broadcast(0.0f);
                    // A dropped infinity becomes 0, not a NaN.
                    store(y + g + i,
                          select(less(zero, factor), load(x + g + i, mask) * factor, zero), mask);
                }
                continue;
            }
            for (std::size_t i = 0; i < here; ++i) {
                std::size_t const last = std::min(count, (g + i + 1) * group);
                for (std::size_t e = (g + i) * group; e < last; ++e)
                    y[e] = factors[i] == 0 ? 0.0f : x[e] * factors[i];
            }
        }
    });
}

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
