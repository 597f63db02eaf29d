#pragma once

#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

#include <blip/backend/backend.hpp>
#include <blip/core/context.hpp>
#include <blip/core/error.hpp>

namespace blip {

/// Mean cross-entropy over rows of class scores, without smoothing: -1/n Σ log softmax(x)[label].
template <Backend B>
struct ClassificationLoss {
    struct Cache {
        typename B::scalar* losses = nullptr;   ///< [n], divided by n, or by the whole batch's
        typename B::scalar* gradient = nullptr; ///< ∂(sum of `losses`)/∂logits
        int batch = 0;
    };

    /// `logits` [n, 1, Classes], `labels` [n] on the host. Leaves losses and, when the context
    /// keeps, their gradient in the cache. `whole`: the rows of a batch that goes through in parts,
    /// of which this is one, so that the parts' losses add up to its mean; 0: this is the whole.
    /// Throws ArgumentError when a size or label is off.
    template <int Classes>
    static void forward(Tokens<Classes, B> logits, std::span<int const> labels, Cache& cache,
                        Context<B>& ctx, std::ptrdiff_t whole = 0) {
        auto const n = logits.rows();
        if (n < 1 || std::ssize(labels) != n)
            throw ArgumentError(join("classification loss: ", labels.size(), " labels for ", n,
                                     " rows; expected as many, at least 1"));
        for (int const label : labels)
            if (label < 0 || label >= Classes)
                throw ArgumentError(join("classification loss: label ", label,
                                         " is not one of the ", Classes, " classes"));
        cache.batch = static_cast<int>(n);
        cache.losses = ctx.take(n);
        if (ctx.keep == Keep::everything)
            cache.gradient = ctx.take(logits.size());
        int* const targets = ctx.arena.template take<int>(n);
        auto* const weights = ctx.take(n);
        B::upload(ctx.engine, targets, labels.data(), n);
        std::vector<double> const shares(labels.size(),
                                         1 / static_cast<double>(whole > 0 ? whole : n));
        B::upload(ctx.engine, weights, shares.data(), n);
        B::cross_entropy(ctx.engine, matrix(logits), targets, weights, weights, 0, cache.losses,
                         Matrix<B>{cache.gradient, n, Classes, Classes});
    }

    /// The loss of the batch, on the host.
    static double total(Cache const& cache, Context<B>& ctx) {
        std::vector<double> all(static_cast<std::size_t>(cache.batch));
        B::download(ctx.engine, all.data(), static_cast<typename B::scalar const*>(cache.losses),
                    cache.batch);
        return std::accumulate(all.begin(), all.end(), 0.0);
    }

    /// ∂total/∂logits.
    template <int Classes>
    static Tokens<Classes, B> backward(Cache const& cache) {
        return {cache.gradient, cache.batch, 1};
    }
};

} // namespace blip
