#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

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

/// Calls f(std::type_identity<C>{}) for the first configuration of the list for which
/// wanted(std::type_identity<C>{}); otherwise `otherwise` throws.
template <class Wanted, class F, class Otherwise, class First, class... Rest>
auto visit_first(config::ModelList<First, Rest...>, Wanted const& wanted, F& f,
                 Otherwise const& otherwise) {
    using Result = decltype(f(std::type_identity<First>{}));
    if (wanted(std::type_identity<First>{}))
        return f(std::type_identity<First>{});
    if constexpr (sizeof...(Rest) > 0) {
        static_assert(
            std::is_same_v<Result, decltype(visit_first(config::ModelList<Rest...>{}, wanted, f,
                                                        otherwise))>,
            "the function must return the same type for every configuration");
        return visit_first(config::ModelList<Rest...>{}, wanted, f, otherwise);
    } else {
        otherwise();
        throw ConfigError("no configuration fits");
    }
}

} // namespace detail

/// Calls f(std::type_identity<C>{}) with the compiled-in configuration C of `List` whose sizes are
/// `sizes` and returns what f returns, one type for all configurations. Throws ConfigError, which
/// lists what is compiled in, when there is none; `where` begins its message.
template <class List = config::caption_models, class F>
auto visit_config(ModelSizes const& sizes, F f, std::string_view where = "visit_config") {
    auto const fits = [&]<class C>(std::type_identity<C>) { return sizes_of<C>() == sizes; };
    return detail::visit_first(List{}, fits, f, [&] {
        throw ConfigError(join(where, ": this program was built without the model's sizes: ",
                               describe(sizes), ". It has:", detail::describe_list(List{}),
                               "\nTo add sizes, configure the build with ",
                               "-DBLIP_MODELS=\"FOLDER\", FOLDER being one with their config.json"));
    });
}

/// The same for a checkpoint. `image_size`, in pixels, replaces the checkpoint's own.
template <class List = config::caption_models, class F>
auto visit_config(ModelFolder const& folder, F f, std::optional<int> image_size = {}) {
    auto sizes = folder.sizes;
    sizes.vision.image = image_size.value_or(sizes.vision.image);
    auto const fits = [&]<class C>(std::type_identity<C>) { return sizes_of<C>() == sizes; };
    return detail::visit_first(List{}, fits, f, [&] {
        bool const resized = sizes.vision.image != folder.sizes.vision.image;
        throw ConfigError(
            join(folder.weights.path().string(), ": this program was built without the sizes of ",
                 "this checkpoint", resized ? " at that image size" : "", ": ", describe(sizes),
                 ". It has:", detail::describe_list(List{}), "\nConfigure the build with ",
                 "-DBLIP_MODELS=\"", std::filesystem::absolute(folder.folder).string(),
                 "\" to add the checkpoint's sizes",
                 resized ? " (with \"image_size\" changed in its config.json)" : ""));
    });
}

} // namespace blip
