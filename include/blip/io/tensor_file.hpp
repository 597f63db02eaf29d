#pragma once

#include <blip/core/error.hpp>
#include <blip/io/json.hpp>
#include <blip/io/mapped_file.hpp>
#include <blip/io/safetensors.hpp>
#include <blip/io/tensor_view.hpp>
#include <blip/io/torch_pickle.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

namespace blip {

/// The formats of checkpoints on disk.
enum class TensorFileFormat { safetensors, torch_pickle, sharded_index };

/// Recognises a checkpoint by its first bytes, whatever it is called. Throws FormatError, which
/// says what the file looks like instead.
inline TensorFileFormat recognise_tensor_file(std::span<std::byte const> bytes,
                                              std::filesystem::path const& path) {
    std::string_view const text(reinterpret_cast<char const*>(bytes.data()), bytes.size());
    auto const where = path.string();
    if (bytes.size() > 8) {
        auto const length = detail::load_unaligned<std::uint64_t>(bytes.data());
        if (length <= max_safetensors_header && std::string_view("{ \t\r\n").find(text[8]) < 5)
            return TensorFileFormat::safetensors;
    }
    if (TorchPickle::is_zip(bytes) || (!text.empty() && text[0] == '\x80'))
        return TensorFileFormat::torch_pickle;
    auto const first = text.find_first_not_of(" \t\r\n");
    if (first != std::string_view::npos && text[first] == '{')
        return TensorFileFormat::sharded_index;
    if (text.starts_with("version https://git-lfs"))
        throw FormatError(join(where, ": this is a Git LFS pointer, not the file itself; fetch it "
                                      "with \"git lfs pull\""));
    if (first != std::string_view::npos && text[first] == '<')
        throw FormatError(
            join(where, ": this is a web page, not a checkpoint; the download failed"));
    if (path.extension() == ".safetensors")
        return TensorFileFormat::safetensors;
    throw FormatError(join(where, ": neither a safetensors file nor one that torch.save wrote (",
                           bytes.size(), " bytes)"));
}

/// The named tensors of a checkpoint on disk, wherever possible used in place: a safetensors file,
/// a file of torch.save (its state dict), or the index of a checkpoint that is split into several.
class TensorFile {
public:
    /// Opens a checkpoint; its format is recognised by content. Throws FileError, FormatError,
    /// LimitError; CheckpointError when the index of a split checkpoint does not fit its parts.
    static TensorFile open(std::filesystem::path const& path,
                           TorchPickleLimits const& limits = {}) {
        TensorFile file;
        file.path_ = path;
        MappedFile map(path);
        if (recognise_tensor_file(map.bytes(), path) == TensorFileFormat::sharded_index)
            file.add_shards(map.bytes(), limits);
        else
            for (auto& tensor : file.read(std::move(map), limits))
                file.add(std::move(tensor));
        return file;
    }

    std::filesystem::path const& path() const { return path_; }

    /// All tensors in the file's order.
    std::span<TensorView const> tensors() const { return tensors_; }

    /// String entries that a safetensors file carries besides its tensors.
    std::map<std::string, std::string> const& metadata() const { return metadata_; }

    /// The tensor of that name, or null.
    TensorView const* find(std::string_view name) const {
        auto const found = index_.find(std::string(name));
        return found == index_.end() ? nullptr : &tensors_[found->second];
    }

    /// The tensor of that name. Throws CheckpointError when there is none.
    TensorView const& at(std::string_view name) const {
        if (auto const* const tensor = find(name))
            return *tensor;
        throw CheckpointError(join(path_.string(), ": no tensor \"", name, "\" among its ",
                                   tensors_.size(), " tensors"));
    }

    /// Says that the tensor has been used up, so that the memory of its pages may be given back.
    void release(TensorView const& tensor) const {
        for (auto const& map : maps_)
            map.release(tensor.storage);
    }

    /// Says that the tensor is read next.
    void will_need(TensorView const& tensor) const {
        for (auto const& map : maps_)
            map.will_need(tensor.storage);
    }

private:
    std::vector<TensorView> read(MappedFile map, TorchPickleLimits const& limits) {
        auto const name = map.path().string();
        auto const bytes = map.bytes();
        auto const format = recognise_tensor_file(bytes, map.path());
        maps_.push_back(std::move(map));
        if (format == TensorFileFormat::sharded_index)
            throw FormatError(join(name, ": expected tensors, found JSON text"));
        if (format == TensorFileFormat::safetensors) {
            auto content = read_safetensors(bytes, name);
            metadata_.merge(content.metadata);
            return std::move(content.tensors);
        }
        pickles_.emplace_back(bytes, name, limits);
        return pickles_.back().state_dict();
    }

    void add(TensorView tensor) {
        if (!index_.emplace(tensor.name, tensors_.size()).second)
            throw FormatError(join(path_.string(), ": tensor \"", tensor.name, "\" occurs twice"));
        tensors_.push_back(std::move(tensor));
    }

    /// {"weight_map": {tensor name: file name}}; the files lie in the folder of the index.
    void add_shards(std::span<std::byte const> bytes, TorchPickleLimits const& limits) {
        std::string_view const text(reinterpret_cast<char const*>(bytes.data()), bytes.size());
        JsonDocument const index(
            parse_json(text, path_.string(), {.duplicate_keys = DuplicateKeys::refuse}),
            path_.string());
        auto const weight_map = index.required<nlohmann::json>("weight_map");
        if (!weight_map.is_object())
            throw FormatError(join(path_.string(), ": \"weight_map\" is not an object"));
        std::map<std::string, std::vector<std::string>> names_of_shard;
        for (auto const& [name, shard] : weight_map.items()) {
            if (!shard.is_string())
                throw FormatError(join(path_.string(), ": the file of tensor \"",
                                       detail::printable(name), "\" is not a string"));
            names_of_shard[shard.get<std::string>()].push_back(name);
        }
        for (auto const& [shard, names] : names_of_shard)
            add_shard(shard, names, limits);
    }

    void add_shard(std::string const& shard, std::vector<std::string> const& names,
                   TorchPickleLimits const& limits) {
        std::filesystem::path const relative(shard);
        if (shard.empty() || shard == "." || shard == ".." || relative.has_parent_path() ||
            relative.has_root_path() ||
            shard.find_first_of(std::string_view("/\\\0", 3)) < shard.size())
            throw FormatError(join(path_.string(), ": \"", detail::printable(shard),
                                   "\" is not the name of a file next to it"));
        auto const file = path_.parent_path() / relative;
        std::error_code problem;
        if (!std::filesystem::exists(file, problem))
            throw CheckpointError(join(path_.string(), ": its part ", file.string(), " with ",
                                       names.size(), " tensors is missing"));
        std::unordered_map<std::string, TensorView> present;
        for (auto& tensor : read(MappedFile(file), limits)) {
            auto name = tensor.name;
            present.emplace(std::move(name), std::move(tensor));
        }
        for (auto const& name : names) {
            auto const found = present.find(name);
            if (found == present.end())
                throw CheckpointError(join(path_.string(), ": tensor \"", detail::printable(name),
                                           "\" is not in ", file.string(),
                                           ", where the index places it"));
            add(std::move(found->second));
        }
    }

    std::filesystem::path path_;
    std::vector<MappedFile> maps_;
    std::vector<TorchPickle> pickles_;
    std::vector<TensorView> tensors_;
    std::map<std::string, std::string> metadata_;
    std::unordered_map<std::string, std::size_t> index_;
};

} // namespace blip
