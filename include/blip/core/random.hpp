#pragma once

#include <array>
#include <cstdint>

namespace blip {

/// Names one stream of random numbers. Number i of a stream is a pure function of (seed, stream,
/// i), so results depend neither on the number of threads nor on what was drawn before, and dropout
/// can be replayed from its key alone.
struct RandomKey {
    std::uint64_t seed = 0;
    std::uint64_t stream = 0;
};

/// Four 32-bit words of Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2,
/// 3", 2011): counter (`index`, `key.stream`), key `key.seed`. Usable on host and device alike.
constexpr std::array<std::uint32_t, 4> random_block(RandomKey key, std::uint64_t index) {
    std::uint32_t c0 = static_cast<std::uint32_t>(index);
    std::uint32_t c1 = static_cast<std::uint32_t>(index >> 32);
    std::uint32_t c2 = static_cast<std::uint32_t>(key.stream);
    std::uint32_t c3 = static_cast<std::uint32_t>(key.stream >> 32);
    std::uint32_t k0 = static_cast<std::uint32_t>(key.seed);
    std::uint32_t k1 = static_cast<std::uint32_t>(key.seed >> 32);
    for (int round = 0; round < 10; ++round) {
        std::uint64_t const p0 = std::uint64_t{0xD2511F53u} * c0;
        std::uint64_t const p1 = std::uint64_t{0xCD9E8D57u} * c2;
        std::uint32_t const n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
        std::uint32_t const n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
        c1 = static_cast<std::uint32_t>(p1);
        c3 = static_cast<std::uint32_t>(p0);
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {c0, c1, c2, c3};
}

/// Word `index` of the stream, uniform over all 32-bit values.
constexpr std::uint32_t random_bits(RandomKey key, std::uint64_t index) {
    return random_block(key, index / 4)[index % 4];
}

/// Number `index` of the stream, uniform in [0, 1) with 53 bits.
constexpr double random_uniform(RandomKey key, std::uint64_t index) {
    auto const words = random_block(key, index);
    std::uint64_t const bits = (std::uint64_t{words[0]} << 32 | words[1]) >> 11;
    return static_cast<double>(bits) * 0x1.0p-53;
}

/// A key for part `part` of what `key` stands for (an item of a batch, a layer, a step), so that
/// parts draw from streams of their own.
constexpr RandomKey split(RandomKey key, std::uint64_t part) {
    auto const words = random_block({key.seed ^ 0x5851F42D4C957F2Du, key.stream}, part);
    return {key.seed, std::uint64_t{words[0]} << 32 | words[1]};
}

} // namespace blip
