#pragma once

#include <algorithm>
#include <tuple>

#include <blip/compose/stack.hpp>

namespace blip {

/// `Depth` blocks of two kinds, `Lower` for numbers below `From` and `Upper` from there on: two
/// arrays and two loops that look like one Stack from outside, in the paths of parameters too.
/// `Recompute` counts from the end, as in a Stack.
template <class Lower, class Upper, int From, int Depth, int Recompute = 0>
struct SplitStack {
    using backend = typename Lower::backend;
    using B = backend;
    using X = typename Lower::X;
    using Grad = SplitStack<typename Lower::Grad, typename Upper::Grad, From, Depth, Recompute>;
    static constexpr int depth = Depth;
    static_assert(0 < From && From < Depth, "with blocks of one kind alone, use a Stack");
    using LowerBlocks = Stack<Lower, From, std::max(0, Recompute - (Depth - From))>;
    using UpperBlocks = Stack<Upper, Depth - From, std::min(Recompute, Depth - From), From>;

    LowerBlocks lower;
    UpperBlocks upper;

    static constexpr auto fields() {
        return std::tuple{Field{"", &SplitStack::lower}, Field{"", &SplitStack::upper}};
    }

    struct Cache {
        typename LowerBlocks::Cache lower;
        typename UpperBlocks::Cache upper;
    };

    X forward(X x, Cache& cache, Context<B>& ctx, auto const&... extra) const {
        auto const h = lower.forward(x, cache.lower, ctx, extra...);
        return upper.forward(h, cache.upper, ctx, extra...);
    }

    /// As `Stack::forward_first`.
    X forward_first(X x, Context<B>& ctx, auto const&... extra) const {
        typename LowerBlocks::Cache unused;
        return upper.forward_first(lower.forward(x, unused, ctx, extra...), ctx, extra...);
    }

    X backward(X dy, Cache const& cache, Grad& grad, Context<B>& ctx, auto const&... extra) const {
        auto const dh = upper.backward(dy, cache.upper, grad.upper, ctx, extra...);
        return lower.backward(dh, cache.lower, grad.lower, ctx, extra...);
    }
};

} // namespace blip
