#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/io/json.hpp>
#include <blip/io/mapped_file.hpp>
#include <blip/train/record.hpp>
#include <blip/train/record_source.hpp>

namespace blip {

namespace detail {

inline bool is_json_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

inline std::size_t skip_json_space(std::string_view text, std::size_t at) {
    while (at < text.size() && is_json_space(text[at]))
        ++at;
    return at;
}

/// The place after the JSON value that begins at `begin`, found by its brackets and quotes alone;
/// what is between them is checked when the record is read. npos: the text ends before.
inline std::size_t end_of_value(std::string_view text, std::size_t begin,
                                SpanCollector const& found) {
    std::size_t depth = 0;
    bool quoted = false;
    for (std::size_t at = begin; at < text.size(); ++at) {
        char const c = text[at];
        found.check(begin, at, "is a quote or a bracket missing?");
        if (quoted) {
            if (c == '\\')
                ++at;
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            ++depth;
        } else if ((c == ']' || c == '}') && depth > 0) {
            if (--depth == 0)
                return at + 1;
        } else if (depth == 0 && (c == ',' || c == ']' || c == '}' || is_json_space(c))) {
            return at;
        }
    }
    return std::string_view::npos;
}

/// The elements of a JSON array. Throws FormatError where brackets and commas are no array's.
inline std::vector<TextSpan> array_elements(std::string_view text, std::string const& name,
                                            DataSourceOptions const& options) {
    SpanCollector found(name, options);
    auto const damaged = [&](char const* what) {
        throw FormatError(join(found.next_place(), ": ", what,
                               ". Is the file complete? Get a good copy, or mend the list there."));
    };
    auto at = skip_json_space(text, skip_json_space(text, 0) + 1);
    if (at < text.size() && text[at] == ']') {
        ++at;
    } else {
        for (bool more = true; more;) {
            auto const end = at < text.size() ? end_of_value(text, at, found) : text.npos;
            if (end == text.npos)
                damaged("the list ends within it");
            if (end == at)
                damaged("there is nothing between two commas");
            found.add(at, end);
            at = skip_json_space(text, end);
            if (at == text.size() || (text[at] != ',' && text[at] != ']'))
                damaged("expected a comma before it, or ] at the end of the list");
            more = text[at] == ',';
            at = more ? skip_json_space(text, at + 1) : at + 1;
        }
    }
    if (skip_json_space(text, at) != text.size())
        throw FormatError(join(name, ": something follows the ] of its list"));
    return std::move(found.spans);
}

/// The lines that are not blank.
inline std::vector<TextSpan> text_lines(std::string_view text, std::string const& name,
                                        DataSourceOptions const& options) {
    SpanCollector found(name, options);
    for (std::size_t begin = 0; begin < text.size();) {
        auto const end = std::min(text.find('\n', begin), text.size());
        if (skip_json_space(text.substr(0, end), begin) != end) {
            found.check(begin, end, "expected one object a line");
            found.add(begin, end);
        }
        begin = end + 1;
    }
    return std::move(found.spans);
}

/// Where the records of a JSON text are: in an array, or one a line. Throws FormatError,
/// LimitError.
inline std::vector<TextSpan> json_records(std::string_view text, std::string const& name,
                                          DataSourceOptions const& options) {
    auto const first = skip_json_space(text, 0);
    if (first == text.size())
        throw FormatError(join(name, ": is empty; expected a list of records"));
    if (text[first] == '[')
        return array_elements(text, name, options);
    auto spans = text_lines(text, name, options);
    if (!nlohmann::json::accept(spans.front().of(text)))
        throw FormatError(join(name, ": expected a JSON list, [{\"image\": ..., \"caption\": ...}, "
                                     "...], or such an object a line"));
    return spans;
}

} // namespace detail

/// A list as the reference's (spec section 7.4): a JSON array of objects, or an object a line. The
/// file is mapped and each record parsed when it is asked for, so that half a million of them take
/// 16 bytes each. Records are counted from 1 in messages.
class JsonSource final : public RecordSource {
public:
    /// Throws FileError, and FormatError where the file is no list; a bad element is found by
    /// record().
    JsonSource(std::filesystem::path const& path, DataSourceOptions const& options)
        : file_(path), name_(path.string()),
          root_(options.pictures.empty() ? path.parent_path() : options.pictures) {
        spans_ = detail::json_records(text(), name_, options);
    }

    std::size_t size() const override { return spans_.size(); }

    TrainingRecord record(std::size_t i) const override {
        auto where = join(name_, ", element ", i + 1);
        auto const fields = fields_of(parse_json(spans_.at(i).of(text()), where), where);
        return detail::record_of(fields, std::move(where), root_, detail::PictureNames::in_record);
    }

private:
    std::string_view text() const {
        return detail::without_mark(
            {reinterpret_cast<char const*>(file_.bytes().data()), file_.bytes().size()}, name_);
    }

    MappedFile file_;
    std::string name_;
    std::filesystem::path root_;
    std::vector<detail::TextSpan> spans_;
};

} // namespace blip
