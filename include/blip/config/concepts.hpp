#pragma once

#include <concepts>

namespace blip {

template <class C>
concept heads_divide_width = C::width % C::heads == 0;

template <class C>
concept patches_tile_image = C::image % C::patch == 0;

template <class C>
concept sizes_are_positive = C::width >
0 && C::depth > 0 && C::heads > 0 && C::hidden > 0;

template <class C>
concept recompute_fits_depth = C::recompute >= 0 && C::recompute <= C::depth;

/// Sizes of a vision transformer: `image` and `patch` in pixels, `width`, `depth`, `heads`,
/// `hidden` (of the MLP), and `recompute`, the number of last blocks that keep only their input for
/// backward.
template <class C>
concept VisionConfig = requires {
    { C::image } -> std::convertible_to<int>;
    { C::patch } -> std::convertible_to<int>;
    { C::width } -> std::convertible_to<int>;
    { C::depth } -> std::convertible_to<int>;
    { C::heads } -> std::convertible_to<int>;
    { C::hidden } -> std::convertible_to<int>;
    { C::recompute } -> std::convertible_to<int>;
}
&&sizes_are_positive<C>&& heads_divide_width<C>&& patches_tile_image<C>&& recompute_fits_depth<C>;

/// The end of the stochastic depth ramp that a vision transformer is trained with unless the caller
/// says otherwise: its `drop_path` where it has one; else 0.1 from ViT-L's width on, which the
/// authors' release always trains so, and 0 below.
template <VisionConfig C>
constexpr double default_drop_path() {
    if constexpr (requires { C::drop_path; })
        return C::drop_path;
    else
        return C::width >= 1024 ? 0.1 : 0.0;
}

/// The same in question answering and pair reasoning, where the authors train every size with 0.1.
template <VisionConfig C>
constexpr double reasoning_drop_path() {
    if constexpr (requires { C::drop_path; })
        return C::drop_path;
    else
        return 0.1;
}

/// Sizes of a text network: `vocabulary` (with [DEC] and [ENC]), `positions`, `width`, `depth`,
/// `heads`, `hidden`, `encoder_width` (of the states its cross-attention looks at), `recompute`.
template <class C>
concept TextConfig = requires {
    { C::vocabulary } -> std::convertible_to<int>;
    { C::positions } -> std::convertible_to<int>;
    { C::width } -> std::convertible_to<int>;
    { C::depth } -> std::convertible_to<int>;
    { C::heads } -> std::convertible_to<int>;
    { C::hidden } -> std::convertible_to<int>;
    { C::encoder_width } -> std::convertible_to<int>;
    { C::recompute } -> std::convertible_to<int>;
}
&&sizes_are_positive<C>&& heads_divide_width<C>&& recompute_fits_depth<C>;

template <class C>
concept text_looks_at_images = C::text::encoder_width == C::vision::width;

/// Sizes of a whole model: a vision transformer, `C::vision`, and a text network, `C::text`.
template <class C>
concept ModelConfig = requires {
    typename C::vision;
    typename C::text;
}
&&VisionConfig<typename C::vision>&& TextConfig<typename C::text>;

/// Sizes of a captioner: its decoder looks straight at the image states.
template <class C>
concept CaptionConfig = ModelConfig<C> && text_looks_at_images<C>;

/// Sizes of image-text matching and retrieval: `C::projection` is the width of the space in which
/// pictures and texts are compared.
template <class C>
concept MatchingConfig = ModelConfig<C> && text_looks_at_images<C> && requires {
    { C::projection } -> std::convertible_to<int>;
} &&(C::projection > 0);

/// Sizes of a pair reasoner: `C::merge_from` is the first text layer that merges what two pictures
/// gave by a learned product instead of averaging it.
template <class C>
concept PairConfig = ModelConfig<C> && text_looks_at_images<C> && requires {
    { C::merge_from } -> std::convertible_to<int>;
};

} // namespace blip
