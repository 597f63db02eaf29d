#pragma once

#include <cstddef>
#include <cstdint>

#include <blip/core/arena.hpp>
#include <blip/core/random.hpp>
#include <blip/core/tokens.hpp>

namespace blip {

/// What a forward pass leaves behind.
enum class Keep {
    everything, ///< all that backward reads stays in the arena
    nothing     ///< intermediate results are released; backward must not follow
};

/// Whether dropout and drop path act.
enum class Mode { evaluate, train };

/// What every layer call is given: who computes, where memory comes from, and the call's rules.
template <class B>
struct Context {
    typename B::Engine& engine;
    Arena<B>& arena;
    Keep keep = Keep::everything;
    Mode mode = Mode::evaluate;
    RandomKey random{};      ///< seed of this call's dropout
    std::uint64_t draws = 0; ///< dropout keys handed out so far; restored to replay a forward

    /// Contiguous [batch, length, Width], contents unspecified.
    template <int Width>
    Tokens<Width, B> tokens(int batch, int length) {
        return {take(std::ptrdiff_t{batch} * length * Width), batch, length};
    }

    typename B::scalar* take(std::ptrdiff_t count) {
        return arena.template take<typename B::scalar>(count);
    }

    /// A key that no other dropout of this call has.
    RandomKey next_key() { return split(random, draws++); }
};

} // namespace blip
