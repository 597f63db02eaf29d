#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <blip/core/weights.hpp>
#include <blip/io/load_weights.hpp>
#include <blip/io/model_folder.hpp>
#include <blip/io/save_model.hpp>
#include <blip/io/task.hpp>
#include <blip/io/vocabulary_files.hpp>
#include <blip/models/workspace.hpp>
#include <blip/networks/initialize.hpp>
#include <blip/text/wordpiece.hpp>
#include <blip/vision/preprocess.hpp>

namespace blip {

/// How a model is put into memory.
template <class B>
struct LoadOptions {
    Layout layout = Layout::panels;                   ///< `rows` when the model is to be trained
    std::optional<Compatibility> compatibility{};     ///< default: as the file's names say
    typename B::Engine engine = typename B::Engine{}; ///< who computes: threads or a device
    /// To start fine-tuning from a checkpoint of another task: what it lacks or has in another
    /// shape is initialised from this seed, and `LoadReport::fresh` names it. Not set: an error.
    std::optional<std::uint64_t> fresh_seed{};
};

namespace detail {

/// Throws CheckpointError when `file` has nothing of one of the networks that `parameters` are of:
/// fine-tuning may start heads, merging layers and cross-attention afresh, but a whole text network
/// that starts so is another checkpoint taken for the one that was meant.
template <class B>
void require_networks(std::vector<NamedParameter<B>> const& parameters, TensorFile const& file,
                      TiedNames tied_to, Task task) {
    Naming const naming = detect_naming(file);
    std::map<std::string, bool> found;
    for (auto const& parameter : parameters) {
        auto const& path = parameter.path;
        auto const network = path.substr(0, path.find('.'));
        if (network != "vision" && network != "encoder" && network != "decoder")
            continue;
        for (auto const& name : checkpoint_names(path, naming)) {
            bool const may_be_fresh = name.find("crossattention") != name.npos ||
                                      name.find(".cls.") != name.npos ||
                                      name.find("merge") != name.npos;
            if (!may_be_fresh && !found[network])
                found[network] =
                    find_source(file, name, tied_to(name), Missing::stays_fresh) != nullptr;
        }
    }
    for (auto const& [network, any] : found)
        if (!any)
            throw CheckpointError(
                join(file.path().string(), ": this is a checkpoint for ",
                     describe(detect_task(file)).words, " without a ",
                     network == "vision" ? "picture encoder" : join("text ", network), ", which ",
                     describe(task).reader,
                     " needs and does not start afresh; choose a checkpoint that has one"));
}

} // namespace detail

/// What every model type is made of: weights with all that a checkpoint says beside them. Its
/// owners never write to it, so any number of threads may call one model; `workspaces` gives each
/// call its own memory.
template <class Network>
class LoadedModel {
public:
    using B = typename Network::backend;
    using config = typename Network::config;
    using Vision = typename Network::Vision;
    static constexpr int image_size = config::vision::image;

    Weights<Network> weights;
    ModelSettings settings;
    Tokenizer tokenizer;
    Preprocess preprocess;
    typename B::Engine engine;
    mutable WorkspacePool<B> workspaces;
    LoadReport report{};
    GenerationDefaults generation{};

    /// A model of parts: one that was just trained.
    LoadedModel(Weights<Network> w, ModelSettings s, Tokenizer t, Preprocess p,
                typename B::Engine e)
        : weights(std::move(w)), settings(std::move(s)), tokenizer(std::move(t)), preprocess(p),
          engine(std::move(e)), workspaces(engine) {
        apply_settings(*weights, settings);
    }

    /// Reads a checkpoint. Throws ConfigError when its sizes differ from the configuration (the
    /// image size may: positions are resized), CheckpointError when it is for another task or
    /// tensors are missing or misshapen, FormatError and FileError.
    static std::shared_ptr<LoadedModel> load(ModelFolder const& folder, LoadOptions<B> options) {
        if (!options.fresh_seed)
            require_task(folder.weights, Network::task);
        auto expected = sizes_of<config>();
        expected.vision.image = folder.sizes.vision.image;
        if (auto const difference = describe_difference(expected, folder.sizes);
            !difference.empty())
            throw ConfigError(join(folder.weights.path().string(), ": the checkpoint has ",
                                   difference, " in this program's configuration"));
        Weights<Network> weights(options.engine, options.layout);
        if (options.fresh_seed) {
            detail::require_networks(list_parameters(*weights), folder.weights,
                                     tied_names_of<Network>, Network::task);
            initialize(weights, options.engine, *options.fresh_seed);
        }
        auto report = load_weights(weights, options.engine, folder.weights,
                                   options.fresh_seed ? Missing::stays_fresh : Missing::is_error);
        auto settings = folder.settings;
        if (options.compatibility) {
            settings.release = release_of(settings);
            settings.compatibility = *options.compatibility;
        }
        auto preprocess = folder.preprocess;
        auto const own = static_cast<std::size_t>(folder.sizes.vision.image);
        if (preprocess.size != own && preprocess.size != static_cast<std::size_t>(image_size))
            throw ConfigError(join((folder.folder / "preprocessor_config.json").string(),
                                   ": pictures of ", preprocess.size, " pixels for a model of ",
                                   own, "; make \"size\" agree with config.json's \"image_size\""));
        preprocess.size = static_cast<std::size_t>(image_size);
        auto model =
            std::make_shared<LoadedModel>(std::move(weights), settings, load_tokenizer(folder),
                                          preprocess, std::move(options.engine));
        model->report = std::move(report);
        model->generation = folder.generation;
        return model;
    }

    /// Writes a folder that `load` reads, and transformers where it has a class for the task; the
    /// weights file holds `more` too. Throws FileError; ArgumentError when a weight is too large
    /// for the type of `options`.
    void save(std::filesystem::path const& folder, SaveOptions const& options = {},
              std::vector<OutputTensor> more = {}) const {
        auto mine = engine;
        save_model(folder, weights, mine, settings, tokenizer, preprocess, generation, options,
                   std::move(more));
    }

    Network const& network() const { return *weights; }

    /// Whether defaults are those of the authors' release.
    bool is_original() const { return release_of(settings) == Compatibility::salesforce; }

    /// What is generated where a caller says nothing.
    GenerationDefaults generation_defaults() const {
        return blip::generation_defaults(Network::task, release_of(settings), generation);
    }

    SpecialIds const& special() const { return tokenizer.vocabulary().special(); }

    /// Throws ArgumentError unless `pixels` is [n, 3, image_size, image_size] with n > 0. `who`
    /// begins the message: "captioner".
    static void require_pixels(Pixels const& pixels, std::string_view who) {
        auto const& s = pixels.shape();
        if (s[0] == 0 || s[1] != 3 || s[2] != image_size || s[3] != image_size)
            throw ArgumentError(join(who, ": expected pixels [n, 3, ", image_size, ", ", image_size,
                                     "], found [", s[0], ", ", s[1], ", ", s[2], ", ", s[3], "]"));
    }

    /// States of the image encoder, [n, tokens, width], in `ctx.arena`, which holds nothing else of
    /// the call afterwards.
    typename Vision::States encode(Pixels const& pixels, Context<B>& ctx) const {
        auto const size = static_cast<std::ptrdiff_t>(pixels.size());
        int const count = static_cast<int>(pixels.shape()[0]);
        auto const states = ctx.template tokens<config::vision::width>(count, Vision::tokens);
        Scope scope(ctx.arena);
        typename Vision::Images const images{ctx.take(size), count};
        B::upload(ctx.engine, images.data, pixels.data(), size);
        typename Vision::Cache unused;
        auto const encoded = network().vision.forward(images, unused, ctx);
        B::copy(ctx.engine, states.data, encoded.data, states.size());
        return states;
    }
};

/// Items `first` to `first + count - 1` of an array's first dimension.
template <class T, std::size_t N>
xt::xtensor<T, N> items_of(xt::xtensor<T, N> const& all, std::size_t first, std::size_t count) {
    auto shape = all.shape();
    std::size_t const each = all.size() / std::max<std::size_t>(shape[0], 1);
    shape[0] = count;
    xt::xtensor<T, N> some(shape);
    std::copy_n(all.data() + first * each, count * each, some.data());
    return some;
}

/// What a backend's numbers are on the host: float unless it computes in double.
template <class B>
using HostScalar = std::conditional_t<std::is_same_v<typename B::scalar, double>, double, float>;

/// Copies rows of the backend into an array of the host: [batch, length, Width].
template <int Width, class B>
xt::xtensor<HostScalar<B>, 3> download_states(Tokens<Width, B> x, Context<B>& ctx) {
    using Result = xt::xtensor<HostScalar<B>, 3>;
    Result result(typename Result::shape_type{static_cast<std::size_t>(x.batch),
                                              static_cast<std::size_t>(x.length), Width});
    B::download(ctx.engine, result.data(), static_cast<typename B::scalar const*>(x.data),
                x.size());
    return result;
}

/// The same for one row an item: [batch, Width].
template <int Width, class B>
xt::xtensor<HostScalar<B>, 2> download_vectors(Tokens<Width, B> x, Context<B>& ctx) {
    using Result = xt::xtensor<HostScalar<B>, 2>;
    Result result(typename Result::shape_type{static_cast<std::size_t>(x.rows()), Width});
    B::download(ctx.engine, result.data(), static_cast<typename B::scalar const*>(x.data),
                x.size());
    return result;
}

} // namespace blip
