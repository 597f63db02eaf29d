#pragma once

#include <algorithm>
#include <cstddef>
#include <tuple>

#include <blip/compose/pre_norm.hpp>
#include <blip/compose/stack.hpp>
#include <blip/config/concepts.hpp>
#include <blip/core/error.hpp>
#include <blip/layers/mlp.hpp>
#include <blip/layers/patch_embedding.hpp>
#include <blip/layers/self_attention.hpp>

namespace blip {

/// One block of the vision transformer: attention, then MLP, each x + branch(norm(x)).
template <VisionConfig C, Backend B>
struct VisionBlock {
    using backend = B;
    using X = Tokens<C::width, B>;
    using Grad = VisionBlock<C, typename B::gradient>;
    using Attention = PreNorm<C::width, SelfAttention<C::width, C::heads, B>, B>;
    using FeedForward = PreNorm<C::width, Mlp<C::width, C::hidden, B>, B>;

    Attention attention;
    FeedForward mlp;

    static constexpr auto fields() {
        return std::tuple{Field{"attention", &VisionBlock::attention},
                          Field{"mlp", &VisionBlock::mlp}};
    }

    struct Cache {
        typename Attention::Cache attention;
        typename FeedForward::Cache mlp;
    };

    X forward(X x, Cache& cache, Context<B>& ctx) const {
        return mlp.forward(attention.forward(x, cache.attention, ctx), cache.mlp, ctx);
    }
    X backward(X dy, Cache const& cache, Grad& grad, Context<B>& ctx) const {
        return attention.backward(mlp.backward(dy, cache.mlp, grad.mlp, ctx), cache.attention,
                                  grad.attention, ctx);
    }
};

/// The image encoder (paper section 3.1): patches and class token through pre-norm blocks and a
/// final norm. Everything downstream reads these normalised states, [n, patches + 1, width].
template <VisionConfig C, Backend B>
struct VisionEncoder {
    using backend = B;
    using Grad = VisionEncoder<C, typename B::gradient>;
    using Images = Pictures<C::image, B>;
    using States = Tokens<C::width, B>;
    using Embedding = PatchEmbedding<C::image, C::patch, C::width, B>;
    using Blocks = Stack<VisionBlock<C, B>, C::depth, C::recompute>;
    static constexpr int tokens = Embedding::patches + 1;

    Embedding embedding;
    Blocks stack;
    LayerNorm<C::width, B> norm;

    static constexpr auto fields() {
        return std::tuple{Field{"embedding", &VisionEncoder::embedding},
                          Field{"stack", &VisionEncoder::stack},
                          Field{"norm", &VisionEncoder::norm}};
    }

    struct Cache {
        typename Embedding::Cache embedding;
        typename Blocks::Cache stack;
        typename LayerNorm<C::width, B>::Cache norm;
    };

    States forward(Images images, Cache& cache, Context<B>& ctx) const {
        // Drop path draws by item of the batch, so a batch in training stays whole.
        if (ctx.keep == Keep::nothing && ctx.mode == Mode::evaluate)
            return forward_in_groups(images, ctx);
        return encode(images, cache, ctx);
    }

    /// Adds to `grad`; the pictures' own gradient is not made (see `backward_to_images`).
    void backward(States dy, Cache const& cache, Grad& grad, Context<B>& ctx) const {
        Scope scope(ctx.arena);
        embedding.backward_weights(backward_blocks(dy, cache, grad, ctx), cache.embedding,
                                   grad.embedding, ctx);
    }

    Images backward_to_images(States dy, Cache const& cache, Grad& grad, Context<B>& ctx) const {
        return embedding.backward(backward_blocks(dy, cache, grad, ctx), cache.embedding,
                                  grad.embedding, ctx);
    }

private:
    States encode(Images images, Cache& cache, Context<B>& ctx) const {
        auto const embedded = embedding.forward(images, cache.embedding, ctx);
        return norm.forward(stack.forward(embedded, cache.stack, ctx), cache.norm, ctx);
    }

    /// As many images at a time as the backend likes; the grouping cannot be seen in the result.
    States forward_in_groups(Images images, Context<B>& ctx) const {
        auto const states = ctx.template tokens<C::width>(images.batch, tokens);
        constexpr int group = std::max(1, rows_together<B>() / tokens);
        for (int first = 0; first < images.batch; first += group) {
            Scope scope(ctx.arena);
            int const count = std::min(group, images.batch - first);
            Cache unused;
            auto const part = encode(images.items(first, count), unused, ctx);
            B::copy(ctx.engine, states.items(first, count).data, part.data, part.size());
        }
        return states;
    }

    Tokens<C::width, B> backward_blocks(States dy, Cache const& cache, Grad& grad,
                                        Context<B>& ctx) const {
        return stack.backward(norm.backward(dy, cache.norm, grad.norm, ctx), cache.stack,
                              grad.stack, ctx);
    }
};

/// Stochastic depth as the published recipes have it: block i of both branches is dropped with
/// probability rate · i / (depth - 1), in training only. `rate` is 0.1 for ViT-L always and for
/// ViT-B in VQA and NLVR2 fine-tuning, else 0. Throws ArgumentError unless it is in [0, 1).
template <VisionConfig C, Backend B>
void set_drop_path(VisionEncoder<C, B>& vision, double rate) {
    if (!(rate >= 0 && rate < 1))
        throw ArgumentError(join("drop path: the rate is ", rate, ", expected 0 to below 1"));
    auto& blocks = vision.stack.blocks;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        double const last = std::max(1.0, static_cast<double>(blocks.size()) - 1);
        double const probability = rate * static_cast<double>(i) / last;
        blocks[i].attention.drop_path.probability = probability;
        blocks[i].mlp.drop_path.probability = probability;
    }
}

} // namespace blip
