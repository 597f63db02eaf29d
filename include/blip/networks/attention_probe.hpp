#pragma once

#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <blip/core/error.hpp>
#include <blip/core/keep_scope.hpp>
#include <blip/core/weights.hpp>
#include <blip/networks/text_encoder.hpp>

namespace blip {

/// Looks at one layer of a text network while it runs: what its cross-attention gave to every state
/// of the picture, and how a result downstream changes with that. Works on the text encoder and on
/// a decoder's body. Nothing below the layer is kept or differentiated.
template <class Body>
class AttentionProbe {
public:
    using B = typename Body::backend;
    using scalar = typename B::scalar;
    using X = typename Body::X;
    using States = typename Body::States;
    static constexpr int depth = decltype(Body::stack)::depth;

    /// `layer` counts from 0. Throws ArgumentError when there is no such layer.
    AttentionProbe(Body const& body, int layer) : body_(body), layer_(layer) {
        if (layer < 0 || layer >= depth)
            throw ArgumentError(join("there is no text layer ", layer, "; this model has layers 0 ",
                                     "to ", depth - 1));
    }

    /// Last states [texts, length, width], as the network's own forward gives them.
    X forward(TextInput<B> text, Causal causal, States const& encoder, Context<B>& ctx) {
        mask_ = {causal, text.mask};
        encoder_ = encoder;
        encoder_.gradient = {};
        KeepScope const outer(ctx, Keep::nothing);
        typename Body::Embedding::Cache unused;
        X x = body_.embedding.forward(text, unused, ctx);
        for (int i = 0; i < layer_; ++i) {
            auto const y = ctx.template tokens<X::width>(x.batch, x.length);
            Scope scope(ctx.arena);
            typename Block::Cache released;
            auto const result = block(i).forward(x, released, ctx, mask_, encoder_);
            B::copy(ctx.engine, y.data, result.data, y.size());
            x = y;
        }
        KeepScope const inner(ctx, Keep::everything);
        for (int i = layer_; i < depth; ++i)
            x = block(i).forward(x, caches_[static_cast<std::size_t>(i)], ctx, mask_, encoder_);
        return x;
    }

    /// How many numbers `attention` and `gradient` write: [items of states, heads, texts an item *
    /// length, states].
    std::ptrdiff_t size() const {
        auto const& cross = caches_[static_cast<std::size_t>(layer_)].cross.branch;
        return cross.queries.rows() * Cross::heads * encoder_.states.length;
    }

    /// The layer's attention probabilities, before dropout, after `forward`.
    void attention(scalar* p, Context<B>& ctx) const {
        block(layer_).cross.branch.probabilities(
            caches_[static_cast<std::size_t>(layer_)].cross.branch, ctx, encoder_, p);
    }

    /// Their gradient, from that of the last states. May be called again for other results.
    void gradient(X dlast, scalar* g, Context<B>& ctx) const {
        Scope scope(ctx.arena);
        // Gradients of parameters come along and are thrown away, all into one block's.
        Weights<typename Block::Grad> unused(ctx.engine);
        for (int i = depth - 1; i > layer_; --i)
            dlast = block(i).backward(dlast, caches_[static_cast<std::size_t>(i)], *unused, ctx,
                                      mask_, encoder_);
        block(layer_).probability_gradient(dlast, caches_[static_cast<std::size_t>(layer_)],
                                           *unused, ctx, encoder_, g);
    }

    /// Adds the gradient of the states looked at to `dstates`, from that of the last states: the
    /// share of the probe's layer and those above it, so all of it for a probe of layer 0.
    void add_states_gradient(X dlast, decltype(States::states) dstates, Context<B>& ctx) const {
        Scope scope(ctx.arena);
        Weights<typename Block::Grad> unused(ctx.engine);
        auto encoder = encoder_;
        encoder.gradient = dstates;
        for (int i = depth - 1; i >= layer_; --i)
            dlast = block(i).backward(dlast, caches_[static_cast<std::size_t>(i)], *unused, ctx,
                                      mask_, encoder);
    }

private:
    using Block = std::remove_cvref_t<decltype(std::declval<Body>().stack.blocks[0])>;
    using Cross = std::remove_cvref_t<decltype(std::declval<Block>().cross.branch)>;

    Block const& block(int i) const { return body_.stack.blocks[static_cast<std::size_t>(i)]; }

    Body const& body_;
    int layer_;
    SelfMask mask_;
    States encoder_;
    std::array<typename Block::Cache, static_cast<std::size_t>(depth)> caches_;
};

} // namespace blip
