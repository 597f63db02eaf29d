#pragma once

#include <blip/core/error.hpp>
#include <blip/io/half.hpp>
#include <blip/io/tensor_view.hpp>
#include <blip/io/write_file.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace blip {

/// A tensor to be written: `bytes()` is asked once, when its turn comes, for the row-major elements
/// of `type`, so that weights elsewhere (another device, another layout) pass through memory one at
/// a time. The span must stay valid until the next tensor is asked for.
struct OutputTensor {
    std::string name;
    DataType type = DataType::f32;
    std::vector<std::int64_t> shape;
    std::function<std::span<std::byte const>()> bytes;
};

/// A tensor whose elements are in memory and stay there until they are written.
template <class T>
OutputTensor output_tensor(std::string name, std::vector<std::int64_t> shape,
                           std::span<T const> elements) {
    return {std::move(name), data_type_of<T>(), std::move(shape),
            [elements] { return std::as_bytes(elements); }};
}

namespace detail {

inline DataType stored_type(OutputTensor const& tensor, std::optional<DataType> floating_type) {
    return floating_type && is_floating(tensor.type) ? *floating_type : tensor.type;
}

inline std::uint64_t stored_bytes(OutputTensor const& tensor, DataType type) {
    auto const count = checked_count(tensor.shape);
    if (!count || *count > (std::int64_t{1} << 59))
        throw ArgumentError(join("tensor ", tensor.name, ": shape ", shape_text(tensor.shape),
                                 " cannot be written"));
    return static_cast<std::uint64_t>(*count * size_of(type));
}

/// False for a finite value that the type would store as infinite.
inline bool holds(DataType type, double value) {
    if (!std::isfinite(value) || type == DataType::f64)
        return true;
    auto const narrow = static_cast<float>(value);
    float const stored = type == DataType::f16    ? half_to_float(float_to_half(narrow))
                         : type == DataType::bf16 ? bfloat16_to_float(float_to_bfloat16(narrow))
                                                  : narrow;
    return std::isfinite(stored);
}

inline void append_converted(std::vector<std::byte>& out, double value, DataType type) {
    auto const append = [&out](auto number) {
        auto const bytes = std::bit_cast<std::array<std::byte, sizeof number>>(number);
        out.insert(out.end(), bytes.begin(), bytes.end());
    };
    auto const narrow = static_cast<float>(value);
    if (type == DataType::f64)
        append(value);
    else if (type == DataType::f32)
        append(narrow);
    else if (type == DataType::f16)
        append(float_to_half(narrow));
    else
        append(float_to_bfloat16(narrow));
}

/// Hands the elements of `tensor`, stored as `type`, to `sink` in pieces.
template <class Sink>
void stream_tensor(OutputTensor const& tensor, DataType type, Sink&& sink) {
    auto const bytes = tensor.bytes();
    if (bytes.size() != stored_bytes(tensor, tensor.type))
        throw ArgumentError(join("tensor ", tensor.name, " of shape ", shape_text(tensor.shape),
                                 " and type ", name_of(tensor.type), " needs ",
                                 stored_bytes(tensor, tensor.type), " bytes, was given ",
                                 bytes.size()));
    if (type == tensor.type) {
        sink(bytes);
        return;
    }
    constexpr std::int64_t piece = 1 << 14;
    std::vector<std::byte> converted;
    std::vector<double> values;
    auto const count = checked_count(tensor.shape).value_or(0);
    for (std::int64_t begin = 0; begin < count; begin += piece) {
        TensorView const view{.name = tensor.name,
                              .type = tensor.type,
                              .shape = {std::min(piece, count - begin)},
                              .strides = {1},
                              .storage = bytes,
                              .offset = begin};
        values.resize(static_cast<std::size_t>(view.shape[0]));
        view.copy_to(std::span<double>(values));
        converted.clear();
        for (double const value : values) {
            if (!holds(type, value))
                throw ArgumentError(join("tensor ", tensor.name, " holds ", value,
                                         ", which is too large for ", name_of(type),
                                         "; store it as float32"));
            append_converted(converted, value, type);
        }
        sink(std::span<std::byte const>(converted));
    }
}

/// Throws ArgumentError when a name occurs twice among all `lists`.
template <class... Named>
void check_unique_names(Named const&... lists) {
    std::vector<std::string_view> names;
    auto const add = [&names](auto const& list) {
        for (auto const& named : list)
            names.push_back(named.name);
    };
    (add(lists), ...);
    std::sort(names.begin(), names.end());
    auto const twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end())
        throw ArgumentError(join("tensor name \"", *twice, "\" is given twice"));
}

inline void check_floating_type(std::optional<DataType> type) {
    if (type && !is_floating(*type))
        throw ArgumentError(join("floating-point tensors cannot be stored as ", name_of(*type)));
}

} // namespace detail

} // namespace blip
