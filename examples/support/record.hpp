#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <blip/core/error.hpp>

#include "number_text.hpp"

namespace support {

/// What a record is about, by which a continued run finds it again: a path, or a path and a
/// question.
using Key = std::vector<std::string>;

/// One of a record's results: a caption, a text that was compared, an answer.
struct Entry {
    std::string text{}; ///< for people
    std::vector<std::string>
        line{}; ///< the same for the text format, in parts, where that says more
    std::vector<std::string> cells{}; ///< for CSV, one for each of Schema::columns
    double share = -1;                ///< 0 to 1, drawn as a bar; below 0: no bar
    std::string hint{};               ///< what the bar means, in full
    std::string picture{};            ///< a data: address, for pages
    std::string note{};               ///< a line in small letters, for pages
};

/// What became of one input: as many entries as Schema::entries, or an error and none.
struct Record {
    std::uint64_t index = 0;
    Key key;
    std::vector<Entry> entries;                                        ///< best first
    nlohmann::ordered_json members = nlohmann::ordered_json::object(); ///< for JSON, after the key
    std::vector<std::string> pictures; ///< data: addresses, where a page is written
    std::vector<Entry> figures;        ///< what a page of sections shows in place of the entries
    std::string note;                  ///< beside the key on pages, such as a picture's size
    std::string error;                 ///< why there are no entries; empty when there are
};

/// What the records of a program are like.
struct Schema {
    std::vector<std::string> keys{"path"};          ///< names of the key's parts
    std::vector<std::string> columns{};             ///< of CSV, between the key and the error
    std::size_t entries = 1;                        ///< in each record without an error
    std::string title{};                            ///< of the page
    std::string one = "picture", many = "pictures"; ///< what a record is
};

/// How a page shows its records.
enum class PageLayout {
    cards,    ///< a card a record: its pictures, then its results as lines
    sections, ///< a section a record: its pictures and key, then its results as cards
};

/// How records are written to a file. A file is the header, then for each record one or more rows,
/// then the footer. A row ends with a line break; every row of a record begins alike, which is how
/// an unfinished file is matched with the inputs it was made from.
class RecordFormat {
public:
    virtual ~RecordFormat() = default;
    virtual std::string header() const { return {}; }
    /// All rows of one record. `place`: how many records come before it in the file.
    virtual std::string rows(Record const& record, std::uint64_t place) const = 0;
    virtual std::string footer(std::uint64_t records) const {
        static_cast<void>(records);
        return {};
    }
    /// What the rows of a record begin with; empty: files cannot be continued.
    virtual std::string row_start(Key const& key) const = 0;
    /// Whether `rest`, a row after its row_start, reports an error; such a row stands alone.
    virtual bool is_error(std::string_view rest) const = 0;
    virtual std::size_t rows_per_record() const { return 1; }
    /// Whether line breaks between double quotes belong to the row.
    virtual bool has_quoted_breaks() const { return false; }
    /// What a line that ends the records begins with; empty: nothing does.
    virtual std::string footer_start() const { return {}; }
};

namespace detail {

/// One line for people: control characters become spaces.
inline std::string one_line(std::string text) {
    for (char& letter : text)
        if (static_cast<unsigned char>(letter) < 0x20)
            letter = ' ';
    return text;
}

inline std::string json_text(nlohmann::ordered_json const& value) {
    return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

} // namespace detail

/// `key<TAB>result`, a line a result. Tabs and line breaks within the key are written \t, \n, \r.
class TextFormat final : public RecordFormat {
public:
    explicit TextFormat(Schema const& schema) : entries_(schema.entries) {}

    std::string rows(Record const& record, std::uint64_t) const override {
        auto const start = row_start(record.key);
        if (!record.error.empty())
            return start + error_start + detail::one_line(record.error) + "\n";
        std::string text;
        for (auto const& entry : record.entries) {
            auto const line = line_of(entry);
            // A result that looks like an error is marked, so that no reader takes it for one.
            text += start + (is_error(line) ? "\\" : "") + line + "\n";
        }
        return text;
    }
    std::string row_start(Key const& key) const override {
        std::string text;
        for (auto const& part : key) {
            for (char letter : part) {
                if (letter == '\t')
                    text += "\\t";
                else if (letter == '\n')
                    text += "\\n";
                else if (letter == '\r')
                    text += "\\r";
                else
                    text += letter;
            }
            text += '\t';
        }
        return text;
    }
    bool is_error(std::string_view rest) const override { return rest.starts_with(error_start); }
    std::size_t rows_per_record() const override { return entries_; }

private:
    static std::string line_of(Entry const& entry) {
        std::string line;
        for (auto const& part : entry.line)
            line += (line.empty() ? "" : "\t") + detail::one_line(part);
        return entry.line.empty() ? detail::one_line(entry.text) : line;
    }

    static constexpr char const* error_start = "error: ";
    std::size_t entries_;
};

/// One JSON object a line: the key's parts by their names, then the record's members or an error.
class JsonLinesFormat : public RecordFormat {
public:
    explicit JsonLinesFormat(Schema const& schema) : keys_(schema.keys) {}

    std::string rows(Record const& record, std::uint64_t) const override {
        return object(record) + "\n";
    }
    std::string row_start(Key const& key) const override {
        std::string text;
        for (std::size_t i = 0; i < keys_.size(); ++i)
            text += blip::join(i == 0 ? "{" : "", detail::json_text(keys_[i]), ":",
                               detail::json_text(key.at(i)), ",");
        return text;
    }
    bool is_error(std::string_view rest) const override { return rest.starts_with("\"error\":"); }

protected:
    std::string object(Record const& record) const {
        nlohmann::ordered_json object;
        for (std::size_t i = 0; i < keys_.size(); ++i)
            object[keys_[i]] = record.key.at(i);
        if (record.error.empty())
            object.update(record.members);
        else
            object["error"] = record.error;
        return detail::json_text(object);
    }

private:
    std::vector<std::string> keys_;
};

/// The objects of JsonLinesFormat as one JSON array.
class JsonArrayFormat final : public JsonLinesFormat {
public:
    using JsonLinesFormat::JsonLinesFormat;

    std::string header() const override { return "["; }
    std::string rows(Record const& record, std::uint64_t place) const override {
        return (place == 0 ? "\n" : ",\n") + object(record);
    }
    std::string footer(std::uint64_t) const override { return "\n]\n"; }
    std::string row_start(Key const&) const override { return {}; }
};

/// Comma-separated values as RFC 4180 has them, a row a result.
class CsvFormat final : public RecordFormat {
public:
    explicit CsvFormat(Schema schema) : schema_(std::move(schema)) {}

    std::string header() const override {
        std::string text;
        for (auto const* names : {&schema_.keys, &schema_.columns})
            for (auto const& name : *names)
                text += quoted(name) + ",";
        return text + "error\r\n";
    }
    std::string rows(Record const& record, std::uint64_t) const override {
        auto const start = row_start(record.key);
        if (!record.error.empty())
            return start + std::string(schema_.columns.size(), ',') + quoted(record.error) + "\r\n";
        std::string text;
        for (auto const& entry : record.entries) {
            text += start;
            for (auto const& cell : entry.cells)
                text += quoted(cell) + ",";
            text += "\r\n";
        }
        return text;
    }
    std::string row_start(Key const& key) const override {
        std::string text;
        for (auto const& part : key)
            text += quoted(part) + ",";
        return text;
    }
    /// The first column of a result is never empty.
    bool is_error(std::string_view rest) const override { return rest.starts_with(','); }
    std::size_t rows_per_record() const override { return schema_.entries; }
    bool has_quoted_breaks() const override { return true; }

private:
    static std::string quoted(std::string const& field) {
        if (field.find_first_of(",\"\r\n") == std::string::npos)
            return field;
        std::string text = "\"";
        for (char letter : field)
            text += letter == '"' ? std::string("\"\"") : std::string(1, letter);
        return text + "\"";
    }

    Schema schema_;
};

/// The format with this name: text, json, jsonl or csv.
inline std::unique_ptr<RecordFormat> make_format(std::string const& name, Schema const& schema) {
    if (name == "json")
        return std::make_unique<JsonArrayFormat>(schema);
    if (name == "jsonl")
        return std::make_unique<JsonLinesFormat>(schema);
    if (name == "csv")
        return std::make_unique<CsvFormat>(schema);
    return std::make_unique<TextFormat>(schema);
}

} // namespace support
