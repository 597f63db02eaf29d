#pragma once

#include <functional>

#include <CLI/CLI.hpp>

#include "run.hpp"

namespace support {

/// The options of every training program: MODEL, --data, --validation, --output, a config file, and
/// one for each value of the plan. `a.plan` holds the recipe's defaults, which --help shows. What
/// is returned is to be called after parsing: it changes the plan by the config file, then by the
/// command line; it throws FileError, FormatError.
std::function<void()> add_training_options(CLI::App& app, TrainingArguments& a);

} // namespace support
