// Writes a model as other libraries read it: export_model MODEL OUTPUT

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <type_traits>

#include <CLI/CLI.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/models/extract.hpp>
#include <blip/networks/answer_network.hpp>
#include <blip/networks/captioner_network.hpp>
#include <blip/networks/matching_network.hpp>
#include <blip/networks/pair_network.hpp>
#include <blip/networks/pretraining_network.hpp>
#include <blip/train/export_model.hpp>

#include "support/arguments.hpp"
#include "support/model_choice.hpp"
#include "support/replace_folder.hpp"

namespace {

using namespace support;
namespace fs = std::filesystem;
using B = blip::Cpu<float>;

struct Arguments {
    std::string model, output;
    std::string type = "float32";
    std::string part;
    bool force = false;
};

template <class C>
using Captioner = blip::CaptionerNetwork<C, B>;
template <class C>
using Answerer = blip::AnswerNetwork<C, B>;
template <class C>
using Matcher = blip::MatchingNetwork<C, B>;
template <class C>
using PairReasoner = blip::PairNetwork<C, B>;

using Captioners = Served<blip::config::caption_models, blip::config::built_in_captioners>;
using Answerers = Served<blip::config::answer_models, blip::config::built_in_question_answerers>;
using Pretrainers = Served<blip::config::pretraining_models, blip::config::built_in_pretrainers>;
using PairReasoners = Served<blip::config::pair_models, blip::config::built_in_pair_reasoners>;

/// What config.json says and a file of weights alone does not; readers assume the authors' values.
void name_what_is_lost(blip::ModelSettings const& settings, Arguments const& a) {
    std::string lost;
    if (settings.prompt && *settings.prompt != blip::caption_prompt({}))
        lost += blip::join(", prompt \"", *settings.prompt, '"');
    if (settings.vision_epsilon != blip::ModelSettings{}.vision_epsilon)
        lost += blip::join(", layer_norm_eps ", settings.vision_epsilon, " of the picture network");
    if (!lost.empty())
        std::fprintf(
            stderr,
            "%s: holds weights alone; keep the model's config.json beside it, which says:%s\n",
            a.output.c_str(), lost.substr(1).c_str());
}

template <class Network>
void write(blip::LoadedModel<Network> const& model, Arguments const& a) {
    blip::SaveOptions options;
    if (a.type == "float16")
        options.floating_type = blip::DataType::f16;
    fs::path output(a.output);
    if (blip::is_weights_file(output)) {
        blip::export_model(model, output, options);
        name_what_is_lost(model.settings, a);
        return;
    }
    if (!output.has_filename()) // "folder/"
        output = output.parent_path();
    replace_folder(output, [&](fs::path const& to) { blip::export_model(model, to, options); });
}

/// Reads `folder` as a Network, in rows as they lie in the file; nothing is computed.
template <class Network>
std::shared_ptr<blip::LoadedModel<Network> const> read(blip::ModelFolder const& folder,
                                                       Arguments const& a) {
    auto const model = blip::LoadedModel<Network>::load(folder, {.layout = blip::Layout::rows});
    for (auto const& warning : model->settings.warnings)
        std::fprintf(stderr, "%s: %s\n", a.model.c_str(), warning.c_str());
    if (auto const summary = model->report.summary(); !summary.empty())
        std::fprintf(stderr, "%s: %s\n", a.model.c_str(), summary.c_str());
    return model;
}

/// Converts `folder`, a Network of one of the sizes.
template <template <class> class Network, class Models>
void convert(blip::ModelFolder const& folder, Arguments const& a) {
    blip::visit_config<Models>(
        folder, [&]<class C>(std::type_identity<C>) { write(*read<Network<C>>(folder, a), a); });
}

/// A pre-trained network as `extract_captioner` and `extract_matcher` take an objective.
template <class Network>
struct Pretrained {
    using config = typename Network::config;
    using backend = B;
    std::shared_ptr<blip::LoadedModel<Network> const> model;

    blip::Weights<Network> const& weights() const { return model->weights; }
    auto const& shared() const { return model; }
    blip::ModelSettings const& settings() const { return model->settings; }
};

/// Converts the wanted part of a pre-training checkpoint.
void convert_part(blip::ModelFolder const& folder, Arguments const& a) {
    blip::visit_config<Pretrainers>(folder, [&]<class C>(std::type_identity<C>) {
        using Network = blip::PretrainingNetwork<C, B>;
        Pretrained<Network> const whole{read<Network>(folder, a)};
        if (a.part == "captioner")
            write(*blip::extract_captioner(whole).shared(), a);
        else
            write(*blip::extract_matcher(whole).shared(), a);
    });
}

/// Throws UsageError where something stands in the way that is not to be replaced.
void check_output(fs::path const& output, blip::ModelFolder const& folder, bool force) {
    if (!fs::exists(output))
        return;
    if (!force)
        throw UsageError(blip::join(output.string(), " exists; --force replaces it"));
    if (fs::equivalent(output, folder.weights.path()) ||
        (fs::exists(folder.folder) && fs::equivalent(output, folder.folder)))
        throw UsageError(
            blip::join(output.string(), " is where MODEL itself lies; give another OUTPUT"));
    bool const file = blip::is_weights_file(output);
    if (file == fs::is_directory(output))
        throw UsageError(blip::join(output.string(),
                                    file ? " is a folder, but a file is to be written"
                                         : " is a file, but a folder is to be written",
                                    "; give another OUTPUT"));
    if (file)
        return;
    // Only what an export wrote is removed, whatever the user typed.
    constexpr std::array written{
        "config.json", "generation_config.json",   "model.safetensors",
        "vocab.txt",   "preprocessor_config.json", "tokenizer_config.json"};
    for (auto const& entry : fs::directory_iterator(output))
        if (auto const name = entry.path().filename().string();
            std::ranges::find(written, name) == written.end())
            throw UsageError(blip::join(output.string(), " holds ", name,
                                        ", which no exported model does; give another OUTPUT"));
}

/// Throws UsageError where --part is missing, or there are no parts.
void check_part(blip::ModelFolder const& folder, blip::Task found, std::string const& part) {
    bool const has_parts = found == blip::Task::pre_training;
    if (has_parts && part.empty())
        throw UsageError(blip::join(folder.weights.path().string(),
                                    " is a checkpoint of pre-training: choose --part captioner "
                                    "or --part matcher"));
    if (!has_parts && !part.empty())
        throw UsageError(blip::join("--part ", part, ": ", folder.weights.path().string(),
                                    " is a checkpoint for ", blip::describe(found).words,
                                    "; only one of pre-training has parts"));
}

int convert(Arguments const& a) {
    auto const folder = blip::ModelFolder::open(a.model);
    check_output(a.output, folder, a.force);
    auto const task = blip::detect_task(folder.weights);
    check_part(folder, task, a.part);
    switch (task) {
    case blip::Task::captioning:
        convert<Captioner, Captioners>(folder, a);
        break;
    case blip::Task::question_answering:
        convert<Answerer, Answerers>(folder, a);
        break;
    case blip::Task::matching:
        convert<Matcher, MatchingModels>(folder, a);
        break;
    case blip::Task::pre_training:
        convert_part(folder, a);
        break;
    case blip::Task::pair_reasoning:
        convert<PairReasoner, PairReasoners>(folder, a);
        break;
    default:
        throw blip::CheckpointError(blip::join(
            folder.weights.path().string(), ": a checkpoint for ", blip::describe(task).words,
            ", which has no head that another library would ask for; expected one of "
            "captioning, question answering, matching, pair reasoning or pre-training"));
    }
    return success;
}

} // namespace

int main(int count, char** values) {
    Arguments arguments;
    CLI::App app("Writes a model as other libraries read it.", "export_model");
    app.add_option("MODEL", arguments.model, "A model folder or a weights file")->required();
    app.add_option("OUTPUT", arguments.output,
                   "What to write: FILE.pth or FILE.safetensors with the names of the authors' "
                   "release, or a folder as the transformers library has them")
        ->required();
    app.add_option("--type", arguments.type, "Numbers of the weights")
        ->check(CLI::IsMember({"float32", "float16"}))
        ->capture_default_str();
    app.add_option("--part", arguments.part, "Of a pre-training checkpoint: captioner or matcher")
        ->check(silent(CLI::IsMember({"captioner", "matcher"})));
    app.add_flag("--force", arguments.force, "Replace OUTPUT");
    app.footer("Examples:\n"
               "  export_model run/best captioner.pth\n"
               "  export_model run/best captioner --type float16\n"
               "  export_model model_base.pth matcher --part matcher");
    if (auto const* status = parse_arguments(app, count, values))
        return *status;
    return run_program("export_model", [&] { return convert(arguments); });
}
