#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <tuple>

#include <blip/backend/backend.hpp>
#include <blip/core/layer.hpp>

namespace blip {

/// `Depth` blocks one after another: an array and a loop, so compile time does not grow with depth.
/// The last `Recompute` blocks keep only their input and run forward again inside backward
/// (gradient checkpointing): the same bits for less memory. In the paths of parameters the blocks
/// are numbered from `First`.
template <class Block, int Depth, int Recompute = 0, int First = 0>
struct Stack {
    using backend = typename Block::backend;
    using B = backend;
    using X = typename Block::X;
    using Grad = Stack<typename Block::Grad, Depth, Recompute, First>;
    static constexpr int depth = Depth;
    static_assert(0 <= Recompute && Recompute <= Depth && First >= 0);

    std::array<Block, Depth> blocks;

    static constexpr auto fields() {
        return std::tuple{Field{"blocks", &Stack::blocks, std::size_t{First}}};
    }

    struct Cache {
        std::array<typename Block::Cache, Depth - Recompute> blocks;
        std::array<X, Recompute> inputs;
        std::array<std::uint64_t, Recompute> draws{};
    };

    X forward(X x, Cache& cache, Context<B>& ctx, auto const&... extra) const {
        if (ctx.keep == Keep::nothing)
            return forward_only(blocks.size(), x, ctx, extra...);
        for (std::size_t i = 0; i < kept; ++i)
            x = blocks[i].forward(x, cache.blocks[i], ctx, extra...);
        for (std::size_t i = kept; i < blocks.size(); ++i) {
            cache.inputs[i - kept] = x;
            cache.draws[i - kept] = ctx.draws;
            auto const y = ctx.template tokens<X::width>(x.batch, x.length);
            run(i, x, y, ctx, extra...);
            x = y;
        }
        return x;
    }

    /// What forward gives the first token of every item, [batch, 1, width], for inference: the last
    /// block computes no other.
    X forward_first(X x, Context<B>& ctx, auto const&... extra) const {
        x = forward_only(blocks.size() - 1, x, ctx, extra...);
        return blocks.back().forward_first(x, ctx, extra...);
    }

    X backward(X dy, Cache const& cache, Grad& grad, Context<B>& ctx, auto const&... extra) const {
        // Two buffers take turns: a block's intermediate gradients die with its turn.
        std::array<X, 2> const turn{ctx.template tokens<X::width>(dy.batch, dy.length),
                                    ctx.template tokens<X::width>(dy.batch, dy.length)};
        for (std::size_t i = blocks.size(); i-- > 0;) {
            Scope scope(ctx.arena);
            X dx;
            if (i >= kept) {
                auto replay = ctx;
                replay.draws = cache.draws[i - kept];
                typename Block::Cache again;
                blocks[i].forward(cache.inputs[i - kept], again, replay, extra...);
                dx = blocks[i].backward(dy, again, grad.blocks[i], ctx, extra...);
            } else {
                dx = blocks[i].backward(dy, cache.blocks[i], grad.blocks[i], ctx, extra...);
            }
            B::copy(ctx.engine, turn[i % 2].data, dx.data, dx.size());
            dy = turn[i % 2];
        }
        return dy;
    }

private:
    static constexpr std::size_t kept = static_cast<std::size_t>(Depth - Recompute);

    /// The first `count` blocks.
    X forward_only(std::size_t count, X x, Context<B>& ctx, auto const&... extra) const {
        std::array<X, 2> const turn{ctx.template tokens<X::width>(x.batch, x.length),
                                    ctx.template tokens<X::width>(x.batch, x.length)};
        for (std::size_t i = 0; i < count; ++i) {
            run(i, x, turn[i % 2], ctx, extra...);
            x = turn[i % 2];
        }
        return x;
    }

    /// Block i from x to y, leaving nothing else in the arena.
    void run(std::size_t i, X x, X y, Context<B>& ctx, auto const&... extra) const {
        Scope scope(ctx.arena);
        auto const keep = ctx.keep;
        ctx.keep = Keep::nothing;
        typename Block::Cache unused;
        auto const result = blocks[i].forward(x, unused, ctx, extra...);
        ctx.keep = keep;
        B::copy(ctx.engine, y.data, result.data, y.size());
    }
};

} // namespace blip
