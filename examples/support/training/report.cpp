#include "report.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

namespace support {

void RunReport::add_row(std::int64_t step, std::vector<double> const& row) {
    auto const at = static_cast<double>(step);
    for (std::size_t i = 0; i < losses_.size(); ++i)
        losses_[i].points.emplace_back(at, row[i]);
    rates_.points.emplace_back(at, row[losses_.size()]);
}

void RunReport::read_log(std::filesystem::path const& log, std::size_t columns) {
    std::ifstream in(log);
    std::string line;
    std::getline(in, line); // names of the columns
    while (std::getline(in, line)) {
        std::ranges::replace(line, ',', ' ');
        std::istringstream words(line);
        std::vector<double> row;
        for (double value = 0; words >> value;)
            row.push_back(value);
        if (row.size() == columns)
            add_row(static_cast<std::int64_t>(row.front()), {row.begin() + 1, row.end()});
    }
}

void RunReport::add_validation(std::int64_t step, Scores const& scores,
                               std::vector<ShownSample> samples) {
    if (scores_.empty())
        for (auto const& [name, value] : scores)
            scores_.push_back({name, {}});
    for (std::size_t i = 0; i < scores.size(); ++i)
        scores_[i].points.emplace_back(static_cast<double>(step), scores[i].second);
    samples_ = std::move(samples);
}

std::vector<std::pair<double, double>> const& RunReport::deciding_scores() const {
    static std::vector<std::pair<double, double>> const none;
    return scores_.empty() ? none : scores_.front().points;
}

std::string RunReport::history() const {
    auto json = nlohmann::json::array();
    for (auto const& curve : scores_)
        json.push_back({{"name", curve.name}, {"points", curve.points}});
    return json.dump();
}

void RunReport::restore_history(std::string const& text) {
    scores_.clear();
    for (auto const& curve : nlohmann::json::parse(text))
        scores_.push_back({curve["name"], curve["points"]});
}

void RunReport::add_message(std::string message) {
    if (messages_.size() < 100)
        messages_.push_back(std::move(message));
}

void RunReport::write(bool running, std::vector<std::pair<std::string, std::string>> facts) const {
    write_page({.title = title_,
                .running = running,
                .facts = std::move(facts),
                .losses = losses_,
                .scores = scores_,
                .rates = {rates_},
                .samples = samples_,
                .messages = messages_},
               folder_ / "index.html");
}

} // namespace support
