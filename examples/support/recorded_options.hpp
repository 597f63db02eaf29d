#pragma once

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include <blip/core/error.hpp>
#include <blip/io/write_file.hpp>

namespace support {

/// The options that the content of an output file depends on, by their names on the command line.
/// They are kept in FILE.options beside the file, so that `--resume` never continues it with
/// others.
class RecordedOptions {
public:
    /// Where the options of the output `path` are kept.
    static std::filesystem::path file_of(std::filesystem::path path) { return path += ".options"; }

    template <class T>
    void add(std::string const& name, T const& value) {
        values_[name] = value;
    }
    template <class T>
    void add(std::string const& name, std::optional<T> const& value) {
        values_[name] = value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
    }

    /// Throws FileError.
    void write(std::filesystem::path const& output) const {
        auto constexpr replace = nlohmann::ordered_json::error_handler_t::replace;
        blip::write_file(file_of(output), values_.dump(1, ' ', false, replace) + "\n");
    }

    /// Throws FileError where the options of `output` are not known, FormatError where they differ
    /// from these.
    void expect_same(std::filesystem::path const& output) const {
        auto const path = file_of(output);
        std::ifstream file(path, std::ios::binary);
        if (!file)
            throw blip::FileError(
                blip::join(path.string(), ": cannot be opened, so nothing tells which options ",
                           output.string(), " was begun with. Replace it by a run with --force"));
        auto const before = nlohmann::ordered_json::parse(file, nullptr, false);
        if (!before.is_object())
            throw blip::FormatError(blip::join(
                path.string(), ": expected the options of an earlier run, a JSON object. Replace ",
                output.string(), " by a run with --force"));
        std::string changes;
        auto const compare = [&](std::string const& name) {
            auto const was = text(before, name), is = text(values_, name);
            if (was != is)
                changes += blip::join("\n  ", name, " was ", was, " and is ", is);
        };
        for (auto const& option : values_.items())
            compare(option.key());
        for (auto const& option : before.items())
            if (!values_.contains(option.key()))
                compare(option.key());
        if (!changes.empty())
            throw blip::FormatError(
                blip::join(output.string(), ": cannot be continued with other options:", changes,
                           "\nGive those of the run that wrote it, or --force to replace it"));
    }

private:
    static std::string text(nlohmann::ordered_json const& values, std::string const& name) {
        if (!values.contains(name) || values[name].is_null())
            return "not given";
        return values[name].dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    }

    nlohmann::ordered_json values_ = nlohmann::ordered_json::object();
};

} // namespace support
