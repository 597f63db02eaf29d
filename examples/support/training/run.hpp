#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "plan.hpp"
#include "trained_model.hpp"

namespace support {

/// How a training program runs.
struct TrainingArguments {
    TrainingPlan plan;
    std::string output;     ///< the run's folder
    std::string config;     ///< JSON file with values of the plan
    bool resume = false;    ///< go on from the last checkpoint in `output`
    bool force = false;     ///< begin anew in a folder that has a run
    bool only_plan = false; ///< say what it would take, and train nothing
};

/// Trains: reads samples ahead, steps, logs, validates, keeps checkpoints and the best model. What
/// is random is a function of the plan's seed and the step, so that a run that was killed and
/// resumed ends with the same bits. Returns the exit status.
int train(std::string const& program, TrainingArguments const& arguments, SampleKind kind,
          TrainedModel& model);

} // namespace support
