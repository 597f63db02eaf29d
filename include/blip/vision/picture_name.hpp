#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace blip {

/// How the names of pictures end.
inline constexpr std::array picture_endings{".jpg", ".jpeg", ".jpe", ".jfif",
                                            ".png", ".bmp",  ".gif", ".webp"};

/// Whether the name ends as those of pictures do.
inline bool has_picture_name(std::filesystem::path const& path) {
    auto ending = path.extension().string();
    std::transform(ending.begin(), ending.end(), ending.begin(),
                   [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
    return std::find(picture_endings.begin(), picture_endings.end(), ending) !=
           picture_endings.end();
}

/// Whether `a` comes before `b` as people number files: runs of digits compare by value, so that
/// "frame9" precedes "frame10". Names that differ only in leading zeros compare as text.
inline bool natural_less(std::string_view a, std::string_view b) {
    auto const digit = [](char c) { return c >= '0' && c <= '9'; };
    std::size_t i = 0, j = 0;
    while (i < a.size() && j < b.size()) {
        if (!digit(a[i]) || !digit(b[j])) {
            if (a[i] != b[j])
                return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
            ++i, ++j;
            continue;
        }
        auto const number = [&](std::string_view text, std::size_t& at) {
            while (at < text.size() && text[at] == '0')
                ++at;
            std::size_t const first = at;
            while (at < text.size() && digit(text[at]))
                ++at;
            return text.substr(first, at - first);
        };
        auto const x = number(a, i), y = number(b, j);
        if (x.size() != y.size())
            return x.size() < y.size();
        if (x != y)
            return x < y;
    }
    bool const a_ends = i == a.size(), b_ends = j == b.size();
    return a_ends != b_ends ? a_ends : a < b;
}

} // namespace blip
