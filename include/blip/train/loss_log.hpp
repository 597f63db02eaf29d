#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/io/mapped_file.hpp>
#include <blip/io/write_file.hpp>

namespace blip {

/// A CSV file of means over windows of steps, "step,loss,..." with a row after every `window`
/// steps. A resumed training goes on with the same file, from which the rows of steps that are done
/// again are cut; with the window that its checkpoint keeps (see for_each_state), the file ends up
/// as if nothing had happened.
class LossLog {
public:
    /// Touches no file yet. Throws ArgumentError unless window >= 1 and the columns have names
    /// without comma, quote and line break.
    LossLog(std::filesystem::path path, std::vector<std::string> columns, std::int64_t window = 50)
        : path_(std::move(path)), window_(window), sums_(columns.size(), 0.0), header_("step") {
        bool valid = window >= 1 && !columns.empty();
        for (auto const& column : columns) {
            valid = valid && !column.empty() && column.find_first_of(",\"\r\n") == column.npos;
            header_ += "," + column;
        }
        if (!valid)
            throw ArgumentError(join("loss log: a window of ", window, " steps and columns \"",
                                     header_, "\"; expected 1 step or more, and names"));
    }

    /// Begins after `step` steps: 0 for a new file, more for one of which the rows up to that step
    /// stay. Call it once, after a checkpoint has been restored. Throws FileError; FormatError when
    /// the file has other columns.
    void start(std::int64_t step) {
        std::string kept = header_ + "\n";
        std::error_code ignored;
        if (step > 0 && std::filesystem::exists(path_, ignored)) {
            MappedFile const file(path_);
            std::string_view text(reinterpret_cast<char const*>(file.bytes().data()),
                                  file.bytes().size());
            if (!text.starts_with(kept))
                throw FormatError(join(path_.string(), ": its first line is not \"", header_,
                                       "\"; move this file of another training away"));
            kept += rows_until(text.substr(kept.size()), step);
        }
        write_file(path_, kept);
        started_ = true;
    }

    /// Takes the values of one step, as many as there are columns; `step` counts from 1. After the
    /// last step of a window its means are appended to the file and returned. Throws FileError,
    /// ArgumentError.
    std::optional<std::vector<double>> add(std::int64_t step, std::span<double const> values) {
        if (values.size() != sums_.size())
            throw ArgumentError(join("loss log: ", values.size(), " values for \"", header_, "\""));
        if (!started_)
            start(step - 1);
        for (std::size_t i = 0; i < values.size(); ++i)
            sums_[i] += values[i];
        ++count_;
        return step % window_ == 0 ? flush(step) : std::nullopt;
    }

    /// Appends what the present window has so far, where it has anything: at the end of a training.
    std::optional<std::vector<double>> flush(std::int64_t step) {
        if (count_ == 0)
            return std::nullopt;
        std::vector<double> means;
        std::string row = std::to_string(step);
        for (double& sum : sums_) {
            means.push_back(std::exchange(sum, 0.0) / static_cast<double>(count_));
            char number[40];
            std::snprintf(number, sizeof number, ",%.9g", means.back());
            row += number;
        }
        count_ = 0;
        append_line(path_, row);
        return means;
    }

    std::filesystem::path const& path() const { return path_; }

    /// f(name, part) for what a training checkpoint keeps: the window that is not full yet.
    template <class F>
    void for_each_state(F f) {
        f("sums", sums_);
        f("count", count_);
    }

private:
    /// The leading lines of `text` that are whole and of steps up to `step`.
    static std::string_view rows_until(std::string_view text, std::int64_t step) {
        std::size_t end = 0;
        for (;;) {
            auto const line_end = text.find('\n', end);
            if (line_end == text.npos)
                return text.substr(0, end);
            // Copied, because strtoll wants an end of its own.
            std::string const number(text.substr(end, text.find_first_of(",\n", end) - end));
            char* stop = nullptr;
            auto const found = std::strtoll(number.c_str(), &stop, 10);
            if (number.empty() || *stop != '\0' || found > step)
                return text.substr(0, end);
            end = line_end + 1;
        }
    }

    std::filesystem::path path_;
    std::int64_t window_;
    std::vector<double> sums_;
    std::int64_t count_ = 0;
    std::string header_;
    bool started_ = false;
};

} // namespace blip
