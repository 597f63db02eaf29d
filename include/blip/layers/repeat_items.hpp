#pragma once

#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

#include <blip/backend/backend.hpp>
#include <blip/core/context.hpp>
#include <blip/core/error.hpp>

namespace blip {

/// Item i of x counts[i] times, copies one after another: [n, length, Width] to [Σ counts, length,
/// Width]. Throws ArgumentError unless there is one count, at least 0, for every item.
template <int Width, Backend B>
Tokens<Width, B> repeat_items(Tokens<Width, B> x, std::span<int const> counts, Context<B>& ctx) {
    if (std::ssize(counts) != x.batch)
        throw ArgumentError(
            join("repeating items: expected ", x.batch, " counts, found ", counts.size()));
    std::vector<int> sources;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        if (counts[i] < 0)
            throw ArgumentError(join("repeating items: count ", counts[i], " of item ", i));
        sources.insert(sources.end(), static_cast<std::size_t>(counts[i]), static_cast<int>(i));
    }
    int const total = static_cast<int>(sources.size());
    auto const y = ctx.template tokens<Width>(total, x.length);
    Scope scope(ctx.arena);
    auto* indices = ctx.arena.template take<int>(total);
    B::upload(ctx.engine, indices, sources.data(), total);
    // A whole item is one row here.
    int const columns = x.length * Width;
    B::gather_rows(ctx.engine, {x.data, x.batch, columns, columns}, indices,
                   {y.data, y.batch, columns, columns});
    return y;
}

/// ∂L/∂x of `repeat_items`: the gradients of an item's copies, summed in their order.
template <int Width, Backend B>
Tokens<Width, B> repeat_items_backward(Tokens<Width, B> dy, std::span<int const> counts,
                                       Context<B>& ctx) {
    auto const dx = ctx.template tokens<Width>(static_cast<int>(counts.size()), dy.length);
    B::zero(ctx.engine, dx.data, dx.size());
    int next = 0;
    for (int i = 0; i < dx.batch; ++i) {
        auto const sum = dx.items(i, 1);
        for (int copy = 0; copy < counts[static_cast<std::size_t>(i)]; ++copy)
            B::add(ctx.engine, sum.data, dy.items(next++, 1).data, sum.data, sum.size());
    }
    return dx;
}

} // namespace blip
