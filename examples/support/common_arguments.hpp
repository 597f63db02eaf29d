#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <CLI/CLI.hpp>

#include <blip/io/model_config.hpp>

#include "arguments.hpp"
#include "html_report.hpp"
#include "inputs.hpp"
#include "outputs.hpp"

namespace support {

/// What all programs take on their command lines.
struct CommonArguments {
    std::string model;
    std::vector<std::string> paths;
    bool recursive = false;
    bool exif_orientation = false;

    std::string random_model;
    std::string size = "base";
    std::optional<int> image_size;
    std::uint64_t seed = 0;

    std::optional<blip::Compatibility> compatibility;
    std::size_t batch = 8;
    std::size_t threads = 0;

    std::string format;
    std::string output;
    std::string html;
    bool resume = false;
    bool force = false;

    Subfolders subfolders() const { return recursive ? Subfolders::enter : Subfolders::skip; }
    WhenExisting when_existing() const {
        if (resume)
            return WhenExisting::resume;
        return force ? WhenExisting::replace : WhenExisting::refuse;
    }
    /// What --format asks for, or the ending of --output.
    std::string format_name() const {
        if (!format.empty())
            return format;
        for (auto const* ending : {"json", "jsonl", "csv"})
            if (output.ends_with(std::string(".") + ending))
                return ending;
        return "text";
    }
    /// The files to write, or standard output where no --output is named.
    std::vector<OutputTarget> targets(Schema const& schema,
                                      PageLayout layout = PageLayout::cards) const {
        std::vector<OutputTarget> all;
        all.push_back({output, make_format(format_name(), schema)});
        if (!html.empty())
            all.push_back({html, std::make_unique<HtmlFormat>(schema, layout)});
        return all;
    }

    /// The options that results of any program depend on; programs add their own.
    RecordedOptions recorded() const;

    /// Throws UsageError for a --random-model that cannot be written.
    void check_random_model() const;
    /// Throws UsageError for a missing model, or outputs that contradict each other or the inputs.
    void check_run() const;
    /// Throws UsageError where no PATH is given or standard input is named twice.
    void check_paths() const;
};

/// The same check without a word in --help.
inline CLI::Validator silent(CLI::Validator const& check) {
    return check.description("");
}

namespace detail {
inline std::map<std::string, blip::Compatibility> compatibility_names() {
    using blip::Compatibility;
    return {{"salesforce", Compatibility::salesforce},
            {"hugging_face", Compatibility::hugging_face},
            {"strict", Compatibility::strict}};
}
} // namespace detail

/// MODEL and how it is loaded.
inline void add_model_options(CLI::App& app, CommonArguments& a) {
    app.add_option("model", a.model, "Folder of a model, or its weights file")->type_name("MODEL");
    app.add_option("--threads", a.threads, "Threads that compute (default: all)")
        ->check(silent(CLI::Range(1, 1024)));
    app.add_option("--image-size", a.image_size, "Side in pixels that pictures are resized to")
        ->check(silent(CLI::Range(1, 1 << 14)));
    app.add_option("--compatibility", a.compatibility,
                   "Follow salesforce (the authors), hugging_face, or strict (hugging_face "
                   "without its padding quirk)")
        ->transform(silent(CLI::CheckedTransformer(detail::compatibility_names())))
        ->type_name("NAME");
}

/// How pictures are read; also without PATHs.
inline void add_picture_options(CLI::App& app, CommonArguments& a) {
    app.add_flag("--exif-orientation", a.exif_orientation,
                 "Turn pictures upright as the camera noted (the published models do not)");
    app.add_option("--batch", a.batch, "Pictures that go through the model together")
        ->capture_default_str()
        ->check(silent(CLI::Range(1, 1024)));
}

/// PATH... and how pictures are found and read.
inline void add_path_options(CLI::App& app, CommonArguments& a) {
    app.add_option("paths", a.paths,
                   "Pictures, folders of pictures, @FILE with a path a line, or - for such a list "
                   "from standard input")
        ->type_name("PATH");
    app.add_flag("--recursive", a.recursive, "Search folders within folders");
    add_picture_options(app, a);
}

/// What a program says about its outputs.
struct OutputWording {
    std::string page = "Write a page with pictures and results too";
    std::string resumed = "Continue --output and --html, with the same options";
    std::string forced = "Replace existing files of --output and --html";
};

inline void add_output_options(CLI::App& app, CommonArguments& a,
                               OutputWording const& wording = {}) {
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

/// --random-model and --size. `--seed` is the program's own where it draws at random too.
inline void add_random_model_options(CLI::App& app, CommonArguments& a, bool seed = true) {
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

inline RecordedOptions CommonArguments::recorded() const {
    RecordedOptions all;
    std::error_code failed;
    auto const absolute = std::filesystem::weakly_canonical(model, failed);
    all.add("MODEL", failed ? model : absolute.string());
    all.add("--image-size", image_size);
    std::optional<std::string> followed;
    for (auto const& [name, value] : detail::compatibility_names())
        if (compatibility == value)
            followed = name;
    all.add("--compatibility", followed);
    all.add("--exif-orientation", exif_orientation);
    if (!output.empty())
        all.add("--format", format_name());
    return all;
}

inline void CommonArguments::check_random_model() const {
    if (!model.empty())
        throw UsageError("--random-model writes a model; it takes no MODEL and no PATH");
    std::error_code ignored;
    if (std::filesystem::exists(random_model, ignored) &&
        !std::filesystem::is_empty(random_model, ignored))
        throw UsageError(blip::join("--random-model: ", random_model,
                                    " exists and is not empty; name a new folder"));
}

inline void CommonArguments::check_paths() const {
    if (paths.empty())
        throw UsageError("PATH is missing: name pictures, folders, @FILE, or - for a list");
    if (std::count(paths.begin(), paths.end(), "-") > 1)
        throw UsageError("- (standard input) can be named once only");
}

inline void CommonArguments::check_run() const {
    if (model.empty())
        throw UsageError("MODEL is missing: name the folder or weights file of a model");
    if (!output.empty() && output == html)
        throw UsageError("--output and --html name the same file");
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
