#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <nlohmann/json.hpp>

#include <blip/core/error.hpp>
#include <blip/models/captioner.hpp>

namespace support {

/// What became of one picture.
struct CaptionRecord {
    std::uint64_t index = 0;
    std::string path;
    std::size_t width = 0, height = 0;
    std::vector<blip::Caption> captions; ///< best first
    std::string error;                   ///< why there are none; empty when there are
    std::string thumbnail;               ///< a data: address, where one was asked for
};

/// How records are written to a file. A file is the header, then for each picture one or more rows,
/// then the footer. A row ends with a line break; every row of a picture begins alike, which is how
/// an unfinished file is matched with the pictures it was made from.
class RecordFormat {
public:
    virtual ~RecordFormat() = default;
    virtual std::string header() const { return {}; }
    /// All rows of one picture. `place`: how many records come before it in the file.
    virtual std::string rows(CaptionRecord const& record, std::uint64_t place) const = 0;
    virtual std::string footer(std::uint64_t records) const {
        static_cast<void>(records);
        return {};
    }
    /// What the rows of the picture at `path` begin with; empty: files cannot be continued.
    virtual std::string row_start(std::string const& path) const = 0;
    /// Whether `rest`, a row after its row_start, reports an error; such a row stands alone.
    virtual bool is_error(std::string_view rest) const = 0;
    virtual std::size_t rows_per_picture() const { return 1; }
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

inline std::string number_text(double value) {
    char text[40];
    auto const end = std::to_chars(text, text + sizeof text, value).ptr;
    return std::string(text, end);
}

inline std::string json_text(nlohmann::ordered_json const& value) {
    return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

} // namespace detail

/// `path<TAB>caption`, a line a caption. Tabs and line breaks within a path are written \t, \n, \r.
class TextFormat final : public RecordFormat {
public:
    explicit TextFormat(std::size_t captions) : captions_(captions) {}

    std::string rows(CaptionRecord const& record, std::uint64_t) const override {
        auto const start = row_start(record.path);
        if (!record.error.empty())
            return start + "error: " + detail::one_line(record.error) + "\n";
        std::string text;
        for (auto const& caption : record.captions)
            text += start + detail::one_line(caption.text) + "\n";
        return text;
    }
    std::string row_start(std::string const& path) const override {
        std::string text;
        for (char letter : path) {
            if (letter == '\t')
                text += "\\t";
            else if (letter == '\n')
                text += "\\n";
            else if (letter == '\r')
                text += "\\r";
            else
                text += letter;
        }
        return text + "\t";
    }
    /// No caption begins like this: captions have a space before every colon.
    bool is_error(std::string_view rest) const override { return rest.starts_with("error: "); }
    std::size_t rows_per_picture() const override { return captions_; }

private:
    std::size_t captions_;
};

/// One JSON object a line: path, then captions with their numbers, width and height, or an error.
class JsonLinesFormat : public RecordFormat {
public:
    std::string rows(CaptionRecord const& record, std::uint64_t) const override {
        return object(record) + "\n";
    }
    std::string row_start(std::string const& path) const override {
        return "{\"path\":" + detail::json_text(path) + ",";
    }
    bool is_error(std::string_view rest) const override { return rest.starts_with("\"error\":"); }

protected:
    static std::string object(CaptionRecord const& record) {
        nlohmann::ordered_json object;
        object["path"] = record.path;
        if (!record.error.empty()) {
            object["error"] = record.error;
            return detail::json_text(object);
        }
        object["captions"] = nlohmann::ordered_json::array();
        for (auto const& caption : record.captions)
            object["captions"].push_back(
                {{"text", caption.text},
                 {"log_probability", caption.log_probability},
                 {"score", caption.score},
                 {"ids", caption.ids},
                 {"token_log_probabilities", caption.token_log_probabilities}});
        object["width"] = record.width;
        object["height"] = record.height;
        return detail::json_text(object);
    }
};

/// The objects of JsonLinesFormat as one JSON array.
class JsonArrayFormat final : public JsonLinesFormat {
public:
    std::string header() const override { return "["; }
    std::string rows(CaptionRecord const& record, std::uint64_t place) const override {
        return (place == 0 ? "\n" : ",\n") + object(record);
    }
    std::string footer(std::uint64_t) const override { return "\n]\n"; }
    std::string row_start(std::string const&) const override { return {}; }
};

/// Comma-separated values as RFC 4180 has them, a row a caption.
class CsvFormat final : public RecordFormat {
public:
    explicit CsvFormat(std::size_t captions) : captions_(captions) {}

    std::string header() const override {
        return "path,rank,caption,log_probability,score,width,height,error\r\n";
    }
    std::string rows(CaptionRecord const& record, std::uint64_t) const override {
        auto const start = row_start(record.path);
        if (!record.error.empty())
            return start + ",,,,,," + quoted(record.error) + "\r\n";
        std::string text;
        for (std::size_t i = 0; i < record.captions.size(); ++i) {
            auto const& caption = record.captions[i];
            text += start + blip::join(i + 1, ",", quoted(caption.text), ",",
                                       detail::number_text(caption.log_probability), ",",
                                       detail::number_text(caption.score), ",", record.width, ",",
                                       record.height, ",\r\n");
        }
        return text;
    }
    std::string row_start(std::string const& path) const override { return quoted(path) + ","; }
    bool is_error(std::string_view rest) const override { return rest.starts_with(','); }
    std::size_t rows_per_picture() const override { return captions_; }
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

    std::size_t captions_;
};

} // namespace support
