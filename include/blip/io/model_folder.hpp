#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <blip/config/generation.hpp>
#include <blip/io/generation_config.hpp>
#include <blip/io/json.hpp>
#include <blip/io/model_config.hpp>
#include <blip/io/tensor_file.hpp>
#include <blip/vision/preprocess.hpp>

namespace blip {

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

    /// A folder whose sizes are to be trained from scratch: config.json counts, `weights` stays
    /// empty. Throws FileError when there is no config.json, and whatever the readers throw.
    static ModelFolder open_untrained(std::filesystem::path const& path);
};

namespace detail {

/// Whether `path` is a file that can be opened. Throws FileError for a link to nothing, and where
/// the system does not tell: a folder without permission, links in a circle.
inline bool has_file(std::filesystem::path const& path) {
    std::error_code problem;
    auto const status = std::filesystem::status(path, problem);
    if (problem && status.type() != std::filesystem::file_type::not_found)
        throw FileError(join(path.string(), ": cannot be examined: ", problem.message(),
                             ". Check the permissions of its folder, and where links lead"));
    bool const exists = std::filesystem::exists(status);
    if (!exists && std::filesystem::is_symlink(path, problem))
        throw FileError(join(path.string(), ": is a link to ",
                             std::filesystem::read_symlink(path, problem).string(),
                             ", which does not exist. Was the download completed?"));
    return std::filesystem::is_regular_file(status);
}

/// The weights of a folder, in the order in which transformers prefers them; then a single .pth.
inline std::filesystem::path find_weights(std::filesystem::path const& folder) {
    namespace fs = std::filesystem;
    constexpr std::array names{"model.safetensors", "model.safetensors.index.json",
                               "pytorch_model.bin", "pytorch_model.bin.index.json"};
    for (auto const* name : names)
        if (has_file(folder / name))
            return folder / name;
    std::vector<fs::path> found;
    std::error_code problem;
    fs::directory_iterator entry(folder, problem);
    for (; !problem && entry != fs::directory_iterator(); entry.increment(problem))
        if (entry->path().extension() == ".pth")
            found.push_back(entry->path());
    if (problem)
        throw FileError(join(folder.string(), ": this folder cannot be listed: ", problem.message(),
                             ". Check its permissions"));
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
    if (!has_file(folder / name))
        return std::nullopt;
    return JsonDocument::open(folder / name);
}

/// The side of the square that "size" asks for: a number, or equal "height" and "width".
inline std::size_t read_side(JsonDocument const& json) {
    bool const is_object = json.root().at("size").is_object();
    int const height = json.required<int>(is_object ? "size.height" : "size");
    int const width = is_object ? json.required<int>("size.width") : height;
    if (height != width || height < 1)
        throw ConfigError(join(json.where(), ": \"size\" is ", height, " x ", width,
                               ", but BLIP takes square pictures"));
    return static_cast<std::size_t>(height);
}

inline void read_preprocess(JsonDocument const& json, Preprocess& how) {
    // The steps that BLIP has must not be switched off, nor those it has not be switched on.
    for (auto const& [key, expected] : {std::pair{"do_resize", true},
                                        {"do_convert_rgb", true},
                                        {"do_center_crop", false},
                                        {"do_pad", false}})
        if (json.value_or(key, expected) != expected)
            throw ConfigError(join(json.where(), ": \"", key, "\" is ", expected ? "false" : "true",
                                   ", but a BLIP model takes whole ",
                                   "pictures in RGB, resized to its size; expected ",
                                   expected ? "true" : "false"));
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
    if (!json.value_or("do_rescale", true))
        how.rescale = 1;
    if (!json.value_or("do_normalize", true)) {
        how.mean = {0, 0, 0};
        how.std = {1, 1, 1};
    }
    for (std::size_t i = 0; i < 3; ++i)
        if (!(how.std[i] > 0) || !std::isfinite(how.std[i]) || !std::isfinite(how.mean[i]))
            throw ConfigError(join(json.where(), ": mean ", how.mean[i], " and deviation ",
                                   how.std[i],
                                   " normalise nothing; \"image_std\" must be above 0"));
    if (json.has("size"))
        how.size = read_side(json);
    // Pillow's number of bicubic, the only filter BLIP was trained and published with.
    if (int const filter = json.value_or("resample", 3); filter != 3)
        throw ConfigError(join(json.where(), ": \"resample\" is ", filter,
                               ", but only 3 (bicubic) is supported"));
}

/// Some downloads keep the model one level down.
inline std::filesystem::path folder_of_model(std::filesystem::path const& path) {
    return has_file(path / "model" / "config.json") ? path / "model" : path;
}

/// What lies beside config.json and weights.
inline void read_beside(ModelFolder& model) {
    model.preprocess.size = static_cast<std::size_t>(model.sizes.vision.image);
    if (auto const json = find_json(model.folder, "preprocessor_config.json"))
        read_preprocess(*json, model.preprocess);
    if (auto const json = find_json(model.folder, "generation_config.json"))
        model.generation = read_generation(*json, model.settings.warnings);
}

} // namespace detail

inline ModelFolder ModelFolder::open_untrained(std::filesystem::path const& path) {
    ModelFolder model;
    model.folder = detail::folder_of_model(path);
    auto const config = detail::find_json(model.folder, "config.json");
    if (!config)
        throw FileError(join(path.string(), ": no config.json, which says the sizes of a model "
                                            "that is to be trained from scratch"));
    model.settings = read_settings(*config);
    model.sizes = read_sizes(*config, model.settings.warnings);
    detail::read_beside(model);
    return model;
}

inline ModelFolder ModelFolder::open(std::filesystem::path const& path) {
    namespace fs = std::filesystem;
    std::error_code ignored;
    bool const is_folder = fs::is_directory(path, ignored);
    if (!is_folder && !detail::has_file(path))
        throw FileError(join(path.string(), ": no such model folder or weights file"));
    ModelFolder model;
    if (!is_folder)
        model.folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
    else
        model.folder = detail::folder_of_model(path);
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
    if (!config || (naming == Naming::original && !config->has("blip.implementation")))
        model.settings.compatibility =
            naming == Naming::original ? Compatibility::salesforce : Compatibility::hugging_face;
    if (!config && naming == Naming::hugging_face) {
        model.settings.vision_epsilon = 1e-5;
        model.settings.label_smoothing = 0;
    }
    detail::read_beside(model);
    return model;
}

} // namespace blip
