#pragma once

#include <cstddef>
#include <numeric>
#include <optional>
#include <span>
#include <vector>

#include <blip/backend/backend.hpp>
#include <blip/core/context.hpp>
#include <blip/core/error.hpp>

namespace blip {

/// What the smoothed loss does at ignored positions.
enum class SmoothingRule {
    ignore_padding, ///< nothing: PyTorch 1.12 and later
    torch_1_10 ///< the uniform part runs over ignored positions too; its mean is over all of them
};

/// How the losses of a batch are put together.
enum class Reduction {
    mean,        ///< over all supervised tokens of the batch (captioning, pre-training)
    sum_per_item ///< one sum per item, scaled by the item's weight (VQA answers, ranking)
};

/// What a mean runs over.
struct TargetCount {
    std::ptrdiff_t supervised = 0; ///< positions with a label to predict
    std::ptrdiff_t positions = 0;  ///< all but every item's last
};

struct LanguageModelingOptions {
    double smoothing = 0.1; ///< ε, spread evenly over the whole vocabulary, the target included
    Reduction reduction = Reduction::mean;
    SmoothingRule rule = SmoothingRule::ignore_padding;
    /// Reduction::mean of a batch that goes through in parts: what all of them hold, so that the
    /// parts' losses add up to the whole one's. Not set: the batch is the whole.
    std::optional<TargetCount> whole{};
};

/// Marks a position that is not supervised.
inline constexpr int ignored_target = -100;

/// What the mean over a batch with these labels, [batch, length], runs over.
inline TargetCount count_targets(std::span<int const> labels, int length) {
    TargetCount count;
    for (std::size_t i = 0; i < labels.size(); ++i)
        if (i % static_cast<std::size_t>(length) != 0) {
            ++count.positions;
            count.supervised += labels[i] != ignored_target ? 1 : 0;
        }
    return count;
}

/// The smoothed loss of every row of `logits`, on the host; see `Backend::cross_entropy`. Each span
/// has an entry a row; a negative target has none.
template <int Vocabulary, Backend B>
std::vector<double> token_losses(Tokens<Vocabulary, B> logits, std::span<int const> targets,
                                 std::span<double const> target_weights,
                                 std::span<double const> uniform_weights, double smoothing,
                                 Context<B>& ctx) {
    Scope scope(ctx.arena);
    std::ptrdiff_t const n = logits.rows();
    auto const put = [&](std::span<double const> values) {
        auto* data = ctx.take(n);
        B::upload(ctx.engine, data, values.data(), n);
        return data;
    };
    auto* ids = ctx.arena.template take<int>(n);
    B::upload(ctx.engine, ids, targets.data(), n);
    auto* losses = ctx.take(n);
    B::cross_entropy(ctx.engine, matrix(logits), ids, put(target_weights), put(uniform_weights),
                     smoothing, losses, Matrix<B>{nullptr, n, Vocabulary, Vocabulary});
    std::vector<double> values(static_cast<std::size_t>(n));
    B::download(ctx.engine, values.data(), static_cast<typename B::scalar const*>(losses), n);
    return values;
}

/// Cross-entropy of next-token predictions (paper section 3.2, LM): the logits at position t
/// predict the label at t + 1. The loss of a token is (1-ε)(-log p[y]) + ε/V Σ(-log p).
template <Backend B>
struct LanguageModelingLoss {
    LanguageModelingOptions options;

    struct Cache {
        typename B::scalar* losses = nullptr; ///< [batch, length]: weighted loss of every position
        typename B::scalar* gradient = nullptr; ///< ∂(sum of `losses`)/∂logits
        int batch = 0, length = 0;
    };

    /// `labels` [batch, length] on the host, `ignored_target` where nothing is supervised;
    /// `item_weights` [batch] for Reduction::sum_per_item, empty: 1. Leaves the losses and, when
    /// the context keeps, their gradient in the cache. Throws ArgumentError when no position is
    /// supervised under Reduction::mean, or when a size or label is off.
    template <int Vocabulary>
    void forward(Tokens<Vocabulary, B> logits, std::span<int const> labels,
                 std::span<double const> item_weights, Cache& cache, Context<B>& ctx) const {
        auto const count = static_cast<std::size_t>(logits.rows());
        if (labels.size() != count)
            throw ArgumentError(
                join("language-modeling loss: expected ", count, " labels, found ", labels.size()));
        if (!item_weights.empty() && std::ssize(item_weights) != logits.batch)
            throw ArgumentError(join("language-modeling loss: expected ", logits.batch,
                                     " item weights, found ", item_weights.size()));
        std::vector<int> targets(count, -1);
        std::vector<double> target_weights(count), uniform_weights(count);
        auto const length = static_cast<std::size_t>(logits.length);
        for (std::size_t i = 0; i < count; ++i) {
            if (i % length + 1 == length || labels[i + 1] == ignored_target)
                continue;
            if (labels[i + 1] < 0 || labels[i + 1] >= Vocabulary)
                throw ArgumentError(join("language-modeling loss: label ", labels[i + 1],
                                         " of position ", i + 1, " is outside the vocabulary of ",
                                         Vocabulary));
            targets[i] = labels[i + 1];
        }
        bool const mean = options.reduction == Reduction::mean;
        auto const whole = options.whole.value_or(count_targets(labels, logits.length));
        if (mean && whole.supervised == 0)
            throw ArgumentError("language-modeling loss: no position of the batch is supervised");
        bool const everywhere = options.rule == SmoothingRule::torch_1_10;
        for (std::size_t i = 0; i < count; ++i) {
            if (i % length + 1 == length)
                continue;
            double const item = item_weights.empty() ? 1 : item_weights[i / length];
            double const share = mean ? 1 / static_cast<double>(whole.supervised) : item;
            if (targets[i] >= 0)
                target_weights[i] = uniform_weights[i] = share;
            if (everywhere)
                uniform_weights[i] = mean ? 1 / static_cast<double>(whole.positions) : item;
        }
        cache.batch = logits.batch;
        cache.length = logits.length;
        auto const n = static_cast<std::ptrdiff_t>(count);
        cache.losses = ctx.take(n);
        if (ctx.keep == Keep::everything)
            cache.gradient = ctx.take(logits.size());
        auto* device_targets = ctx.arena.template take<int>(n);
        auto* device_target_weights = ctx.take(n);
        auto* device_uniform_weights = ctx.take(n);
        B::upload(ctx.engine, device_targets, targets.data(), n);
        B::upload(ctx.engine, device_target_weights, target_weights.data(), n);
        B::upload(ctx.engine, device_uniform_weights, uniform_weights.data(), n);
        B::cross_entropy(ctx.engine, matrix(logits), device_targets, device_target_weights,
                         device_uniform_weights, options.smoothing, cache.losses,
                         Matrix<B>{cache.gradient, logits.rows(), Vocabulary, Vocabulary});
    }

    /// One sum per item, on the host.
    std::vector<double> per_item(Cache const& cache, Context<B>& ctx) const {
        auto const length = static_cast<std::size_t>(cache.length);
        std::vector<double> all(static_cast<std::size_t>(cache.batch) * length);
        B::download(ctx.engine, all.data(), static_cast<typename B::scalar const*>(cache.losses),
                    static_cast<std::ptrdiff_t>(all.size()));
        std::vector<double> sums;
        for (auto i = all.begin(); i != all.end(); i += cache.length)
            sums.push_back(std::accumulate(i, i + cache.length, 0.0));
        return sums;
    }

    /// The loss of the batch, on the host: the mean, or the sum of the weighted items.
    double total(Cache const& cache, Context<B>& ctx) const {
        auto const items = per_item(cache, ctx);
        return std::accumulate(items.begin(), items.end(), 0.0);
    }

    /// ∂total/∂logits.
    template <int Vocabulary>
    Tokens<Vocabulary, B> backward(Cache const& cache) const {
        return {cache.gradient, cache.batch, cache.length};
    }
};

} // namespace blip
