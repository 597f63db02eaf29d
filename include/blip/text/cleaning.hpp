#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <blip/core/error.hpp>
#include <blip/text/unicode.hpp>

namespace blip {

namespace detail {

inline bool is_cleaned_away(char c) {
    return std::string_view(".!\"()*#:;~").find(c) != std::string_view::npos;
}

/// `text` up to the space that ends its word number `max_words`, words being separated by single
/// spaces, so that two spaces enclose an empty word.
inline std::string first_words(std::string_view text, int max_words) {
    if (max_words < 0)
        throw ArgumentError(
            join("max_words is ", max_words, "; it is the number of words to keep"));
    if (max_words == 0)
        return {};
    std::size_t end = text.find(' ');
    for (int words = 1; end != text.npos && words < max_words; ++words)
        end = text.find(' ', end + 1);
    return std::string(text.substr(0, end));
}

} // namespace detail

/// A caption as BLIP was trained on: lower case, the characters . ! " ( ) * # : ; ~ replaced by
/// spaces, runs of two or more white-space characters made one space, trimmed, cut to `max_words`
/// space-separated words (30 for most data sets, 40 for NLVR2 and MSR-VTT). Throws TextError for
/// invalid UTF-8, ArgumentError for a negative `max_words`.
inline std::string clean_caption(std::string_view caption, int max_words = 30) {
    std::string text = lower(caption);
    for (char& c : text)
        c = detail::is_cleaned_away(c) ? ' ' : c;
    std::string collapsed;
    collapsed.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
        auto const [first, size] = decode_utf8(text, i);
        std::size_t end = i + size;
        bool const space = is_space(first);
        std::size_t spaces = 1;
        for (; space && end < text.size(); ++spaces) {
            auto const next = decode_utf8(text, end);
            if (!is_space(next.value))
                break;
            end += next.size;
        }
        if (spaces > 1)
            collapsed.push_back(' ');
        else
            collapsed.append(text, i, size);
        i = end;
    }
    std::string_view trimmed = collapsed;
    while (trimmed.ends_with('\n'))
        trimmed.remove_suffix(1);
    while (trimmed.ends_with(' '))
        trimmed.remove_suffix(1);
    while (trimmed.starts_with(' '))
        trimmed.remove_prefix(1);
    return detail::first_words(trimmed, max_words);
}

/// A question as BLIP was trained on: lower case, the characters . ! " ( ) * # : ; ~ deleted,
/// spaces at its end removed, cut to `max_words` space-separated words. Throws as `clean_caption`.
inline std::string clean_question(std::string_view question, int max_words = 50) {
    std::string text = lower(question);
    std::erase_if(text, detail::is_cleaned_away);
    std::string_view trimmed = text;
    while (trimmed.ends_with(' '))
        trimmed.remove_suffix(1);
    return detail::first_words(trimmed, max_words);
}

} // namespace blip
