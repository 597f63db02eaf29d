#pragma once

#include <blip/core/error.hpp>
#include <blip/io/json.hpp>
#include <blip/io/tensor_view.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace blip {

/// What a safetensors file holds: views into its bytes in the order of storage, and its metadata.
struct SafetensorsContent {
    std::vector<TensorView> tensors;
    std::map<std::string, std::string> metadata;
};

/// Largest header that is accepted, in bytes; the reference library has the same limit.
inline constexpr std::uint64_t max_safetensors_header = 100'000'000;

namespace detail {

struct SafetensorsType {
    std::string_view name;
    DataType type;
};

inline constexpr std::array<SafetensorsType, 10> safetensors_types{{{"F64", DataType::f64},
                                                                    {"F32", DataType::f32},
                                                                    {"F16", DataType::f16},
                                                                    {"BF16", DataType::bf16},
                                                                    {"I64", DataType::i64},
                                                                    {"I32", DataType::i32},
                                                                    {"I16", DataType::i16},
                                                                    {"I8", DataType::i8},
                                                                    {"U8", DataType::u8},
                                                                    {"BOOL", DataType::boolean}}};

inline std::string_view safetensors_name(DataType type) {
    return std::find_if(safetensors_types.begin(), safetensors_types.end(),
                        [type](auto const& entry) { return entry.type == type; })
        ->name;
}

struct PlacedTensor {
    TensorView view;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};

inline std::uint64_t safetensors_number(nlohmann::json const& value, std::string const& where,
                                        char const* what) {
    if (!value.is_number_unsigned())
        throw FormatError(join(where, ": ", what, " is ", value.dump().substr(0, 100),
                               ", expected a whole number that is not negative"));
    return value.get<std::uint64_t>();
}

inline PlacedTensor safetensors_entry(std::string const& name, nlohmann::json const& entry,
                                      std::string const& file) {
    std::string const where = join(file, ": tensor \"", name.substr(0, 200), "\"");
    for (char const* const key : {"dtype", "shape", "data_offsets"})
        if (!entry.is_object() || !entry.contains(key))
            throw FormatError(join(where, ": its header entry has no \"", key, "\""));
    auto const& type = entry["dtype"];
    auto const& shape = entry["shape"];
    auto const& offsets = entry["data_offsets"];
    if (!type.is_string() || !shape.is_array() || !offsets.is_array() || offsets.size() != 2)
        throw FormatError(join(where, ": expected a string \"dtype\", a list \"shape\" and two "
                                      "\"data_offsets\""));
    PlacedTensor placed;
    placed.view.name = name;
    auto const known = std::find_if(safetensors_types.begin(), safetensors_types.end(),
                                    [&](auto const& candidate) {
                                        return candidate.name == type.get_ref<std::string const&>();
                                    });
    if (known == safetensors_types.end())
        throw FormatError(join(where, ": element type ", type.dump().substr(0, 100),
                               " is not supported; known are F64 F32 F16 BF16 I64 I32 I16 I8 U8 "
                               "BOOL"));
    placed.view.type = known->type;
    for (auto const& extent : shape) {
        auto const number = safetensors_number(extent, where, "an extent of \"shape\"");
        if (!std::in_range<std::int64_t>(number))
            throw FormatError(join(where, ": an extent of ", number, " is too large"));
        placed.view.shape.push_back(static_cast<std::int64_t>(number));
    }
    placed.begin = safetensors_number(offsets[0], where, "the first of \"data_offsets\"");
    placed.end = safetensors_number(offsets[1], where, "the second of \"data_offsets\"");
    auto const count = checked_count(placed.view.shape);
    auto const width = static_cast<std::uint64_t>(size_of(placed.view.type));
    if (!count || placed.end < placed.begin ||
        static_cast<std::uint64_t>(*count) > (placed.end - placed.begin) / width ||
        static_cast<std::uint64_t>(*count) * width != placed.end - placed.begin)
        throw FormatError(join(where, ": shape ", shape_text(placed.view.shape), " of ",
                               name_of(placed.view.type), " does not fill its bytes ", placed.begin,
                               " to ", placed.end));
    placed.view.strides = contiguous_strides(placed.view.shape);
    return placed;
}

inline std::map<std::string, std::string> safetensors_metadata(nlohmann::json const& object,
                                                               std::string const& file) {
    std::map<std::string, std::string> metadata;
    if (!object.is_object())
        throw FormatError(join(file, ": \"__metadata__\" is not an object"));
    for (auto const& [key, value] : object.items()) {
        if (!value.is_string())
            throw FormatError(join(file, ": \"__metadata__\" entry \"", key.substr(0, 200),
                                   "\" is not a string"));
        metadata.emplace(key, value.get<std::string>());
    }
    return metadata;
}

} // namespace detail

/// Reads a safetensors file from `bytes` without copying data; `file` begins every message. All
/// rules of the format are checked: header length, JSON with unique keys, element types, sizes
/// without overflow, and data that is covered exactly, without overlap, gap or rest.
/// Throws FormatError or LimitError.
inline SafetensorsContent read_safetensors(std::span<std::byte const> bytes,
                                           std::string const& file) {
    if (bytes.size() < 8)
        throw FormatError(join(file, ": ", bytes.size(),
                               " bytes are too few for a safetensors file, which begins with the "
                               "length of its header in 8 bytes"));
    auto const length = detail::load_unaligned<std::uint64_t>(bytes.data());
    if (length > max_safetensors_header)
        throw LimitError(join(file, ": header of ", length, " bytes, the limit is ",
                              max_safetensors_header, "; is this a safetensors file?"));
    if (length > bytes.size() - 8)
        throw FormatError(join(file, ": header of ", length, " bytes, but the file has only ",
                               bytes.size() - 8, " more; it is incomplete"));
    auto const header_bytes = bytes.subspan(8, static_cast<std::size_t>(length));
    auto const data = bytes.subspan(8 + static_cast<std::size_t>(length));
    std::string_view const text(reinterpret_cast<char const*>(header_bytes.data()),
                                header_bytes.size());
    auto const header = parse_json(text, file + ": header",
                                   {.bytes = max_safetensors_header,
                                    .depth = 8,
                                    .values = std::size_t{1} << 23,
                                    .duplicate_keys = DuplicateKeys::refuse});
    if (!header.is_object())
        throw FormatError(join(file, ": the header is not a JSON object"));

    SafetensorsContent content;
    std::vector<detail::PlacedTensor> placed;
    for (auto const& [name, entry] : header.items()) {
        if (name == "__metadata__")
            content.metadata = detail::safetensors_metadata(entry, file);
        else
            placed.push_back(detail::safetensors_entry(name, entry, file));
    }
    std::stable_sort(placed.begin(), placed.end(), [](auto const& a, auto const& b) {
        return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    std::uint64_t position = 0;
    for (auto& tensor : placed) {
        if (tensor.begin != position || tensor.end > data.size())
            throw FormatError(join(file, ": tensor \"", tensor.view.name.substr(0, 200),
                                   "\" occupies bytes ", tensor.begin, " to ", tensor.end,
                                   ", expected to begin at ", position, " and to end by ",
                                   data.size(),
                                   tensor.end > data.size() ? "; the file may be incomplete" : ""));
        tensor.view.storage = data.subspan(static_cast<std::size_t>(tensor.begin),
                                           static_cast<std::size_t>(tensor.end - tensor.begin));
        position = tensor.end;
        content.tensors.push_back(std::move(tensor.view));
    }
    if (position != data.size())
        throw FormatError(join(file, ": ", data.size() - position,
                               " bytes after the last tensor; the file is damaged"));
    return content;
}

} // namespace blip
