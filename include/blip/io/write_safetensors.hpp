#pragma once

#include <blip/io/output_tensor.hpp>
#include <blip/io/safetensors.hpp>
#include <blip/io/write_file.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace blip {

/// How a safetensors file is written.
struct SafetensorsOptions {
    /// Type in which all floating-point tensors are stored; their own when not given.
    std::optional<DataType> floating_type = std::nullopt;
    /// transformers refuses files without {"format": "pt"}.
    std::map<std::string, std::string> metadata = {{"format", "pt"}};
};

namespace detail {

/// What a safetensors file begins with, its length included, for `tensors` whose data follows in
/// this order; `type_of(tensor)` says how each is stored. Messages say that `path` is written.
template <class TypeOf>
std::string safetensors_header(std::filesystem::path const& path,
                               std::span<OutputTensor const> tensors, TypeOf const& type_of,
                               std::map<std::string, std::string> const& metadata) {
    auto header = nlohmann::ordered_json::object();
    if (!metadata.empty())
        header["__metadata__"] = metadata;
    std::uint64_t position = 0;
    for (auto const& tensor : tensors) {
        if (tensor.name == "__metadata__")
            throw ArgumentError("a safetensors tensor cannot be named \"__metadata__\"");
        auto const end = position + stored_bytes(tensor, type_of(tensor));
        header[tensor.name] = {{"dtype", safetensors_name(type_of(tensor))},
                               {"shape", tensor.shape},
                               {"data_offsets", {position, end}}};
        position = end;
    }
    std::string text;
    try {
        text = header.dump();
    } catch (nlohmann::json::exception const& error) {
        throw ArgumentError(join("cannot write ", path.string(),
                                 ": a tensor name or its metadata is not UTF-8: ", error.what()));
    }
    text.append((8 - text.size() % 8) % 8, ' ');
    if (text.size() > max_safetensors_header)
        throw LimitError(join("cannot write ", path.string(), ": its header would have ",
                              text.size(), " bytes, the limit is ", max_safetensors_header));
    std::uint64_t const length = text.size();
    return std::string(reinterpret_cast<char const*>(&length), sizeof length) + text;
}

} // namespace detail

/// Writes `tensors` to `path`, atomically and one tensor at a time, in the order of the reference
/// library: wide element types first, then by name, so that every tensor is aligned; the header is
/// padded to a multiple of 8. Throws FileError; ArgumentError for names given twice, a tensor named
/// "__metadata__", or bytes that do not fit a shape.
inline void write_safetensors(std::filesystem::path const& path, std::vector<OutputTensor> tensors,
                              SafetensorsOptions const& options = {}) {
    detail::check_unique_names(tensors);
    detail::check_floating_type(options.floating_type);
    auto const type_of = [&](OutputTensor const& tensor) {
        return detail::stored_type(tensor, options.floating_type);
    };
    std::sort(tensors.begin(), tensors.end(), [&](auto const& a, auto const& b) {
        return std::pair(-size_of(type_of(a)), std::string_view(a.name)) <
               std::pair(-size_of(type_of(b)), std::string_view(b.name));
    });
    auto const header = detail::safetensors_header(path, tensors, type_of, options.metadata);

    FileWriter writer(path);
    writer.write(header);
    for (auto const& tensor : tensors)
        detail::stream_tensor(tensor, type_of(tensor),
                              [&](std::span<std::byte const> bytes) { writer.write(bytes); });
    writer.commit();
}

} // namespace blip
