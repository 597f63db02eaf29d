#include "common_arguments.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <system_error>

namespace support {

namespace {
std::map<std::string, blip::Compatibility> compatibility_names() {
    using blip::Compatibility;
    std::map<std::string, Compatibility> names;
    for (auto const value :
         {Compatibility::salesforce, Compatibility::hugging_face, Compatibility::strict})
        names.emplace(blip::name_of(value), value);
    return names;
}
} // namespace

void add_model_options(CLI::App& app, CommonArguments& a) {
    app.add_option("model", a.model, "Folder of a model, or its weights file")->type_name("MODEL");
    app.add_option("--threads", a.threads, "Threads that compute (default: all)")
        ->check(silent(CLI::Range(1, 1024)));
    app.add_option("--image-size", a.image_size, "Side in pixels that pictures are resized to")
        ->check(silent(CLI::Range(1, 1 << 14)));
    app.add_option("--compatibility", a.compatibility,
                   "Follow salesforce (the authors), hugging_face, or strict (the "
                   "checkpoint's own ways without padding quirks)")
        ->transform(silent(CLI::CheckedTransformer(compatibility_names())))
        ->type_name("NAME");
}

void add_picture_options(CLI::App& app, CommonArguments& a) {
    app.add_flag("--exif-orientation", a.exif_orientation,
                 "Turn pictures upright as the camera noted (the published models do not)");
    app.add_option("--batch", a.batch, "Pictures that go through the model together")
        ->capture_default_str()
        ->check(silent(CLI::Range(1, 1024)));
}

void add_path_options(CLI::App& app, CommonArguments& a) {
    app.add_option("paths", a.paths,
                   "Pictures, folders of pictures, @FILE with a path a line, or - for such a list "
                   "from standard input")
        ->type_name("PATH");
    app.add_flag("--recursive", a.recursive, "Search folders within folders");
    add_picture_options(app, a);
}

void add_output_options(CLI::App& app, CommonArguments& a, OutputWording const& wording) {
    std::string const group = "Output";
    app.add_option("--format", a.format,
                   "text, json, jsonl or csv (default: as --output ends, else text)")
        ->check(silent(CLI::IsMember({"text", "json", "jsonl", "csv"})))
        ->group(group);
    app.add_option("--output", a.output, "Write to FILE, not to standard output")
        ->type_name("FILE")
        ->group(group);
    app.add_option("--html", a.html, wording.page)->type_name("FILE")->group(group);
    auto* resume = app.add_flag("--resume", a.resume, wording.resumed)->group(group);
    app.add_flag("--force", a.force, wording.forced)->excludes(resume)->group(group);
}

void add_random_model_options(CLI::App& app, CommonArguments& a, bool seed) {
    std::string const group = "Untrained models";
    auto* random = app.add_option("--random-model", a.random_model,
                                  "Write an untrained model of full size to FOLDER and end")
                       ->type_name("FOLDER")
                       ->group(group);
    app.add_option("--size", a.size, "base, large, or a size of this build")
        ->capture_default_str()
        ->needs(random)
        ->group(group);
    if (seed)
        app.add_option("--seed", a.seed, "Of its weights")->needs(random)->group(group);
}

RecordedOptions CommonArguments::recorded() const {
    RecordedOptions all;
    std::error_code failed;
    auto const absolute = std::filesystem::weakly_canonical(model, failed);
    all.add("MODEL", failed ? model : absolute.string());
    all.add("--image-size", image_size);
    std::optional<std::string> followed;
    if (compatibility)
        followed = blip::name_of(*compatibility);
    all.add("--compatibility", followed);
    all.add("--exif-orientation", exif_orientation);
    if (!output.empty())
        all.add("--format", format_name());
    return all;
}

void CommonArguments::check_random_model() const {
    if (!model.empty())
        throw UsageError("--random-model writes a model; it takes no MODEL and no PATH");
    std::error_code ignored;
    if (std::filesystem::exists(random_model, ignored) &&
        !std::filesystem::is_empty(random_model, ignored))
        throw UsageError(blip::join("--random-model: ", random_model,
                                    " exists and is not empty; name a new folder"));
}

void CommonArguments::check_paths() const {
    if (paths.empty())
        throw UsageError("PATH is missing: name pictures, folders, @FILE, or - for a list");
    if (std::count(paths.begin(), paths.end(), "-") > 1)
        throw UsageError("- (standard input) can be named once only");
}

void CommonArguments::check_run(bool continues_more) const {
    if (model.empty())
        throw UsageError("MODEL is missing: name the folder or weights file of a model");
    if (!output.empty() && output == html)
        throw UsageError("--output and --html name the same file");
    if (resume && output.empty() && html.empty() && !continues_more)
        throw UsageError("--resume needs what it is to continue: --output or --html");
    if (resume && !output.empty() && format_name() == "json")
        throw UsageError("--resume cannot continue a JSON array; "
                         "write --format jsonl, or run again with --force");
    for (auto const& path : paths)
        for (auto const& written : {output, html}) {
            std::error_code ignored;
            if (!written.empty() && std::filesystem::equivalent(written, path, ignored))
                throw UsageError(blip::join(written, " is one of the pictures; results cannot be "
                                                     "written over it"));
        }
}

} // namespace support
