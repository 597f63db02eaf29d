#pragma once

#include <blip/backend/backend.hpp>
#include <blip/core/context.hpp>

namespace blip {

/// The first row of every item, [batch, 1, Width]: the state that BLIP's heads read.
template <int Width, Backend B>
Tokens<Width, B> first_tokens(Tokens<Width, B> x, Context<B>& ctx) {
    auto const y = ctx.template tokens<Width>(x.batch, 1);
    for (int item = 0; item < x.batch; ++item)
        B::copy(ctx.engine, y.items(item, 1).data, x.items(item, 1).data, Width);
    return y;
}

/// Backward of `first_tokens`: adds dy [batch, 1, Width] to the first rows of dx.
template <int Width, Backend B>
void add_to_first_tokens(Tokens<Width, B> dy, Tokens<Width, B> dx, Context<B>& ctx) {
    for (int item = 0; item < dx.batch; ++item) {
        auto* const to = dx.items(item, 1).data;
        B::add(ctx.engine, to, dy.items(item, 1).data, to, Width);
    }
}

} // namespace blip
