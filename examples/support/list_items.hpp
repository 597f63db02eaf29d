#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <blip/core/error.hpp>

#include "item.hpp"

namespace support {

/// One entry of a list: its fields by name.
class ListRow {
public:
    explicit ListRow(nlohmann::json fields) : fields_(std::move(fields)) {}

    /// The field with the first of `names` that is there, as text. Throws FormatError that names
    /// all of them where none is.
    std::string text(std::vector<std::string> const& names) const {
        auto const* field = find(names);
        if (field != nullptr && field->is_string())
            return field->get<std::string>();
        if (field != nullptr && (field->is_number() || field->is_boolean()))
            return field->dump();
        throw blip::FormatError(
            blip::join("no \"", names.front(), "\" with text. There is: ", names_of_fields()));
    }

    /// Two texts: those of an array, or of two fields.
    std::vector<std::string> pair(std::vector<std::string> const& array,
                                  std::vector<std::string> const& first,
                                  std::vector<std::string> const& second) const {
        if (auto const* field = find(array); field != nullptr && field->is_array()) {
            if (field->size() == 2 && (*field)[0].is_string() && (*field)[1].is_string())
                return {(*field)[0].get<std::string>(), (*field)[1].get<std::string>()};
            throw blip::FormatError(
                blip::join("\"", array.front(), "\" is not a list of two names"));
        }
        return {text(first), text(second)};
    }

    /// A list of objects that all have `members`, as JSON text.
    std::string list(std::vector<std::string> const& names,
                     std::vector<std::string> const& members) const {
        auto const* field = find(names);
        if (field == nullptr || !field->is_array())
            throw blip::FormatError(blip::join("no list \"", names.front(), "\""));
        for (auto const& object : *field)
            for (auto const& member : members)
                if (!object.is_object() || !object.contains(member))
                    throw blip::FormatError(
                        blip::join("an entry of \"", names.front(), "\" has no \"", member, "\""));
        return field->dump();
    }

private:
    nlohmann::json const* find(std::vector<std::string> const& names) const {
        for (auto const& name : names)
            if (auto const at = fields_.find(name); at != fields_.end())
                return &*at;
        return nullptr;
    }
    std::string names_of_fields() const {
        std::string text;
        for (auto const& field : fields_.items())
            text += (text.empty() ? "" : ", ") + field.key();
        return text.empty() ? "nothing" : text;
    }

    nlohmann::json fields_;
};

/// Turns a row into an item's paths and texts. Throws FormatError.
using MakeItem = std::function<Item(ListRow const&)>;

/// The entries of a list file (or of standard input, "-"), an item each: JSON objects a line, an
/// array of them, or CSV with a first line of names. `root`: the folder that relative paths of the
/// list start from; empty: the current one. `broken`: paths and texts of the item that stands for
/// an unusable row, but for its first path, which says where the row is. Throws FileError,
/// FormatError.
std::unique_ptr<ItemSource> list_items(std::string const& path, std::filesystem::path root,
                                       MakeItem make, Item broken);

/// The texts of a file, a line each; empty lines are left out. Throws FileError, and FormatError
/// for a file without any.
std::vector<std::string> read_texts(std::string const& path);

} // namespace support
