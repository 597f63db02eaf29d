#pragma once

#include <string>
#include <utility>

#include <CLI/CLI.hpp>

#include "../arguments.hpp"
#include "../interrupt.hpp"
#include "arguments.hpp"
#include "open_objective.hpp"
#include "run.hpp"

namespace support {

/// What a training program is, beside its task.
struct TrainingProgram {
    std::string name;
    std::string purpose;
    std::string example;
    TrainingPlan recipe;
    SampleKind kind = SampleKind::caption;
};

/// A whole training program; see open_objective for `Task` and `Models`.
template <template <class> class Task, class Models>
int training_program(int count, char** values, TrainingProgram const& program) {
    TrainingArguments arguments{.plan = program.recipe, .output = {}, .config = {}};
    CLI::App app(program.purpose, program.name);
    auto const complete = add_training_options(app, arguments);
    app.footer("Examples:\n" + program.example);
    if (auto const* status = parse_arguments(app, count, values))
        return *status;
    return run_program(program.name, [&] {
        complete();
        arguments.plan.check();
        catch_interrupts();
        auto const model = open_objective<Task, Models>(arguments.plan);
        return train(program.name, arguments, program.kind, *model);
    });
}

} // namespace support
