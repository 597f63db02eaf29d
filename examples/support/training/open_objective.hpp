#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <blip/config/presets.hpp>
#include <blip/io/model_folder.hpp>
#include <blip/io/vocabulary_files.hpp>
#include <blip/model/built_in.hpp>
#include <blip/models/dispatch.hpp>
#include <blip/models/objective.hpp>

#include "../model_choice.hpp"
#include "plan.hpp"
#include "trained_model.hpp"

namespace support {

/// An objective that starts as the plan says: from the checkpoint `from`, or from scratch in its
/// sizes. `how` is what the objective takes beside.
template <class Objective, class... How>
Objective start(blip::ModelFolder const& from, TrainingPlan const& plan, How... how) {
    using B = typename Objective::backend;
    auto const chosen = [](double value) {
        return value < 0 ? std::nullopt : std::optional(value);
    };
    blip::ObjectiveOptions<B> options{
        .engine = typename B::Engine(static_cast<std::size_t>(plan.threads)),
        .drop_path = chosen(plan.drop_path),
        .dropout = chosen(plan.dropout),
        .label_smoothing = chosen(plan.smoothing),
        .text_length = plan.text_length > 0 ? std::optional(plan.text_length) : std::nullopt,
        .initialization = {.deviation = plan.spread, .positions = plan.position_spread},
        .seed = static_cast<std::uint64_t>(plan.seed)};
    if (plan.fresh_seed >= 0) {
        options.fresh_seed = static_cast<std::uint64_t>(plan.fresh_seed);
        options.momentum = blip::MomentumStart::trained;
    }
    if (plan.scratch)
        return Objective::from_scratch(from.settings, blip::load_tokenizer(from), from.preprocess,
                                       std::move(options), std::move(how)...);
    return Objective::load(from, std::move(options), std::move(how)...);
}

namespace detail {

/// The picture size to train at: the checkpoint's own where a configuration has it, else that of
/// the first configuration which differs in nothing else. The authors too pre-train at 224 pixels
/// and fine-tune at the task's size.
template <class... C>
std::optional<int> training_image_size(blip::config::ModelList<C...>,
                                       blip::ModelSizes const& found) {
    std::optional<int> other;
    auto const offer = [&](blip::ModelSizes sizes) {
        int const image = sizes.vision.image;
        sizes.vision.image = found.vision.image;
        if (sizes == found && (!other || image == found.vision.image))
            other = image;
    };
    (offer(blip::sizes_of<C>()), ...);
    return other;
}

/// C as this build trains it, see BLIP_EXAMPLE_RECOMPUTE.
#ifdef BLIP_RECOMPUTE
template <class C>
using Trained = blip::config::recomputed<C>;
#else
template <class C>
using Trained = C;
#endif

} // namespace detail

/// The task at the size that the plan's model has. `Models`: the sizes to choose from; `Task<C>` is
/// made of the model's folder and the plan.
template <template <class> class Task, class Models>
std::unique_ptr<TrainedModel> open_objective(TrainingPlan const& plan) {
    auto const folder = plan.scratch ? blip::ModelFolder::open_untrained(plan.model)
                                     : blip::ModelFolder::open(plan.model);
    auto const image =
        plan.scratch ? std::nullopt : detail::training_image_size(Models{}, folder.sizes);
    if (image && *image != folder.sizes.vision.image)
        std::fprintf(stderr, "%s: trained on at %d pixels instead of %d; positions are resized\n",
                     plan.model.c_str(), *image, folder.sizes.vision.image);
    return blip::visit_config<Models>(
        folder,
        [&]<class C>(std::type_identity<C>) -> std::unique_ptr<TrainedModel> {
            return std::make_unique<Task<detail::Trained<C>>>(folder, plan);
        },
        image);
}

/// How exported weights are kept.
inline blip::SaveOptions save_options(TrainingPlan const& plan) {
    blip::SaveOptions options;
    if (plan.export_type == "float16")
        options.floating_type = blip::DataType::f16;
    return options;
}

} // namespace support
