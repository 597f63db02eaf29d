#include "arguments.hpp"

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "../arguments.hpp"

namespace support {

namespace {

std::vector<DataPart> parts_of(std::vector<std::string> const& paths, std::string const& pictures) {
    std::vector<DataPart> parts;
    for (auto const& path : paths)
        parts.push_back({.path = path, .pictures = pictures});
    return parts;
}

/// What the command line gave, kept apart until the config file has been read.
struct Given {
    TrainingPlan plan;
    std::vector<std::string> data, validation;
    std::string pictures;
    std::vector<std::function<void(TrainingPlan&)>> changes;
};

} // namespace

std::function<void()> add_training_options(CLI::App& app, TrainingArguments& a) {
    app.add_option("MODEL", a.plan.model,
                   "Model folder or weights file to start from; with --scratch a folder with "
                   "config.json and vocab.txt")
        ->required();
    app.add_flag("--scratch", a.plan.scratch, "Start from random weights");
    app.add_option("--config", a.config,
                   "JSON file with values for the options below, by their names, and \"data\"")
        ->option_text("FILE");
    app.add_option("-o,--output", a.output, "Folder of the run: checkpoints, log, page, models")
        ->option_text("FOLDER")
        ->required();
    app.add_flag("--resume", a.resume, "Go on from the last checkpoint in --output");
    app.add_flag("--force", a.force, "Begin anew where --output has a run");
    app.add_flag("--plan", a.only_plan, "Say what memory and time it takes, and train nothing");

    auto given = std::make_shared<Given>();
    given->plan = a.plan;
    auto* pictures = app.add_option("--pictures", given->pictures,
                                    "Folder that picture names start from; else that of their list")
                         ->option_text("FOLDER");
    auto const lists = [&](char const* name, std::vector<std::string> Given::*paths,
                           std::vector<DataPart> TrainingPlan::*parts, char const* help) {
        auto* option = app.add_option(name, (*given).*paths, help)->option_text("PATH...");
        given->changes.push_back([option, pictures, paths, parts, g = given.get()](auto& plan) {
            if (option->count() > 0)
                plan.*parts = parts_of(g->*paths, g->pictures);
            else if (pictures->count() > 0)
                for (auto& part : plan.*parts)
                    part.pictures = g->pictures;
        });
    };
    lists("--data", &Given::data, &TrainingPlan::data,
          "What to learn: JSON lists, JSONL, CSV, folders of pictures with .txt files, tar shards");
    lists("--validation", &Given::validation, &TrainingPlan::validation,
          "What to measure progress on, in the same forms");
    TrainingPlan::for_each_value(given->plan, [&](std::string const& name, auto& value,
                                                  char const* help) {
        using T = std::remove_reference_t<decltype(value)>;
        CLI::Option* option = nullptr;
        if constexpr (std::is_same_v<T, bool>)
            option = app.add_flag("--" + name + ",!--no-" + name, value, help);
        else
            option = app.add_option("--" + name, value, help)->capture_default_str();
        option->group("Values of the recipe");
        given->changes.push_back([option, name, from = &value](TrainingPlan& plan) {
            if (option->count() == 0)
                return;
            TrainingPlan::for_each_value(plan,
                                         [&](std::string const& other, auto& to, char const*) {
                                             using Other = std::remove_reference_t<decltype(to)>;
                                             if constexpr (std::is_same_v<Other, T>)
                                                 if (other == name)
                                                     to = *from;
                                         });
        });
    });
    return [&a, given] {
        if (!a.config.empty())
            a.plan.read(a.config);
        for (auto const& change : given->changes)
            change(a.plan);
    };
}

} // namespace support
