#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/core/weights.hpp>
#include <blip/io/checkpoint_names.hpp>
#include <blip/io/output_tensor.hpp>
#include <blip/io/write_safetensors.hpp>
#include <blip/io/write_torch_pickle.hpp>

namespace blip {

/// Whether a model that is written to `path` becomes a file of weights, by the path's ending, and
/// not a folder.
inline bool is_weights_file(std::filesystem::path const& path) {
    auto const kind = path.extension();
    return kind == ".pth" || kind == ".pt" || kind == ".safetensors";
}

namespace detail {

/// Shape of a parameter of shape `own` in a checkpoint that makes it of `parts` tensors: patch
/// projections are convolutions there, the temperature is a scalar, everything else is as it is
/// here.
inline std::vector<std::int64_t> published_shape(std::span<int const> own, std::string const& path,
                                                 std::size_t parts, int patch) {
    std::vector<std::int64_t> shape(own.begin(), own.end());
    shape[0] /= static_cast<std::int64_t>(parts);
    if (path.ends_with("embedding.projection.weight"))
        return {shape[0], 3, patch, patch};
    if (path.ends_with("temperature"))
        return {};
    return shape;
}

/// published_tensors, compiled once for all networks.
template <class B>
std::vector<OutputTensor> parameter_tensors(std::vector<NamedParameter<B>> const& parameters,
                                            typename B::Engine& engine, TensorNames const& names_of,
                                            int patch) {
    using Host = std::conditional_t<std::is_same_v<typename B::scalar, double>, double, float>;
    std::vector<OutputTensor> tensors;
    for (auto const& parameter : parameters) {
        auto const names = names_of(parameter.path);
        std::size_t const each = static_cast<std::size_t>(parameter.size) / names.size();
        auto const host = std::make_shared<std::vector<Host>>();
        for (std::size_t part = 0; part < names.size(); ++part) {
            auto fetch = [&engine, parameter, host, part, each] {
                typename B::scalar const* source = parameter.data;
                typename B::Memory staging{};
                if (parameter.layout == Layout::panels) {
                    staging =
                        B::allocate(sizeof(*source) * static_cast<std::size_t>(parameter.size));
                    auto* rows = static_cast<typename B::scalar*>(staging.data());
                    B::unpack(engine, parameter.view(), rows);
                    source = rows;
                }
                host->resize(each);
                B::download(engine, host->data(),
                            static_cast<typename B::scalar const*>(source) +
                                static_cast<std::ptrdiff_t>(part * each),
                            static_cast<std::ptrdiff_t>(each));
                return std::as_bytes(std::span<Host const>(*host));
            };
            tensors.push_back(
                {.name = names[part],
                 .type = data_type_of<Host>(),
                 .shape = published_shape(parameter.shape, parameter.path, names.size(), patch),
                 .bytes = fetch});
        }
    }
    return tensors;
}

} // namespace detail

/// The parameters of a network as tensors to be written to a file; `names(path)` gives the tensors
/// that a parameter is made of. Each is brought to the host when its turn comes. `weights` must
/// outlive the result.
template <class Network>
std::vector<OutputTensor> published_tensors(Weights<Network> const& weights,
                                            typename Network::backend::Engine& engine,
                                            TensorNames const& names_of) {
    return detail::parameter_tensors<typename Network::backend>(
        list_parameters(*weights), engine, names_of, Network::config::vision::patch);
}

/// The same under their published names.
template <class Network>
std::vector<OutputTensor> published_tensors(Weights<Network> const& weights,
                                            typename Network::backend::Engine& engine,
                                            Naming naming) {
    return published_tensors(weights, engine, [naming](std::string const& path) {
        return checkpoint_names(path, naming);
    });
}

/// Writes `weights` under their published names to a .safetensors file. Throws FileError.
template <class Network>
void save_safetensors(std::filesystem::path const& path, Weights<Network> const& weights,
                      typename Network::backend::Engine& engine,
                      Naming naming = Naming::hugging_face,
                      SafetensorsOptions const& options = {}) {
    write_safetensors(path, published_tensors(weights, engine, naming), options);
}

/// How weights are written.
struct SaveOptions {
    /// Type in which all weights are stored, float16 for half the space; their own when not given.
    std::optional<DataType> floating_type = std::nullopt;
};

/// The tensors of a file in the authors' layout, and the further names of those that are tied.
struct OriginalTensors {
    std::vector<OutputTensor> tensors;
    std::vector<TiedName> tied;

    /// Adds what the authors' text networks keep beside their weights and miss when it is absent:
    /// "position_ids" [1, positions], the numbers 0, 1, ... , wherever there is a table of
    /// positions.
    void add_position_ids() {
        constexpr std::string_view table = ".embeddings.position_embeddings.weight";
        auto const ids_name = [&](std::string_view name) {
            return join(name.substr(0, name.size() - table.size()), ".embeddings.position_ids");
        };
        std::vector<OutputTensor> ids;
        for (auto const& tensor : tensors)
            if (tensor.name.ends_with(table)) {
                auto const count = tensor.shape[0];
                auto const numbers =
                    std::make_shared<std::vector<std::int64_t>>(static_cast<std::size_t>(count));
                std::iota(numbers->begin(), numbers->end(), 0);
                ids.push_back({.name = ids_name(tensor.name),
                               .type = DataType::i64,
                               .shape = {1, count},
                               .bytes = [numbers] { return std::as_bytes(std::span(*numbers)); }});
            }
        for (auto& tensor : ids)
            tensors.push_back(std::move(tensor));
        for (std::size_t i = 0, count = tied.size(); i < count; ++i)
            if (tied[i].name.ends_with(table))
                tied.push_back({ids_name(tied[i].name), ids_name(tied[i].original)});
    }

    /// Writes them to `path`: with the extension .safetensors such a file, which holds tied tensors
    /// once for every name; else one for torch.load, a dict with the state dict under "model",
    /// where tied tensors share one storage. Throws FileError.
    void write(std::filesystem::path const& path, SaveOptions const& options = {}) && {
        if (path.extension() != ".safetensors") {
            write_torch_pickle(path, tensors,
                               {.floating_type = options.floating_type, .tied = std::move(tied)});
            return;
        }
        write_safetensors(path, std::move(*this).untied(),
                          {.floating_type = options.floating_type});
    }

    /// The tensors with one of its own for every further name.
    std::vector<OutputTensor> untied() && {
        for (auto const& tie : tied) {
            auto copy = *std::ranges::find(tensors, tie.original, &OutputTensor::name);
            copy.name = tie.name;
            tensors.push_back(std::move(copy));
        }
        return std::move(tensors);
    }
};

/// The weights of a network under the authors' names. `weights` must outlive the result.
template <class Network>
OriginalTensors original_tensors(Weights<Network> const& weights,
                                 typename Network::backend::Engine& engine) {
    OriginalTensors original{published_tensors(weights, engine, Naming::original), {}};
    for (auto const& tensor : original.tensors)
        for (auto const& other : tied_names_of<Network>(tensor.name))
            original.tied.push_back({other, tensor.name});
    return original;
}

/// Writes `weights` as the authors' release does, complete with tied names and position ids: to a
/// .pth file that torch.load reads, or to a .safetensors file. Throws FileError; ArgumentError when
/// a weight is too large for the type.
template <class Network>
void save_original(std::filesystem::path const& path, Weights<Network> const& weights,
                   typename Network::backend::Engine& engine, SaveOptions const& options = {}) {
    auto original = original_tensors(weights, engine);
    original.add_position_ids();
    std::move(original).write(path, options);
}

} // namespace blip
