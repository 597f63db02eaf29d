#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/core/weights.hpp>
#include <blip/io/checkpoint_names.hpp>
#include <blip/io/interpolate.hpp>
#include <blip/io/tensor_file.hpp>

namespace blip {

/// What happened while a checkpoint was read into a model.
struct LoadReport {
    std::vector<std::string> extra;        ///< tensors of the file that the model has no place for
    std::vector<std::string> interpolated; ///< position tables resized to the model's image size
    std::vector<std::string> fresh; ///< tensors the file lacks or has in another shape; they stay
                                    ///< as they were initialised

    /// One line for people; empty when there is nothing to say.
    std::string summary() const {
        std::string text;
        if (!interpolated.empty())
            text += "position embeddings resized to the model's image size";
        if (!fresh.empty())
            text += join(text.empty() ? "" : "; ", fresh.size(),
                         " tensors are not in the file and start fresh (", fresh.front(),
                         fresh.size() > 1 ? ", ...)" : ")");
        if (!extra.empty())
            text += join(text.empty() ? "" : "; ", extra.size(),
                         " tensors of the file are not used by this model (", extra.front(),
                         extra.size() > 1 ? ", ...)" : ")");
        return text;
    }
};

/// What becomes of a parameter that a file lacks or has in another shape.
enum class Missing {
    is_error,   ///< CheckpointError that lists all of them
    stays_fresh ///< it keeps its numbers, and the report names it: the start of fine-tuning. A
                ///< model of two pictures takes what a model of one has for both
                ///< (single_image_name)
};

/// The implementation whose names `file` uses. Throws CheckpointError when it looks like neither.
inline Naming detect_naming(TensorFile const& file) {
    for (auto const& tensor : file.tensors()) {
        if (tensor.name.starts_with("visual_encoder."))
            return Naming::original;
        if (tensor.name.starts_with("vision_model."))
            return Naming::hugging_face;
    }
    throw CheckpointError(join(
        file.path().string(), ": this is no BLIP checkpoint: none of its ", file.tensors().size(),
        " tensors is named visual_encoder.* (original) or vision_model.* (Hugging Face)",
        file.tensors().empty() ? "" : "; the first is ",
        file.tensors().empty() ? "" : file.tensors().front().name));
}

namespace detail {

/// Edit distance, for suggestions; stops at `limit`.
inline std::size_t distance(std::string_view a, std::string_view b, std::size_t limit) {
    if (a.size() > b.size())
        std::swap(a, b);
    if (b.size() - a.size() >= limit)
        return limit;
    std::vector<std::size_t> row(a.size() + 1);
    for (std::size_t i = 0; i <= a.size(); ++i)
        row[i] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
        std::size_t diagonal = row[0];
        row[0] = j;
        for (std::size_t i = 1; i <= a.size(); ++i) {
            std::size_t const change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[i];
            row[i] = std::min({row[i] + 1, row[i - 1] + 1, change});
        }
    }
    return std::min(row.back(), limit);
}

inline std::string nearest(TensorFile const& file, std::string_view name,
                           std::size_t searches_left) {
    std::size_t best = name.size() / 2;
    std::string_view found;
    if (searches_left > 0)
        for (auto const& tensor : file.tensors())
            if (auto const d = distance(name, tensor.name, best); d < best) {
                best = d;
                found = tensor.name;
            }
    return found.empty() ? std::string{} : join("; nearest in the file: ", found);
}

/// A checkpoint tensor [n, a, b, ...] fits a parameter [n, a b ...]: convolutions are kept as
/// matrices. A scalar [] fits a parameter of one number.
inline bool fits(std::span<std::int64_t const> found, std::span<std::int64_t const> expected) {
    if (std::equal(found.begin(), found.end(), expected.begin(), expected.end()))
        return true;
    if (found.empty() && expected.size() == 1 && expected[0] == 1)
        return true;
    return expected.size() == 2 && found.size() == 4 && found[0] == expected[0] &&
           checked_count(found) == checked_count(expected);
}

/// Collects everything that is wrong with a file, for one readable error.
class Problems {
public:
    explicit Problems(TensorFile const& file) : file_(file) {}

    void missing(std::string const& name) {
        lines_.push_back(
            join("missing ", name, nearest(file_, name, searches_ > 0 ? searches_-- : 0)));
    }
    void shape(TensorView const& found, std::span<std::int64_t const> expected) {
        lines_.push_back(join("shape of ", found.name, ": expected ", shape_text(expected),
                              ", found ", shape_text(found.shape)));
    }
    void other(std::string line) { lines_.push_back(std::move(line)); }

    void raise() const {
        if (lines_.empty())
            return;
        std::string text =
            join(file_.path().string(), ": ", lines_.size(), " tensors do not fit this model:");
        for (auto const& line : lines_)
            text += "\n  " + line;
        throw CheckpointError(text);
    }

private:
    TensorFile const& file_;
    std::vector<std::string> lines_;
    std::size_t searches_ = 40; // a wholly foreign file would need a search for every name
};

/// Finds `name`, or a tensor tied to it.
inline TensorView const* find_tied(TensorFile const& file, std::string const& name,
                                   std::vector<std::string> const& tied) {
    if (auto const* tensor = file.find(name))
        return tensor;
    for (auto const& other : tied)
        if (auto const* tensor = file.find(other))
            return tensor;
    return nullptr;
}
inline TensorView const* find_tied(TensorFile const& file, std::string const& name) {
    return find_tied(file, name, tied_names(name));
}

/// The tensor that parameter part `name` is read from: itself, or one of `tied`. The start of
/// fine-tuning may also begin both twins of a model of two pictures with what a model of one has.
inline TensorView const* find_source(TensorFile const& file, std::string const& name,
                                     std::vector<std::string> const& tied, Missing missing) {
    auto const* tensor = find_tied(file, name, tied);
    if (tensor || missing == Missing::is_error)
        return tensor;
    auto const other = single_image_name(name);
    return other.empty() ? nullptr : file.find(other);
}

/// All copies of a tied tensor must hold the same numbers: the model keeps only one.
inline void check_tied(TensorFile const& file, TensorView const& used,
                       std::vector<std::string> const& tied, std::set<std::string_view>& taken,
                       Problems& problems) {
    for (auto const& other : tied) {
        auto const* tensor = file.find(other);
        if (!tensor)
            continue;
        taken.insert(tensor->name);
        bool same = tensor->shape == used.shape;
        if (same && tensor->type == used.type && tensor->is_contiguous() && used.is_contiguous()) {
            auto const a = tensor->contiguous_bytes(), b = used.contiguous_bytes();
            same = a.data() == b.data() || std::equal(a.begin(), a.end(), b.begin());
        } else if (same) {
            same = tensor->values<double>() == used.values<double>();
        }
        if (!same)
            problems.other(join(other, " differs from ", used.name,
                                ", but the model shares one tensor for both"));
    }
}

/// Row-major numbers of one parameter: in place where the file allows, converted otherwise.
template <class T>
class Values {
public:
    explicit Values(std::vector<TensorView const*> const& parts) {
        if (parts.size() == 1)
            if (auto const in_place = parts[0]->template direct<T>()) {
                values_ = *in_place;
                return;
            }
        std::size_t total = 0;
        for (auto const* part : parts)
            total += static_cast<std::size_t>(part->element_count());
        owned_.resize(total);
        std::size_t at = 0;
        for (auto const* part : parts) {
            auto const count = static_cast<std::size_t>(part->element_count());
            part->copy_to(std::span<T>(owned_).subspan(at, count));
            at += count;
        }
        values_ = owned_;
    }
    std::span<T const> get() const { return values_; }

private:
    std::vector<T> owned_;
    std::span<T const> values_;
};

/// Writes row-major host numbers into a parameter, in its layout.
template <class B, class T>
void fill_parameter(typename B::Engine& engine, NamedParameter<B> const& parameter,
                    std::span<T const> values) {
    if (parameter.layout == Layout::panels) {
        using S = typename B::scalar;
        if constexpr (std::is_same_v<T, S> && requires { requires B::on_host; }) {
            B::pack(engine, values.data(), parameter.view());
        } else {
            auto staging = B::allocate(values.size_bytes() / sizeof(T) * sizeof(S));
            auto* device = static_cast<S*>(staging.data());
            B::upload(engine, device, values.data(), parameter.size);
            B::pack(engine, device, parameter.view());
        }
        return;
    }
    B::upload(engine, parameter.data, values.data(), parameter.size);
}

/// load_weights, compiled once for all networks.
template <class B>
LoadReport load_parameters(std::vector<NamedParameter<B>> const& parameters,
                           typename B::Engine& engine, TensorFile const& file,
                           TensorNames const& names, TiedNames tied_to, Missing missing) {
    using Host = std::conditional_t<std::is_same_v<typename B::scalar, float>, float, double>;
    LoadReport report;
    Problems problems(file);
    std::set<std::string_view> taken;
    std::set<std::string> fresh; // parameters that keep their numbers
    bool const strict = missing == Missing::is_error;

    // First everything is checked, so that a wrong file costs no time and leaves no half-made
    // model.
    for (auto const& parameter : parameters) {
        auto const& path = parameter.path;
        auto const sources = names(path);
        std::vector<std::int64_t> expected(parameter.shape.begin(), parameter.shape.end());
        expected[0] /= static_cast<std::int64_t>(sources.size());
        for (std::string const& name : sources) {
            auto const tied = tied_to(name);
            auto const* tensor = find_source(file, name, tied, missing);
            if (!tensor) {
                if (strict)
                    problems.missing(name);
                else
                    fresh.insert(path);
                continue;
            }
            taken.insert(tensor->name);
            check_tied(file, *tensor, tied, taken, problems);
            bool const table =
                path.ends_with("vision.embedding.positions") || path == "embedding.positions";
            auto const rows = table && tensor->shape.size() == 3 ? tensor->shape[1] - 1 : 0;
            auto const grid =
                static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(rows))));
            bool const resizable = rows > 0 && grid * grid == rows && expected.size() == 3 &&
                                   tensor->shape[0] == 1 && tensor->shape[2] == expected[2];
            bool const has_shape = resizable || fits(tensor->shape, expected);
            if (!has_shape && !strict)
                fresh.insert(path);
            else if (!has_shape)
                problems.shape(*tensor, expected);
            else if (!is_floating(tensor->type))
                problems.other(join(tensor->name, " holds ", name_of(tensor->type),
                                    ", expected floating point"));
        }
    }
    problems.raise();

    for (auto const& parameter : parameters) {
        auto const& path = parameter.path;
        auto const sources = names(path);
        if (fresh.contains(path)) {
            report.fresh.insert(report.fresh.end(), sources.begin(), sources.end());
            continue;
        }
        std::vector<TensorView const*> parts;
        for (std::string const& name : sources)
            parts.push_back(find_source(file, name, tied_to(name), missing));
        Values<Host> const values(parts);
        if (std::ssize(values.get()) == parameter.size) {
            fill_parameter<B>(engine, parameter, values.get());
        } else { // a table of positions, as was checked
            // The released loader resizes in float32 whatever the model computes in.
            auto const source = parts[0]->template values<float>();
            int const grid =
                static_cast<int>(std::lround(std::sqrt(double(parts[0]->shape[1] - 1))));
            int const new_grid =
                static_cast<int>(std::lround(std::sqrt(double(parameter.shape[1] - 1))));
            auto const resized =
                interpolate_positions<float>(source, grid, new_grid, parameter.shape[2]);
            fill_parameter<B>(engine, parameter, std::span<float const>(resized));
            report.interpolated.push_back(parts[0]->name);
        }
        for (auto const* part : parts)
            file.release(*part);
    }
    for (auto const& tensor : file.tensors())
        if (!taken.contains(tensor.name) && !tensor.name.ends_with("position_ids"))
            report.extra.push_back(tensor.name);
    return report;
}

} // namespace detail

/// Reads every parameter of `weights` from `file`. `names(path)` gives the tensors a parameter is
/// made of. Position tables of another grid are resized. Throws CheckpointError that lists all
/// missing, misshapen and contradictory tensors, unless `missing` lets the first two pass; tensors
/// without a place are reported, not refused.
template <class Model>
LoadReport load_weights(Weights<Model>& weights, typename Model::backend::Engine& engine,
                        TensorFile const& file, TensorNames const& names,
                        Missing missing = Missing::is_error) {
    return detail::load_parameters<typename Model::backend>(list_parameters(*weights), engine, file,
                                                            names, tied_names_of<Model>, missing);
}

/// The same for a published checkpoint, whose naming is recognised.
template <class Model>
LoadReport load_weights(Weights<Model>& weights, typename Model::backend::Engine& engine,
                        TensorFile const& file, Missing missing = Missing::is_error) {
    Naming const naming = detect_naming(file);
    auto const names = [naming](std::string const& path) { return checkpoint_names(path, naming); };
    return load_weights(weights, engine, file, names, missing);
}

} // namespace blip
