#pragma once

#include <tuple>

#include <blip/layers/linear.hpp>

namespace blip {

/// `batch` square pictures of `Size` pixels, normalised: [batch, 3, Size, Size], contiguous.
template <int Size, class B>
struct Pictures {
    static constexpr int size = Size;
    static constexpr std::ptrdiff_t item_size = std::ptrdiff_t{3} * Size * Size;
    typename B::scalar* data = nullptr;
    int batch = 0;

    Pictures items(int first, int count) const { return {data + first * item_size, count}; }
};

/// Cuts pictures into patches, projects each, prepends the class token and adds the learned
/// positions (Dosovitskiy et al. 2020): [n, 3, Image, Image] to [n, (Image / Patch)² + 1, Width].
/// Patches follow one another row by row; token 0 is the class token.
template <int Image, int Patch, int Width, Backend B>
struct PatchEmbedding {
    using backend = B;
    using scalar = typename B::scalar;
    using Grad = PatchEmbedding<Image, Patch, Width, typename B::gradient>;
    static constexpr int grid = Image / Patch, patches = grid * grid, pixels = 3 * Patch * Patch;
    static_assert(Image % Patch == 0);

    Linear<pixels, Width, B>
        projection; ///< the convolution [Width, 3, Patch, Patch], read as a matrix
    Parameter<B, 1, 1, Width> class_token;
    Parameter<B, 1, patches + 1, Width> positions;

    static constexpr auto fields() {
        return std::tuple{Field{"projection", &PatchEmbedding::projection},
                          Field{"class_token", &PatchEmbedding::class_token},
                          Field{"positions", &PatchEmbedding::positions}};
    }

    struct Cache {
        typename Linear<pixels, Width, B>::Cache projection;
    };

    Tokens<Width, B> forward(Pictures<Image, B> x, Cache& cache, Context<B>& ctx) const {
        auto const rows = ctx.template tokens<pixels>(x.batch, patches);
        B::patches(ctx.engine, x.data, x.batch, Image, Patch, rows.data);
        auto const projected = projection.forward(rows, cache.projection, ctx);
        auto const y = ctx.template tokens<Width>(x.batch, patches + 1);
        B::prepend(ctx.engine, projected.data, class_token.data, positions.data, x.batch, patches,
                   Width, y.data);
        return y;
    }

    /// Gradient of the pictures, [n, 3, Image, Image].
    Pictures<Image, B> backward(Tokens<Width, B> dy, Cache const& cache, Grad& grad,
                                Context<B>& ctx) const {
        auto const drows =
            projection.backward(dprojected(dy, grad, ctx), cache.projection, grad.projection, ctx);
        Pictures<Image, B> const dx{ctx.take(dy.batch * Pictures<Image, B>::item_size), dy.batch};
        B::patches_backward(ctx.engine, drows.data, dy.batch, Image, Patch, dx.data);
        return dx;
    }

    /// The same without the gradient of the pictures, which training does not need.
    void backward_weights(Tokens<Width, B> dy, Cache const& cache, Grad& grad,
                          Context<B>& ctx) const {
        auto const d = dprojected(dy, grad, ctx);
        B::linear_backward_weight(ctx.engine, matrix(d), matrix(cache.projection.x),
                                  grad.projection.weight.data, grad.projection.bias.data);
    }

private:
    Tokens<Width, B> dprojected(Tokens<Width, B> dy, Grad& grad, Context<B>& ctx) const {
        auto const d = ctx.template tokens<Width>(dy.batch, patches);
        B::prepend_backward(ctx.engine, dy.data, dy.batch, patches, Width, d.data,
                            grad.class_token.data, grad.positions.data);
        return d;
    }
};

} // namespace blip
