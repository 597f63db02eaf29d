#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace support {

/// One line of a chart.
struct Curve {
    std::string name;
    std::vector<std::pair<double, double>> points; ///< step and value, steps rising
};

/// A picture of the validation data with what the model says about it.
struct ShownSample {
    std::string picture; ///< a data: address
    std::string asked;   ///< the question, if there is one
    std::string said;
    std::string expected;
    bool right = false;
};

/// What the page of a training run shows.
struct RunPage {
    std::string title;
    bool running = false; ///< the page then loads itself again from time to time
    std::vector<std::pair<std::string, std::string>> facts;
    std::vector<Curve> losses, scores, rates;
    std::vector<ShownSample> samples;
    std::vector<std::string> messages; ///< broken items and the like
};

/// Writes the page, in one go, so that it can be opened at any time. Throws FileError.
void write_page(RunPage const& page, std::filesystem::path const& path);

/// A chart of the curves as inline SVG; empty where none has two points. At most some hundred
/// points a curve are drawn, each the mean of its neighbourhood.
std::string chart(std::vector<Curve> const& curves, std::string const& title);

} // namespace support
