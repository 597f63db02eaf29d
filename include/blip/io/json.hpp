#pragma once

#include <blip/core/error.hpp>
#include <blip/io/mapped_file.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace blip {

/// What to do when an object names a key twice: the later value counts, or it is an error.
enum class DuplicateKeys { keep_last, refuse };

/// Bounds for JSON text from outside.
struct JsonLimits {
    std::size_t bytes = std::size_t{1} << 28;
    std::size_t depth = 64;
    std::size_t values = std::size_t{1} << 24; ///< scalars, keys, arrays and objects together
    DuplicateKeys duplicate_keys = DuplicateKeys::keep_last;
};

/// Parses `text`; `where` (a file name) begins every message. Throws FormatError with line and
/// column for what is not JSON (RFC 8259; NaN and comments are not), LimitError beyond `limits`.
inline nlohmann::json parse_json(std::string_view text, std::string const& where,
                                 JsonLimits const& limits = {}) {
    using Event = nlohmann::json::parse_event_t;
    if (text.size() > limits.bytes)
        throw LimitError(
            join(where, ": JSON text of ", text.size(), " bytes, the limit is ", limits.bytes));
    std::vector<std::set<std::string>> keys;
    std::size_t values = 0;
    auto const watch = [&](int depth, Event event, nlohmann::json& parsed) {
        bool const opens = event == Event::object_start || event == Event::array_start;
        if (opens && static_cast<std::size_t>(depth) >= limits.depth)
            throw LimitError(join(where, ": JSON nested deeper than ", limits.depth, " levels"));
        if (event != Event::object_end && event != Event::array_end && ++values > limits.values)
            throw LimitError(join(where, ": JSON of more than ", limits.values, " values"));
        if (limits.duplicate_keys == DuplicateKeys::keep_last)
            return true;
        if (event == Event::object_start)
            keys.emplace_back();
        else if (event == Event::object_end)
            keys.pop_back();
        else if (event == Event::key &&
                 !keys.back().insert(parsed.get_ref<std::string const&>()).second)
            throw FormatError(join(where, ": key \"",
                                   parsed.get_ref<std::string const&>().substr(0, 200),
                                   "\" occurs twice in one object"));
        return true;
    };
    try {
        return nlohmann::json::parse(text.begin(), text.end(), watch);
    } catch (nlohmann::json::parse_error const& error) {
        std::size_t const end = std::min(error.byte == 0 ? 0 : error.byte - 1, text.size());
        auto const before = text.substr(0, end);
        auto const line = 1 + std::count(before.begin(), before.end(), '\n');
        auto const line_start = before.rfind('\n');
        auto const column = line_start == std::string_view::npos ? end + 1 : end - line_start;
        std::string reason = error.what();
        if (auto const colon = reason.find(": "); colon != std::string::npos)
            reason.erase(0, colon + 2);
        if (reason.size() > 300)
            reason = reason.substr(0, 300) + " ...";
        throw FormatError(
            join(where, ": not valid JSON at line ", line, ", column ", column, ": ", reason));
    } catch (nlohmann::json::exception const& error) {
        throw FormatError(
            join(where, ": JSON not usable: ", std::string(error.what()).substr(0, 300)));
    }
}

/// A JSON object with the name of its file, read through typed getters. Keys are dotted paths such
/// as "text_config.hidden_size"; every error says file, key, what was expected and what was found.
class JsonDocument {
public:
    /// Wraps `root`, which must be an object (FormatError).
    JsonDocument(nlohmann::json root, std::string where)
        : root_(std::move(root)), where_(std::move(where)) {
        if (!root_.is_object())
            throw FormatError(join(where_, ": expected a JSON object, found ", describe(root_)));
    }

    /// Reads a file. Throws FileError, FormatError, LimitError.
    static JsonDocument open(std::filesystem::path const& path, JsonLimits const& limits = {}) {
        MappedFile const file(path);
        std::string_view const text(reinterpret_cast<char const*>(file.bytes().data()),
                                    file.bytes().size());
        return JsonDocument(parse_json(text, path.string(), limits), path.string());
    }

    nlohmann::json const& root() const { return root_; }
    std::string const& where() const { return where_; }

    /// Whether the key exists and is not null.
    bool has(std::string_view key) const { return find(key) != nullptr; }

    /// The value at `key` as T: bool, an integer type (range checked), float, double, std::string,
    /// std::vector of those, or nlohmann::json. Throws FormatError when missing, null or of another
    /// type; a number with a fraction is no integer.
    template <class T>
    T required(std::string_view key) const {
        auto const* const value = find(key);
        if (value == nullptr)
            throw FormatError(
                join(where_, ": key \"", key, "\" is missing, expected ", expected_text<T>()));
        return convert<T>(*value, std::string(key));
    }

    /// As required, but `fallback` when the key is missing or null.
    template <class T>
    T value_or(std::string_view key, T fallback) const {
        auto const* const value = find(key);
        return value == nullptr ? std::move(fallback) : convert<T>(*value, std::string(key));
    }

private:
    template <class T>
    struct VectorElement : std::false_type {};
    template <class T>
    struct VectorElement<std::vector<T>> : std::true_type {
        using Type = T;
    };

    nlohmann::json const* find(std::string_view key) const {
        nlohmann::json const* value = &root_;
        for (std::size_t begin = 0; begin <= key.size();) {
            auto const end = std::min(key.find('.', begin), key.size());
            if (!value->is_object())
                throw FormatError(join(where_, ": key \"",
                                       key.substr(0, begin == 0 ? 0 : begin - 1),
                                       "\": expected an object, found ", describe(*value)));
            auto const found = value->find(std::string(key.substr(begin, end - begin)));
            if (found == value->end() || found->is_null())
                return nullptr;
            value = &*found;
            begin = end + 1;
        }
        return value;
    }

    static std::string describe(nlohmann::json const& value) {
        if (value.is_object() || value.is_array())
            return join(value.is_object() ? "an object" : "a list", " of ", value.size(),
                        " entries");
        std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
        return text.size() > 100 ? text.substr(0, 100) + " ..." : text;
    }

    template <class T>
    static std::string expected_text() {
        if constexpr (std::is_same_v<T, bool>)
            return "true or false";
        else if constexpr (std::is_integral_v<T>)
            return join("a whole number from ", +std::numeric_limits<T>::min(), " to ",
                        +std::numeric_limits<T>::max());
        else if constexpr (std::is_floating_point_v<T>)
            return "a number";
        else if constexpr (std::is_same_v<T, std::string>)
            return "a string";
        else if constexpr (VectorElement<T>::value)
            return "a list, each entry " + expected_text<typename VectorElement<T>::Type>();
        else
            return "a value";
    }

    template <class T>
    T convert(nlohmann::json const& value, std::string const& key) const {
        if constexpr (std::is_same_v<T, nlohmann::json>) {
            return value;
        } else if constexpr (VectorElement<T>::value) {
            if (value.is_array()) {
                T result;
                for (std::size_t i = 0; i < value.size(); ++i)
                    result.push_back(
                        convert<typename VectorElement<T>::Type>(value[i], join(key, "[", i, "]")));
                return result;
            }
        } else if constexpr (std::is_same_v<T, bool>) {
            if (value.is_boolean())
                return value.get<bool>();
        } else if constexpr (std::is_integral_v<T>) {
            if (value.is_number_unsigned()) {
                auto const number = value.get<std::uint64_t>();
                if (std::in_range<T>(number))
                    return static_cast<T>(number);
            } else if (value.is_number_integer()) {
                auto const number = value.get<std::int64_t>();
                if (std::in_range<T>(number))
                    return static_cast<T>(number);
            }
        } else if constexpr (std::is_floating_point_v<T>) {
            if (value.is_number())
                return static_cast<T>(value.get<double>());
        } else {
            static_assert(std::is_same_v<T, std::string>, "JsonDocument cannot read this type");
            if (value.is_string())
                return value.get<std::string>();
        }
        throw FormatError(join(where_, ": key \"", key, "\": expected ", expected_text<T>(),
                               ", found ", describe(value)));
    }

    nlohmann::json root_;
    std::string where_;
};

} // namespace blip
