#pragma once

#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/io/model_folder.hpp>
#include <blip/io/task.hpp>
#include <blip/model/built_in.hpp>
#include <blip/models/dispatch.hpp>
#include <blip/vision/preprocess.hpp>

#include "common_arguments.hpp"

namespace support {

namespace detail {

/// Whether two configurations fit the same checkpoints; what few of them have may be missing.
template <class A, class B>
consteval bool same_sizes() {
    using V = typename A::vision;
    using W = typename B::vision;
    using T = typename A::text;
    using U = typename B::text;
    bool same = V::image == W::image && V::patch == W::patch && V::width == W::width &&
                V::depth == W::depth && V::heads == W::heads && V::hidden == W::hidden &&
                T::vocabulary == U::vocabulary && T::positions == U::positions &&
                T::width == U::width && T::depth == U::depth && T::heads == U::heads &&
                T::hidden == U::hidden && T::encoder_width == U::encoder_width &&
                A::projection == B::projection;
    if constexpr (requires { A::merge_from + B::merge_from; })
        same = same && A::merge_from == B::merge_from;
    else
        same = same && requires {
            A::merge_from;
        }
    == requires {
        B::merge_from;
    };
    return same;
}

/// `Seen` and those of `List` whose sizes were not seen before: each is compiled once.
template <class Seen, class List>
struct Distinct;
template <class... Seen>
struct Distinct<blip::config::ModelList<Seen...>, blip::config::ModelList<>> {
    using type = blip::config::ModelList<Seen...>;
};
template <class... Seen, class C, class... Rest>
struct Distinct<blip::config::ModelList<Seen...>, blip::config::ModelList<C, Rest...>>
    : Distinct<std::conditional_t<(same_sizes<Seen, C>() || ...), blip::config::ModelList<Seen...>,
                                  blip::config::ModelList<Seen..., C>>,
               blip::config::ModelList<Rest...>> {};

} // namespace detail

/// The configurations of a program: its published sizes, unless the build leaves them out, and
/// those of BLIP_MODELS, each once.
#ifdef BLIP_NO_PRESETS
template <class Presets, class BuiltIn>
using Served = typename detail::Distinct<blip::config::ModelList<>, BuiltIn>::type;
#else
template <class Presets, class BuiltIn>
using Served = typename detail::Distinct<blip::config::ModelList<>,
                                         blip::config::concatenate<Presets, BuiltIn>>::type;
#endif

/// The configurations of every program that matches pictures and texts.
using MatchingModels = Served<blip::config::matching_models, blip::config::built_in_matchers>;

/// A model whose sizes are known at run time only: the rest of a program is compiled once, not once
/// per size. Each program adds what it asks its model.
class AnyModel {
public:
    virtual ~AnyModel() = default;
    virtual blip::Preprocess const& preprocessing() const = 0;
    virtual blip::ModelSettings const& settings() const = 0;
    /// What to tell the user about the loaded file, a line each.
    virtual std::vector<std::string> warnings() const = 0;
};

/// Opens a checkpoint for a program that reads those of `task`. Throws what ModelFolder::open does,
/// and CheckpointError that names the right program for one of another task.
blip::ModelFolder open_model(std::string const& path, blip::Task task);

/// Prints what is odd about a model that was loaded.
void print_warnings(std::string const& program, std::string const& path, AnyModel const& model);

/// The part of an AnyModel that is the same for all: `Interface` derives from AnyModel, `Model` is
/// one of the library's model types.
template <class Interface, class Model>
class LoadedAs : public Interface {
public:
    explicit LoadedAs(Model model) : model_(std::move(model)) {}

    blip::Preprocess const& preprocessing() const override { return model_.preprocessing(); }
    blip::ModelSettings const& settings() const override { return model_.settings(); }
    std::vector<std::string> warnings() const override {
        auto lines = model_.settings().warnings;
        if (auto summary = model_.report().summary(); !summary.empty())
            lines.push_back(std::move(summary));
        return lines;
    }

protected:
    Model model_;
};

/// Loads the model that the arguments name and prints what is odd about it. `Models`: the
/// configurations to choose from; `Types::loaded<C>`: a LoadedAs<Interface, ...> for one of them,
/// `Types::model<C>` its model, `Types::task` what checkpoints it reads. Throws ConfigError when
/// the sizes were not compiled in, and what the model's `load` throws.
template <class Interface, class Models, class Types>
std::unique_ptr<Interface> load_model(std::string const& program, CommonArguments const& a) {
    using B = blip::Cpu<float>;
    auto const folder = open_model(a.model, Types::task);
    auto const load = [&]<class C>(std::type_identity<C>) -> std::unique_ptr<Interface> {
        return std::make_unique<typename Types::template loaded<C>>(Types::template model<C>::load(
            folder, {.compatibility = a.compatibility, .engine = typename B::Engine(a.threads)}));
    };
    std::unique_ptr<Interface> model = blip::visit_config<Models>(folder, load, a.image_size);
    print_warnings(program, a.model, *model);
    return model;
}

} // namespace support
