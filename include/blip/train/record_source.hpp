#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/io/json.hpp>
#include <blip/train/record.hpp>

namespace blip {

/// How lists of samples are read, and how much of the machine one may claim.
struct DataSourceOptions {
    /// Folder that relative names of pictures start from; empty: the list's own.
    std::filesystem::path pictures{};
    /// What each record must have; one without is broken.
    RecordNeeds needs{.pictures = 0};
    std::uint64_t max_records = std::uint64_t{1} << 28;
    std::size_t max_record_bytes = std::size_t{1} << 20; ///< of one record's text
};

/// Training records in a fixed order. Reading is safe from several threads at a time.
class RecordSource {
public:
    virtual ~RecordSource() = default;
    virtual std::size_t size() const = 0;
    /// Record `i` < size(). Throws FormatError for a broken one, naming it; FileError, LimitError.
    virtual TrainingRecord record(std::size_t i) const = 0;
};

/// The fields of one record as its list has them.
struct RecordFields {
    struct Field {
        std::string name;
        std::vector<std::string> values;
        bool is_text = true; ///< false: neither text nor a list of texts
    };
    std::vector<Field> fields;

    /// Adds `value` to the field `name`: columns of one name are a list.
    void add(std::string const& name, std::string value) {
        for (auto& field : fields)
            if (field.name == name) {
                field.values.push_back(std::move(value));
                return;
            }
        fields.push_back({name, {std::move(value)}});
    }

    Field const* find(std::initializer_list<std::string_view> names) const {
        for (auto const name : names)
            for (auto const& field : fields)
                if (field.name == name)
                    return &field;
        return nullptr;
    }
};

/// The members of a JSON object: texts, numbers, truth values and lists of those; null is as if it
/// were not there. Throws FormatError for what is no object.
inline RecordFields fields_of(nlohmann::json const& object, std::string const& where) {
    if (!object.is_object())
        throw FormatError(join(where, ": expected an object, {\"image\": ..., \"caption\": ...}"));
    RecordFields result;
    auto const text = [](nlohmann::json const& value) {
        return value.is_string() ? value.get<std::string>() : value.dump();
    };
    auto const is_plain = [](nlohmann::json const& value) {
        return value.is_string() || value.is_number() || value.is_boolean();
    };
    for (auto const& [name, value] : object.items()) {
        if (value.is_null())
            continue;
        RecordFields::Field field{name, {}};
        if (value.is_array()) {
            for (auto const& entry : value) {
                field.is_text = field.is_text && is_plain(entry);
                if (field.is_text)
                    field.values.push_back(text(entry));
            }
        } else {
            field.is_text = is_plain(value);
            if (field.is_text)
                field.values.push_back(text(value));
        }
        result.fields.push_back(std::move(field));
    }
    return result;
}

namespace detail {

/// None for what is no truth value; whoever needs one says so.
inline std::optional<bool> parse_label(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (text == "true" || text == "1")
        return true;
    if (text == "false" || text == "0")
        return false;
    return std::nullopt;
}

inline std::string names_of(RecordFields const& fields) {
    std::string names;
    for (auto const& field : fields.fields)
        if (names.size() < 200)
            names += (names.empty() ? "" : ", ") + field.name.substr(0, 50);
    return names.empty() ? "nothing" : names;
}

/// Whether the list names pictures itself (lists) or they come with it (shards, sidecars).
enum class PictureNames { in_record, beside_record };

/// Spec section 7.4, and the names that other tools use for the same: `file_name` and `text`.
inline TrainingRecord record_of(RecordFields const& fields, std::string where,
                                std::filesystem::path const& root, PictureNames pictures) {
    TrainingRecord record;
    record.where = std::move(where);
    auto const texts = [&](std::initializer_list<std::string_view> names) {
        auto const* const field = fields.find(names);
        if (field == nullptr)
            return std::vector<std::string>{};
        if (!field->is_text)
            throw FormatError(
                join(record.where, ": \"", field->name, "\" is neither text nor a list of texts"));
        return field->values;
    };
    auto const text = [&](std::initializer_list<std::string_view> names) {
        auto values = texts(names);
        if (values.size() > 1)
            throw FormatError(join(record.where, ": \"", *names.begin(), "\" is a list of ",
                                   values.size(), ", expected one text"));
        return values.empty() ? std::string{} : std::move(values.front());
    };
    if (pictures == PictureNames::in_record) {
        for (auto const& name : texts({"image", "images", "file_name"})) {
            if (name.empty() || name.find('\0') != std::string::npos)
                throw FormatError(join(record.where, ": the name of a picture is empty"));
            if (name.starts_with("http://") || name.starts_with("https://"))
                throw FormatError(join(record.where, ": pictures are not fetched from addresses. "
                                                     "Download them and name the files."));
            record.pictures.push_back({root / name, 0, {}, {}});
        }
        if (record.pictures.empty())
            throw FormatError(join(record.where, ": no \"image\" with the name of a picture",
                                   fields.find({"url"}) != nullptr
                                       ? " (an address is not fetched: download it first)"
                                       : "",
                                   ". There is: ", names_of(fields)));
    }
    record.captions = texts({"caption", "text", "sentence"});
    record.question = text({"question"});
    record.answers = texts({"answer", "answers"});
    record.dataset = text({"dataset"});
    record.image_id = text({"image_id", "img_id"});
    record.label = parse_label(text({"label"}));
    return record;
}

/// Where records lie in a text.
struct TextSpan {
    std::uint64_t begin = 0;
    std::uint32_t size = 0;

    std::string_view of(std::string_view text) const { return text.substr(begin, size); }
};

/// Collects spans and refuses what is too large.
class SpanCollector {
public:
    SpanCollector(std::string name, DataSourceOptions const& options)
        : name_(std::move(name)), options_(options) {}

    /// How messages call the record that comes next.
    std::string next_place() const { return join(name_, ", element ", spans.size() + 1); }

    /// Throws LimitError once a record has more than the allowed `size`.
    void check(std::size_t size, char const* hint) const {
        auto const limit = std::min<std::size_t>(options_.max_record_bytes, UINT32_MAX);
        if (size > limit)
            throw LimitError(join(next_place(), ": longer than ", limit, " bytes; ", hint));
    }

    void add(std::size_t begin, std::size_t end) {
        if (spans.size() >= options_.max_records)
            throw LimitError(join(name_, ": more than ", options_.max_records, " records"));
        spans.push_back({begin, static_cast<std::uint32_t>(end - begin)});
    }

    std::vector<TextSpan> spans;

private:
    std::string name_;
    DataSourceOptions const& options_;
};

} // namespace detail
} // namespace blip
