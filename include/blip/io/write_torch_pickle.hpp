#pragma once

#include <blip/core/error.hpp>
#include <blip/io/output_tensor.hpp>
#include <blip/io/pickle_globals.hpp>
#include <blip/io/write_file.hpp>
#include <blip/io/zip_writer.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace blip {

/// A second name for a tensor that is written: both share one storage, as tied weights do.
struct TiedName {
    std::string name;
    std::string original;
};

/// How a file for torch.load is written.
struct TorchPickleOptions {
    /// Key of the state dict in the saved dict.
    std::string key = "model";
    /// Type in which all floating-point tensors are stored; their own when not given.
    std::optional<DataType> floating_type = std::nullopt;
    std::vector<TiedName> tied = {};
};

namespace detail {

/// Writes the instructions of a protocol 2 pickle.
class PickleText {
public:
    PickleText& raw(std::string_view bytes) {
        text_ += bytes;
        return *this;
    }

    PickleText& string(std::string_view value) {
        if (value.size() > std::numeric_limits<std::uint32_t>::max())
            throw ArgumentError("a tensor name is longer than a pickle can hold");
        text_ += 'X';
        little(value.size(), 4);
        return raw(value);
    }

    PickleText& integer(std::int64_t value) {
        if (value >= 0 && value <= 0xFF) {
            text_ += 'K';
            little(static_cast<std::uint64_t>(value), 1);
        } else if (std::in_range<std::int32_t>(value)) {
            text_ += 'J';
            little(static_cast<std::uint64_t>(value), 4);
        } else {
            text_ += "\x8A\x08";
            little(static_cast<std::uint64_t>(value), 8);
        }
        return *this;
    }

    PickleText& tuple(std::span<std::int64_t const> values) {
        raw("(");
        for (std::int64_t const value : values)
            integer(value);
        return raw("t");
    }

    PickleText& global(std::string_view scope, std::string_view name) {
        return raw("c").raw(scope).raw("\n").raw(name).raw("\n");
    }

    PickleText& ordered_dict() { return global("collections", "OrderedDict").raw(")R"); }

    std::string const& text() const { return text_; }

private:
    void little(std::uint64_t value, int bytes) {
        for (int i = 0; i < bytes; ++i)
            text_ += static_cast<char>(value >> (8 * i) & 0xFF);
    }

    std::string text_;
};

inline void pickle_tensor(PickleText& pickle, std::string_view name, OutputTensor const& tensor,
                          DataType type, std::size_t storage) {
    auto const global = std::find_if(known_globals.begin(), known_globals.end(), [&](auto& known) {
        return known.meaning == PickleGlobal::storage && known.type == type;
    });
    pickle.string(name).global("torch._utils", "_rebuild_tensor_v2").raw("((");
    pickle.string("storage").global(global->scope, global->name);
    pickle.string(std::to_string(storage)).string("cpu");
    pickle.integer(checked_count(tensor.shape).value_or(0)).raw("tQ").integer(0);
    pickle.tuple(tensor.shape).tuple(contiguous_strides(tensor.shape));
    pickle.raw("\x89").ordered_dict().raw("tR");
}

} // namespace detail

/// Writes `{key: {name: tensor}}` to `path` in the zip format of torch.save, atomically and one
/// tensor at a time; torch.load reads it with weights_only=True. Throws FileError; ArgumentError
/// for names given twice, tied names without original, or bytes that do not fit a shape.
inline void write_torch_pickle(std::filesystem::path const& path,
                               std::vector<OutputTensor> const& tensors,
                               TorchPickleOptions const& options = {}) {
    detail::check_unique_names(tensors, options.tied);
    detail::check_floating_type(options.floating_type);
    detail::PickleText pickle;
    pickle.raw("\x80\x02}").string(options.key).ordered_dict().raw("(");
    std::unordered_map<std::string_view, std::size_t> places;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        auto const type = detail::stored_type(tensors[i], options.floating_type);
        detail::stored_bytes(tensors[i], type);
        detail::pickle_tensor(pickle, tensors[i].name, tensors[i], type, i);
        places.emplace(tensors[i].name, i);
    }
    for (auto const& tie : options.tied) {
        auto const original = places.find(tie.original);
        if (original == places.end())
            throw ArgumentError(join("tensor \"", tie.name, "\" is tied to \"", tie.original,
                                     "\", which is not written"));
        auto const& tensor = tensors[original->second];
        detail::pickle_tensor(pickle, tie.name, tensor,
                              detail::stored_type(tensor, options.floating_type), original->second);
    }
    pickle.raw("us.");

    FileWriter file(path);
    detail::ZipWriter zip(file);
    auto const add_text = [&zip](std::string const& name, std::string_view text) {
        zip.begin(name, text.size());
        zip.write(std::as_bytes(std::span(text)));
        zip.end();
    };
    add_text("archive/data.pkl", pickle.text());
    add_text("archive/byteorder", "little");
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        auto const type = detail::stored_type(tensors[i], options.floating_type);
        zip.begin(join("archive/data/", i), detail::stored_bytes(tensors[i], type));
        detail::stream_tensor(tensors[i], type,
                              [&](std::span<std::byte const> bytes) { zip.write(bytes); });
        zip.end();
    }
    add_text("archive/version", "3\n");
    zip.finish();
    file.commit();
}

} // namespace blip
