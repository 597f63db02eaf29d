#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <utility>

#include <blip/models/loaded_model.hpp>

namespace blip {

/// What every model type (`Derived`) does with the weights it answers from: loads them or takes
/// them in parts, shares them with its copies and with other types, saves them. What it shares is
/// never written through it, so any number of threads may call one model.
template <class Derived, class Net>
class ModelBase {
public:
    using Network = Net;
    using config = typename Network::config;
    using backend = typename Network::backend;
    using Loaded = LoadedModel<Network>;
    static constexpr int image_size = Loaded::image_size;

    /// Loads a Hugging Face folder, a folder with one .pth, or a weights file. Throws FileError,
    /// FormatError, ConfigError when sizes differ from the configuration (the image size may:
    /// positions are resized), CheckpointError when the file is for another task or tensors are
    /// missing or misshapen.
    static Derived load(std::filesystem::path const& path, LoadOptions<backend> options = {}) {
        return Derived::load(ModelFolder::open(path), std::move(options));
    }

    static Derived load(ModelFolder const& folder, LoadOptions<backend> options = {}) {
        return Derived(Loaded::load(folder, std::move(options)));
    }

    /// The weights that `shared` holds, which may go on being used: of another model, or of an
    /// objective that trains them; then every call sees the weights as they are, and must not run
    /// beside a step. Throws ArgumentError for a null pointer.
    explicit ModelBase(std::shared_ptr<Loaded const> shared) : shared_(std::move(shared)) {
        if (!shared_)
            throw ArgumentError("a model made of no weights: the pointer is null");
    }

    /// A model of parts: for weights that were just made or trained.
    ModelBase(Weights<Network> weights, ModelSettings settings, Tokenizer tokenizer,
              Preprocess preprocess = {.size = static_cast<std::size_t>(image_size)},
              typename backend::Engine engine = typename backend::Engine{})
        : shared_(std::make_shared<Loaded>(std::move(weights), std::move(settings),
                                           std::move(tokenizer), preprocess, std::move(engine))) {}

    /// Writes a folder that `load` reads, and the transformers library where it has a class for the
    /// task and picture and text network are equally wide. Throws FileError; ArgumentError when a
    /// weight is too large for the type of `options`.
    void save(std::filesystem::path const& folder, SaveOptions const& options = {}) const {
        shared_->save(folder, options);
    }

    Network const& network() const { return *shared_->weights; }
    Weights<Network> const& weights() const { return shared_->weights; }
    ModelSettings const& settings() const { return shared_->settings; }
    Tokenizer const& tokenizer() const { return shared_->tokenizer; }
    Preprocess const& preprocessing() const { return shared_->preprocess; }
    LoadReport const& report() const { return shared_->report; }
    /// What is generated where options say nothing, by types that generate.
    GenerationDefaults generation_defaults() const { return shared_->generation_defaults(); }
    /// What this model shares with its copies, for what builds on it.
    std::shared_ptr<Loaded const> const& shared() const { return shared_; }

protected:
    std::shared_ptr<Loaded const> shared_;
};

} // namespace blip
