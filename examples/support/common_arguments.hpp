#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <blip/io/model_config.hpp>

#include "arguments.hpp"
#include "item.hpp"
#include "recorded_options.hpp"

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
    /// What --format asks for, or the ending of --output.
    std::string format_name() const {
        if (!format.empty())
            return format;
        for (auto const* ending : {"json", "jsonl", "csv"})
            if (output.ends_with(std::string(".") + ending))
                return ending;
        return "text";
    }
    /// The options that results of any program depend on; programs add their own.
    RecordedOptions recorded() const;

    /// Throws UsageError for a --random-model that cannot be written.
    void check_random_model() const;
    /// Throws UsageError for a missing model, outputs that contradict each other or the inputs, or
    /// a
    /// --resume with nothing to continue; a program may have something of its own.
    void check_run(bool continues_more = false) const;
    /// Throws UsageError where no PATH is given or standard input is named twice.
    void check_paths() const;
};

/// The same check without a word in --help.
inline CLI::Validator silent(CLI::Validator const& check) {
    return check.description("");
}

/// MODEL and how it is loaded.
void add_model_options(CLI::App& app, CommonArguments& a);

/// How pictures are read; also without PATHs.
void add_picture_options(CLI::App& app, CommonArguments& a);

/// PATH... and how pictures are found and read.
void add_path_options(CLI::App& app, CommonArguments& a);

/// What a program says about its outputs.
struct OutputWording {
    std::string page = "Write a page with pictures and results too";
    std::string resumed = "Continue --output and --html, with the same options";
    std::string forced = "Replace existing files of --output and --html";
};

void add_output_options(CLI::App& app, CommonArguments& a, OutputWording const& wording = {});

/// --random-model and --size, and --seed where the program has none of its own.
void add_random_model_options(CLI::App& app, CommonArguments& a, bool seed = true);

} // namespace support
