#pragma once

#include <blip/core/error.hpp>
#include <blip/io/mapped_file.hpp>
#include <blip/io/safetensors.hpp>
#include <blip/io/tensor_view.hpp>

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace blip {

/// The named tensors of a checkpoint on disk, wherever possible used in place.
class TensorFile {
public:
    /// Opens a checkpoint. Throws FileError, FormatError, LimitError.
    static TensorFile open(std::filesystem::path const& path) {
        TensorFile file;
        file.path_ = path;
        file.maps_.emplace_back(path);
        auto content = read_safetensors(file.maps_.back().bytes(), path.string());
        file.tensors_ = std::move(content.tensors);
        file.metadata_ = std::move(content.metadata);
        for (std::size_t i = 0; i < file.tensors_.size(); ++i)
            file.index_.emplace(file.tensors_[i].name, i);
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

private:
    std::filesystem::path path_;
    std::vector<MappedFile> maps_;
    std::vector<TensorView> tensors_;
    std::map<std::string, std::string> metadata_;
    std::unordered_map<std::string, std::size_t> index_;
};

} // namespace blip
