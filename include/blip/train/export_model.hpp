#pragma once

#include <filesystem>

#include <blip/io/save_weights.hpp>
#include <blip/models/loaded_model.hpp>

namespace blip {

/// Writes a model, `*objective.shared()` for one, for others to use. What, is said by the end of
/// `path`:
/// - ".pth" or ".pt": a file for torch.load, with the names of the authors' release;
/// - ".safetensors": the same tensors in that format;
/// - anything else: a folder as transformers has them, with configuration and vocabulary, wherever
///   transformers has a class for the task; for pre-training and pair reasoning the folder names
///   its tensors as the authors do, and only this library reads it.
/// A file alone does not say how many heads a model has: keep the folder too, unless the sizes are
/// those of a published model. Throws FileError; ArgumentError when a weight is too large for the
/// type of `options`.
template <class Network>
void export_model(LoadedModel<Network> const& model, std::filesystem::path const& path,
                  SaveOptions const& options = {}) {
    if (!is_weights_file(path)) {
        model.save(path, options);
        return;
    }
    auto engine = model.engine;
    save_original(path, model.weights, engine, options);
}

} // namespace blip
