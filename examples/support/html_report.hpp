#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include <blip/vision/image.hpp>
#include <blip/vision/resize.hpp>
#include <blip/vision/write_image.hpp>

#include "number_text.hpp"
#include "record.hpp"

namespace support {

namespace detail {

inline std::string base64(std::span<std::byte const> bytes) {
    constexpr std::string_view letters =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::size_t const count = std::min<std::size_t>(3, bytes.size() - i);
        std::uint32_t group = 0;
        for (std::size_t k = 0; k < 3; ++k)
            group = group << 8 | (k < count ? std::to_integer<std::uint32_t>(bytes[i + k]) : 0u);
        for (std::size_t k = 0; k < 4; ++k)
            text += k <= count ? letters[group >> (18 - 6 * k) & 63] : '=';
    }
    return text;
}

} // namespace detail

/// `text` for an HTML page, in a single line: markup is escaped, bytes that are no UTF-8 become
/// U+FFFD, control characters spaces.
inline std::string html_text(std::string_view text) {
    using nlohmann::json;
    auto const valid =
        json::parse(json(std::string(text)).dump(-1, ' ', false, json::error_handler_t::replace))
            .get<std::string>();
    std::string escaped;
    for (char letter : valid)
        switch (letter) {
        case '&':
            escaped += "&amp;";
            break;
        case '<':
            escaped += "&lt;";
            break;
        case '>':
            escaped += "&gt;";
            break;
        case '"':
            escaped += "&quot;";
            break;
        case '\'':
            escaped += "&#39;";
            break;
        default:
            escaped += static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f ? ' ' : letter;
        }
    return escaped;
}

/// A small copy of `image` as a data: address. Tiny pictures stay exact.
inline std::string thumbnail(blip::Image const& image) {
    constexpr std::size_t longest = 360, tiny = 64;
    auto const size = blip::image_size(image);
    std::size_t const side = std::max(size.height, size.width);
    auto scaled = [side](std::size_t extent) {
        return side <= longest ? extent : std::max<std::size_t>(1, extent * longest / side);
    };
    auto const small = blip::resize_bicubic(image, {scaled(size.height), scaled(size.width)});
    bool const exact = side <= tiny;
    auto const bytes = blip::encode_image(
        small, exact ? blip::ImageFormat::png : blip::ImageFormat::jpeg, {.jpeg_quality = 82});
    return blip::join("data:image/", exact ? "png" : "jpeg", ";base64,", detail::base64(bytes));
}

/// The beginning of a page that needs nothing beside itself, up to its headline: style for light
/// and dark, no scripts. `more_style` and `more_head` are added.
inline std::string html_page_start(std::string_view title, std::string_view more_style = {},
                                   std::string_view more_head = {}) {
    return blip::join(R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>)",
                      html_text(title), "</title>\n", more_head, R"(<style>
:root { --page: #f6f6f4; --card: #fff; --ink: #1b1b1b; --faint: #676767; --line: #dcdcd8; --bar: #2f6f4f; --bad: #a32020; }
@media (prefers-color-scheme: dark) {
  :root { --page: #161717; --card: #202222; --ink: #ececea; --faint: #a0a29f; --line: #363938; --bar: #6cc296; --bad: #ff8f85; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 1.5rem clamp(.75rem, 3vw, 3rem); background: var(--page); color: var(--ink); font: 1rem/1.45 system-ui, sans-serif; }
h1 { font-size: 1.3rem; margin: 0 0 1rem; }
h2 { font-size: 1.1rem; margin: 0; overflow-wrap: anywhere; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }
section { margin: 0 0 2rem; }
header { display: flex; gap: 1rem; align-items: center; margin: 0 0 .75rem; }
header img { width: 6rem; height: 6rem; border-radius: .5rem; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; display: flex; flex-direction: column; }
img { display: block; width: 100%; height: 13rem; object-fit: contain; background: var(--line); }
.pictures { display: flex; gap: 1px; }
.pictures img { flex: 1; min-width: 0; }
figcaption { padding: .75rem; }
.name { color: var(--faint); font-size: .8rem; overflow-wrap: anywhere; }
p { margin: .35rem 0 0; overflow-wrap: anywhere; }
p.asked { font-weight: 600; }
.sure { display: flex; align-items: center; gap: .5rem; margin-top: .3rem; color: var(--faint); font-size: .8rem; }
.sure i { flex: 1; height: .3rem; border-radius: .15rem; background: linear-gradient(var(--bar), var(--bar)) left / var(--p) 100% no-repeat var(--line); }
.error { border-color: var(--bad); }
.error p { color: var(--bad); }
footer { margin-top: 1.25rem; color: var(--faint); font-size: .85rem; }
)",
                      more_style, "</style>\n</head>\n<body>\n<h1>", html_text(title), "</h1>\n");
}

/// A page that needs nothing beside itself: pictures, results and how sure the model is.
class HtmlFormat final : public RecordFormat {
public:
    explicit HtmlFormat(Schema schema, PageLayout layout = PageLayout::cards)
        : schema_(std::move(schema)), layout_(layout) {}

    std::string header() const override {
        return html_page_start(schema_.title) + "<main" +
               (layout_ == PageLayout::cards ? " class=\"grid\"" : "") + ">\n";
    }

    std::string rows(Record const& record, std::uint64_t) const override {
        return row_start(record.key) +
               (layout_ == PageLayout::cards ? card(record) : section(record)) + "\n";
    }
    std::string footer(std::uint64_t records) const override {
        return blip::join(footer_start(), "<footer>", records, " ",
                          records == 1 ? schema_.one : schema_.many, "</footer></body></html>\n");
    }
    std::string row_start(Key const& key) const override {
        std::string text = layout_ == PageLayout::cards ? "<figure " : "<section ";
        for (std::size_t i = 0; i < schema_.keys.size(); ++i)
            text += "data-" + schema_.keys[i] + "=\"" + html_text(key.at(i)) + "\" ";
        return text;
    }
    bool is_error(std::string_view rest) const override {
        return rest.starts_with("class=\"error\"");
    }
    std::string footer_start() const override { return "</main>"; }

private:
    /// The key's paths in small letters, what was asked about them, its last part, in large ones.
    std::string names(Record const& record) const {
        std::size_t const paths = std::max<std::size_t>(1, record.key.size() - 1);
        std::string text;
        for (std::size_t i = 0; i < paths; ++i) {
            text += "<div class=\"name\">" + html_text(record.key[i]);
            if (i == 0 && !record.note.empty())
                text += " (" + html_text(record.note) + ")";
            text += "</div>";
        }
        if (record.key.size() > 1)
            text += "<p class=\"asked\">" + html_text(record.key.back()) + "</p>";
        return text;
    }

    static std::string bar(Entry const& entry) {
        if (entry.share < 0)
            return {};
        auto const percent = rounded_text(100 * std::clamp(entry.share, 0.0, 1.0), "%.0f%%");
        return blip::join("<div class=\"sure\" title=\"", html_text(entry.hint),
                          "\"><i style=\"--p:", percent, "\"></i>", percent, "</div>");
    }

    static std::string image(std::string const& address, std::string const& words) {
        return blip::join("<img loading=\"lazy\" alt=\"", html_text(words), "\" src=\"", address,
                          "\">");
    }

    std::string card(Record const& record) const {
        if (!record.error.empty())
            return "class=\"error\"><figcaption>" + names(record) + "<p>" +
                   html_text(record.error) + "</p></figcaption></figure>";
        auto const best = record.entries.empty() ? std::string() : record.entries.front().text;
        std::string text = "><div class=\"pictures\">";
        for (auto const& picture : record.pictures)
            text += image(picture, best);
        text += "</div><figcaption>" + names(record);
        for (auto const& entry : record.entries) {
            text += "<p>" + html_text(entry.text) + "</p>" + bar(entry);
            if (!entry.note.empty())
                text += "<div class=\"name\">" + html_text(entry.note) + "</div>";
        }
        return text + "</figcaption></figure>";
    }

    std::string section(Record const& record) const {
        std::string text = record.error.empty() ? "><header>" : "class=\"error\"><header>";
        for (auto const& picture : record.pictures)
            text += image(picture, record.key.front());
        text += "<div><h2>" + html_text(record.key.back()) + "</h2>";
        for (std::size_t i = 0; i + 1 < record.key.size(); ++i)
            text += "<div class=\"name\">" + html_text(record.key[i]) + "</div>";
        if (!record.note.empty())
            text += "<div class=\"name\">" + html_text(record.note) + "</div>";
        text += "</div></header>";
        if (!record.error.empty())
            return text + "<p>" + html_text(record.error) + "</p></section>";
        text += "<div class=\"grid\">";
        for (auto const& entry : record.figures.empty() ? record.entries : record.figures) {
            text += "<figure>";
            if (!entry.picture.empty())
                text += image(entry.picture, entry.text);
            text += "<figcaption><div class=\"name\">" + html_text(entry.text) + "</div>";
            if (!entry.note.empty())
                text += "<p>" + html_text(entry.note) + "</p>";
            text += bar(entry) + "</figcaption></figure>";
        }
        return text + "</div></section>";
    }

    Schema schema_;
    PageLayout layout_;
};

} // namespace support
