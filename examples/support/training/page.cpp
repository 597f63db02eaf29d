#include "page.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <blip/io/write_file.hpp>

#include "../html_report.hpp"
#include "../number_text.hpp"

namespace support {

namespace {

constexpr double width = 640, height = 260, left = 56, right = 12, top = 12, bottom = 28;
constexpr std::size_t most_points = 300;

/// Means of neighbouring points, at most `most_points`.
std::vector<std::pair<double, double>> thinned(std::vector<std::pair<double, double>> const& all) {
    std::size_t const group = (all.size() + most_points - 1) / most_points;
    if (group <= 1)
        return all;
    std::vector<std::pair<double, double>> few;
    for (std::size_t i = 0; i < all.size(); i += group) {
        std::size_t const end = std::min(all.size(), i + group);
        double x = 0, y = 0;
        for (std::size_t k = i; k < end; ++k) {
            x += all[k].first;
            y += all[k].second;
        }
        few.emplace_back(x / static_cast<double>(end - i), y / static_cast<double>(end - i));
    }
    return few;
}

struct Range {
    double least = std::numeric_limits<double>::infinity(), most = -least;

    void add(double value) {
        if (std::isfinite(value)) {
            least = std::min(least, value);
            most = std::max(most, value);
        }
    }
    double share(double value) const {
        return most > least ? (value - least) / (most - least) : 0.5;
    }
};

constexpr std::array colors{"#2f6f4f", "#b4561f", "#3b62b5", "#8a3a8f", "#a32020", "#6b6b1e"};

} // namespace

std::string chart(std::vector<Curve> const& curves, std::string const& title) {
    Range steps, values;
    std::vector<std::vector<std::pair<double, double>>> lines;
    for (auto const& curve : curves) {
        lines.push_back(thinned(curve.points));
        for (auto const& [x, y] : lines.back()) {
            steps.add(x);
            values.add(y);
        }
    }
    bool const drawable =
        std::ranges::any_of(lines, [](auto const& line) { return line.size() > 1; });
    if (!drawable || !(values.most >= values.least))
        return {};
    auto const x_of = [&](double x) { return left + steps.share(x) * (width - left - right); };
    auto const y_of = [&](double y) {
        return height - bottom - values.share(y) * (height - top - bottom);
    };
    std::string svg =
        blip::join("<section class=\"chart\"><h2>", html_text(title), "</h2><svg viewBox=\"0 0 ",
                   width, ' ', height, "\" role=\"img\" aria-label=\"", html_text(title), "\">");
    for (int i = 0; i <= 4; ++i) {
        double const value = values.least + (values.most - values.least) * i / 4;
        svg += blip::join("<line class=\"grid-line\" x1=\"", left, "\" x2=\"", width - right,
                          "\" y1=\"", y_of(value), "\" y2=\"", y_of(value), "\"/><text x=\"",
                          left - 6, "\" y=\"", y_of(value) + 4, "\" text-anchor=\"end\">",
                          rounded_text(value), "</text>");
    }
    for (double const step : {steps.least, steps.most})
        svg +=
            blip::join("<text x=\"", x_of(step), "\" y=\"", height - 8, "\" text-anchor=\"",
                       step == steps.least ? "start" : "end", "\">", rounded_text(step), "</text>");
    std::string legend;
    for (std::size_t i = 0; i < curves.size(); ++i) {
        auto const* color = colors[i % colors.size()];
        svg += blip::join("<polyline fill=\"none\" stroke-width=\"1.5\" stroke=\"", color,
                          "\" points=\"");
        for (auto const& [x, y] : lines[i])
            if (std::isfinite(y))
                svg += blip::join(rounded_text(x_of(x)), ',', rounded_text(y_of(y)), ' ');
        svg += "\"/>";
        std::string const last =
            curves[i].points.empty() ? std::string() : rounded_text(curves[i].points.back().second);
        legend += blip::join("<span><i style=\"background:", color, "\"></i>",
                             html_text(curves[i].name), " ", last, "</span>");
    }
    return svg + "</svg><div class=\"legend\">" + legend + "</div></section>";
}

void write_page(RunPage const& page, std::filesystem::path const& path) {
    std::string text = html_page_start(
        page.title,
        R"(svg { width: 100%; height: auto; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
svg text { fill: var(--faint); font: 11px system-ui, sans-serif; }
.grid-line { stroke: var(--line); }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; color: var(--faint); font-size: .85rem; margin-top: .3rem; }
.legend i { display: inline-block; width: .8rem; height: .2rem; margin-right: .35rem; vertical-align: middle; }
table { border-collapse: collapse; margin: 0 0 1.5rem; font-size: .9rem; }
td { padding: .15rem 1.2rem .15rem 0; }
td:first-child { color: var(--faint); }
.wrong p:first-of-type { color: var(--bad); }
)",
        page.running ? "<meta http-equiv=\"refresh\" content=\"10\">\n" : "");
    text += "<table>";
    for (auto const& [name, value] : page.facts)
        text += "<tr><td>" + html_text(name) + "</td><td>" + html_text(value) + "</td></tr>";
    text += "</table>\n<div class=\"charts\">";
    text += chart(page.losses, "Losses") + chart(page.scores, "Validation") +
            chart(page.rates, "Learning rate");
    text += "</div>\n";
    if (!page.samples.empty()) {
        text += "<section><h2>Validation samples</h2><div class=\"grid\">\n";
        for (auto const& sample : page.samples) {
            text += sample.right ? "<figure>" : "<figure class=\"wrong\">";
            if (!sample.picture.empty())
                text += "<img alt=\"\" src=\"" + sample.picture + "\">";
            text += "<figcaption>";
            if (!sample.asked.empty())
                text += "<div class=\"name\">" + html_text(sample.asked) + "</div>";
            text += "<p>" + html_text(sample.said) + "</p>";
            if (!sample.right)
                text += "<div class=\"name\">expected: " + html_text(sample.expected) + "</div>";
            text += "</figcaption></figure>\n";
        }
        text += "</div></section>\n";
    }
    if (!page.messages.empty()) {
        text += "<section><h2>Messages</h2>";
        for (auto const& message : page.messages)
            text += "<p>" + html_text(message) + "</p>";
        text += "</section>\n";
    }
    blip::write_file(path, text + "</body></html>\n");
}

} // namespace support
