#pragma once

#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

#include <blip/backend/backend.hpp>
#include <blip/core/context.hpp>
#include <blip/core/error.hpp>

namespace blip {

/// Mean cross-entropy over the rows of [batch, 1, Classes] logits, without smoothing:
/// L = -1/batch Σ log softmax(logits)[label].
template <Backend B>
struct ClassificationLoss {
    struct Cache {
        typename B::scalar* losses = nullptr;   ///< [rows]: each row's share of the mean
        typename B::scalar* gradient = nullptr; ///< ∂L/∂logits
        int batch = 0, length = 0;
    };

    /// `labels` [rows] on the host. Leaves the losses and, when the context keeps, their gradient
    /// in the cache. Throws ArgumentError when a label is outside 0 to Classes - 1, their number is
    /// off, or there are none.
    template <int Classes>
    void forward(Tokens<Classes, B> logits, std::span<int const> labels, Cache& cache,
                 Context<B>& ctx) const {
        auto const n = logits.rows();
        if (n == 0 || std::ssize(labels) != n)
            throw ArgumentError(join("classification loss: expected one label for each of ", n,
                                     " rows and at least one, found ", labels.size()));
        for (std::size_t i = 0; i < labels.size(); ++i)
            if (labels[i] < 0 || labels[i] >= Classes)
                throw ArgumentError(join("classification loss: label ", i, " is ", labels[i],
                                         ", expected 0 to ", Classes - 1));
        std::vector<double> const weights(labels.size(), 1.0 / static_cast<double>(n));
        cache.batch = logits.batch;
        cache.length = logits.length;
        cache.losses = ctx.take(n);
        if (ctx.keep == Keep::everything)
            cache.gradient = ctx.take(logits.size());
        auto* const targets = ctx.arena.template take<int>(n);
        auto* const shares = ctx.take(n);
        B::upload(ctx.engine, targets, labels.data(), n);
        B::upload(ctx.engine, shares, weights.data(), n);
        B::cross_entropy(ctx.engine, matrix(logits), targets, shares, shares, 0, cache.losses,
                         Matrix<B>{cache.gradient, n, Classes, Classes});
    }

    /// The loss of the batch, on the host.
    double total(Cache const& cache, Context<B>& ctx) const {
        std::vector<double> all(static_cast<std::size_t>(cache.batch) *
                                static_cast<std::size_t>(cache.length));
        B::download(ctx.engine, all.data(), static_cast<typename B::scalar const*>(cache.losses),
                    std::ssize(all));
        return std::accumulate(all.begin(), all.end(), 0.0);
    }

    /// ∂total/∂logits.
    template <int Classes>
    Tokens<Classes, B> backward(Cache const& cache) const {
        return {cache.gradient, cache.batch, cache.length};
    }
};

} // namespace blip
