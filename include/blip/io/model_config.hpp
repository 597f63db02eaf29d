#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <blip/config/sizes.hpp>
#include <blip/io/json.hpp>
#include <blip/io/load_weights.hpp>
#include <blip/io/tensor_file.hpp>

namespace blip {

/// Which published implementation's behaviour is followed where the two disagree.
enum class Compatibility {
    salesforce,   ///< the authors' release: prompt "a picture of ", beam search, its lengths
    hugging_face, ///< the transformers port: no prompt, greedy, padded prompt batches
    strict ///< numbers without quirks: a batch gives what its items give alone. Prompts, lengths
           ///< and searches stay those of the checkpoint's release (`release_of`)
};

/// What a checkpoint says besides sizes and weights.
struct ModelSettings {
    Compatibility compatibility = Compatibility::salesforce;
    double vision_epsilon = 1e-6;
    double text_epsilon = 1e-12;
    double label_smoothing = 0.1;
    double hidden_dropout = 0.1;    ///< text network, in training
    double attention_dropout = 0.1; ///< text network, in training
    std::optional<int> dec_id, enc_id, cls_id, sep_id, pad_id, unk_id, mask_id;
    std::vector<std::string> warnings; ///< known oddities that were worked around, for the user
    /// Whose checkpoint it is where Compatibility::strict was chosen for one of the authors'.
    std::optional<Compatibility> release{};
    /// What captions follow where a caller gives no prompt: what a captioner was trained with.
    std::optional<std::string> prompt{};
};

/// Whose prompts, lengths, cuts and searches a model follows where a caller says nothing:
/// salesforce or hugging_face. Compatibility::strict keeps those of the checkpoint's own release,
/// the port's where that is not known: it changes masks, padding and first tokens only.
inline Compatibility release_of(ModelSettings const& settings) {
    return settings.compatibility == Compatibility::strict
               ? settings.release.value_or(Compatibility::hugging_face)
               : settings.compatibility;
}

/// What captions follow where a caller says nothing: the model's own prompt, else its release's.
inline std::string caption_prompt(ModelSettings const& settings) {
    return settings.prompt.value_or(
        release_of(settings) == Compatibility::salesforce ? "a picture of " : "");
}

/// The name under which this library keeps it in a saved model's config.json.
inline std::string_view name_of(Compatibility compatibility) {
    switch (compatibility) {
    case Compatibility::salesforce:
        return "salesforce";
    case Compatibility::hugging_face:
        return "hugging_face";
    case Compatibility::strict:
        return "strict";
    }
    return {};
}

namespace detail {

inline Compatibility parse_compatibility(std::string const& name, std::string const& where) {
    for (auto const value :
         {Compatibility::salesforce, Compatibility::hugging_face, Compatibility::strict})
        if (name == name_of(value))
            return value;
    throw ConfigError(join(where, ": \"blip.implementation\" is \"", name,
                           "\", expected salesforce, hugging_face or strict"));
}

/// Head counts cannot be read off weights. A text width of 768 with any count but 12 is a known
/// wrong config: early published files relied on the port's default of 8 and gave wrong results.
inline int text_heads(int width, int heads, std::vector<std::string>& warnings) {
    if (width != 768 || heads == 12)
        return heads;
    warnings.push_back(join("config says ", heads,
                            " text heads for width 768; every published BLIP "
                            "checkpoint of this width has 12, so 12 are used"));
    return 12;
}

inline int positive(JsonDocument const& json, std::string const& key, int fallback) {
    int const value = json.value_or(key, fallback);
    if (value < 1 || value > (1 << 24))
        throw ConfigError(
            join(json.where(), ": \"", key, "\" is ", value, ", expected 1 to ", 1 << 24));
    return value;
}

} // namespace detail

/// Sizes from a Hugging Face config.json; keys that it leaves out take that library's defaults
/// (transformers 5.23.0). Throws FormatError or ConfigError that names the key.
inline ModelSizes read_sizes(JsonDocument const& json, std::vector<std::string>& warnings) {
    auto number = [&json](std::string const& key, int fallback) {
        return detail::positive(json, key, fallback);
    };
    VisionSizes const v{.image = number("vision_config.image_size", 384),
                        .patch = number("vision_config.patch_size", 16),
                        .width = number("vision_config.hidden_size", 768),
                        .depth = number("vision_config.num_hidden_layers", 12),
                        .heads = number("vision_config.num_attention_heads", 12),
                        .hidden = number("vision_config.intermediate_size", 3072)};
    int const width = number("text_config.hidden_size", 768);
    TextSizes const t{
        .vocabulary = number("text_config.vocab_size", 30524),
        .positions = number("text_config.max_position_embeddings", 512),
        .width = width,
        .depth = number("text_config.num_hidden_layers", 12),
        .heads = detail::text_heads(width, number("text_config.num_attention_heads", 8), warnings),
        .hidden = number("text_config.intermediate_size", 3072),
        .encoder_width = v.width};
    return {v, t};
}

/// Settings from a Hugging Face config.json, with that library's defaults.
inline ModelSettings read_settings(JsonDocument const& json) {
    ModelSettings s;
    s.vision_epsilon = json.value_or("vision_config.layer_norm_eps", 1e-5);
    s.text_epsilon = json.value_or("text_config.layer_norm_eps", 1e-12);
    s.label_smoothing =
        json.value_or("text_config.label_smoothing", json.value_or("label_smoothing", 0.0));
    s.hidden_dropout = json.value_or("text_config.hidden_dropout_prob", 0.0);
    s.attention_dropout = json.value_or("text_config.attention_probs_dropout_prob", 0.0);
    auto id = [&json](std::string const& key) -> std::optional<int> {
        if (!json.has(key))
            return std::nullopt;
        int const value = json.required<int>(key);
        if (value < 0 || value >= (1 << 24))
            throw ConfigError(join(json.where(), ": \"", key, "\" is ", value, ", expected 0 to ",
                                   (1 << 24) - 1));
        return value;
    };
    for (std::string const key : {"text_config.hidden_act", "vision_config.hidden_act"})
        if (auto const act = json.value_or<std::string>(key, "gelu"); act != "gelu")
            throw ConfigError(join(json.where(), ": \"", key, "\" is \"", act,
                                   "\", but BLIP's activation is \"gelu\" (the exact form)"));
    s.dec_id = id("text_config.bos_token_id").value_or(30522);
    s.enc_id = id("text_config.enc_token_id").value_or(*s.dec_id + 1);
    s.sep_id = id("text_config.sep_token_id").value_or(102);
    s.pad_id = id("text_config.pad_token_id").value_or(0);
    s.cls_id = id("text_config.cls_token_id");
    s.unk_id = id("text_config.unk_token_id");
    s.mask_id = id("text_config.mask_token_id");
    auto const followed = json.value_or<std::string>("blip.implementation", "hugging_face");
    s.compatibility = detail::parse_compatibility(followed, json.where());
    if (json.has("blip.release"))
        s.release =
            detail::parse_compatibility(json.required<std::string>("blip.release"), json.where());
    if (s.release == Compatibility::strict)
        throw ConfigError(join(json.where(), ": \"blip.release\" is \"strict\", expected "
                                             "salesforce or hugging_face"));
    if (json.has("blip.prompt"))
        s.prompt = json.required<std::string>("blip.prompt");
    return s;
}

/// Sizes read off the tensors of a checkpoint that has no config.json. Heads follow the published
/// models: 64 channels each. Throws CheckpointError when a tensor that tells a size is missing.
inline ModelSizes measure_sizes(TensorFile const& file) {
    Naming const naming = detect_naming(file);
    auto shape = [&](std::string const& path) {
        auto const name = checkpoint_names(path, naming).front();
        auto const* tensor = detail::find_tied(file, name);
        if (!tensor || tensor->shape.empty())
            throw CheckpointError(join(file.path().string(),
                                       ": cannot tell the model's sizes: tensor ", name,
                                       " is missing"));
        return tensor->shape;
    };
    auto extent = [&](std::string const& path, std::size_t axis) {
        auto const s = shape(path);
        if (axis >= s.size() || s[axis] < 1 || s[axis] > (1 << 24))
            throw CheckpointError(join(file.path().string(), ": ",
                                       checkpoint_names(path, naming).front(), " has shape ",
                                       shape_text(s), ", which fits no BLIP model"));
        return static_cast<int>(s[axis]);
    };
    auto depth = [&](std::string const& before, std::string const& after) {
        int count = 0;
        while (
            detail::find_tied(file, checkpoint_names(join(before, count, after), naming).front()))
            ++count;
        return count;
    };
    ModelSizes sizes;
    auto& v = sizes.vision;
    v.width = extent("vision.embedding.class_token", 2);
    v.patch = extent("vision.embedding.projection.weight", 3);
    int const patches = extent("vision.embedding.positions", 1) - 1;
    auto const grid =
        static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(patches))));
    if (grid < 1 || grid * grid != patches || grid * v.patch > (1 << 24))
        throw CheckpointError(join(file.path().string(), ": a position table of ", patches,
                                   " patches is no square grid of a possible picture"));
    v.image = static_cast<int>(grid) * v.patch;
    v.depth = depth("vision.stack.blocks.", ".attention.norm.scale");
    v.hidden = extent("vision.stack.blocks.0.mlp.branch.up.weight", 0);
    v.heads = std::max(1, v.width / 64);
    auto& t = sizes.text;
    // Where there are two text networks, the encoder is the one that looks at the picture.
    bool const has_encoder =
        detail::find_tied(file, checkpoint_names("encoder.embedding.words", naming).front());
    std::string const body = has_encoder ? "encoder." : "decoder.body.";
    t.vocabulary = extent(body + "embedding.words", 0);
    t.width = extent(body + "embedding.words", 1);
    t.positions = extent(body + "embedding.positions", 0);
    t.depth = depth(body + "stack.blocks.", ".attention.norm.scale");
    t.hidden = extent(body + "stack.blocks.0.mlp.branch.up.weight", 0);
    // A model of two pictures has two of these; either tells the width.
    std::string const cross =
        checkpoint_names(body + "stack.blocks.0.cross.branch.key_value.weight", naming).front();
    std::string twin = cross;
    if (auto const at = twin.find("crossattention.self."); at != twin.npos)
        twin.replace(at, 20, "crossattention.self0.");
    bool const twins = !file.find(cross) && file.find(twin);
    auto const* projected = twins ? file.find(twin) : file.find(cross);
    if (!projected || projected->shape.size() != 2 || projected->shape[1] < 1 ||
        projected->shape[1] > (1 << 24))
        throw CheckpointError(join(file.path().string(), ": cannot tell the model's sizes: tensor ",
                                   cross, " is missing or no matrix"));
    t.encoder_width = static_cast<int>(projected->shape[1]);
    t.heads = std::max(1, t.width / 64);
    return sizes;
}

/// Puts epsilons, dropout probabilities and the padding id into the layers of a network.
template <class Network>
void apply_settings(Network& network, ModelSettings const& settings) {
    for (auto const& setting : list_settings(network)) {
        auto const& path = setting.path();
        bool const vision = path.starts_with("vision.");
        if (path.ends_with("epsilon"))
            setting.set(vision ? settings.vision_epsilon : settings.text_epsilon);
        else if (path.ends_with(".dropout") && !vision)
            setting.set(settings.attention_dropout);
        else if (path.ends_with("dropout.probability"))
            setting.set(settings.hidden_dropout);
        else if (path.ends_with("padding_id"))
            setting.set(settings.pad_id.value_or(-1));
    }
}

} // namespace blip
