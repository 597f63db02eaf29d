#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include <blip/io/checkpoint_names.hpp>
#include <blip/networks/text_decoder.hpp>

namespace blip {

/// Which weights the text encoder and the text decoder of pre-training have in common (paper
/// section 3.1 and Table 3).
namespace share {
struct everything {
    static constexpr bool self_attention = true, cross_attention = true, rest = true;
};
struct all_but_cross_attention {
    static constexpr bool self_attention = true, cross_attention = false, rest = true;
};
struct all_but_self_attention { ///< the published models
    static constexpr bool self_attention = false, cross_attention = true, rest = true;
};
struct nothing {
    static constexpr bool self_attention = false, cross_attention = false, rest = false;
};
} // namespace share

/// One of the policies of `share`, or a type of another name that says the same; embeddings and
/// feed-forward are `rest`. Without them nothing is shared, and with them at least one attention.
template <class S>
concept Sharing = requires {
    { S::self_attention } -> std::convertible_to<bool>;
    { S::cross_attention } -> std::convertible_to<bool>;
    { S::rest } -> std::convertible_to<bool>;
}
&&(bool(S::rest) == (S::self_attention || S::cross_attention));

namespace detail {

/// What a decoder has for itself in one block.
template <TextConfig C, Backend B>
struct OwnSelfAttention {
    typename TextBlock<C, B>::Attention attention;

    static constexpr auto fields() {
        return std::tuple{Field{"attention", &OwnSelfAttention::attention}};
    }
    void complete(TextBlock<C, B>& block) const { block.attention = attention; }
};

template <TextConfig C, Backend B>
struct OwnCrossAttention {
    typename TextBlock<C, B>::Cross cross;

    static constexpr auto fields() { return std::tuple{Field{"cross", &OwnCrossAttention::cross}}; }
    void complete(TextBlock<C, B>& block) const { block.cross = cross; }
};

} // namespace detail

/// The weights that the decoder does not share with the encoder. `complete(encoder)` is the whole
/// decoder: its shared weights are the encoder's own members, so each exists once, and what
/// backward adds to a shared one is the sum over both roles.
template <TextConfig C, Backend B, Sharing Share>
struct TiedDecoder;

template <TextConfig C, Backend B, Sharing Share>
    requires(Share::self_attention&& Share::cross_attention) //
struct TiedDecoder<C, B, Share> {
    using Grad = TiedDecoder<C, typename B::gradient, Share>;

    typename TextDecoder<C, B>::Head head;

    static constexpr auto fields() { return std::tuple{Field{"head", &TiedDecoder::head}}; }

    TextDecoder<C, B> complete(TextEncoder<C, B> const& encoder) const { return {encoder, head}; }
};

template <TextConfig C, Backend B, Sharing Share>
    requires(!Share::rest) //
struct TiedDecoder<C, B, Share> {
    using Grad = TiedDecoder<C, typename B::gradient, Share>;

    typename TextDecoder<C, B>::Body body;
    typename TextDecoder<C, B>::Head head;

    static constexpr auto fields() {
        return std::tuple{Field{"body", &TiedDecoder::body}, Field{"head", &TiedDecoder::head}};
    }

    TextDecoder<C, B> complete(TextEncoder<C, B> const&) const { return {body, head}; }
};

template <TextConfig C, Backend B, Sharing Share>
    requires(Share::rest&& Share::self_attention != Share::cross_attention) //
struct TiedDecoder<C, B, Share> {
    using Grad = TiedDecoder<C, typename B::gradient, Share>;
    using Own = std::conditional_t<Share::self_attention, detail::OwnCrossAttention<C, B>,
                                   detail::OwnSelfAttention<C, B>>;

    std::array<Own, C::depth> blocks;
    typename TextDecoder<C, B>::Head head;

    static constexpr auto fields() {
        return std::tuple{Field{"body.stack.blocks", &TiedDecoder::blocks},
                          Field{"head", &TiedDecoder::head}};
    }

    TextDecoder<C, B> complete(TextEncoder<C, B> const& encoder) const {
        TextDecoder<C, B> decoder{encoder, head};
        for (std::size_t i = 0; i < blocks.size(); ++i)
            blocks[i].complete(decoder.body.stack.blocks[i]);
        return decoder;
    }
};

/// Names under which a checkpoint repeats tensor `name` when encoder and decoder are tied as
/// `Share` says: published files list both copies with equal values.
template <Sharing Share>
std::vector<std::string> shared_names(std::string_view name) {
    constexpr std::string_view encoder = "text_encoder.";
    auto names = tied_names(name);
    if (!name.starts_with(encoder))
        return names;
    auto const inner = name.substr(encoder.size());
    bool const cross = inner.find(".crossattention.") != inner.npos;
    bool const self = inner.find(".attention.") != inner.npos;
    if (cross ? !Share::cross_attention : self ? !Share::self_attention : !Share::rest)
        return names;
    names.push_back("text_decoder.bert." + std::string(inner));
    for (auto& other : tied_names(names.back()))
        names.push_back(std::move(other));
    return names;
}

} // namespace blip
