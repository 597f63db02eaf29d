#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include <utf8proc.h>

#include <blip/core/error.hpp>

namespace blip {

/// One code point of a UTF-8 text and the number of bytes it takes.
struct CodePoint {
    char32_t value = 0;
    std::size_t size = 0;
};

namespace detail {

[[noreturn]] inline void throw_invalid_utf8(std::string_view text, std::size_t offset) {
    constexpr char digits[] = "0123456789abcdef";
    auto const byte = static_cast<unsigned char>(text[offset]);
    throw TextError(join("text is not valid UTF-8: the byte 0x", digits[byte >> 4],
                         digits[byte & 15], " at byte offset ", offset, " of ", text.size(),
                         " does not start a complete, well-formed character; convert the text to "
                         "UTF-8 first"));
}

struct Interval {
    char32_t first;
    char32_t last;
};

template <std::size_t Count>
bool contains(std::array<Interval, Count> const& sorted, char32_t c) {
    auto const after = std::ranges::upper_bound(sorted, c, {}, &Interval::first);
    return after != sorted.begin() && c <= std::prev(after)->last;
}

inline utf8proc_category_t category(char32_t c) {
    return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

/// Unicode's Other_Lowercase and Other_Uppercase: letters in case that are not Ll, Lu or Lt.
inline constexpr std::array<Interval, 29> other_cased{{
    {0x00aa, 0x00aa},   {0x00ba, 0x00ba},   {0x02b0, 0x02b8},   {0x02c0, 0x02c1},
    {0x02e0, 0x02e4},   {0x0345, 0x0345},   {0x037a, 0x037a},   {0x1d2c, 0x1d6a},
    {0x1d78, 0x1d78},   {0x1d9b, 0x1dbf},   {0x2071, 0x2071},   {0x207f, 0x207f},
    {0x2090, 0x209c},   {0x2160, 0x216f},   {0x2170, 0x217f},   {0x24b6, 0x24cf},
    {0x24d0, 0x24e9},   {0x2c7c, 0x2c7d},   {0xa69c, 0xa69d},   {0xa770, 0xa770},
    {0xa7f8, 0xa7f9},   {0xab5c, 0xab5f},   {0x10780, 0x10780}, {0x10783, 0x10785},
    {0x10787, 0x107b0}, {0x107b2, 0x107ba}, {0x1f130, 0x1f149}, {0x1f150, 0x1f169},
    {0x1f170, 0x1f189},
}};

/// Unicode's Cased.
inline bool is_cased(char32_t c) {
    switch (category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
        return true;
    default:
        return contains(other_cased, c);
    }
}

/// Unicode's Case_Ignorable: marks, modifiers, format characters and mid-word punctuation.
inline bool is_case_ignorable(char32_t c) {
    switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return true;
    default:
        break;
    }
    constexpr std::u32string_view mid_word = U"'.:\u00b7\u0387\u055f\u05f4\u2018\u2019\u2024\u2027"
                                             U"\ufe13\ufe52\ufe55\uff07\uff0e\uff1a";
    return mid_word.find(c) != mid_word.npos;
}

} // namespace detail

/// Decodes the character that starts at byte `offset` of `text`. Overlong forms, surrogates, values
/// above U+10FFFF and characters cut short are refused. Throws TextError naming the byte offset.
inline CodePoint decode_utf8(std::string_view text, std::size_t offset) {
    auto const byte = [&](std::size_t i) { return static_cast<unsigned char>(text[offset + i]); };
    unsigned const lead = byte(0);
    if (lead < 0x80)
        return {lead, 1};
    std::size_t const size = lead < 0xc2   ? 0
                             : lead < 0xe0 ? 2
                             : lead < 0xf0 ? 3
                             : lead < 0xf5 ? 4
                                           : 0;
    if (size == 0 || size > text.size() - offset)
        detail::throw_invalid_utf8(text, offset);
    char32_t value = lead & (0x7fu >> size);
    for (std::size_t i = 1; i < size; ++i) {
        if ((byte(i) & 0xc0u) != 0x80)
            detail::throw_invalid_utf8(text, offset);
        value = value << 6 | (byte(i) & 0x3fu);
    }
    bool const overlong = (size == 3 && value < 0x800) || (size == 4 && value < 0x10000);
    if (overlong || (value >= 0xd800 && value < 0xe000) || value > 0x10ffff)
        detail::throw_invalid_utf8(text, offset);
    return {value, size};
}

/// Appends `c`, which must be a Unicode scalar value, to `text` as UTF-8.
inline void append_utf8(std::string& text, char32_t c) {
    auto const put = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
    if (c < 0x80) {
        put(c);
    } else if (c < 0x800) {
        put(0xc0 | c >> 6);
        put(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        put(0xe0 | c >> 12);
        put(0x80 | (c >> 6 & 0x3f));
        put(0x80 | (c & 0x3f));
    } else {
        put(0xf0 | c >> 18);
        put(0x80 | (c >> 12 & 0x3f));
        put(0x80 | (c >> 6 & 0x3f));
        put(0x80 | (c & 0x3f));
    }
}

/// The code points of `text`. Throws TextError for invalid UTF-8.
inline std::u32string to_code_points(std::string_view text) {
    std::u32string points;
    points.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
        auto const [value, size] = decode_utf8(text, i);
        points.push_back(value);
        i += size;
    }
    return points;
}

/// UTF-8 of `points`, each a Unicode scalar value.
inline std::string to_utf8(std::u32string_view points) {
    std::string text;
    text.reserve(points.size());
    for (char32_t const c : points)
        append_utf8(text, c);
    return text;
}

/// Throws TextError, naming the byte offset of the first fault, unless `text` is valid UTF-8.
inline void require_utf8(std::string_view text) {
    for (std::size_t i = 0; i < text.size();)
        i += decode_utf8(text, i).size;
}

/// White space as Python's str.isspace and its regular expressions see it, U+001C to U+001F
/// included.
inline bool is_space(char32_t c) {
    if (c < 0x80)
        return c == ' ' || (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x1f);
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/// General category C*: controls, format characters, surrogates, private use and unassigned.
inline bool is_control(char32_t c) {
    if (c < 0x80)
        return c < 0x20 || c == 0x7f;
    switch (detail::category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
        return true;
    default:
        return false;
    }
}

/// BERT's punctuation: every ASCII character that is neither letter, digit, space nor control, and
/// every character of general category P*.
inline bool is_punctuation(char32_t c) {
    if (c < 0x80)
        return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
               (c >= 123 && c <= 126);
    auto const category = detail::category(c);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

/// BERT's CJK ideographs, which stand as words of their own. Kana and Hangul are not among them.
inline bool is_ideograph(char32_t c) {
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
           (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b820 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

/// Appends the lower case of one character, without regard to its neighbours: sigma is never final.
inline void append_lower(std::u32string& text, char32_t c) {
    if (c == 0x130) {
        text += U"i\u0307";
        return;
    }
    text.push_back(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

/// Lower case of a whole text as Python's str.lower gives it: a capital sigma that ends a word
/// becomes the final form, and a dotted capital I becomes two characters. Throws TextError for
/// invalid UTF-8.
inline std::string lower(std::string_view text) {
    if (std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
        std::string ascii(text);
        for (char& c : ascii)
            c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
        return ascii;
    }
    std::u32string const points = to_code_points(text);
    std::u32string lowered;
    lowered.reserve(points.size());
    // Whether the last character that is not case-ignorable is cased: no rescan per sigma.
    bool after_cased = false;
    // The first position behind the sigma under test that is not case-ignorable.
    std::size_t ahead = 0;
    for (std::size_t i = 0; i < points.size(); ++i) {
        char32_t const c = points[i];
        if (c == 0x3a3 && after_cased) {
            for (ahead = std::max(ahead, i + 1);
                 ahead < points.size() && detail::is_case_ignorable(points[ahead]);)
                ++ahead;
            bool const before_cased = ahead < points.size() && detail::is_cased(points[ahead]);
            lowered.push_back(before_cased ? U'\u03c3' : U'\u03c2');
        } else {
            append_lower(lowered, c);
        }
        if (!detail::is_case_ignorable(c))
            after_cased = detail::is_cased(c);
    }
    return to_utf8(lowered);
}

/// Replaces `text` by its canonical decomposition (NFD) without the marks of category Mn: accents
/// go.
inline void strip_accents(std::u32string& text) {
    std::u32string decomposed;
    decomposed.reserve(text.size());
    for (char32_t const c : text) {
        std::array<utf8proc_int32_t, 32> parts{};
        int boundary = 0;
        auto const count =
            utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts.data(),
                                    std::ssize(parts), UTF8PROC_DECOMPOSE, &boundary);
        for (utf8proc_ssize_t i = 0; i < count; ++i)
            decomposed.push_back(static_cast<char32_t>(parts[static_cast<std::size_t>(i)]));
    }
    auto const combining = [](char32_t c) {
        return utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
    };
    for (auto run = decomposed.begin(); run != decomposed.end();) {
        auto const starter = [&](char32_t c) { return combining(c) == 0; };
        run = std::find_if_not(run, decomposed.end(), starter);
        auto const end = std::find_if(run, decomposed.end(), starter);
        std::ranges::stable_sort(run, end, {}, combining);
        run = end;
    }
    std::erase_if(decomposed,
                  [](char32_t c) { return detail::category(c) == UTF8PROC_CATEGORY_MN; });
    text = std::move(decomposed);
}

} // namespace blip
