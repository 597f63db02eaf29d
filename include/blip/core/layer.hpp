#pragma once

#include <concepts>

#include <blip/core/context.hpp>
#include <blip/core/fields.hpp>

namespace blip {

/// What every layer promises. A layer is a struct of weights (and settings) with
///
///     Y forward(X x, Cache& cache, Context<B>& ctx) const;
///     X backward(Y dy, Cache const& cache, Grad& grad, Context<B>& ctx) const;
///
/// **forward** computes y = f(x; weights). Its result, and all that `cache` refers to, lies in
/// `ctx.arena`. With `ctx.keep == Keep::nothing` the cache may stay empty and backward must not
/// follow. x is left unchanged and must stay alive until backward is done.
///
/// **backward** is given dy = ∂L/∂y, returns ∂L/∂x = Jᵀ dy, and *adds* ∂L/∂weights to `grad`. It
/// may be called once per forward, with that forward's cache. dy is left unchanged.
///
/// **Grad** is the same struct over `B::gradient`: gradients, moments and averages are values of
/// it.
/// **Cache** belongs to the call, never to the layer, so one layer may run several times in a step
/// and many threads may call one model.
///
/// A layer whose result depends on more than x (masks, encoder states) takes that after x;
/// gradients of such inputs are returned through arguments named in its own docstring.
template <class L>
concept Layer = lists_every_member<L> && requires {
    typename L::backend;
    typename L::Grad;
    typename L::Cache;
};

} // namespace blip
