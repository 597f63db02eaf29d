#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/io/json.hpp>
#include <blip/io/list_text.hpp>
#include <blip/train/record.hpp>
#include <blip/train/record_source.hpp>

namespace blip::detail {

/// The lines of a text that are not blank, without what stands around them.
inline std::vector<std::string> caption_lines(std::string_view text, std::string const& name) {
    std::vector<std::string> lines;
    text = without_mark(text, name);
    for (std::size_t begin = 0; begin < text.size();) {
        auto const end = std::min(text.find('\n', begin), text.size());
        auto const line = text.substr(begin, end - begin);
        auto const first = line.find_first_not_of(" \t\r");
        if (first != std::string_view::npos)
            lines.emplace_back(line.substr(first, line.find_last_not_of(" \t\r") + 1 - first));
        begin = end + 1;
    }
    return lines;
}

/// The record of pictures that stand beside their texts: `captions`, a line each, and `fields`, a
/// JSON object; either may be missing (null). Lines take the place of the object's captions.
inline TrainingRecord record_of_parts(std::vector<PictureSource> pictures,
                                      std::string const* captions, std::string const* fields,
                                      std::string where) {
    TrainingRecord record;
    if (fields != nullptr) {
        auto const object = parse_json(without_mark(*fields, where), where);
        record = record_of(fields_of(object, where), where, {}, PictureNames::beside_record);
    }
    if (captions != nullptr)
        record.captions = caption_lines(*captions, where);
    record.where = std::move(where);
    record.pictures = std::move(pictures);
    return record;
}

} // namespace blip::detail
