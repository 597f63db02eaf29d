#pragma once

#include <cstddef>
#include <vector>

#include <blip/backend/backend.hpp>
#include <blip/core/context.hpp>

namespace blip {

namespace detail {

/// Where sequences of `length` rows begin, in backend memory.
template <class B>
int const* first_rows(int batch, int length, Context<B>& ctx) {
    std::vector<int> rows(static_cast<std::size_t>(batch));
    for (int i = 0; i < batch; ++i)
        rows[static_cast<std::size_t>(i)] = i * length;
    auto* const places = ctx.arena.template take<int>(batch);
    B::upload(ctx.engine, places, static_cast<int const*>(rows.data()), batch);
    return places;
}

} // namespace detail

/// Row 0 of every sequence, which BLIP's heads read: [batch, length, Width] to [batch, 1, Width].
template <int Width, class B>
Tokens<Width, B> first_tokens(Tokens<Width, B> x, Context<B>& ctx) {
    auto const y = ctx.template tokens<Width>(x.batch, 1);
    Scope scope(ctx.arena);
    B::gather_rows(ctx.engine, matrix(x), detail::first_rows(x.batch, x.length, ctx), matrix(y));
    return y;
}

/// Its gradient: dy in rows 0 of [batch, length, Width], zeros elsewhere.
template <int Width, class B>
Tokens<Width, B> first_tokens_backward(Tokens<Width, B> dy, int length, Context<B>& ctx) {
    auto const dx = ctx.template tokens<Width>(dy.batch, length);
    Scope scope(ctx.arena);
    B::zero(ctx.engine, dx.data, dx.size());
    B::scatter_rows(ctx.engine, matrix(dy), detail::first_rows(dy.batch, length, ctx), matrix(dx));
    return dx;
}

} // namespace blip
