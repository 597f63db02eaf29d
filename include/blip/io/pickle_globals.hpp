#pragma once

#include <blip/core/error.hpp>
#include <blip/io/pickle_tree.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

namespace blip::detail {

/// `text` for an error message: shortened, without control characters.
inline std::string printable(std::string_view text) {
    std::string result(text.substr(0, 200));
    for (char& character : result)
        if (static_cast<unsigned char>(character) < 0x20 || character == 0x7F)
            character = '?';
    return text.size() > 200 ? result + "..." : result;
}

/// The decimal digits of a little-endian two's complement integer of any length.
inline std::string decimal_text(std::span<std::byte const> bytes) {
    bool const negative = !bytes.empty() && (bytes.back() & std::byte{0x80}) != std::byte{0};
    std::vector<std::uint32_t> words((bytes.size() + 3) / 4, 0);
    std::uint32_t carry = negative ? 1 : 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        auto const byte = static_cast<std::uint32_t>(bytes[i]);
        std::uint32_t const digit = negative ? (byte ^ 0xFFu) + carry : byte;
        carry = negative ? digit >> 8 : 0;
        words[i / 4] |= (digit & 0xFFu) << (8 * (i % 4));
    }
    std::string reversed;
    while (!words.empty()) {
        std::uint64_t remainder = 0;
        for (std::size_t i = words.size(); i-- > 0;) {
            std::uint64_t const value = remainder << 32 | words[i];
            words[i] = static_cast<std::uint32_t>(value / 10);
            remainder = value % 10;
        }
        reversed += static_cast<char>('0' + remainder);
        while (!words.empty() && words.back() == 0)
            words.pop_back();
    }
    if (reversed.empty())
        reversed = "0";
    if (negative)
        reversed += '-';
    return {reversed.rbegin(), reversed.rend()};
}

/// Everything that a pickle may name. No other class or function is known to the reader.
enum class PickleGlobal : std::int64_t {
    ordered_dict,
    set,
    encode,
    rebuild_tensor,
    rebuild_parameter,
    size,
    get_layout,
    storage ///< plus the DataType
};

struct KnownGlobal {
    std::string_view scope;
    std::string_view name;
    PickleGlobal meaning;
    DataType type = DataType::f32;
};

inline constexpr std::array<KnownGlobal, 18> known_globals{{
    {"collections", "OrderedDict", PickleGlobal::ordered_dict},
    {"__builtin__", "set", PickleGlobal::set},
    {"builtins", "set", PickleGlobal::set},
    {"_codecs", "encode", PickleGlobal::encode},
    {"torch._utils", "_rebuild_tensor_v2", PickleGlobal::rebuild_tensor},
    {"torch._utils", "_rebuild_parameter", PickleGlobal::rebuild_parameter},
    {"torch", "Size", PickleGlobal::size},
    {"torch.serialization", "_get_layout", PickleGlobal::get_layout},
    {"torch", "DoubleStorage", PickleGlobal::storage, DataType::f64},
    {"torch", "FloatStorage", PickleGlobal::storage, DataType::f32},
    {"torch", "HalfStorage", PickleGlobal::storage, DataType::f16},
    {"torch", "BFloat16Storage", PickleGlobal::storage, DataType::bf16},
    {"torch", "LongStorage", PickleGlobal::storage, DataType::i64},
    {"torch", "IntStorage", PickleGlobal::storage, DataType::i32},
    {"torch", "ShortStorage", PickleGlobal::storage, DataType::i16},
    {"torch", "CharStorage", PickleGlobal::storage, DataType::i8},
    {"torch", "ByteStorage", PickleGlobal::storage, DataType::u8},
    {"torch", "BoolStorage", PickleGlobal::storage, DataType::boolean},
}};

/// Makes the values of a PickleTree: looks up globals, builds what calling them would build, and
/// keeps account of memory.
class PickleCalls {
public:
    using Index = std::uint32_t;
    using Items = std::vector<Index>;

    PickleCalls(PickleTree& tree, std::string where, std::size_t memory)
        : tree_(tree), where_(std::move(where)), memory_(memory), left_(memory) {}

    template <class... Parts>
    [[noreturn]] void fail(Parts const&... parts) const {
        throw FormatError(join(where_, ": cannot read its pickle: ", parts...));
    }

    /// Takes `bytes` from the budget.
    void charge(std::size_t bytes) {
        if (bytes > left_)
            throw LimitError(join(where_, ": its pickle needs more than ", memory_,
                                  " bytes of memory besides tensor data"));
        left_ -= bytes;
    }

    template <class Content>
    Index add(PickleKind kind, Content content) {
        std::size_t heap = 0;
        if constexpr (std::is_same_v<Content, std::string>)
            heap = content.size();
        else if constexpr (std::is_same_v<Content, Items>)
            heap = content.size() * sizeof(Index);
        // Twice, because a growing vector holds its old and its new nodes.
        charge(2 * sizeof(PickleNode) + heap);
        tree_.nodes.push_back({kind, std::move(content)});
        return static_cast<Index>(tree_.nodes.size() - 1);
    }

    /// The value of a known global. Throws FormatError with the full name of any other.
    Index global(std::string_view scope, std::string_view name) {
        for (std::size_t i = 0; i < known_globals.size(); ++i)
            if (known_globals[i].scope == scope && known_globals[i].name == name)
                return add(PickleKind::global, static_cast<std::int64_t>(i));
        throw FormatError(
            join(where_, ": refused: its pickle names the Python object \"", printable(scope), ".",
                 printable(name),
                 "\". Only tensors and plain values are read. If you trust the file, load it with "
                 "PyTorch and save the state dict alone: torch.save({'model': state_dict}, path)"));
    }

    std::string const& text(Index index, char const* what) const {
        auto const& node = tree_.nodes[index];
        if (node.kind != PickleKind::string)
            fail("expected ", what, ", found ", name_of(node.kind));
        return std::get<std::string>(node.content);
    }

    /// The storage described by a persistent id: ("storage", class, key, location, elements) and,
    /// in the older format, None or (view key, offset, elements).
    Index storage(Index id) {
        auto const& parts = tuple(id, "a persistent id");
        if (parts.size() < 5 || parts.size() > 6 || text(parts[0], "\"storage\"") != "storage")
            fail("a persistent id does not describe a storage");
        auto const& type = known(parts[1]);
        if (type.meaning != PickleGlobal::storage)
            fail(type.scope, ".", type.name, " is no storage class");
        PickleStorage storage;
        storage.key = text(parts[2], "the key of a storage");
        storage.type = type.type;
        storage.root_elements = integer(parts[4], "the number of elements of a storage");
        storage.elements = storage.root_elements;
        if (storage.root_elements < 0 ||
            storage.root_elements > std::numeric_limits<std::int64_t>::max() / 8)
            fail("a storage of ", storage.root_elements, " elements");
        if (parts.size() == 6 && tree_.nodes[parts[5]].kind != PickleKind::none) {
            auto const& view = tuple(parts[5], "the view of a storage");
            if (view.size() != 3)
                fail("the view of a storage has ", view.size(), " entries, expected 3");
            storage.offset = integer(view[1], "the offset of a storage's view");
            storage.elements = integer(view[2], "the size of a storage's view");
            if (storage.offset < 0 || storage.elements < 0 ||
                storage.offset > storage.root_elements ||
                storage.elements > storage.root_elements - storage.offset)
                fail("a view of ", storage.elements, " elements from ", storage.offset,
                     " on leaves its storage of ", storage.root_elements);
        }
        charge(2 * sizeof(PickleStorage) + storage.key.size());
        tree_.storages.push_back(std::move(storage));
        return add(PickleKind::storage, static_cast<std::int64_t>(tree_.storages.size() - 1));
    }

    /// What calling the global `callee` with the tuple `arguments` builds.
    Index apply(Index callee, Index arguments) {
        auto const& function = known(callee);
        auto const& given = tuple(arguments, "a tuple of arguments");
        auto const expect = [&](std::size_t least, std::size_t most) {
            if (given.size() < least || given.size() > most)
                fail(function.scope, ".", function.name, " is called with ", given.size(),
                     " arguments");
        };
        switch (function.meaning) {
        case PickleGlobal::ordered_dict:
            expect(0, 1);
            return add(PickleKind::dict, given.empty() ? Items{} : pairs(given[0]));
        case PickleGlobal::set:
            expect(0, 1);
            return add(PickleKind::set,
                       given.empty() ? Items{} : sequence(given[0], "the items of a set"));
        case PickleGlobal::size:
            expect(1, 1);
            return add(PickleKind::tuple, sequence(given[0], "the extents of a torch.Size"));
        case PickleGlobal::encode:
            expect(1, 2);
            return encode(given);
        case PickleGlobal::get_layout:
            expect(1, 1);
            text(given[0], "the name of a layout");
            return given[0];
        case PickleGlobal::rebuild_parameter:
            expect(3, 3);
            if (tree_.nodes[given[0]].kind != PickleKind::tensor)
                fail("a parameter is made from ", name_of(tree_.nodes[given[0]].kind));
            return given[0];
        case PickleGlobal::rebuild_tensor:
            expect(6, 7);
            return tensor(given);
        case PickleGlobal::storage:
            break;
        }
        fail(function.scope, ".", function.name, " is called, which torch.save never does");
    }

private:
    KnownGlobal const& known(Index index) const {
        auto const& node = tree_.nodes[index];
        if (node.kind != PickleKind::global)
            fail("expected a class or function, found ", name_of(node.kind));
        return known_globals[static_cast<std::size_t>(std::get<std::int64_t>(node.content))];
    }

    std::int64_t integer(Index index, char const* what) const {
        auto const& node = tree_.nodes[index];
        if (node.kind != PickleKind::integer)
            fail("expected ", what, ", found ", name_of(node.kind));
        return std::get<std::int64_t>(node.content);
    }

    Items const& tuple(Index index, char const* what) const {
        auto const& node = tree_.nodes[index];
        if (node.kind != PickleKind::tuple)
            fail("expected ", what, ", found ", name_of(node.kind));
        return std::get<Items>(node.content);
    }

    /// A copy of the items of a list, tuple or set, charged before it is made.
    Items sequence(Index index, char const* what) {
        auto const& node = tree_.nodes[index];
        if (node.kind != PickleKind::list && node.kind != PickleKind::tuple &&
            node.kind != PickleKind::set)
            fail("expected ", what, ", found ", name_of(node.kind));
        auto const& items = std::get<Items>(node.content);
        charge(items.size() * sizeof(Index));
        return items;
    }

    Items pairs(Index index) {
        Items result;
        for (Index const entry : sequence(index, "the pairs of an OrderedDict")) {
            auto const pair = sequence(entry, "a pair of an OrderedDict");
            if (pair.size() != 2)
                fail("a pair of an OrderedDict has ", pair.size(), " items");
            result.insert(result.end(), pair.begin(), pair.end());
        }
        return result;
    }

    /// _codecs.encode(text, "latin1"): how protocol 2 stores bytes.
    Index encode(Items const& given) {
        auto const& source = text(given[0], "text to encode");
        std::string_view encoding = "utf-8";
        if (given.size() == 2)
            encoding = text(given[1], "the name of an encoding");
        bool const latin = encoding == "latin1" || encoding == "latin-1";
        if (!latin && encoding != "utf-8" && encoding != "utf8")
            fail("bytes in encoding \"", printable(encoding), "\", known are latin1 and utf-8");
        charge(source.size());
        if (!latin)
            return add(PickleKind::bytes, source);
        std::string bytes;
        for (std::size_t i = 0; i < source.size(); ++i) {
            auto const lead = static_cast<unsigned char>(source[i]);
            if (lead < 0x80) {
                bytes += source[i];
                continue;
            }
            auto const next = i + 1 < source.size() ? static_cast<unsigned char>(source[++i]) : 0u;
            if ((lead != 0xC2 && lead != 0xC3) || (next & 0xC0u) != 0x80u)
                fail("text that is not latin1 is stored as bytes");
            bytes += static_cast<char>((lead & 3u) << 6 | (next & 0x3Fu));
        }
        return add(PickleKind::bytes, std::move(bytes));
    }

    /// torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...).
    Index tensor(Items const& given) {
        auto const& node = tree_.nodes[given[0]];
        if (node.kind != PickleKind::storage)
            fail("a tensor is made from ", name_of(node.kind));
        auto const place = static_cast<Index>(std::get<std::int64_t>(node.content));
        auto const& storage = tree_.storages[place];
        TensorView view;
        view.type = storage.type;
        view.offset = integer(given[1], "the offset of a tensor");
        view.shape = extents(given[2]);
        view.strides = extents(given[3]);
        check_tensor_bounds(view, storage.elements, where_);
        charge(2 * (sizeof(TensorView) + sizeof(Index)));
        tree_.tensors.push_back(std::move(view));
        tree_.tensor_storage.push_back(place);
        return add(PickleKind::tensor, static_cast<std::int64_t>(tree_.tensors.size() - 1));
    }

    std::vector<std::int64_t> extents(Index index) {
        constexpr std::size_t max_rank = 64;
        auto const& items = tuple(index, "a tuple of extents");
        if (items.size() > max_rank)
            fail("a tensor of ", items.size(), " dimensions");
        charge(items.size() * sizeof(std::int64_t));
        std::vector<std::int64_t> result;
        for (Index const item : items)
            result.push_back(integer(item, "an extent of a tensor"));
        return result;
    }

    PickleTree& tree_;
    std::string where_;
    std::size_t memory_;
    std::size_t left_;
};

} // namespace blip::detail
