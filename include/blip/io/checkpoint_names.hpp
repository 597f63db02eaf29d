#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <blip/core/error.hpp>

namespace blip {

/// Which of the two published implementations a checkpoint's names follow.
enum class Naming {
    original,    ///< the authors' release: "visual_encoder.blocks.0.attn.qkv.weight"
    hugging_face ///< the transformers port: "vision_model.encoder.layers.0.self_attn.qkv.weight"
};

namespace detail {

/// One part of the tree in its three spellings. `*` stands for a block's number, `{a,b}` for
/// several tensors whose rows follow one another in ours.
struct NameRule {
    std::string_view ours, original, hugging_face;
};

inline constexpr std::array vision_names{
    NameRule{"embedding.class_token", "cls_token", "embeddings.class_embedding"},
    NameRule{"embedding.positions", "pos_embed", "embeddings.position_embedding"},
    NameRule{"embedding.projection", "patch_embed.proj", "embeddings.patch_embedding"},
    NameRule{"stack.blocks.*.attention.norm", "blocks.*.norm1", "encoder.layers.*.layer_norm1"},
    NameRule{"stack.blocks.*.attention.branch.qkv", "blocks.*.attn.qkv",
             "encoder.layers.*.self_attn.qkv"},
    NameRule{"stack.blocks.*.attention.branch.output", "blocks.*.attn.proj",
             "encoder.layers.*.self_attn.projection"},
    NameRule{"stack.blocks.*.mlp.norm", "blocks.*.norm2", "encoder.layers.*.layer_norm2"},
    NameRule{"stack.blocks.*.mlp.branch.up", "blocks.*.mlp.fc1", "encoder.layers.*.mlp.fc1"},
    NameRule{"stack.blocks.*.mlp.branch.down", "blocks.*.mlp.fc2", "encoder.layers.*.mlp.fc2"},
    NameRule{"norm", "norm", "post_layernorm"},
};

// The text network kept the authors' names in the port.
inline constexpr std::array text_names{
    NameRule{"embedding.words", "embeddings.word_embeddings.weight", ""},
    NameRule{"embedding.positions", "embeddings.position_embeddings.weight", ""},
    NameRule{"embedding.norm", "embeddings.LayerNorm", ""},
    NameRule{"stack.blocks.*.attention.branch.qkv",
             "encoder.layer.*.attention.self.{query,key,value}", ""},
    NameRule{"stack.blocks.*.attention.branch.output", "encoder.layer.*.attention.output.dense",
             ""},
    NameRule{"stack.blocks.*.attention.norm", "encoder.layer.*.attention.output.LayerNorm", ""},
    NameRule{"stack.blocks.*.cross.branch.query", "encoder.layer.*.crossattention.self.query", ""},
    NameRule{"stack.blocks.*.cross.branch.key_value",
             "encoder.layer.*.crossattention.self.{key,value}", ""},
    NameRule{"stack.blocks.*.cross.branch.output", "encoder.layer.*.crossattention.output.dense",
             ""},
    NameRule{"stack.blocks.*.cross.branch.first.query",
             "encoder.layer.*.crossattention.self0.query", ""},
    NameRule{"stack.blocks.*.cross.branch.first.key_value",
             "encoder.layer.*.crossattention.self0.{key,value}", ""},
    NameRule{"stack.blocks.*.cross.branch.first.output",
             "encoder.layer.*.crossattention.output.dense0", ""},
    NameRule{"stack.blocks.*.cross.branch.second.query",
             "encoder.layer.*.crossattention.self1.query", ""},
    NameRule{"stack.blocks.*.cross.branch.second.key_value",
             "encoder.layer.*.crossattention.self1.{key,value}", ""},
    NameRule{"stack.blocks.*.cross.branch.second.output",
             "encoder.layer.*.crossattention.output.dense1", ""},
    NameRule{"stack.blocks.*.cross.branch.merge",
             "encoder.layer.*.crossattention.output.merge_layer", ""},
    NameRule{"stack.blocks.*.cross.norm", "encoder.layer.*.crossattention.output.LayerNorm", ""},
    NameRule{"stack.blocks.*.mlp.branch.up", "encoder.layer.*.intermediate.dense", ""},
    NameRule{"stack.blocks.*.mlp.branch.down", "encoder.layer.*.output.dense", ""},
    NameRule{"stack.blocks.*.mlp.norm", "encoder.layer.*.output.LayerNorm", ""},
};

inline constexpr std::array head_names{
    NameRule{"transform", "transform.dense", ""},
    NameRule{"norm", "transform.LayerNorm", ""},
    NameRule{"bias", "bias", ""},
};

inline constexpr std::array whole_name{NameRule{"", "", ""}};

// Two linear layers with an activation between them, which counts as the second of three there.
inline constexpr std::array classifier_names{
    NameRule{"hidden", "0", ""},
    NameRule{"output", "2", ""},
};

/// Where a network hangs in ours and in a checkpoint.
struct RootRule {
    std::string_view ours, original, hugging_face;
    NameRule const* rules;
    std::size_t count;
};

inline constexpr std::array root_names{
    RootRule{"vision.", "visual_encoder.", "vision_model.", vision_names.data(),
             vision_names.size()},
    RootRule{"decoder.body.", "text_decoder.bert.", "", text_names.data(), text_names.size()},
    RootRule{"decoder.head.", "text_decoder.cls.predictions.", "", head_names.data(),
             head_names.size()},
    RootRule{"encoder.", "text_encoder.", "", text_names.data(), text_names.size()},
    RootRule{"vision_projection", "vision_proj", "", whole_name.data(), whole_name.size()},
    RootRule{"text_projection", "text_proj", "", whole_name.data(), whole_name.size()},
    RootRule{"matching", "itm_head", "", whole_name.data(), whole_name.size()},
    RootRule{"classifier.", "cls_head.", "", classifier_names.data(), classifier_names.size()},
    RootRule{"temperature", "temp", "", whole_name.data(), whole_name.size()},
    // The momentum copies of pre-training and retrieval; the port has none.
    RootRule{"teacher.vision.", "visual_encoder_m.", "", vision_names.data(), vision_names.size()},
    RootRule{"teacher.encoder.", "text_encoder_m.", "", text_names.data(), text_names.size()},
    RootRule{"teacher.vision_projection", "vision_proj_m", "", whole_name.data(),
             whole_name.size()},
    RootRule{"teacher.text_projection", "text_proj_m", "", whole_name.data(), whole_name.size()},
};

/// Matches `rule` (one `*` at most, for digits) at the start of `path`, up to its end or a dot.
/// Gives what `*` stood for and what is left, from the dot on.
inline bool match(std::string_view rule, std::string_view path, std::string_view& star,
                  std::string_view& rest) {
    auto const wild = rule.find('*');
    auto const head = rule.substr(0, wild);
    if (!path.starts_with(head))
        return false;
    path.remove_prefix(head.size());
    star = {};
    if (wild != std::string_view::npos) {
        auto const digits = path.find_first_not_of("0123456789");
        star = path.substr(0, digits);
        path.remove_prefix(star.size());
        auto const tail = rule.substr(wild + 1);
        if (!path.starts_with(tail))
            return false;
        path.remove_prefix(tail.size());
    }
    rest = path;
    return rest.empty() || rest.front() == '.';
}

/// Replaces `*`, expands `{a,b}`, and appends `rest` with a norm's parameters spelled as PyTorch
/// does.
inline std::vector<std::string> spell(std::string_view root, std::string_view rule,
                                      std::string_view star, std::string_view rest) {
    std::string name(root);
    name += rule;
    if (auto const wild = name.find('*'); wild != std::string::npos)
        name.replace(wild, 1, star);
    if (rest == ".scale")
        rest = ".weight";
    else if (rest == ".shift")
        rest = ".bias";
    auto const open = name.find('{');
    if (open == std::string::npos)
        return {name + std::string(rest)};
    auto const close = name.find('}');
    std::vector<std::string> names;
    for (auto from = open + 1; from < close;) {
        auto const to = std::min(name.find(',', from), close);
        names.push_back(name.substr(0, open) + name.substr(from, to - from) +
                        name.substr(close + 1) + std::string(rest));
        from = to + 1;
    }
    return names;
}

} // namespace detail

/// The checkpoint tensors that parameter `path` of a model tree is made of; several are put under
/// one another, rows after rows. Throws ArgumentError for a path that no published model has.
inline std::vector<std::string> checkpoint_names(std::string_view path, Naming naming) {
    for (auto const& root : detail::root_names) {
        if (!path.starts_with(root.ours))
            continue;
        auto const inner = path.substr(root.ours.size());
        for (std::size_t i = 0; i < root.count; ++i) {
            auto const& rule = root.rules[i];
            std::string_view star, rest;
            if (!detail::match(rule.ours, inner, star, rest))
                continue;
            bool const port = naming == Naming::hugging_face;
            bool const renamed_root = port && !root.hugging_face.empty();
            bool const renamed_rule = port && !rule.hugging_face.empty();
            return detail::spell(renamed_root ? root.hugging_face : root.original,
                                 renamed_rule ? rule.hugging_face : rule.original, star, rest);
        }
    }
    throw ArgumentError(join("no checkpoint name is known for parameter \"", path, "\""));
}

/// The tensor of a model of one picture that `name`, of a model of two, starts from when such a
/// model is made of a checkpoint for one: both twins begin alike. Empty for any other name.
inline std::string single_image_name(std::string_view name) {
    constexpr std::string_view part = ".crossattention.";
    auto const at = name.find(part);
    if (at == name.npos)
        return {};
    std::string const head(name.substr(0, at + part.size()));
    auto const tail = name.substr(at + part.size());
    for (std::string_view const twin : {"self0.", "self1.", "output.dense0.", "output.dense1."})
        if (tail.starts_with(twin))
            return join(head, twin.substr(0, twin.size() - 2), ".", tail.substr(twin.size()));
    return {};
}

/// Names under which a checkpoint may hold the same tensor again (tied weights), to fall back on.
inline std::vector<std::string> tied_names(std::string_view name) {
    constexpr std::string_view words = "text_decoder.bert.embeddings.word_embeddings.weight";
    constexpr std::string_view bias = "text_decoder.cls.predictions.bias";
    if (name == words)
        return {"text_decoder.cls.predictions.decoder.weight"};
    if (name == bias)
        return {"text_decoder.cls.predictions.decoder.bias"};
    return {};
}

/// The same as a model of type `Network` ties its tensors: networks that share more than every
/// decoder does say so in a `tied_names` of their own.
template <class Network>
std::vector<std::string> tied_names_of(std::string_view name) {
    if constexpr (requires { Network::tied_names(name); })
        return Network::tied_names(name);
    else
        return tied_names(name);
}

/// Gives the names of the tensors that a parameter is made of, by its path.
using TensorNames = std::function<std::vector<std::string>(std::string const&)>;

/// Gives the further names of a tensor, as tied_names_of does.
using TiedNames = std::vector<std::string> (*)(std::string_view);

} // namespace blip
