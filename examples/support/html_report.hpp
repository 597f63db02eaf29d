#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "caption_record.hpp"
#include <blip/vision/image.hpp>
#include <blip/vision/resize.hpp>
#include <blip/vision/write_image.hpp>

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

/// How sure the model is of a caption: the geometric mean of its tokens' probabilities, 0 to 1.
inline double confidence(blip::Caption const& caption) {
    auto const& tokens = caption.token_log_probabilities;
    if (tokens.empty())
        return 0;
    double const sum = std::accumulate(tokens.begin(), tokens.end(), 0.0);
    double const mean = std::exp(sum / static_cast<double>(tokens.size()));
    return std::isfinite(mean) ? std::clamp(mean, 0.0, 1.0) : 0;
}

/// A page that needs nothing beside itself: pictures, captions and how sure the model is.
class HtmlFormat final : public RecordFormat {
public:
    std::string header() const override {
        return R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Captions</title>
<style>
:root { --page: #f6f6f4; --card: #fff; --ink: #1b1b1b; --faint: #676767; --line: #dcdcd8; --bar: #2f6f4f; --bad: #a32020; }
@media (prefers-color-scheme: dark) {
  :root { --page: #161717; --card: #202222; --ink: #ececea; --faint: #a0a29f; --line: #363938; --bar: #6cc296; --bad: #ff8f85; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 1.5rem clamp(.75rem, 3vw, 3rem); background: var(--page); color: var(--ink); font: 1rem/1.45 system-ui, sans-serif; }
h1 { font-size: 1.3rem; margin: 0 0 1rem; }
main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; display: flex; flex-direction: column; }
img { display: block; width: 100%; height: 13rem; object-fit: contain; background: var(--line); }
figcaption { padding: .75rem; }
.name { color: var(--faint); font-size: .8rem; overflow-wrap: anywhere; }
p { margin: .35rem 0 0; overflow-wrap: anywhere; }
.sure { display: flex; align-items: center; gap: .5rem; margin-top: .3rem; color: var(--faint); font-size: .8rem; }
.sure i { flex: 1; height: .3rem; border-radius: .15rem; background: linear-gradient(var(--bar), var(--bar)) left / var(--p) 100% no-repeat var(--line); }
.error { border-color: var(--bad); }
.error p { color: var(--bad); }
footer { margin-top: 1.25rem; color: var(--faint); font-size: .85rem; }
</style>
</head>
<body>
<h1>Captions</h1>
<main>
)";
    }

    std::string rows(CaptionRecord const& record, std::uint64_t) const override {
        std::string text = row_start(record.path);
        if (!record.error.empty())
            return text + "class=\"error\"><figcaption><div class=\"name\">" +
                   html_text(record.path) + "</div><p>" + html_text(record.error) +
                   "</p></figcaption></figure>\n";
        auto const& best = record.captions.empty() ? std::string() : record.captions.front().text;
        text +=
            blip::join("><img loading=\"lazy\" alt=\"", html_text(best), "\" src=\"",
                       record.thumbnail, "\"><figcaption><div class=\"name\">",
                       html_text(record.path), " (", record.width, " × ", record.height, ")</div>");
        for (auto const& caption : record.captions) {
            char percent[16];
            std::snprintf(percent, sizeof percent, "%.0f%%", 100 * confidence(caption));
            text +=
                blip::join("<p>", html_text(caption.text),
                           "</p><div class=\"sure\" title=\"mean probability of a token; log p ",
                           detail::number_text(caption.log_probability),
                           "\"><i style=\"--p:", percent, "\"></i>", percent, "</div>");
        }
        return text + "</figcaption></figure>\n";
    }

    std::string footer(std::uint64_t records) const override {
        return blip::join(footer_start(), "<footer>", records,
                          records == 1 ? " picture" : " pictures", "</footer></body></html>\n");
    }
    std::string row_start(std::string const& path) const override {
        return "<figure data-path=\"" + html_text(path) + "\" ";
    }
    bool is_error(std::string_view rest) const override {
        return rest.starts_with("class=\"error\"");
    }
    std::string footer_start() const override { return "</main>"; }
};

} // namespace support
