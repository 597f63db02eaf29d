#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/io/list_text.hpp>
#include <blip/io/mapped_file.hpp>
#include <blip/train/record.hpp>
#include <blip/train/record_source.hpp>

namespace blip {

namespace detail {

/// A CSV text taken apart.
struct CsvText {
    char separator = ',';
    std::vector<std::string> columns{};
    std::vector<TextSpan> rows{}; ///< without the first and without empty ones
};

/// What separates cells: what the first line has most of.
inline char csv_separator(std::string_view text) {
    auto const line = text.substr(0, text.find('\n'));
    char best = ',';
    for (char const candidate : {',', ';', '\t'})
        if (std::count(line.begin(), line.end(), candidate) >
            std::count(line.begin(), line.end(), best))
            best = candidate;
    return best;
}

inline std::string trimmed(std::string const& text) {
    auto const first = text.find_first_not_of(" \t");
    auto const last = text.find_last_not_of(" \t");
    return first == std::string::npos ? std::string{} : text.substr(first, last - first + 1);
}

/// Throws FormatError for a text without rows or with a quote that is never closed, LimitError.
inline CsvText read_csv(std::string_view text, std::string const& name,
                        DataSourceOptions const& options) {
    CsvText csv{.separator = csv_separator(text)};
    SpanCollector found(name, options);
    std::vector<std::string> cells;
    TextCursor cursor(text);
    auto const check = [&](std::size_t size) { found.check(size, "is a quote missing?"); };
    while (cursor.peek() != -1) {
        auto const begin = cursor.at();
        if (!take_csv_row(cursor, csv.separator, cells, check))
            throw FormatError(join(found.next_place(), ": a quote is never closed"));
        if (cells.size() == 1 && trimmed(cells.front()).empty())
            continue;
        if (csv.columns.empty())
            std::transform(cells.begin(), cells.end(), std::back_inserter(csv.columns), trimmed);
        else
            found.add(begin, cursor.at());
    }
    if (csv.columns.empty())
        throw FormatError(join(name, ": is empty; expected a first line with the columns' names"));
    csv.rows = std::move(found.spans);
    return csv;
}

/// The cells of row `i` by their columns' names; empty cells are left out. Throws FormatError when
/// there are more or fewer than columns.
inline RecordFields csv_fields(CsvText const& csv, std::string_view text, std::size_t i,
                               std::string const& where) {
    std::vector<std::string> cells;
    TextCursor row(csv.rows.at(i).of(text));
    take_csv_row(row, csv.separator, cells, [](std::size_t) {});
    if (cells.size() != csv.columns.size())
        throw FormatError(join(where, ": ", cells.size(), " cells, but the first line names ",
                               csv.columns.size(), " columns. Is there a ",
                               csv.separator == '\t' ? "tab" : std::string{csv.separator},
                               " in a text without quotes?"));
    RecordFields fields;
    for (std::size_t c = 0; c < cells.size(); ++c)
        if (!cells[c].empty())
            fields.add(csv.columns[c], std::move(cells[c]));
    return fields;
}

} // namespace detail

/// A table: a first line with the columns' names (`image`, `caption`, ... as in JSON lists), then a
/// record a row. Cells are separated by commas, semicolons or tabs, texts with those or line breaks
/// stand in quotes. Columns of one name are a list, such as two captions. Element 1 is the row
/// below the names.
class CsvSource final : public RecordSource {
public:
    /// Throws FileError, FormatError, LimitError.
    CsvSource(std::filesystem::path const& path, DataSourceOptions const& options)
        : file_(path), name_(path.string()),
          root_(options.pictures.empty() ? path.parent_path() : options.pictures) {
        csv_ = detail::read_csv(text(), name_, options);
        for (auto const* const column : {"image", "images", "file_name"})
            if (std::find(csv_.columns.begin(), csv_.columns.end(), column) != csv_.columns.end())
                return;
        RecordFields names;
        for (auto const& column : csv_.columns)
            names.add(column, {});
        throw FormatError(join(name_,
                               ": no column \"image\" with the names of pictures. The first "
                               "line has: ",
                               detail::names_of(names)));
    }

    std::size_t size() const override { return csv_.rows.size(); }

    TrainingRecord record(std::size_t i) const override {
        auto where = join(name_, ", element ", i + 1);
        auto const fields = detail::csv_fields(csv_, text(), i, where);
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
    detail::CsvText csv_;
};

} // namespace blip
