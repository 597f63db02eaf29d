#pragma once

#include <blip/core/error.hpp>
#include <blip/io/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace blip {

/// What a value read from a pickle is. A `global` is a class or function that was stored itself; a
/// `storage` is tensor memory without a shape.
enum class PickleKind : std::uint8_t {
    none,
    boolean,
    integer,
    big_integer,
    real,
    string,
    bytes,
    list,
    tuple,
    dict,
    set,
    tensor,
    global,
    storage
};

inline std::string_view name_of(PickleKind kind) {
    constexpr std::string_view names[] = {
        "None",   "a bool",  "an integer", "an integer", "a float",  "a str",   "bytes",
        "a list", "a tuple", "a dict",     "a set",      "a tensor", "a class", "a storage"};
    return names[static_cast<std::size_t>(kind)];
}

/// A piece of tensor memory that a pickle refers to: `elements` elements from `offset` on of the
/// `root_elements` elements stored under `key`.
struct PickleStorage {
    std::string key;
    DataType type = DataType::f32;
    std::int64_t root_elements = 0;
    std::int64_t offset = 0;
    std::int64_t elements = 0;
};

namespace detail {

struct PickleNode {
    PickleKind kind = PickleKind::none;
    /// A number or an index; text; or the items (keys and values in turn for a dict).
    std::variant<std::int64_t, double, std::string, std::vector<std::uint32_t>> content =
        std::int64_t{0};
};

} // namespace detail

/// All values of a pickle, side by side; containers refer to their items by index, so that shared
/// and even cyclic values cost nothing and are freed without recursion.
struct PickleTree {
    std::vector<detail::PickleNode> nodes;
    std::vector<TensorView> tensors;
    std::vector<std::uint32_t> tensor_storage; ///< for each tensor, its place in `storages`
    std::vector<PickleStorage> storages;
    std::uint32_t root = 0;
};

/// One value of a PickleTree, which must outlive it. Getters throw FormatError when the value is of
/// another kind, so that callers need not check what a file says.
class PickleValue {
public:
    PickleValue(PickleTree const& tree, std::uint32_t index) : tree_(&tree), index_(index) {}

    PickleKind kind() const { return node().kind; }
    bool is(PickleKind kind) const { return node().kind == kind; }

    bool as_bool() const { return number(PickleKind::boolean) != 0; }
    std::int64_t as_integer() const { return number(PickleKind::integer); }

    double as_real() const {
        expect(PickleKind::real);
        return std::get<double>(node().content);
    }

    /// UTF-8 text of a string.
    std::string const& as_string() const { return text(PickleKind::string); }
    std::string const& as_bytes() const { return text(PickleKind::bytes); }
    /// Decimal digits of an integer that does not fit 64 bits.
    std::string const& as_big_integer() const { return text(PickleKind::big_integer); }

    TensorView const& as_tensor() const {
        return tree_->tensors[static_cast<std::size_t>(number(PickleKind::tensor))];
    }

    /// Number of items of a list, tuple or set, of pairs of a dict; 0 for anything else.
    std::size_t size() const {
        auto const* const items = std::get_if<std::vector<std::uint32_t>>(&node().content);
        if (items == nullptr)
            return 0;
        return is(PickleKind::dict) ? items->size() / 2 : items->size();
    }

    /// Item `i` of a list, tuple or set.
    PickleValue operator[](std::size_t i) const {
        if (is(PickleKind::dict))
            expect(PickleKind::list);
        return item(i);
    }

    /// Key and value of pair `i` of a dict, in the order of insertion.
    PickleValue key(std::size_t i) const {
        expect(PickleKind::dict);
        return item(2 * i);
    }
    PickleValue value(std::size_t i) const {
        expect(PickleKind::dict);
        return item(2 * i + 1);
    }

    /// The value under a string key of a dict; nothing without such a key, or for anything else.
    std::optional<PickleValue> find(std::string_view name) const {
        for (std::size_t i = 0; is(PickleKind::dict) && i < size(); ++i)
            if (key(i).is(PickleKind::string) && key(i).as_string() == name)
                return value(i);
        return std::nullopt;
    }

private:
    detail::PickleNode const& node() const { return tree_->nodes[index_]; }

    void expect(PickleKind kind) const {
        if (node().kind != kind)
            throw FormatError(
                join("pickle: expected ", name_of(kind), ", found ", name_of(node().kind)));
    }

    std::int64_t number(PickleKind kind) const {
        expect(kind);
        return std::get<std::int64_t>(node().content);
    }

    std::string const& text(PickleKind kind) const {
        expect(kind);
        return std::get<std::string>(node().content);
    }

    PickleValue item(std::size_t i) const {
        auto const* const items = std::get_if<std::vector<std::uint32_t>>(&node().content);
        if (items == nullptr || i >= items->size())
            throw FormatError(
                join("pickle: item ", i, " of ", name_of(node().kind), " of ", size(), " items"));
        return {*tree_, (*items)[i]};
    }

    PickleTree const* tree_;
    std::uint32_t index_;
};

} // namespace blip
