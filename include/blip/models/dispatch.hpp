#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <blip/config/presets.hpp>
#include <blip/config/sizes.hpp>
#include <blip/core/error.hpp>
#include <blip/io/model_folder.hpp>

namespace blip {

namespace detail {

template <class... C>
std::string describe_list(config::ModelList<C...>) {
    std::string text;
    ((text += join("\n  ", C::name, ": ", describe(sizes_of<C>()))), ...);
    return text.empty() ? "\n  nothing" : text;
}

/// Says at which other image sizes of the list a model of `sizes` could be used; empty: at none.
template <class... C>
std::string other_image_sizes(config::ModelList<C...>, ModelSizes sizes) {
    std::string text;
    [[maybe_unused]] auto const offer = [&](ModelSizes const& have) {
        sizes.vision.image = have.vision.image;
        if (have == sizes)
            text += join(text.empty() ? "" : " or ", have.vision.image);
    };
    (offer(sizes_of<C>()), ...);
    return text.empty() ? text
                        : join("\nIt can use the checkpoint at image size ", text,
                               ", to which positions are resized.");
}

/// What a visit of an empty list would return, whatever the function returns.
struct Nothing {
    template <class T>
    operator T() const {
        throw ConfigError("no configuration was compiled in");
    }
};

template <class Wanted, class F, class Missing>
Nothing visit_first(config::ModelList<>, Wanted const&, F&, Missing const& missing) {
    throw ConfigError(missing());
}

template <class Wanted, class F, class Missing, class First, class... Rest>
auto visit_first(config::ModelList<First, Rest...>, Wanted const& wanted, F& f,
                 Missing const& missing) {
    using Result = decltype(f(std::type_identity<First>{}));
    static_assert((std::is_same_v<Result, decltype(f(std::type_identity<Rest>{}))> && ...),
                  "the function must return the same type for every configuration");
    if (wanted(std::type_identity<First>{}))
        return f(std::type_identity<First>{});
    if constexpr (sizeof...(Rest) > 0)
        return visit_first(config::ModelList<Rest...>{}, wanted, f, missing);
    else
        throw ConfigError(missing());
}

} // namespace detail

/// The configurations of `List` for people, a line each.
template <class List>
std::string describe_configs() {
    return detail::describe_list(List{});
}

/// Calls f(std::type_identity<C>{}) for the first configuration C of `List` with
/// wanted(std::type_identity<C>{}) and returns what f returns, one type for all configurations.
/// Throws ConfigError with the text missing() when there is none.
template <class List, class Wanted, class F, class Missing>
auto visit_config_where(Wanted const& wanted, F f, Missing const& missing) {
    return detail::visit_first(List{}, wanted, f, missing);
}

/// Calls f(std::type_identity<C>{}) with the compiled-in configuration C of `List` whose sizes are
/// those of a checkpoint; see visit_config_where. `image_size`, in pixels, replaces the
/// checkpoint's own. Throws ConfigError, which says what is compiled in and how to add the
/// checkpoint's sizes, when there is none.
template <class List = config::caption_models, class F>
auto visit_config(ModelFolder const& folder, F f, std::optional<int> image_size = {}) {
    auto sizes = folder.sizes;
    sizes.vision.image = image_size.value_or(sizes.vision.image);
    auto const fits = [&]<class C>(std::type_identity<C>) { return sizes_of<C>() == sizes; };
    return visit_config_where<List>(fits, std::move(f), [&] {
        bool const resized = sizes.vision.image != folder.sizes.vision.image;
        return join(
            folder.weights.path().string(), ": this program was built without the sizes of ",
            "this checkpoint", resized ? " at that image size" : "", ": ", describe(sizes),
            ". It has:", describe_configs<List>(), detail::other_image_sizes(List{}, sizes),
            "\nConfigure the build with -DBLIP_MODELS=\"",
            std::filesystem::absolute(folder.folder).string(), "\" to add the checkpoint's sizes",
            resized ? " (with \"image_size\" changed in a copy of its config.json)" : "");
    });
}

} // namespace blip
