#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <blip/text/unicode.hpp>

namespace blip {

/// What happens to a text before it is cut into words. The defaults are bert-base-uncased's.
struct Normalization {
    bool lower_case = true;
    std::optional<bool> strip_accents{}; ///< as `lower_case` where not given
    bool clean = true;                   ///< drop control characters and U+FFFD
    bool split_ideographs = true;        ///< every CJK ideograph is a word

    bool strips_accents() const { return strip_accents.value_or(lower_case); }
};

namespace detail {

enum class Ascii : unsigned char { letter, space, punctuation, control };

inline constexpr auto ascii_classes = [] {
    std::array<Ascii, 128> classes{};
    for (std::size_t c = 0; c < classes.size(); ++c) {
        bool const space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
        bool const letter =
            (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        classes[c] = space                  ? Ascii::space
                     : letter               ? Ascii::letter
                     : c < ' ' || c == 0x7f ? Ascii::control
                                            : Ascii::punctuation;
    }
    return classes;
}();

/// Cuts one text into words; holds the buffers so that a word costs no allocation.
template <class Sink>
class WordSplitter {
public:
    WordSplitter(Normalization const& normalization, Sink& sink)
        : normalization_(normalization), sink_(sink) {}

    void run(std::string_view text) {
        for (std::size_t i = 0; i < text.size();) {
            auto const byte = static_cast<unsigned char>(text[i]);
            if (byte < 0x80) {
                ascii(text[i]);
                ++i;
            } else {
                auto const [c, size] = decode_utf8(text, i);
                wide(c, text.substr(i, size));
                i += size;
            }
        }
        flush();
    }

private:
    void ascii(char c) {
        switch (ascii_classes[static_cast<unsigned char>(c)]) {
        case Ascii::letter:
            word_.push_back(normalization_.lower_case && c >= 'A' && c <= 'Z'
                                ? static_cast<char>(c + ('a' - 'A'))
                                : c);
            break;
        case Ascii::space:
            flush();
            break;
        case Ascii::punctuation:
            flush();
            sink_(std::string_view(&c, 1));
            break;
        case Ascii::control:
            if (normalization_.clean)
                break;
            if (is_space(static_cast<char32_t>(c)))
                flush();
            else
                word_.push_back(c);
            break;
        }
    }

    void wide(char32_t c, std::string_view bytes) {
        if (is_ideograph(c) && normalization_.split_ideographs) {
            flush();
            append(bytes);
            flush();
        } else if (normalization_.clean && (c == 0xfffd || is_control(c))) {
            return;
        } else if (is_space(c)) {
            flush();
        } else {
            append(bytes);
        }
    }

    void append(std::string_view bytes) {
        word_ += bytes;
        is_ascii_ = false;
    }

    void flush() {
        if (!is_ascii_)
            flush_wide();
        else if (!word_.empty())
            sink_(std::string_view(word_));
        word_.clear();
        is_ascii_ = true;
    }

    void flush_wide() {
        points_.clear();
        for (std::size_t i = 0; i < word_.size();) {
            auto const [c, size] = decode_utf8(word_, i);
            if (normalization_.lower_case)
                append_lower(points_, c);
            else
                points_.push_back(c);
            i += size;
        }
        if (normalization_.strips_accents())
            strip_accents(points_);
        word_.clear();
        for (char32_t const c : points_) {
            bool const alone = is_punctuation(c);
            if (alone)
                emit();
            append_utf8(word_, c);
            if (alone)
                emit();
        }
        emit();
    }

    void emit() {
        if (!word_.empty())
            sink_(std::string_view(word_));
        word_.clear();
    }

    Normalization const& normalization_;
    Sink& sink_;
    std::string word_;
    std::u32string points_;
    bool is_ascii_ = true;
};

} // namespace detail

/// Calls `sink(word)` for every word of `text` in order, as BERT cuts it before looking up pieces:
/// cleaned, lower-cased character by character, without accents, split at white space, punctuation
/// and CJK ideographs. A word is valid during its call only. Throws TextError for invalid UTF-8.
template <class Sink>
void for_each_word(std::string_view text, Normalization const& normalization, Sink sink) {
    detail::WordSplitter<Sink>(normalization, sink).run(text);
}

} // namespace blip
