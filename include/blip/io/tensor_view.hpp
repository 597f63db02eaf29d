#pragma once

#include <blip/core/error.hpp>
#include <blip/io/half.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace blip {

static_assert(std::endian::native == std::endian::little,
              "blip reads and writes tensors in little-endian order in place");

/// Element types of stored tensors.
enum class DataType { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };

/// Bytes of one element.
inline std::int64_t size_of(DataType type) {
    switch (type) {
    case DataType::f64:
    case DataType::i64:
        return 8;
    case DataType::f32:
    case DataType::i32:
        return 4;
    case DataType::f16:
    case DataType::bf16:
    case DataType::i16:
        return 2;
    case DataType::i8:
    case DataType::u8:
    case DataType::boolean:
        return 1;
    }
    return 1;
}

/// PyTorch's name of the type, such as "float32".
inline std::string_view name_of(DataType type) {
    constexpr std::string_view names[] = {"float64", "float32", "float16", "bfloat16", "int64",
                                          "int32",   "int16",   "int8",    "uint8",    "bool"};
    return names[static_cast<std::size_t>(type)];
}

inline bool is_floating(DataType type) {
    return type == DataType::f64 || type == DataType::f32 || type == DataType::f16 ||
           type == DataType::bf16;
}

/// The DataType of a C++ element type.
template <class T>
constexpr DataType data_type_of() {
    if constexpr (std::is_same_v<T, double>)
        return DataType::f64;
    else if constexpr (std::is_same_v<T, float>)
        return DataType::f32;
    else if constexpr (std::is_same_v<T, std::int64_t>)
        return DataType::i64;
    else if constexpr (std::is_same_v<T, std::int32_t>)
        return DataType::i32;
    else if constexpr (std::is_same_v<T, std::int16_t>)
        return DataType::i16;
    else if constexpr (std::is_same_v<T, std::int8_t>)
        return DataType::i8;
    else if constexpr (std::is_same_v<T, std::uint8_t>)
        return DataType::u8;
    else {
        static_assert(std::is_same_v<T, bool>, "no stored element type corresponds to T");
        return DataType::boolean;
    }
}

/// "[3, 4]"; "[]" for a scalar.
inline std::string shape_text(std::span<std::int64_t const> shape) {
    std::string text = "[";
    for (std::size_t i = 0; i < shape.size(); ++i)
        text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    return text + "]";
}

/// Product of the extents; nothing when an extent is negative or the product exceeds 2^63 - 1.
/// One extent of 0 makes the product 0 whatever the others are.
inline std::optional<std::int64_t> checked_count(std::span<std::int64_t const> shape) {
    if (std::any_of(shape.begin(), shape.end(), [](auto extent) { return extent < 0; }))
        return std::nullopt;
    if (std::find(shape.begin(), shape.end(), 0) != shape.end())
        return 0;
    std::int64_t count = 1;
    for (std::int64_t const extent : shape) {
        if (count > std::numeric_limits<std::int64_t>::max() / extent)
            return std::nullopt;
        count *= extent;
    }
    return count;
}

/// Strides, in elements, of a row-major tensor without gaps; all 1 when it has no elements. The
/// shape must have a checked_count.
inline std::vector<std::int64_t> contiguous_strides(std::span<std::int64_t const> shape) {
    std::vector<std::int64_t> strides(shape.size(), 1);
    if (checked_count(shape).value_or(0) == 0)
        return strides;
    for (std::size_t i = shape.size(); i-- > 1;)
        strides[i - 1] = strides[i] * shape[i];
    return strides;
}

/// A named tensor inside a file's bytes, which must outlive it: element (i, j, ...) of `shape` is
/// element `offset + i * strides[0] + j * strides[1] + ...` of `storage`. Bytes may be unaligned.
struct TensorView {
    std::string name;
    DataType type = DataType::f32;
    std::vector<std::int64_t> shape;
    std::vector<std::int64_t> strides; ///< in elements, none negative
    std::span<std::byte const> storage;
    std::int64_t offset = 0; ///< in elements

    std::int64_t element_count() const { return checked_count(shape).value_or(0); }

    /// Whether the elements lie in row-major order without gaps.
    bool is_contiguous() const {
        if (std::find(shape.begin(), shape.end(), 0) != shape.end())
            return true;
        std::int64_t expected = 1;
        for (std::size_t i = shape.size(); i-- > 0;) {
            if (shape[i] != 1 && strides[i] != expected)
                return false;
            expected *= shape[i];
        }
        return true;
    }

    /// The bytes of a contiguous tensor, row-major. Throws ArgumentError for a strided view.
    std::span<std::byte const> contiguous_bytes() const {
        if (!is_contiguous())
            throw ArgumentError(join("tensor ", name, " is a strided view; copy it instead"));
        auto const bytes = static_cast<std::size_t>(element_count() * size_of(type));
        return bytes == 0
                   ? std::span<std::byte const>{}
                   : storage.subspan(static_cast<std::size_t>(offset * size_of(type)), bytes);
    }

    /// The elements in place, if they are of type T, contiguous and aligned; otherwise nothing.
    template <class T>
    std::optional<std::span<T const>> direct() const {
        if (type != data_type_of<T>() || !is_contiguous())
            return std::nullopt;
        auto const bytes = contiguous_bytes();
        if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(T) != 0)
            return std::nullopt;
        return std::span(reinterpret_cast<T const*>(bytes.data()), bytes.size() / sizeof(T));
    }

    /// Writes all elements in row-major order, converted to T (float, double or std::int64_t).
    /// Throws ArgumentError when `out` has another size than element_count(), FormatError when T is
    /// an integer and an element is not a whole number that fits.
    template <class T>
    void copy_to(std::span<T> out) const;

    /// All elements in row-major order, converted as by copy_to.
    template <class T>
    std::vector<T> values() const {
        std::vector<T> result(static_cast<std::size_t>(element_count()));
        copy_to(std::span<T>(result));
        return result;
    }
};

/// Views that repeat elements (stride 0, overlapping windows) may be at most this much larger than
/// what is stored, so that a small file cannot ask for a huge copy.
inline constexpr std::int64_t max_repeated_elements = std::int64_t{1} << 24;

/// Checks that every element of `view` lies within `stored_elements` elements and that none of the
/// index arithmetic overflows. Throws FormatError, or LimitError for views that repeat elements
/// more often than max_repeated_elements allows; messages start with `where`.
inline void check_tensor_bounds(TensorView const& view, std::int64_t stored_elements,
                                std::string const& where) {
    if (view.strides.size() != view.shape.size())
        throw FormatError(join(where, ": tensor of shape ", shape_text(view.shape), " has ",
                               view.strides.size(), " strides, expected ", view.shape.size()));
    auto const count = checked_count(view.shape);
    if (!count || *count > std::numeric_limits<std::int64_t>::max() / 8)
        throw FormatError(join(where, ": shape ", shape_text(view.shape),
                               " is not possible (negative, or too many elements)"));
    if (std::any_of(view.strides.begin(), view.strides.end(), [](auto s) { return s < 0; }))
        throw FormatError(join(where, ": negative strides ", shape_text(view.strides)));
    bool inside = view.offset >= 0 && view.offset <= stored_elements;
    if (*count > 0) {
        std::int64_t last = view.offset;
        for (std::size_t i = 0; inside && i < view.shape.size(); ++i) {
            std::int64_t const steps = view.shape[i] - 1;
            inside = steps == 0 || view.strides[i] <= (stored_elements - last) / steps;
            if (inside)
                last += steps * view.strides[i];
        }
        inside = inside && last < stored_elements;
    }
    if (!inside)
        throw FormatError(join(where, ": tensor of shape ", shape_text(view.shape), ", strides ",
                               shape_text(view.strides), ", offset ", view.offset,
                               " leaves its storage of ", stored_elements, " elements"));
    if (*count > stored_elements && *count - stored_elements > max_repeated_elements)
        throw LimitError(join(where, ": a view of ", *count, " elements repeats a storage of ",
                              stored_elements, " elements"));
}

namespace detail {

template <class T>
T load_unaligned(std::byte const* from) {
    T value;
    std::memcpy(&value, from, sizeof(T));
    return value;
}

struct LoadHalf {
    using Stored = std::uint16_t;
    static float load(std::byte const* from) {
        return half_to_float(load_unaligned<std::uint16_t>(from));
    }
};

struct LoadBfloat16 {
    using Stored = std::uint16_t;
    static float load(std::byte const* from) {
        return bfloat16_to_float(load_unaligned<std::uint16_t>(from));
    }
};

template <class T>
struct LoadPlain {
    using Stored = T;
    static T load(std::byte const* from) { return load_unaligned<T>(from); }
};

struct LoadBool {
    using Stored = std::uint8_t;
    static std::uint8_t load(std::byte const* from) { return *from != std::byte{0} ? 1 : 0; }
};

template <class To, class From>
To convert_element(From value, TensorView const& view) {
    if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
        if (!(value >= -0x1p63 && value < 0x1p63) || std::trunc(value) != value)
            throw FormatError(join("tensor ", view.name, " holds ", value,
                                   ", expected whole numbers (it is stored as ", name_of(view.type),
                                   ")"));
    }
    return static_cast<To>(value);
}

template <class Loader, class To>
void copy_elements(TensorView const& view, std::span<To> out) {
    constexpr auto width = static_cast<std::int64_t>(sizeof(typename Loader::Stored));
    std::byte const* const base = view.storage.data();
    std::size_t const rank = view.shape.size();
    std::int64_t const inner = rank == 0 ? 1 : view.shape[rank - 1];
    std::int64_t const step = rank == 0 ? 1 : view.strides[rank - 1];
    std::vector<std::int64_t> index(rank, 0);
    std::int64_t element = view.offset;
    for (std::size_t written = 0; written < out.size();) {
        for (std::int64_t i = 0; i < inner; ++i)
            out[written++] =
                convert_element<To>(Loader::load(base + (element + i * step) * width), view);
        for (std::size_t axis = rank == 0 ? 0 : rank - 1; axis-- > 0;) {
            element += view.strides[axis];
            if (++index[axis] < view.shape[axis])
                break;
            element -= view.shape[axis] * view.strides[axis];
            index[axis] = 0;
        }
    }
}

} // namespace detail

template <class T>
void TensorView::copy_to(std::span<T> out) const {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double> ||
                  std::is_same_v<T, std::int64_t>);
    if (static_cast<std::int64_t>(out.size()) != element_count())
        throw ArgumentError(join("tensor ", name, " of shape ", shape_text(shape), " has ",
                                 element_count(), " elements, the destination ", out.size()));
    if (out.empty())
        return;
    if (type == data_type_of<T>() && is_contiguous()) {
        auto const bytes = contiguous_bytes();
        std::memcpy(out.data(), bytes.data(), bytes.size());
        return;
    }
    switch (type) {
    case DataType::f64:
        return detail::copy_elements<detail::LoadPlain<double>>(*this, out);
    case DataType::f32:
        return detail::copy_elements<detail::LoadPlain<float>>(*this, out);
    case DataType::f16:
        return detail::copy_elements<detail::LoadHalf>(*this, out);
    case DataType::bf16:
        return detail::copy_elements<detail::LoadBfloat16>(*this, out);
    case DataType::i64:
        return detail::copy_elements<detail::LoadPlain<std::int64_t>>(*this, out);
    case DataType::i32:
        return detail::copy_elements<detail::LoadPlain<std::int32_t>>(*this, out);
    case DataType::i16:
        return detail::copy_elements<detail::LoadPlain<std::int16_t>>(*this, out);
    case DataType::i8:
        return detail::copy_elements<detail::LoadPlain<std::int8_t>>(*this, out);
    case DataType::u8:
        return detail::copy_elements<detail::LoadPlain<std::uint8_t>>(*this, out);
    case DataType::boolean:
        return detail::copy_elements<detail::LoadBool>(*this, out);
    }
}

} // namespace blip
