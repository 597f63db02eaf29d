#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <blip/core/error.hpp>

/// Texts that are lists: JSON arrays and CSV tables, element by element, so that a list need not
/// fit in memory. A cursor gives one character after another: `int peek()` and `int take()`, -1 at
/// the end.
namespace blip {

/// The characters of a text in memory.
class TextCursor {
public:
    explicit TextCursor(std::string_view text) : text_(text) {}

    int peek() const { return at_ < text_.size() ? static_cast<unsigned char>(text_[at_]) : -1; }
    int take() { return at_ < text_.size() ? static_cast<unsigned char>(text_[at_++]) : -1; }
    /// How many characters were taken.
    std::size_t at() const { return at_; }

private:
    std::string_view text_;
    std::size_t at_ = 0;
};

/// `text` without a UTF-8 byte order mark at its beginning; `name` begins messages. Throws
/// FormatError for UTF-16.
inline std::string_view without_mark(std::string_view text, std::string const& name) {
    if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF"))
        throw FormatError(join(name, ": the text is UTF-16. Save it as UTF-8."));
    return text.starts_with("\xEF\xBB\xBF") ? text.substr(3) : text;
}

/// Takes one CSV row (RFC 4180) with its line end and gives its cells. A quote within a cell that
/// does not begin with one is a letter. `check(size)` is asked for every character, with how many
/// the row has so far, and may throw. False: the text ends before a closing quote.
template <class Cursor, class Check>
bool take_csv_row(Cursor& cursor, char separator, std::vector<std::string>& cells,
                  Check const& check) {
    cells.assign(1, {});
    bool quoted = false;
    std::size_t size = 0;
    for (int c = cursor.take(); c != -1; c = cursor.take()) {
        check(++size);
        auto& cell = cells.back();
        auto const letter = static_cast<char>(c);
        if (quoted) {
            bool const ends = letter == '"' && cursor.peek() != '"';
            if (letter == '"' && !ends)
                cursor.take();
            if (!ends)
                cell += letter;
            quoted = !ends;
        } else if (letter == '"' && cell.empty()) {
            quoted = true;
        } else if (letter == separator) {
            cells.emplace_back();
        } else if (letter == '\n') {
            break;
        } else if (letter != '\r' || (cursor.peek() != '\n' && cursor.peek() != -1)) {
            cell += letter;
        }
    }
    return !quoted;
}

constexpr bool is_json_space(int c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

template <class Cursor>
void skip_json_space(Cursor& cursor) {
    while (is_json_space(cursor.peek()))
        cursor.take();
}

/// Takes one JSON value, found by its brackets and quotes alone: what is between them is for a
/// parser to check. `sink(char)` gets its text. False: the text ends within it.
template <class Cursor, class Sink>
bool take_json_value(Cursor& cursor, Sink const& sink) {
    std::size_t depth = 0;
    bool quoted = false;
    for (int c = cursor.peek(); c != -1; c = cursor.peek()) {
        bool const closes = !quoted && (c == ']' || c == '}');
        if (!quoted && depth == 0 && (closes || c == ',' || is_json_space(c)))
            return true;
        sink(static_cast<char>(cursor.take()));
        if (quoted && c == '\\') {
            if (cursor.peek() != -1)
                sink(static_cast<char>(cursor.take()));
        } else if (c == '"') {
            quoted = !quoted;
        } else if (!quoted && (c == '[' || c == '{')) {
            ++depth;
        } else if (closes && --depth == 0) {
            return true;
        }
    }
    return false;
}

/// Goes through the elements of a JSON array.
template <class Cursor>
class JsonArrayReader {
public:
    /// The cursor stands at the opening bracket.
    explicit JsonArrayReader(Cursor& cursor) : cursor_(cursor) { cursor_.take(); }

    /// Gives the next element's text to `sink(char)`; false after the last. Throws FormatError
    /// where brackets and commas are no array's; its message is about "this element".
    template <class Sink>
    bool next(Sink const& sink) {
        auto const damaged = [](char const* what) {
            throw FormatError(
                join(what, ". Is the file complete? Get a good copy, or mend the list there."));
        };
        skip_json_space(cursor_);
        if (cursor_.peek() == ']') {
            cursor_.take();
            skip_json_space(cursor_);
            if (cursor_.peek() != -1)
                damaged("something follows the ] of the list");
            return false;
        }
        if (!is_first_) {
            if (cursor_.peek() != ',')
                damaged("expected a comma before this element, or ] at the end of the list");
            cursor_.take();
            skip_json_space(cursor_);
        }
        is_first_ = false;
        int const c = cursor_.peek();
        if (c == ',' || c == ']' || c == '}')
            damaged("there is nothing where this element should be");
        if (c == -1 || !take_json_value(cursor_, sink))
            damaged("the list ends within this element");
        return true;
    }

private:
    Cursor& cursor_;
    bool is_first_ = true;
};

} // namespace blip
