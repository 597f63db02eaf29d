#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "page.hpp"

namespace support {

/// What people see of a training run: its curves, validation samples and messages, and the page in
/// its folder that shows them.
class RunReport {
public:
    /// Names and values, as of losses or of a validation.
    using Scores = std::vector<std::pair<std::string, double>>;

    /// `losses` are the first columns of the log; the learning rate follows them.
    RunReport(std::string title, std::filesystem::path folder,
              std::vector<std::string> const& losses)
        : title_(std::move(title)), folder_(std::move(folder)) {
        for (auto const& name : losses)
            losses_.push_back({name, {}});
    }

    /// A row of the log: losses, rate, and what is not drawn.
    void add_row(std::int64_t step, std::vector<double> const& row);
    /// The curves of a run that is resumed: `columns` numbers a line, the step among them.
    void read_log(std::filesystem::path const& log, std::size_t columns);

    void add_validation(std::int64_t step, Scores const& scores, std::vector<ShownSample> samples);
    /// Values of the score that decides, oldest first.
    std::vector<std::pair<double, double>> const& deciding_scores() const;
    std::string deciding_name() const { return scores_.empty() ? "" : scores_.front().name; }

    /// Curves of validation live in the checkpoint, those of losses in the log.
    std::string history() const;
    void restore_history(std::string const& text);

    /// For the page; more than a hundred would hide the rest of it.
    void add_message(std::string message);

    /// Writes the page. Throws FileError.
    void write(bool running, std::vector<std::pair<std::string, std::string>> facts) const;

private:
    std::string title_;
    std::filesystem::path folder_;
    std::vector<Curve> losses_, scores_;
    Curve rates_{"rate", {}};
    std::vector<ShownSample> samples_;
    std::vector<std::string> messages_;
};

} // namespace support
