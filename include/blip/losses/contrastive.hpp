#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include <blip/backend/backend.hpp>
#include <blip/core/context.hpp>
#include <blip/core/error.hpp>
#include <blip/core/parameter.hpp>

namespace blip {

/// The share of the momentum distribution in the soft targets at a step counted from 0: a linear
/// ramp to `alpha` over `ramp_steps`. Pre-training ramps over two epochs, retrieval over one.
inline double ramped_alpha(double alpha, std::int64_t step, std::int64_t ramp_steps) {
    if (step >= ramp_steps)
        return alpha;
    return alpha * static_cast<double>(step) / static_cast<double>(ramp_steps);
}

/// Unit vectors of pictures and of the texts that belong to them, [batch, 1, Width] each.
template <int Width, class B>
struct FeaturePair {
    Tokens<Width, B> image, text;
};

/// What a batch is compared with: momentum features of the batch itself, then columns of earlier
/// batches, [Width, queue] as checkpoints keep them (no data: none).
template <int Width, class B>
struct ContrastiveKeys {
    FeaturePair<Width, B> batch;
    Matrix<B> image_queue, text_queue;

    int count() const { return batch.image.batch + image_queue.columns; }
};

/// Which keys belong to which queries: those of equal id. In backend memory.
struct PositiveIds {
    int const* queries = nullptr; ///< [batch]
    int const* keys = nullptr;    ///< [batch + queue]
};

/// What the similarities should be, [batch, batch + queue] each: data without a derivative.
template <class B>
struct ContrastiveTargets {
    Matrix<B> image_to_text, text_to_image;
};

/// Image-text contrastive loss against momentum keys with soft targets (paper section 3.2, ITC; Li
/// et al. 2021). With online features f (pictures) and g (texts), momentum features f' and g', keys
/// K_txt = [g' | text queue] and K_img = [f' | image queue], temperature τ:
///
///     s_i2t = f K_txtᵀ / τ,  y_i2t = α softmax(f' K_txtᵀ / τ) + (1-α) h,
///     L_i2t = -1/B Σ_i Σ_j y[i, j] log softmax(s)[i, j],  and t2i with f and g exchanged.
///
/// The loss is (L_i2t + L_t2i) / 2. h spreads each row over the keys of equal id. Only the online
/// similarities s pass a gradient to τ.
template <int Width, Backend B>
struct ContrastiveLoss {
    using scalar = typename B::scalar;
    using Features = Tokens<Width, B>;
    using Pair = FeaturePair<Width, B>;
    using Keys = ContrastiveKeys<Width, B>;
    using Targets = ContrastiveTargets<B>;
    using Temperature = Parameter<B, 1>;

    /// One of the two directions.
    struct Direction {
        Features scaled; ///< queries / τ
        Matrix<B> scores, gradient;
    };

    struct Cache {
        Keys keys;
        Direction image_to_text, text_to_image;
        scalar* losses = nullptr; ///< [2 batch], halved and divided by the batch
    };

    /// y: `alpha` in [0, 1] is the share of the momentum distribution. Throws ArgumentError when
    /// it is not, or when there are not as many momentum features of pictures as of texts.
    static Targets targets(Keys const& keys, PositiveIds positives, double alpha,
                           Temperature temperature, Context<B>& ctx) {
        auto const& batch = keys.batch;
        if (batch.image.batch < 1 || batch.text.batch != batch.image.batch)
            throw ArgumentError(join("contrastive loss: ", batch.image.batch,
                                     " momentum features of pictures and ", batch.text.batch,
                                     " of texts; expected equal numbers, at least 1"));
        if (!(alpha >= 0 && alpha <= 1))
            throw ArgumentError(
                join("contrastive loss: alpha is ", alpha, ", expected a number from 0 to 1"));
        auto const soften = [&](Features queries, Features others, Matrix<B> queue) {
            auto const y =
                similarities(over_temperature(queries, temperature, ctx), others, queue, ctx);
            B::soft_targets(ctx.engine, y, positives.queries, positives.keys, alpha, y);
            return y;
        };
        return {soften(batch.image, batch.text, keys.text_queue),
                soften(batch.text, batch.image, keys.image_queue)};
    }

    /// Leaves losses and, when the context keeps, their gradient in the cache. Throws ArgumentError
    /// when the sizes differ.
    static void forward(Pair online, Keys const& keys, Targets const& targets,
                        Temperature temperature, Cache& cache, Context<B>& ctx) {
        int const batch = online.image.batch;
        if (online.text.batch != batch || keys.batch.image.batch != batch ||
            targets.image_to_text.rows != batch)
            throw ArgumentError(join("contrastive loss: ", batch, " pictures and ",
                                     online.text.batch, " texts against ", keys.batch.image.batch,
                                     " momentum features; expected equal numbers"));
        cache.keys = keys;
        cache.losses = ctx.take(2 * batch);
        compare(online.image, keys.batch.text, keys.text_queue, targets.image_to_text, temperature,
                cache.losses, cache.image_to_text, ctx);
        compare(online.text, keys.batch.image, keys.image_queue, targets.text_to_image, temperature,
                cache.losses + batch, cache.text_to_image, ctx);
    }

    /// The loss of the batch, on the host.
    static double total(Cache const& cache, Context<B>& ctx) {
        std::vector<double> all(2 * static_cast<std::size_t>(cache.keys.batch.image.batch));
        B::download(ctx.engine, all.data(), static_cast<scalar const*>(cache.losses),
                    std::ssize(all));
        return std::accumulate(all.begin(), all.end(), 0.0);
    }

    /// Gradient of the online features; adds ∂L/∂τ to `temperature_gradient`.
    static Pair backward(Cache const& cache, Temperature temperature,
                         Parameter<typename B::gradient, 1>& temperature_gradient,
                         Context<B>& ctx) {
        auto const& keys = cache.keys;
        return {differentiate(cache.image_to_text, keys.batch.text, keys.text_queue, temperature,
                              temperature_gradient, ctx),
                differentiate(cache.text_to_image, keys.batch.image, keys.image_queue, temperature,
                              temperature_gradient, ctx)};
    }

    /// queries / τ · [batch keys | queue]: [batch, batch + queue].
    static Matrix<B> similarities(Features scaled, Features batch, Matrix<B> queue,
                                  Context<B>& ctx) {
        int const count = batch.batch + queue.columns;
        Matrix<B> const scores{ctx.take(std::ptrdiff_t{scaled.batch} * count), scaled.batch, count,
                               count};
        B::linear(ctx.engine, matrix(scaled), rows_of(batch), nullptr, Activation::none,
                  part(scores, 0, batch.batch), nullptr);
        // The queue keeps its vectors as columns: a product with it is a "backward" of its rows.
        if (queue.columns > 0)
            B::linear_backward_input(ctx.engine, matrix(scaled), columns_of(queue),
                                     part(scores, batch.batch, queue.columns));
        return scores;
    }

    /// x / τ.
    static Features over_temperature(Features x, Temperature temperature, Context<B>& ctx) {
        auto const y = ctx.template tokens<Width>(x.batch, 1);
        B::divide(ctx.engine, x.data, temperature.data, y.data, x.size());
        return y;
    }

private:
    static Matrix<B> part(Matrix<B> x, int first, int count) {
        return {x.data + first, x.rows, count, x.stride};
    }
    static WeightView<B> rows_of(Features x) { return {x.data, x.batch, Width}; }
    static WeightView<B> columns_of(Matrix<B> queue) { return {queue.data, Width, queue.columns}; }

    static void compare(Features queries, Features keys, Matrix<B> queue, Matrix<B> targets,
                        Temperature temperature, scalar* losses, Direction& direction,
                        Context<B>& ctx) {
        direction.scaled = over_temperature(queries, temperature, ctx);
        direction.scores = similarities(direction.scaled, keys, queue, ctx);
        direction.gradient = direction.scores;
        direction.gradient.data = ctx.keep == Keep::everything
                                      ? ctx.take(direction.scores.rows * direction.scores.columns)
                                      : nullptr;
        B::soft_cross_entropy(ctx.engine, direction.scores, targets, 0.5 / queries.batch, losses,
                              direction.gradient);
    }

    static Features differentiate(Direction const& direction, Features keys, Matrix<B> queue,
                                  Temperature temperature,
                                  Parameter<typename B::gradient, 1>& temperature_gradient,
                                  Context<B>& ctx) {
        auto const d = ctx.template tokens<Width>(direction.scaled.batch, 1);
        Scope scope(ctx.arena);
        B::linear_backward_input(ctx.engine, part(direction.gradient, 0, keys.batch), rows_of(keys),
                                 matrix(d));
        if (queue.columns > 0) {
            auto const from_queue = ctx.template tokens<Width>(d.batch, 1);
            B::linear(ctx.engine, part(direction.gradient, keys.batch, queue.columns),
                      columns_of(queue), nullptr, Activation::none, matrix(from_queue), nullptr);
            B::add(ctx.engine, d.data, from_queue.data, d.data, d.size());
        }
        B::divide_backward(ctx.engine, d.data, direction.scaled.data, temperature.data, d.data,
                           temperature_gradient.data, d.size());
        return d;
    }
};

} // namespace blip
