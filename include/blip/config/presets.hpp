#pragma once

#include <blip/config/concepts.hpp>

namespace blip::config {

/// A list of configurations, for run-time dispatch over what was compiled in.
template <class... Configs>
struct ModelList {};

namespace detail {
template <class... Lists>
struct Concatenate;
template <class... A>
struct Concatenate<ModelList<A...>> {
    using type = ModelList<A...>;
};
template <class... A, class... B, class... Rest>
struct Concatenate<ModelList<A...>, ModelList<B...>, Rest...>
    : Concatenate<ModelList<A..., B...>, Rest...> {};
} // namespace detail

/// The configurations of all `Lists`, one after another.
template <class... Lists>
using concatenate = typename detail::Concatenate<Lists...>::type;

/// ViT-B/16 (paper section 4.1) for square pictures of `Image` pixels.
template <int Image>
struct vit_base {
    static constexpr int image = Image, patch = 16, width = 768, depth = 12, heads = 12,
                         hidden = 3072;
    static constexpr int recompute = 0;
};

/// ViT-L/16. It is always trained with stochastic depth.
template <int Image>
struct vit_large {
    static constexpr int image = Image, patch = 16, width = 1024, depth = 24, heads = 16,
                         hidden = 4096;
    static constexpr double drop_path = 0.1;
    static constexpr int recompute = 0;
};

/// BERT-base with cross-attention and the two added tokens: the text network of every published
/// BLIP, looking at states `EncoderWidth` wide.
template <int EncoderWidth>
struct bert_base {
    static constexpr int vocabulary = 30524, positions = 512, width = 768, depth = 12, heads = 12;
    static constexpr int hidden = 3072, encoder_width = EncoderWidth, recompute = 0;
};

/// A published model size at an image size. 384 pixels is what captioning, retrieval and matching
/// checkpoints use, 480 visual question answering, 224 pre-training.
template <int Image>
struct base {
    static constexpr char const* name = "base";
    using vision = vit_base<Image>;
    using text = bert_base<768>;
    static constexpr int projection = 256;
};
template <int Image>
struct large {
    static constexpr char const* name = "large";
    using vision = vit_large<Image>;
    using text = bert_base<1024>;
    static constexpr int projection = 256;
};

using caption_base = base<384>;   ///< Salesforce/blip-image-captioning-base
using caption_large = large<384>; ///< Salesforce/blip-image-captioning-large

/// A size with the queue of momentum features that pre-training and retrieval fine-tuning keep.
template <class Sizes, int Queue = 57600>
struct with_queue : Sizes {
    static constexpr int queue = Queue;
};

/// Sizes whose last `Vision` and `Text` blocks keep only their input in training and run forward
/// again in backward (gradient checkpointing): the same bits for less memory and more time.
template <class Sizes, int Vision = Sizes::vision::depth, int Text = Sizes::text::depth>
struct recomputed : Sizes {
    struct vision : Sizes::vision {
        static constexpr int recompute = Vision;
    };
    struct text : Sizes::text {
        static constexpr int recompute = Text;
    };
};

/// The paper's sizes at the image sizes that it trains at, for which no checkpoint was published or
/// none under another name.
using vqa_large = large<480>;     ///< visual question answering with ViT-L
using vqa_large_384 = large<384>; ///< the same at the port's picture size

using pretrain_base = with_queue<base<224>>;
using pretrain_large = with_queue<large<224>>;
using retrieval_base = with_queue<base<384>>;
using retrieval_large = with_queue<large<384>>;

/// Published sizes that a captioning program serves.
using caption_models = ModelList<caption_base, caption_large, base<224>, large<224>, base<480>>;

/// Sizes that training programs serve; every other one is a config.json away (`BLIP_MODELS`).
using pretraining_models = ModelList<pretrain_base>;
using retrieval_training_models = ModelList<retrieval_base>;
using caption_training_models = ModelList<caption_base, caption_large>;
using vqa_training_models = ModelList<base<480>, base<384>>; ///< the authors' size first

/// The NLVR2 model, model_base_nlvr.pth: text layers from the seventh on merge.
struct nlvr_base : base<384> {
    static constexpr int merge_from = 6;
};

/// The same with ViT-L, of which no checkpoint was published.
struct nlvr_large : large<384> {
    static constexpr int merge_from = 6;
};

/// Published sizes that a program for pairs of pictures serves.
using pair_models = ModelList<nlvr_base>;

using vqa_base = base<480>;     ///< the authors' model_base_vqa_capfilt_large.pth and model_vqa.pth
using vqa_base_384 = base<384>; ///< Salesforce/blip-vqa-base and -capfilt-large in the port

/// Published sizes that a question answering program serves.
using answer_models = ModelList<vqa_base_384, vqa_base>;

using matching_base = base<384>;   ///< Salesforce/blip-itm-base-coco, model_base_retrieval_*.pth
using matching_large = large<384>; ///< Salesforce/blip-itm-large-coco, model_large_retrieval_*.pth

/// Published sizes that a matching or retrieval program serves.
using matching_models = ModelList<matching_base, matching_large>;

using features_base = base<224>;   ///< model_base_capfilt_large.pth and its like
using features_large = large<224>; ///< model_large.pth

/// Published sizes that a program for features serves.
using feature_models = ModelList<features_base, features_large, base<384>, large<384>>;

static_assert(CaptionConfig<caption_base> && CaptionConfig<caption_large>);
static_assert(CaptionConfig<vqa_large> && CaptionConfig<base<224>> && CaptionConfig<large<224>>);
static_assert(PairConfig<nlvr_base> && PairConfig<nlvr_large>);
static_assert(MatchingConfig<matching_base> && MatchingConfig<matching_large>);
static_assert(MatchingConfig<features_base> && MatchingConfig<features_large>);

} // namespace blip::config
