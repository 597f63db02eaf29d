#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <blip/core/error.hpp>
#include <blip/io/json.hpp>
#include <blip/io/write_file.hpp>
#include <blip/train/training_state.hpp>

namespace blip {

/// The checkpoints of one training, step-00001234.safetensors and so on, of which the last few
/// stay. A program may be killed at any moment: every file is whole or absent, and the one before
/// it is deleted only when it lies safely on disk. One training writes to a folder at a time.
class CheckpointFolder {
public:
    /// The last `keep` checkpoints stay, and those that are pinned. The folder is made where it is
    /// missing. Throws FileError; ArgumentError unless keep >= 1.
    explicit CheckpointFolder(std::filesystem::path path, int keep = 2)
        : path_(std::move(path)), keep_(keep) {
        if (keep < 1)
            throw ArgumentError(
                join("checkpoint folder: ", keep, " files to keep, expected 1 or more"));
        std::error_code problem;
        std::filesystem::create_directories(path_, problem);
        if (problem)
            throw FileError(join("cannot make folder ", path_.string(), ": ", problem.message()));
    }

    std::filesystem::path const& path() const { return path_; }

    /// The file of a step, whether it exists or not.
    std::filesystem::path file(std::int64_t step) const {
        char name[64];
        std::snprintf(name, sizeof name, "%s%08lld%s", prefix.data(), static_cast<long long>(step),
                      suffix.data());
        return path_ / name;
    }

    /// The steps that have a file, in ascending order. Throws FileError.
    std::vector<std::int64_t> steps() const {
        std::vector<std::int64_t> found;
        for_each_file([&](std::filesystem::path const& file) {
            if (auto const step = step_of(file.filename().string()))
                found.push_back(*step);
        });
        std::sort(found.begin(), found.end());
        return found;
    }

    /// Writes the checkpoint of `step`, then deletes what is no longer to be kept. Throws
    /// FileError, after which all earlier checkpoints are as they were; ArgumentError when a later
    /// checkpoint is in the folder: it would win the next time (see remove_after).
    template <class B>
    void save(std::int64_t step, TrainingState<B>& state) {
        auto const present = steps();
        auto const later = std::ranges::find_if(
            present, [&](auto other) { return other > step && !damaged_.contains(other); });
        if (step < 0 || later != present.end())
            throw ArgumentError(join(
                path_.string(), ": cannot save step ", step,
                step < 0 ? ", expected 0 or more"
                         : join(": step ", *later,
                                " is there already, of another training or of one that was resumed "
                                "before it; choose another folder, or remove it")));
        remove_leftovers();
        state.save(file(step));
        damaged_.erase(step);
        prune(step);
    }

    /// Restores the last checkpoint that is whole, and returns its step; nothing when the folder
    /// has none. A damaged one is passed over: `on_damaged` is told why, and the next save deletes
    /// it. Throws CheckpointError when all are damaged, or when the one to use is of another
    /// training; FileError when a file cannot be read, which need not mean that it is damaged.
    template <class B>
    std::optional<std::int64_t>
    restore_latest(TrainingState<B>& state,
                   std::function<void(std::string const&)> const& on_damaged = {}) {
        auto present = steps();
        std::string messages;
        for (auto step = present.rbegin(); step != present.rend(); ++step) {
            std::string why;
            try {
                state.restore(file(*step));
                return *step;
            } catch (FormatError const& error) {
                why = error.what();
            } catch (LimitError const& error) {
                why = error.what();
            }
            damaged_.insert(*step);
            messages += "\n  " + why;
            if (on_damaged)
                on_damaged(why);
        }
        if (!present.empty())
            throw CheckpointError(join(path_.string(), ": none of its ", present.size(),
                                       " checkpoints can be used:", messages,
                                       "\nStart anew in another folder"));
        return std::nullopt;
    }

    /// Restores the checkpoint of `step`. Throws what TrainingState::restore throws.
    template <class B>
    void restore(std::int64_t step, TrainingState<B>& state) const {
        state.restore(file(step));
    }

    /// Keeps the checkpoint of `step` under a name ("best") until another is pinned under it.
    /// Throws FileError when there is no such checkpoint.
    void pin(std::int64_t step, std::string const& name = "best") {
        std::error_code ignored;
        if (!std::filesystem::exists(file(step), ignored))
            throw FileError(join(file(step).string(), ": no such checkpoint to keep as \"", name,
                                 "\"; save it first"));
        auto pins = read_pins();
        pins[name] = step;
        write_file(path_ / pins_name, nlohmann::json(pins).dump(2) + "\n");
    }

    /// The step that is pinned under a name. Throws FileError or FormatError.
    std::optional<std::int64_t> pinned(std::string const& name = "best") const {
        auto const pins = read_pins();
        auto const found = pins.find(name);
        return found == pins.end() ? std::nullopt : std::optional(found->second);
    }

    /// Deletes the checkpoints after `step`, of a training that is to go on from there another way.
    void remove_after(std::int64_t step) {
        for (auto const other : steps())
            if (other > step)
                remove(file(other));
    }

private:
    static constexpr std::string_view prefix = "step-";
    static constexpr std::string_view suffix = ".safetensors";
    static constexpr std::string_view partial = ".partial";
    static constexpr char const* pins_name = "pinned.json";

    template <class F>
    void for_each_file(F f) const {
        std::error_code problem;
        std::filesystem::directory_iterator entry(path_, problem);
        for (; !problem && entry != std::filesystem::directory_iterator(); entry.increment(problem))
            f(entry->path());
        if (problem)
            throw FileError(join("cannot list folder ", path_.string(), ": ", problem.message()));
    }

    static std::optional<std::int64_t> step_of(std::string_view name) {
        if (!name.starts_with(prefix) || !name.ends_with(suffix) ||
            name.size() <= prefix.size() + suffix.size())
            return std::nullopt;
        name.remove_prefix(prefix.size());
        name.remove_suffix(suffix.size());
        std::int64_t step = 0;
        auto const [end, problem] = std::from_chars(name.data(), name.data() + name.size(), step);
        if (problem != std::errc{} || end != name.data() + name.size() || step < 0)
            return std::nullopt;
        return step;
    }

    /// Temporary files of a program that was killed while it wrote.
    void remove_leftovers() const {
        std::vector<std::filesystem::path> leftovers;
        for_each_file([&](std::filesystem::path const& file) {
            auto const name = file.filename().string();
            if (name.starts_with(prefix) && name.ends_with(partial))
                leftovers.push_back(file);
        });
        for (auto const& file : leftovers)
            remove(file);
    }

    void prune(std::int64_t newest) {
        std::set<std::int64_t> kept{newest};
        for (auto const& [name, step] : read_pins())
            kept.insert(step);
        auto const present = steps();
        int count = 0;
        for (auto step = present.rbegin(); step != present.rend(); ++step) {
            bool const whole = !damaged_.contains(*step);
            if (whole && count < keep_)
                ++count;
            else if (!whole || !kept.contains(*step))
                remove(file(*step));
        }
        damaged_.clear();
    }

    std::map<std::string, std::int64_t> read_pins() const {
        std::error_code ignored;
        std::map<std::string, std::int64_t> pins;
        if (!std::filesystem::exists(path_ / pins_name, ignored))
            return pins;
        auto const json = JsonDocument::open(path_ / pins_name);
        for (auto const& [name, value] : json.root().items())
            if (value.is_number_integer())
                pins[name] = value.get<std::int64_t>();
            else
                throw FormatError(join(json.where(), ": \"", name, "\": expected a step"));
        return pins;
    }

    static void remove(std::filesystem::path const& file) {
        std::error_code problem;
        std::filesystem::remove(file, problem);
        if (problem)
            throw FileError(join("cannot delete ", file.string(), ": ", problem.message()));
    }

    std::filesystem::path path_;
    int keep_;
    std::set<std::int64_t> damaged_;
};

} // namespace blip
