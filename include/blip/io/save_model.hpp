#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <blip/config/sizes.hpp>
#include <blip/io/generation_config.hpp>
#include <blip/io/model_config.hpp>
#include <blip/io/save_weights.hpp>
#include <blip/io/task.hpp>
#include <blip/io/write_file.hpp>
#include <blip/text/wordpiece.hpp>
#include <blip/vision/preprocess.hpp>

namespace blip {

namespace detail {

/// The class of transformers that reads a model of `task`; empty where there is none.
inline std::string_view port_class(Task task) {
    switch (task) {
    case Task::captioning:
        return "BlipForConditionalGeneration";
    case Task::question_answering:
        return "BlipForQuestionAnswering";
    case Task::matching:
        return "BlipForImageTextRetrieval";
    default:
        return {};
    }
}

/// config.json as transformers writes it, with every size spelled out.
inline nlohmann::ordered_json config_json(ModelSizes const& sizes, int projection, Task task,
                                          ModelSettings const& s, SpecialIds const& ids) {
    auto const& v = sizes.vision;
    auto const& t = sizes.text;
    nlohmann::ordered_json json = {{"architectures", nlohmann::ordered_json::array()},
                                   {"model_type", "blip"},
                                   {"image_text_hidden_size", projection},
                                   {"initializer_factor", 1.0},
                                   {"logit_scale_init_value", 2.6592},
                                   {"projection_dim", 512},
                                   {"label_smoothing", s.label_smoothing},
                                   {"tie_word_embeddings", true},
                                   {"torch_dtype", "float32"},
                                   {"vision_config",
                                    {{"model_type", "blip_vision_model"},
                                     {"hidden_act", "gelu"},
                                     {"hidden_size", v.width},
                                     {"intermediate_size", v.hidden},
                                     {"num_hidden_layers", v.depth},
                                     {"num_attention_heads", v.heads},
                                     {"image_size", v.image},
                                     {"patch_size", v.patch},
                                     {"layer_norm_eps", s.vision_epsilon}}},
                                   {"text_config",
                                    {{"model_type", "blip_text_model"},
                                     {"hidden_act", "gelu"},
                                     {"vocab_size", t.vocabulary},
                                     {"hidden_size", t.width},
                                     {"encoder_hidden_size", t.encoder_width},
                                     {"intermediate_size", t.hidden},
                                     {"num_hidden_layers", t.depth},
                                     {"num_attention_heads", t.heads},
                                     {"max_position_embeddings", t.positions},
                                     {"layer_norm_eps", s.text_epsilon},
                                     {"label_smoothing", s.label_smoothing},
                                     {"hidden_dropout_prob", s.hidden_dropout},
                                     {"attention_probs_dropout_prob", s.attention_dropout},
                                     {"bos_token_id", ids.dec},
                                     {"enc_token_id", ids.enc},
                                     {"eos_token_id", 2},
                                     {"pad_token_id", ids.pad},
                                     {"sep_token_id", ids.sep},
                                     {"is_decoder", true},
                                     {"use_cache", true}}}};
    if (auto const name = port_class(task); !name.empty())
        json["architectures"].push_back(name);
    json["blip"] = {{"implementation", name_of(s.compatibility)}};
    if (s.compatibility == Compatibility::strict)
        json["blip"]["release"] = name_of(release_of(s));
    if (s.prompt && (task == Task::captioning || task == Task::pre_training))
        json["blip"]["prompt"] = *s.prompt;
    return json;
}

/// vocab.txt: one piece a line, without the ids that have no piece.
inline std::string vocabulary_text(Vocabulary const& vocabulary) {
    std::string text;
    auto const& special = vocabulary.special();
    for (int id = 0; id < vocabulary.size(); ++id) {
        std::string const& piece = vocabulary.piece(id);
        // A hole in the ids keeps its line, so that later ids keep theirs.
        if (vocabulary.find(piece) != id && id != special.dec && id != special.enc) {
            text += "[unused_id_" + std::to_string(id) + "]\n";
            continue;
        }
        bool const unlisted = (id == special.dec || id == special.enc) && !vocabulary.find(piece);
        if (!unlisted)
            text += piece + "\n";
    }
    return text;
}

/// What a folder says of a model, whatever its type.
struct WrittenModel {
    Task task;
    ModelSizes sizes;
    int projection = 256;
    std::optional<int> merge_from{}; ///< of pair reasoning
    std::optional<int> queue{};      ///< of training with momentum

    /// Whether transformers has a class for it.
    bool in_port() const { return !port_class(task).empty(); }
};

template <class Network>
WrittenModel written_model() {
    using C = typename Network::config;
    WrittenModel model{.task = Network::task, .sizes = sizes_of<C>()};
    if constexpr (requires { C::projection; })
        model.projection = C::projection;
    if constexpr (requires { C::merge_from; })
        model.merge_from = C::merge_from;
    if constexpr (requires { C::queue; })
        model.queue = C::queue;
    return model;
}

/// save_model, compiled once for all networks.
inline void write_model_folder(std::filesystem::path const& folder, WrittenModel const& model,
                               std::vector<OutputTensor> tensors, ModelSettings const& settings,
                               Tokenizer const& tokenizer, Preprocess const& preprocess,
                               GenerationDefaults const& defaults, SaveOptions const& options) {
    std::error_code failed;
    std::filesystem::create_directories(folder, failed);
    if (failed)
        throw FileError(join(folder.string(), ": cannot make the folder: ", failed.message()));
    auto write = [&folder](char const* name, nlohmann::ordered_json const& json) {
        write_file(folder / name, json.dump(2) + "\n");
    };
    auto const& ids = tokenizer.vocabulary().special();
    write_safetensors(folder / "model.safetensors", std::move(tensors),
                      {.floating_type = options.floating_type});
    auto config = config_json(model.sizes, model.projection, model.task, settings, ids);
    if (options.floating_type)
        config["torch_dtype"] = name_of(*options.floating_type);
    if (model.merge_from)
        config["blip"]["merge_from_layer"] = *model.merge_from;
    if (model.queue && !model.in_port())
        config["blip"]["queue_size"] = *model.queue;
    write("config.json", config);
    nlohmann::ordered_json generation = {
        {"bos_token_id", ids.dec}, {"eos_token_id", ids.sep}, {"pad_token_id", ids.pad}};
    generation.update(
        generation_json(generation_defaults(model.task, release_of(settings), defaults)));
    if (model.task == Task::captioning || model.task == Task::question_answering)
        write("generation_config.json", generation);
    write("preprocessor_config.json",
          {{"image_processor_type", "BlipImageProcessor"},
           {"do_convert_rgb", true},
           {"do_normalize", true},
           {"do_rescale", true},
           {"do_resize", true},
           {"image_mean", preprocess.mean},
           {"image_std", preprocess.std},
           {"resample", 3},
           {"rescale_factor", preprocess.rescale},
           {"size", {{"height", preprocess.size}, {"width", preprocess.size}}}});
    write_file(folder / "vocab.txt", vocabulary_text(tokenizer.vocabulary()));
    write("tokenizer_config.json", {{"tokenizer_class", "BertTokenizer"},
                                    {"do_lower_case", true},
                                    {"unk_token", "[UNK]"},
                                    {"sep_token", "[SEP]"},
                                    {"pad_token", "[PAD]"},
                                    {"cls_token", "[CLS]"},
                                    {"mask_token", "[MASK]"},
                                    {"model_max_length", model.sizes.text.positions}});
}

} // namespace detail

/// Writes a folder that this library loads, and transformers where it has a class for the task:
/// config.json, model.safetensors, vocab.txt, and the small files beside them. Tensors are named as
/// in the port where it has the class, elsewhere as in the authors' release, tied ones once for
/// every name, so that models of parts read them too; generation_config.json says what generates by
/// `defaults`; `more` tensors go into the weights file too. Each file appears whole or not at all.
/// Throws FileError; ArgumentError when a weight is too large for the type of `options`.
template <class Network>
void save_model(std::filesystem::path const& folder, Weights<Network> const& weights,
                typename Network::backend::Engine& engine, ModelSettings const& settings,
                Tokenizer const& tokenizer, Preprocess const& preprocess,
                GenerationDefaults const& defaults = {}, SaveOptions const& options = {},
                std::vector<OutputTensor> more = {}) {
    auto const model = detail::written_model<Network>();
    auto tensors = model.in_port() ? published_tensors(weights, engine, Naming::hugging_face)
                                   : original_tensors(weights, engine).untied();
    std::ranges::move(more, std::back_inserter(tensors));
    detail::write_model_folder(folder, model, std::move(tensors), settings, tokenizer, preprocess,
                               defaults, options);
}

} // namespace blip
