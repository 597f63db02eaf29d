#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <CLI/CLI.hpp>

#include <blip/models/captioner.hpp>

#include "arguments.hpp"
#include "caption_record.hpp"
#include "inputs.hpp"
#include "recorded_options.hpp"

namespace support {

/// The command line of `caption`.
struct CaptionArguments {
    std::string model;
    std::vector<std::string> paths;
    bool recursive = false;
    bool exif_orientation = false;

    std::string random_model;
    std::string size = "base";
    std::optional<int> image_size;

    blip::CaptionOptions options;
    std::optional<blip::Compatibility> compatibility;
    std::size_t batch = 8;
    std::size_t threads = 0;

    std::string format;
    std::string output;
    std::string html;
    bool sidecar = false;
    bool resume = false;
    bool force = false;

    Subfolders subfolders() const { return recursive ? Subfolders::enter : Subfolders::skip; }
    std::size_t captions() const { return static_cast<std::size_t>(options.results); }
    /// What --format asks for, or the ending of --output.
    std::string format_name() const;
    /// All options that captions depend on; not --batch and --threads, which change no result.
    RecordedOptions recorded() const;

    /// Throws UsageError for options that contradict each other.
    void check() const;
};

namespace detail {

/// The same check without a word in --help.
inline CLI::Validator silent(CLI::Validator const& check) {
    return check.description("");
}

inline std::map<std::string, blip::Compatibility> compatibility_names() {
    using blip::Compatibility;
    return {{"salesforce", Compatibility::salesforce},
            {"hugging_face", Compatibility::hugging_face},
            {"strict", Compatibility::strict}};
}

inline void add_search_options(CLI::App& app, CaptionArguments& a) {
    auto const count = silent(CLI::Range(1, 1024)), length = silent(CLI::Range(1, 1 << 16));
    auto const from_zero = silent(CLI::Range(0, 1 << 24)), positive = silent(CLI::PositiveNumber);
    auto& o = a.options;
    std::string const group = "Captions";
    app.add_option("--prompt", o.prompt, "How captions begin; \"\" for nothing")->group(group);
    auto* beams = app.add_option("--beams", o.beams, "Beams of the search; 1 is greedy")
                      ->check(count)
                      ->group(group);
    auto* sample = app.add_flag("--sample", o.sample, "Draw captions at random")->group(group);
    sample->excludes(beams);
    app.add_option("--count", o.results, "Captions for each picture, best first")
        ->check(count)
        ->group(group);
    app.add_option("--max-length", o.max_length, "Most tokens, start token and prompt included")
        ->check(length)
        ->group(group);
    app.add_option("--max-new-tokens", o.max_new_tokens, "Most tokens after the prompt")
        ->check(length)
        ->group(group);
    app.add_option("--min-length", o.min_length, "Fewest tokens, start token and prompt included")
        ->check(from_zero)
        ->group(group);
    app.add_option("--top-p", o.top_p, "Sample from the likeliest tokens with this share; 1: all")
        ->check(silent(CLI::Range(0.0, 1.0)))
        ->needs(sample)
        ->group(group);
    app.add_option("--top-k", o.top_k, "Sample from this many likeliest tokens; 0: all")
        ->check(from_zero)
        ->needs(sample)
        ->group(group);
    app.add_option("--temperature", o.temperature, "Above 1 samples wilder, below 1 tamer")
        ->check(positive)
        ->needs(sample)
        ->group(group);
    app.add_option("--seed", o.seed, "Of samples and of --random-model's weights")->group(group);
    app.add_option("--repetition-penalty", o.repetition_penalty, "Above 1: fewer repetitions")
        ->check(positive)
        ->group(group);
    app.add_option("--length-penalty", o.length_penalty,
                   "Exponent of the length that beam scores are divided by")
        ->group(group);
    app.add_option("--no-repeat-ngram", o.no_repeat_ngram, "Forbid repeated runs of N tokens")
        ->check(from_zero)
        ->group(group);
}

inline void add_output_options(CLI::App& app, CaptionArguments& a) {
    std::string const group = "Output";
    app.add_option("--format", a.format,
                   "text, json, jsonl or csv (default: as --output ends, else text)")
        ->check(silent(CLI::IsMember({"text", "json", "jsonl", "csv"})))
        ->group(group);
    app.add_option("--output", a.output, "Write to FILE, not to standard output")
        ->type_name("FILE")
        ->group(group);
    app.add_flag("--sidecar", a.sidecar,
                 "Write photo.txt beside each photo.jpg (photo.jpg.txt where it has a photo.png "
                 "beside it)")
        ->group(group);
    app.add_option("--html", a.html, "Write a page with pictures and captions too")
        ->type_name("FILE")
        ->group(group);
    auto* resume = app.add_flag("--resume", a.resume,
                                "Continue --output, --html and --sidecar, with the same options")
                       ->group(group);
    app.add_flag("--force", a.force, "Replace existing files of --output, --html and --sidecar")
        ->excludes(resume)
        ->group(group);
}

} // namespace detail

/// Describes all options to `app`; values go to `a`.
inline void add_caption_options(CLI::App& app, CaptionArguments& a) {
    app.add_option("model", a.model, "Folder of a model, or its weights file")->type_name("MODEL");
    app.add_option("paths", a.paths,
                   "Pictures, folders of pictures, @FILE with a path a line, or - for such a list "
                   "from standard input")
        ->type_name("PATH");
    app.add_flag("--recursive", a.recursive, "Search folders within folders");
    app.add_flag("--exif-orientation", a.exif_orientation,
                 "Turn pictures upright as the camera noted (the published models do not)");
    app.add_option("--batch", a.batch, "Pictures that go through the model together")
        ->capture_default_str()
        ->check(detail::silent(CLI::Range(1, 1024)));
    app.add_option("--threads", a.threads, "Threads that compute (default: all)")
        ->check(detail::silent(CLI::Range(1, 1024)));
    app.add_option("--image-size", a.image_size, "Side in pixels that pictures are resized to")
        ->check(detail::silent(CLI::Range(1, 1 << 14)));
    app.add_option("--compatibility", a.compatibility,
                   "Follow salesforce (the authors), hugging_face, or strict (hugging_face "
                   "without its padding quirk)")
        ->transform(detail::silent(CLI::CheckedTransformer(detail::compatibility_names())))
        ->type_name("NAME");
    detail::add_search_options(app, a);
    detail::add_output_options(app, a);
    auto* random = app.add_option("--random-model", a.random_model,
                                  "Write an untrained model of full size to FOLDER and end")
                       ->type_name("FOLDER")
                       ->group("Untrained models");
    app.add_option("--size", a.size, "base, large, or a size of this build")
        ->capture_default_str()
        ->needs(random)
        ->group("Untrained models");
    app.footer(R"(Examples:
  caption blip-base photo.jpg
  caption blip-base photos --recursive --output captions.jsonl --html captions.html
  caption blip-base photos --recursive --output captions.jsonl --resume
  find . -name '*.png' | caption blip-base - --prompt "a photo of" --format csv
  caption blip-base photo.jpg --sample --count 5 --top-p 0.9 --seed 1
  caption --random-model untrained --size base --image-size 224

Exit status: 0 when every picture has a caption, 1 when some could not be read, 2 when
nothing could be done, 130 after Ctrl-C.)");
}

inline void CaptionArguments::check() const {
    if (!random_model.empty()) {
        if (!model.empty())
            throw UsageError("--random-model writes a model; it takes no MODEL and no PATH");
        std::error_code ignored;
        if (std::filesystem::exists(random_model, ignored) &&
            !std::filesystem::is_empty(random_model, ignored))
            throw UsageError(blip::join("--random-model: ", random_model,
                                        " exists and is not empty; name a new folder"));
        return;
    }
    if (model.empty())
        throw UsageError("MODEL is missing: name the folder or weights file of a model");
    if (paths.empty())
        throw UsageError("PATH is missing: name pictures, folders, @FILE, or - for a list");
    if (!options.sample && options.beams && options.results > *options.beams)
        throw UsageError(blip::join("--count ", options.results, " needs --beams ", options.results,
                                    " or more, or --sample"));
    if (options.sample && options.top_p <= 0)
        throw UsageError("--top-p 0 leaves no token; expected more than 0");
    if (std::count(paths.begin(), paths.end(), "-") > 1)
        throw UsageError("- (standard input) can be named once only");
    if (resume && output.empty() && html.empty() && !sidecar)
        throw UsageError("--resume needs what it is to continue: --output, --html or --sidecar");
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
    if (options.min_length && options.max_length && *options.min_length > *options.max_length)
        throw UsageError(blip::join("--min-length ", *options.min_length,
                                    " is more than --max-length ", *options.max_length));
}

inline std::string CaptionArguments::format_name() const {
    if (!format.empty())
        return format;
    for (auto const* ending : {"json", "jsonl", "csv"})
        if (output.ends_with(std::string(".") + ending))
            return ending;
    return "text";
}

inline RecordedOptions CaptionArguments::recorded() const {
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
    all.add("--prompt", options.prompt);
    all.add("--beams", options.beams);
    all.add("--sample", options.sample);
    all.add("--count", options.results);
    all.add("--max-length", options.max_length);
    all.add("--max-new-tokens", options.max_new_tokens);
    all.add("--min-length", options.min_length);
    all.add("--top-p", options.top_p);
    all.add("--top-k", options.top_k);
    all.add("--temperature", options.temperature);
    all.add("--seed", options.seed);
    all.add("--repetition-penalty", options.repetition_penalty);
    all.add("--length-penalty", options.length_penalty);
    all.add("--no-repeat-ngram", options.no_repeat_ngram);
    return all;
}

/// The format of --output, or of standard output.
inline std::unique_ptr<RecordFormat> make_format(CaptionArguments const& a) {
    auto const name = a.format_name();
    if (name == "json")
        return std::make_unique<JsonArrayFormat>();
    if (name == "jsonl")
        return std::make_unique<JsonLinesFormat>();
    if (name == "csv")
        return std::make_unique<CsvFormat>(a.captions());
    return std::make_unique<TextFormat>(a.captions());
}

} // namespace support
