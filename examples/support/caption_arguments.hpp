#pragma once

#include <cstddef>
#include <string>

#include <CLI/CLI.hpp>

#include <blip/models/captioner.hpp>

#include "common_arguments.hpp"

namespace support {

/// The command line of `caption`.
struct CaptionArguments : CommonArguments {
    blip::CaptionOptions options;
    bool sidecar = false;

    std::size_t captions() const { return static_cast<std::size_t>(options.results); }
    /// All options that captions depend on; not --batch and --threads, which change no result.
    RecordedOptions recorded() const;

    /// Throws UsageError for options that contradict each other.
    void check() const;
};

namespace detail {

inline void add_caption_search_options(CLI::App& app, CaptionArguments& a) {
    auto const count = silent(CLI::Range(1, 1024)), length = silent(CLI::Range(1, 1 << 16));
    auto const from_zero = silent(CLI::Range(0, 1 << 24)), positive = silent(CLI::PositiveNumber);
    auto& o = a.options;
    std::string const group = "Captions";
    app.add_option("--prompt", o.prompt, "How captions begin; \"\" for nothing")->group(group);
    auto* beams = app.add_option("--beams", o.beams, "Beams of the search; 1 is greedy")
                      ->check(count)
                      ->group(group);
    auto* sample = app.add_flag_callback(
                          "--sample", [&o] { o.sample = true; }, "Draw captions at random")
                       ->group(group);
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

} // namespace detail

/// Describes all options to `app`; values go to `a`.
inline void add_caption_options(CLI::App& app, CaptionArguments& a) {
    add_model_options(app, a);
    add_path_options(app, a);
    detail::add_caption_search_options(app, a);
    add_output_options(app, a,
                       {.page = "Write a page with pictures and captions too",
                        .resumed = "Continue --output, --html and --sidecar, with the same options",
                        .forced = "Replace existing files of --output, --html and --sidecar"});
    app.add_flag("--sidecar", a.sidecar,
                 "Write photo.txt beside each photo.jpg (photo.jpg.txt where it has a photo.png "
                 "beside it)")
        ->group("Output");
    add_random_model_options(app, a, false);
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
    if (!random_model.empty())
        return check_random_model();
    if (resume && output.empty() && html.empty() && !sidecar)
        throw UsageError("--resume needs what it is to continue: --output, --html or --sidecar");
    check_run(sidecar);
    check_paths();
    if (!options.sample.value_or(false) && options.beams && options.results > *options.beams)
        throw UsageError(blip::join("--count ", options.results, " needs --beams ", options.results,
                                    " or more, or --sample"));
    if (options.top_p && *options.top_p <= 0)
        throw UsageError("--top-p 0 leaves no token; expected more than 0");
    if (options.min_length && options.max_length && *options.min_length > *options.max_length)
        throw UsageError(blip::join("--min-length ", *options.min_length,
                                    " is more than --max-length ", *options.max_length));
}

inline RecordedOptions CaptionArguments::recorded() const {
    auto all = CommonArguments::recorded();
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

} // namespace support
