#pragma once

#include <span>
#include <utility>

#include <blip/models/extract.hpp>

#include "alignment_check.hpp"
#include "open_objective.hpp"
#include "trained_model.hpp"

namespace support {

/// What tasks with a momentum teacher and a match head have in common.
template <class Objective>
class AlignmentTask : public TrainedAs<Objective> {
public:
    AlignmentTask(blip::ModelFolder const& from, TrainingPlan const& plan)
        : TrainedAs<Objective>((require_whole_steps(plan), start<Objective>(from, plan)), plan) {}

protected:
    /// Throws UsageError where the feature queue is no multiple of a step's items.
    static void require_whole_steps(TrainingPlan const& plan) {
        constexpr int queue = Objective::config::queue;
        int fitting = plan.items_per_step();
        while (queue % fitting != 0)
            --fitting;
        if (fitting != plan.items_per_step())
            throw UsageError(blip::join(
                "--batch ", plan.batch, " x --accumulate ", plan.accumulate, " is ",
                plan.items_per_step(), " items a step, but the feature queue's ", queue,
                " entries must be a multiple of that; the next smaller number that fits is ",
                fitting));
    }

    typename Objective::Batch gather(std::span<Sample const> samples) const override {
        typename Objective::Batch batch{};
        batch.pixels = this->pixels(samples);
        for (auto const& sample : samples) {
            batch.captions.push_back(sample.text);
            if constexpr (requires { batch.ids; })
                batch.ids.push_back(sample.picture);
        }
        return batch;
    }
};

} // namespace support
