#pragma once

#include <blip/core/error.hpp>
#include <blip/io/pickle_reader.hpp>
#include <blip/io/pickle_tree.hpp>
#include <blip/io/tensor_view.hpp>
#include <blip/io/zip.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace blip {

/// Whether the CRC-32 checksums of stored zip entries are compared. It takes a pass over the file,
/// and torch can be told to write files without checksums.
enum class Checksums { skip, verify };

/// Bounds for files written by torch.save.
struct TorchPickleLimits {
    std::size_t pickle_bytes = std::size_t{1} << 26; ///< size of the pickle itself
    std::size_t tree_memory = std::size_t{1} << 28;  ///< for values other than tensor data
    std::uint64_t inflated = std::uint64_t{1} << 31; ///< for compressed entries together
    std::size_t depth = 64;                          ///< of nested containers with tensors
    std::size_t flattened = std::size_t{1} << 20;    ///< values visited while naming tensors
    Checksums checksums = Checksums::skip;
};

/// What torch.save wrote: an object tree whose tensors lie in the file's bytes, which must outlive
/// it. Both formats are read, the zip archive and the older single stream. Nothing that the file
/// names is ever run; see pickle_globals.hpp for what may be named.
class TorchPickle {
public:
    /// `file` begins every message. Throws FormatError and LimitError.
    TorchPickle(std::span<std::byte const> bytes, std::string file,
                TorchPickleLimits const& limits = {})
        : tree_(std::make_unique<PickleTree>()), file_(std::move(file)), limits_(limits) {
        if (is_zip(bytes))
            read_zip(bytes);
        else
            read_legacy(bytes);
        check_keys();
    }

    static bool is_zip(std::span<std::byte const> bytes) {
        return bytes.size() >= 4 &&
               detail::load_unaligned<std::uint32_t>(bytes.data()) == 0x04034B50u;
    }

    /// The saved object.
    PickleValue root() const { return {*tree_, tree_->root}; }

    /// The tensors below `value`, named by their path: keys and list positions joined by "/"; a
    /// `value` that is a tensor itself is named "tensor".
    /// Throws LimitError for trees deeper or wider than the limits (cyclic ones, say).
    std::vector<TensorView> tensors_below(PickleValue value) const {
        std::vector<TensorView> found;
        std::size_t visited = 0;
        collect(value, "", 0, visited, found);
        return found;
    }

    /// The weights: what lies under the key "model", or else "state_dict", or else everything.
    std::vector<TensorView> state_dict() const {
        for (char const* const key : {"model", "state_dict"})
            if (auto const state = root().find(key); state && state->is(PickleKind::dict))
                return tensors_below(*state);
        return tensors_below(root());
    }

private:
    template <class... Parts>
    [[noreturn]] void fail(Parts const&... parts) const {
        throw FormatError(join(file_, ": ", parts...));
    }

    void read_zip(std::span<std::byte const> bytes) {
        ZipArchive const archive(bytes, file_);
        std::string folder;
        ZipEntry const* pickle = nullptr;
        for (auto const& entry : archive.entries()) {
            auto const slash = entry.name.find('/');
            if (slash == std::string::npos || entry.name.substr(slash) != "/data.pkl")
                continue;
            if (pickle != nullptr)
                fail("the archive holds two pickles, ", folder, "data.pkl and ", entry.name);
            folder = entry.name.substr(0, slash + 1);
            pickle = &entry;
        }
        if (pickle == nullptr)
            fail("this zip archive holds no <name>/data.pkl, so torch.save did not write it");
        if (pickle->size > limits_.pickle_bytes)
            throw LimitError(join(file_, ": a pickle of ", pickle->size, " bytes, the limit is ",
                                  limits_.pickle_bytes));
        if (auto const* const order = archive.find(folder + "byteorder")) {
            auto const text = content(archive, *order);
            if (std::string_view(reinterpret_cast<char const*>(text.data()), text.size()) !=
                "little")
                fail("its numbers are not stored in little-endian order");
        }
        PickleReader(content(archive, *pickle), file_, *tree_, limits_.tree_memory).read();
        for (std::size_t i = 0; i < tree_->tensors.size(); ++i) {
            auto const& storage = tree_->storages[tree_->tensor_storage[i]];
            auto const* const entry = archive.find(folder + "data/" + storage.key);
            if (entry == nullptr)
                fail("the data of storage \"", detail::printable(storage.key), "\" is missing");
            attach(tree_->tensors[i], storage, content(archive, *entry));
        }
    }

    /// The uncompressed bytes of an entry, in place if possible.
    std::span<std::byte const> content(ZipArchive const& archive, ZipEntry const& entry) {
        if (entry.method == ZipEntry::Method::stored) {
            if (limits_.checksums == Checksums::verify && verified_.insert(entry.name).second)
                archive.verify(entry);
            return entry.stored;
        }
        auto const known = inflated_.find(entry.name);
        if (known != inflated_.end())
            return known->second;
        auto bytes = archive.inflate(entry, limits_.inflated);
        limits_.inflated -= bytes.size();
        return inflated_.emplace(entry.name, std::move(bytes)).first->second;
    }

    void attach(TensorView& tensor, PickleStorage const& storage,
                std::span<std::byte const> data) const {
        auto const width = size_of(storage.type);
        if (static_cast<std::uint64_t>(storage.root_elements) >
            data.size() / static_cast<std::uint64_t>(width))
            fail("storage \"", detail::printable(storage.key), "\" has ", data.size(),
                 " bytes, expected ", storage.root_elements, " elements of ", width);
        tensor.storage = data.subspan(static_cast<std::size_t>(storage.offset * width),
                                      static_cast<std::size_t>(storage.elements * width));
    }

    /// Magic number, protocol version, system information, object and storage keys are pickles one
    /// after another; then, for each key, the number of elements and the elements.
    void read_legacy(std::span<std::byte const> bytes) {
        PickleReader reader(bytes, file_, *tree_, limits_.tree_memory);
        auto const magic = reader.read();
        if (!magic.is(PickleKind::big_integer) ||
            magic.as_big_integer() != "119547037146038801333356")
            fail("this pickle does not begin with torch's magic number, so torch.save did not "
                 "write it");
        auto const version = reader.read();
        if (!version.is(PickleKind::integer) || version.as_integer() != 1001)
            fail("unknown version of torch's older file format, expected 1001");
        auto const system = reader.read();
        auto const little = system.find("little_endian");
        if (little && little->is(PickleKind::boolean) && !little->as_bool())
            fail("its numbers are not stored in little-endian order");
        reader.read();
        auto const object = tree_->root;
        auto const keys = reader.read();
        tree_->root = object;

        std::unordered_map<std::string_view, DataType> types;
        for (auto const& storage : tree_->storages)
            types.emplace(storage.key, storage.type);
        std::unordered_map<std::string_view, std::span<std::byte const>> data;
        auto rest = bytes.subspan(reader.position());
        for (std::size_t i = 0; i < keys.size(); ++i) {
            auto const& key = keys[i].as_string();
            auto const type = types.find(key);
            if (type == types.end())
                fail("data of a storage \"", detail::printable(key), "\" that no tensor has");
            if (rest.size() < 8)
                fail("the data of storage \"", detail::printable(key),
                     "\" is missing; the file may be incomplete");
            auto const count = detail::load_unaligned<std::uint64_t>(rest.data());
            rest = rest.subspan(8);
            auto const width = static_cast<std::uint64_t>(size_of(type->second));
            if (count > rest.size() / width)
                fail("storage \"", detail::printable(key), "\" has ", count, " elements of ", width,
                     " bytes, but the file only ", rest.size(),
                     " more bytes; it may be incomplete");
            data[key] = rest.first(static_cast<std::size_t>(count * width));
            rest = rest.subspan(static_cast<std::size_t>(count * width));
        }
        for (std::size_t i = 0; i < tree_->tensors.size(); ++i) {
            auto const& storage = tree_->storages[tree_->tensor_storage[i]];
            auto const found = data.find(storage.key);
            if (found == data.end())
                fail("the data of storage \"", detail::printable(storage.key), "\" is missing");
            attach(tree_->tensors[i], storage, found->second);
        }
    }

    /// Two equal keys would make it unclear which weights count.
    void check_keys() const {
        std::unordered_set<std::string_view> keys;
        for (std::uint32_t i = 0; i < tree_->nodes.size(); ++i) {
            PickleValue const dict(*tree_, i);
            if (!dict.is(PickleKind::dict))
                continue;
            keys.clear();
            for (std::size_t pair = 0; pair < dict.size(); ++pair)
                if (auto const key = dict.key(pair);
                    key.is(PickleKind::string) && !keys.insert(key.as_string()).second)
                    fail("key \"", detail::printable(key.as_string()), "\" occurs twice in a dict");
        }
    }

    static std::string key_text(PickleValue const& key, std::size_t place) {
        if (key.is(PickleKind::string))
            return key.as_string();
        if (key.is(PickleKind::integer))
            return std::to_string(key.as_integer());
        return join("<key ", place, ">");
    }

    void collect(PickleValue const& value, std::string const& path, std::size_t depth,
                 std::size_t& visited, std::vector<TensorView>& found) const {
        // Long paths count more, so that names, too, take memory within the limit.
        visited += 1 + path.size() / 64;
        if (visited > limits_.flattened)
            throw LimitError(
                join(file_, ": more than ", limits_.flattened, " values below the saved object"));
        if (value.is(PickleKind::tensor)) {
            found.push_back(value.as_tensor());
            found.back().name = path.empty() ? "tensor" : path;
            return;
        }
        if (value.size() == 0)
            return;
        if (depth == limits_.depth)
            throw LimitError(join(file_, ": values nested deeper than ", limits_.depth, " levels"));
        auto const below = path.empty() ? path : path + "/";
        bool const dict = value.is(PickleKind::dict);
        for (std::size_t i = 0; i < value.size(); ++i)
            collect(dict ? value.value(i) : value[i],
                    below + (dict ? key_text(value.key(i), i) : std::to_string(i)), depth + 1,
                    visited, found);
    }

    std::unique_ptr<PickleTree> tree_;
    std::string file_;
    TorchPickleLimits limits_;
    std::unordered_set<std::string> verified_;
    /// Values never move, also when the map grows or this object is moved.
    std::map<std::string, std::vector<std::byte>> inflated_;
};

} // namespace blip
