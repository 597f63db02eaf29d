#include "model_choice.hpp"

#include <cstdio>
#include <string>

namespace support {

namespace {

/// The program that reads checkpoints of a task.
std::string program_for(blip::Task task) {
    switch (task) {
    case blip::Task::captioning:
        return "caption";
    case blip::Task::question_answering:
        return "answer";
    case blip::Task::matching:
        return "match";
    case blip::Task::pair_reasoning:
        return "reason";
    default:
        return {};
    }
}

} // namespace

blip::ModelFolder open_model(std::string const& path, blip::Task task) {
    auto folder = blip::ModelFolder::open(path);
    auto const found = blip::detect_task(folder.weights);
    if (!blip::serves(found, task)) {
        auto const program = program_for(found);
        throw blip::CheckpointError(
            blip::join(folder.weights.path().string(), ": this is a checkpoint for ",
                       blip::describe(found).words, ", but this program needs one for ",
                       blip::describe(task).words,
                       program.empty() ? "" : "; the program that reads it is `" + program + "`"));
    }
    return folder;
}

void print_warnings(std::string const& program, std::string const& path, AnyModel const& model) {
    for (auto const& warning : model.warnings())
        std::fprintf(stderr, "%s: %s: %s\n", program.c_str(), path.c_str(), warning.c_str());
}

} // namespace support
