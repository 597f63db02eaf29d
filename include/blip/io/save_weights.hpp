#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <blip/core/weights.hpp>
#include <blip/io/checkpoint_names.hpp>
#include <blip/io/output_tensor.hpp>
#include <blip/io/write_safetensors.hpp>
#include <blip/io/write_torch_pickle.hpp>

namespace blip {

namespace detail {

/// Shape of `parameter` in a checkpoint that makes it of `parts` tensors: patch projections are
/// convolutions there, the temperature is a scalar, everything else is as it is here.
template <class P>
std::vector<std::int64_t> published_shape(P const&, std::string const& path, std::size_t parts,
                                          int patch) {
    std::vector<std::int64_t> shape(P::shape.begin(), P::shape.end());
    shape[0] /= static_cast<std::int64_t>(parts);
    if (path.ends_with("embedding.projection.weight"))
        return {shape[0], 3, patch, patch};
    if (path.ends_with("temperature"))
        return {};
    return shape;
}

} // namespace detail

/// The parameters of a network as tensors to be written to a file; `names(path)` gives the tensors
/// that a parameter is made of. Each is brought to the host when its turn comes. `weights` must
/// outlive the result.
template <class Network, class Names>
std::vector<OutputTensor> published_tensors(Weights<Network> const& weights,
                                            typename Network::backend::Engine& engine,
                                            Names const& names_of) {
    using B = typename Network::backend;
    using Host = std::conditional_t<std::is_same_v<typename B::scalar, double>, double, float>;
    constexpr int patch = Network::config::vision::patch;
    std::vector<OutputTensor> tensors;
    for_each_parameter(*weights, [&](std::string const& path, auto const& parameter) {
        using P = std::remove_cvref_t<decltype(parameter)>;
        auto const names = names_of(path);
        std::size_t const each = static_cast<std::size_t>(P::size) / names.size();
        auto const host = std::make_shared<std::vector<Host>>();
        for (std::size_t part = 0; part < names.size(); ++part) {
            auto fetch = [&engine, parameter, host, part, each] {
                auto const* source = parameter.data;
                [[maybe_unused]] typename B::Memory staging{};
                if constexpr (is_weight<P>)
                    if (parameter.layout == Layout::panels) {
                        staging = B::allocate(sizeof(*source) * static_cast<std::size_t>(P::size));
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
                 .shape = detail::published_shape(parameter, path, names.size(), patch),
                 .bytes = fetch});
        }
    });
    return tensors;
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

/// Writes `weights` as the authors' release does, to a .pth file that torch.load reads: a dict with
/// the state dict under "model", tied tensors sharing one storage. Throws FileError.
template <class Network>
void save_original(std::filesystem::path const& path, Weights<Network> const& weights,
                   typename Network::backend::Engine& engine) {
    auto tensors = published_tensors(weights, engine, Naming::original);
    TorchPickleOptions options;
    for (auto const& tensor : tensors)
        for (auto const& other : tied_names_of<Network>(tensor.name))
            options.tied.push_back({other, tensor.name});
    write_torch_pickle(path, std::move(tensors), options);
}

} // namespace blip
