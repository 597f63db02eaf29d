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
        : TrainedAs<Objective>(start<Objective>(from, plan), plan) {}

protected:
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
