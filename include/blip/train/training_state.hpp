#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <zlib.h>

#include <nlohmann/json.hpp>

#include <blip/backend/backend.hpp>
#include <blip/core/error.hpp>
#include <blip/core/weights.hpp>
#include <blip/io/json.hpp>
#include <blip/io/mapped_file.hpp>
#include <blip/io/safetensors.hpp>
#include <blip/io/write_safetensors.hpp>

namespace blip {

/// Whether a list of numbers has the same length in every file, or takes the file's.
enum class Length { fixed, any };

/// Everything that a training needs to go on as if it had never stopped, as a list of named parts
/// that lie elsewhere: weights, moments, queues, counters. It is written to one safetensors file,
/// in which each part is a tensor (weights are one flat buffer; the metadata entry "NAME.layout"
/// says where each parameter lies in it), and whose last tensor, "checksum", holds the CRC-32 of
/// every byte before it.
///
///     TrainingState<B> state(engine);
///     add_weights(state, "model", weights);
///     add_parts(state, "optimizer", optimizer);
///     state.add("step", step);
///     state.save("state.safetensors");
///
/// Device and file exchange numbers in pieces, so that no second copy is in memory. The parts must
/// outlive their state.
template <Backend B>
class TrainingState {
public:
    using scalar = typename B::scalar;
    using Engine = typename B::Engine;

    explicit TrainingState(Engine const& engine) : engine_(engine) {}
    TrainingState(TrainingState const&) = delete;
    TrainingState& operator=(TrainingState const&) = delete;

    /// `count` numbers in the memory of the backend. Every `add` throws ArgumentError for a name
    /// that is given twice or reserved ("checksum").
    template <class S>
        requires std::is_same_v<S, scalar> || std::is_same_v<S, typename B::gradient::scalar>
    void add(std::string name, S* data, std::ptrdiff_t count, std::string layout = {}) {
        using Of = std::conditional_t<std::is_same_v<S, scalar>, B, typename B::gradient>;
        using Host = std::conditional_t<std::is_same_v<S, double>, double, float>;
        auto write = [this, data, count](Sink const& sink) {
            std::vector<Host> piece;
            for (std::ptrdiff_t first = 0; first < count; first += piece_length) {
                auto const length = std::min(piece_length, count - first);
                piece.resize(static_cast<std::size_t>(length));
                Of::download(engine_, piece.data(), static_cast<S const*>(data) + first, length);
                sink(std::as_bytes(std::span<Host const>(piece)));
            }
        };
        auto read = [this, data, count](std::span<std::byte const> bytes) {
            std::vector<Host> piece;
            for (std::ptrdiff_t first = 0; first < count; first += piece_length) {
                auto const length = std::min(piece_length, count - first);
                piece.resize(static_cast<std::size_t>(length));
                std::memcpy(piece.data(), bytes.data() + first * std::ptrdiff_t{sizeof(Host)},
                            piece.size() * sizeof(Host));
                Of::upload(engine_, data + first, static_cast<Host const*>(piece.data()), length);
            }
        };
        insert({.name = std::move(name),
                .type = data_type_of<Host>(),
                .length = Length::fixed,
                .layout = std::move(layout),
                .count = [count] { return static_cast<std::int64_t>(count); },
                .write = std::move(write),
                .read = std::move(read)});
    }

    void add(std::string name, std::vector<std::int64_t>& numbers, Length length = Length::fixed) {
        add_list(std::move(name), numbers, length);
    }
    void add(std::string name, std::vector<double>& numbers, Length length = Length::fixed) {
        add_list(std::move(name), numbers, length);
    }
    /// Text of any length, such as options in JSON.
    void add(std::string name, std::string& text) {
        add_list<std::string, std::uint8_t>(std::move(name), text, Length::any);
    }
    void add(std::string name, std::int64_t& number) {
        insert(
            {.name = std::move(name),
             .type = DataType::i64,
             .length = Length::fixed,
             .layout = {},
             .count = [] { return std::int64_t{1}; },
             .write = [&number](Sink const& sink) { sink(std::as_bytes(std::span(&number, 1))); },
             .read =
                 [&number](std::span<std::byte const> bytes) {
                     std::memcpy(&number, bytes.data(), sizeof number);
                 }});
    }

    /// Weights, gradients or moments in Layout::rows (ArgumentError otherwise).
    template <class Network>
    void add(std::string name, Weights<Network>& weights) {
        if (weights.layout() != Layout::rows)
            throw ArgumentError(join("training state: \"", name,
                                     "\" lies in Layout::panels, which is for inference only"));
        auto layout = nlohmann::ordered_json::object();
        for (auto const& parameter : list_parameters(*weights))
            layout[parameter.path] = {
                {"offset", parameter.data - weights.data()},
                {"shape", std::vector(parameter.shape.begin(), parameter.shape.end())}};
        add(std::move(name), weights.data(), weights.size(), layout.dump());
    }

    /// Writes all parts to `path`, which appears whole or not at all. Throws FileError.
    void save(std::filesystem::path const& path) {
        std::vector<OutputTensor> tensors;
        std::map<std::string, std::string> metadata{{"format", "pt"}, {kind, version}};
        std::vector<Part const*> order;
        for (auto const& part : parts_)
            order.push_back(&part);
        // Wide numbers first, so that all are aligned.
        std::stable_sort(order.begin(), order.end(), [](auto const* a, auto const* b) {
            return size_of(a->type) > size_of(b->type);
        });
        for (auto const* part : order) {
            tensors.push_back(
                {.name = part->name, .type = part->type, .shape = {part->count()}, .bytes = {}});
            if (!part->layout.empty())
                metadata[part->name + layout_suffix] = part->layout;
        }
        tensors.push_back({.name = checksum_name,
                           .type = DataType::u8,
                           .shape = {sizeof(Checksum)},
                           .bytes = {}});
        FileWriter writer(path);
        Checksum checksum = 0;
        Sink const sink = [&](std::span<std::byte const> bytes) {
            checksum = extend(checksum, bytes);
            writer.write(bytes);
        };
        auto const header = detail::safetensors_header(
            path, tensors, [](OutputTensor const& tensor) { return tensor.type; }, metadata);
        sink(std::as_bytes(std::span(header)));
        for (auto const* part : order)
            part->write(sink);
        writer.write(std::as_bytes(std::span(&checksum, 1)));
        writer.commit();
    }

    /// Reads all parts from `path`. Everything is checked before anything changes. Throws FileError
    /// when there is no such file; FormatError or LimitError when it is damaged; CheckpointError
    /// when it is whole but belongs to another training: other parts, sizes or networks.
    void restore(std::filesystem::path const& path) {
        MappedFile const file(path);
        auto const content = read_checked(file);
        auto const places = require_fit(content, path);
        for (std::size_t i = 0; i < parts_.size(); ++i) {
            parts_[i].read(places[i]);
            file.release(places[i]);
        }
    }

private:
    using Sink = std::function<void(std::span<std::byte const>)>;
    using Checksum = std::uint32_t;

    struct Part {
        std::string name;
        DataType type;
        Length length;
        std::string layout; ///< JSON: where the parameters of weights lie
        std::function<std::int64_t()> count;
        std::function<void(Sink const&)> write;
        std::function<void(std::span<std::byte const>)> read;
    };

    static constexpr std::ptrdiff_t piece_length = std::ptrdiff_t{1} << 18;
    static constexpr char const* checksum_name = "checksum";
    static constexpr char const* layout_suffix = ".layout";
    static constexpr char const* kind = "blip.training_state";
    static constexpr char const* version = "1";

    void insert(Part part) {
        bool const twice =
            std::ranges::any_of(parts_, [&](Part const& other) { return other.name == part.name; });
        if (twice || part.name.empty() || part.name == checksum_name || part.name == "__metadata__")
            throw ArgumentError(join("training state: the name \"", part.name,
                                     twice ? "\" is given twice" : "\" is reserved"));
        parts_.push_back(std::move(part));
    }

    template <class List, class Stored = typename List::value_type>
    void add_list(std::string name, List& list, Length length) {
        insert({.name = std::move(name),
                .type = data_type_of<Stored>(),
                .length = length,
                .layout = {},
                .count = [&list] { return static_cast<std::int64_t>(list.size()); },
                .write = [&list](Sink const& sink) { sink(std::as_bytes(std::span(list))); },
                .read =
                    [&list](std::span<std::byte const> bytes) {
                        List read(bytes.size() / sizeof(Stored), {});
                        if (!bytes.empty())
                            std::memcpy(read.data(), bytes.data(), bytes.size());
                        list = std::move(read);
                    }});
    }

    static Checksum extend(Checksum checksum, std::span<std::byte const> bytes) {
        if (bytes.empty()) // zlib would take the null pointer of an empty list for a restart
            return checksum;
        return static_cast<Checksum>(
            ::crc32_z(checksum, reinterpret_cast<Bytef const*>(bytes.data()), bytes.size()));
    }

    /// What the file holds, once its checksum has been found right.
    static SafetensorsContent read_checked(MappedFile const& file) {
        auto const name = file.path().string();
        auto const bytes = file.bytes();
        auto content = read_safetensors(bytes, name);
        if (content.tensors.empty() || content.tensors.back().name != checksum_name ||
            content.tensors.back().storage.size() != sizeof(Checksum))
            throw FormatError(join(name, ": this is no training state, or a damaged one: its last "
                                         "tensor is not \"checksum\""));
        auto const covered = bytes.first(bytes.size() - sizeof(Checksum));
        Checksum checksum = 0;
        constexpr std::size_t piece = std::size_t{1} << 24;
        for (std::size_t begin = 0; begin < covered.size(); begin += piece) {
            auto const part = covered.subspan(begin, std::min(piece, covered.size() - begin));
            checksum = extend(checksum, part);
            file.release(part);
        }
        if (detail::load_unaligned<Checksum>(content.tensors.back().storage.data()) != checksum)
            throw FormatError(join(name, ": the checksum is wrong; the file is damaged"));
        content.tensors.pop_back();
        return content;
    }

    /// The bytes of every part.
    std::vector<std::span<std::byte const>> require_fit(SafetensorsContent const& content,
                                                        std::filesystem::path const& path) const {
        std::string problems;
        auto const problem = [&problems](auto const&... text) {
            problems += join("\n  ", text...);
        };
        std::vector<std::span<std::byte const>> places;
        for (auto const& part : parts_) {
            auto const found = std::ranges::find(content.tensors, part.name, &TensorView::name);
            if (found == content.tensors.end()) {
                problem("it has no \"", part.name, "\"");
                continue;
            }
            places.push_back(found->storage);
            auto const layout = content.metadata.find(part.name + layout_suffix);
            auto const theirs = layout == content.metadata.end() ? std::string{} : layout->second;
            if (found->type != part.type)
                problem("\"", part.name, "\" holds ", name_of(found->type), ", expected ",
                        name_of(part.type));
            else if (theirs != part.layout)
                problem("\"", part.name,
                        "\" is of another network: ", describe_difference(part.layout, theirs));
            else if (found->shape.size() != 1 ||
                     (part.length == Length::fixed && found->shape[0] != part.count()))
                problem("\"", part.name, "\" has shape ", shape_text(found->shape), ", expected [",
                        part.count(), "]");
        }
        for (auto const& tensor : content.tensors)
            if (std::ranges::find(parts_, tensor.name, &Part::name) == parts_.end())
                problem("it has \"", tensor.name, "\", which this training does not");
        if (!problems.empty())
            throw CheckpointError(
                join(path.string(), ": this state is of another training:", problems,
                     "\nResume with the options, sizes and parts it was written with"));
        return places;
    }

    /// The first thing in which two layouts differ.
    static std::string describe_difference(std::string const& ours, std::string const& theirs) {
        auto const parse = [](std::string const& text) {
            auto json = nlohmann::json::parse(text, nullptr, false);
            return json.is_object() ? json : nlohmann::json::object();
        };
        auto const mine = parse(ours), other = parse(theirs);
        for (auto const& [path, place] : mine.items()) {
            if (!other.contains(path))
                return join("it lacks parameter ", path);
            if (other[path] != place)
                return join("parameter ", path, " is ", other[path].dump(), ", expected ",
                            place.dump());
        }
        for (auto const& [path, place] : other.items())
            if (!mine.contains(path))
                return join("it has parameter ", path, ", which this one lacks");
        return "its parameters are in another order";
    }

    Engine engine_;
    std::vector<Part> parts_;
};

/// Adds the weights of a network, or what is shaped like them, under one name.
template <class B, class Network>
void add_weights(TrainingState<B>& state, std::string name, Weights<Network>& weights) {
    state.add(std::move(name), weights);
}

/// Adds what `owner.for_each_state(f)` lists as "PREFIX.name": an optimizer, an objective's teacher
/// and queues, an average, a log.
template <class B, class Owner>
void add_parts(TrainingState<B>& state, std::string const& prefix, Owner& owner) {
    owner.for_each_state([&](std::string_view name, auto&&... part) {
        state.add(join(prefix, ".", name), part...);
    });
}

/// Adds moments and number of steps as "optimizer.first_moment" ... .
template <class B, class Optimizer>
void add_optimizer(TrainingState<B>& state, Optimizer& optimizer) {
    add_parts(state, "optimizer", optimizer);
}

} // namespace blip
