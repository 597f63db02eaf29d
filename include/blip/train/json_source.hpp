#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/io/json.hpp>
#include <blip/io/list_text.hpp>
#include <blip/io/mapped_file.hpp>
#include <blip/train/record.hpp>
#include <blip/train/record_source.hpp>

namespace blip {

namespace detail {

/// The elements of a JSON array. Throws FormatError where brackets and commas are no array's.
inline std::vector<TextSpan> array_elements(std::string_view text, std::string const& name,
                                            DataSourceOptions const& options) {
    SpanCollector found(name, options);
    TextCursor cursor(text);
    skip_json_space(cursor);
    JsonArrayReader array(cursor);
    std::size_t size = 0;
    auto const sink = [&](char) { found.check(++size, "is a quote or a bracket missing?"); };
    try {
        for (; array.next(sink); size = 0)
            found.add(cursor.at() - size, cursor.at());
    } catch (FormatError const& error) {
        throw FormatError(join(found.next_place(), ": ", error.what()));
    }
    return std::move(found.spans);
}

/// The lines that are not blank.
inline std::vector<TextSpan> text_lines(std::string_view text, std::string const& name,
                                        DataSourceOptions const& options) {
    SpanCollector found(name, options);
    for (std::size_t begin = 0; begin < text.size();) {
        auto const end = std::min(text.find('\n', begin), text.size());
        auto const line = text.substr(begin, end - begin);
        if (!std::all_of(line.begin(), line.end(), is_json_space)) {
            found.check(line.size(), "expected one object a line");
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
    TextCursor cursor(text);
    skip_json_space(cursor);
    if (cursor.peek() == -1)
        throw FormatError(join(name, ": is empty; expected a list of records"));
    if (cursor.peek() == '[')
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
        return without_mark(
            {reinterpret_cast<char const*>(file_.bytes().data()), file_.bytes().size()}, name_);
    }

    MappedFile file_;
    std::string name_;
    std::filesystem::path root_;
    std::vector<detail::TextSpan> spans_;
};

} // namespace blip
