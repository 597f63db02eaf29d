#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <blip/io/json.hpp>
#include <blip/io/model_config.hpp>
#include <blip/io/tensor_file.hpp>
#include <blip/vision/preprocess.hpp>

namespace blip {

/// What a folder's generation_config.json asks for, where it says something.
struct GenerationDefaults {
    std::optional<int> beams, max_length, max_new_tokens, min_length, no_repeat_ngram;
    std::optional<double> repetition_penalty, length_penalty;
};

/// A checkpoint on disk with what lies beside it: a Hugging Face folder, a folder with the authors'
/// `.pth`, or a weights file alone. Opening it maps the weights and reads the small files.
struct ModelFolder {
    std::filesystem::path folder; ///< where vocabulary and configs are looked for
    TensorFile weights;
    ModelSizes sizes;
    ModelSettings settings;
    Preprocess preprocess;
    GenerationDefaults generation;

    /// Throws FileError when nothing usable is there, and whatever the readers throw.
    static ModelFolder open(std::filesystem::path const& path);
};

namespace detail {

/// The weights of a folder, in the order in which transformers prefers them; then a single .pth.
inline std::filesystem::path find_weights(std::filesystem::path const& folder) {
    namespace fs = std::filesystem;
    constexpr std::array names{"model.safetensors", "model.safetensors.index.json",
                               "pytorch_model.bin", "pytorch_model.bin.index.json"};
    for (auto const* name : names)
        if (fs::is_regular_file(folder / name))
            return folder / name;
    std::vector<fs::path> found;
    for (auto const& entry : fs::directory_iterator(folder))
        if (entry.path().extension() == ".pth")
            found.push_back(entry.path());
    if (found.size() == 1)
        return found.front();
    throw FileError(join(folder.string(),
                         ": expected model.safetensors, pytorch_model.bin, an index of shards, or "
                         "exactly one .pth file; found ",
                         found.size(), " .pth files. Name the weights file itself to choose one"));
}

/// A JSON file of `folder`, if it is there.
inline std::optional<JsonDocument> find_json(std::filesystem::path const& folder,
                                             char const* name) {
    if (!std::filesystem::is_regular_file(folder / name))
        return std::nullopt;
    return JsonDocument::open(folder / name);
}

inline void read_preprocess(JsonDocument const& json, Preprocess& how) {
    auto three = [&json](char const* key, std::array<float, 3>& to) {
        if (!json.has(key))
            return;
        auto const values = json.required<std::vector<float>>(key);
        if (values.size() != 3)
            throw FormatError(
                join(json.where(), ": \"", key, "\" has ", values.size(), " entries, expected 3"));
        std::copy(values.begin(), values.end(), to.begin());
    };
    three("image_mean", how.mean);
    three("image_std", how.std);
    how.rescale = json.value_or("rescale_factor", how.rescale);
    // Pillow's number of bicubic, the only filter BLIP was trained and published with.
    if (int const filter = json.value_or("resample", 3); filter != 3)
        throw ConfigError(join(json.where(), ": \"resample\" is ", filter,
                               ", but only 3 (bicubic) is supported"));
}

inline GenerationDefaults read_generation(JsonDocument const& json) {
    auto integer = [&json](char const* key) -> std::optional<int> {
        if (!json.has(key))
            return std::nullopt;
        return json.required<int>(key);
    };
    auto number = [&json](char const* key) -> std::optional<double> {
        if (!json.has(key))
            return std::nullopt;
        return json.required<double>(key);
    };
    return {.beams = integer("num_beams"),
            .max_length = integer("max_length"),
            .max_new_tokens = integer("max_new_tokens"),
            .min_length = integer("min_length"),
            .no_repeat_ngram = integer("no_repeat_ngram_size"),
            .repetition_penalty = number("repetition_penalty"),
            .length_penalty = number("length_penalty")};
}

} // namespace detail

inline ModelFolder ModelFolder::open(std::filesystem::path const& path) {
    namespace fs = std::filesystem;
    std::error_code ignored;
    bool const is_folder = fs::is_directory(path, ignored);
    if (!is_folder && !fs::exists(path, ignored))
        throw FileError(join(path.string(), ": no such model folder or weights file"));
    ModelFolder model;
    // Some downloads keep the model one level down.
    if (!is_folder)
        model.folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
    else
        model.folder = fs::exists(path / "model" / "config.json", ignored) ? path / "model" : path;
    model.weights = TensorFile::open(is_folder ? detail::find_weights(model.folder) : path);
    auto const config = detail::find_json(model.folder, "config.json");
    if (config) {
        model.settings = read_settings(*config);
        model.sizes = read_sizes(*config, model.settings.warnings);
    } else {
        model.sizes = measure_sizes(model.weights);
    }
    // A config.json may say whose numbers are meant; otherwise the weights' own names do.
    Naming const naming = detect_naming(model.weights);
    if (!config || naming == Naming::original)
        model.settings.compatibility =
            naming == Naming::original ? Compatibility::salesforce : Compatibility::hugging_face;
    if (!config && naming == Naming::hugging_face) {
        model.settings.vision_epsilon = 1e-5;
        model.settings.label_smoothing = 0;
    }
    model.preprocess.size = static_cast<std::size_t>(model.sizes.vision.image);
    if (auto const json = detail::find_json(model.folder, "preprocessor_config.json"))
        detail::read_preprocess(*json, model.preprocess);
    if (auto const json = detail::find_json(model.folder, "generation_config.json"))
        model.generation = detail::read_generation(*json);
    return model;
}

} // namespace blip
