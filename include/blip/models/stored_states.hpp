#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <blip/io/half.hpp>
#include <blip/io/row_file.hpp>
#include <blip/io/row_file_writer.hpp>

namespace blip {

/// States of the image encoder for every picture of an index, in a file of their own, so that
/// ranking again encodes no picture. Mapped: only what is ranked is read.
class StoredStates {
public:
    /// Throws FileError and FormatError.
    static StoredStates open(std::filesystem::path const& path) { return StoredStates(path); }

    RowLayout const& layout() const { return file_.layout(); }
    std::size_t size() const { return static_cast<std::size_t>(file_.rows()); }
    std::filesystem::path const& path() const { return file_.file().path(); }

    std::string_view label(std::int64_t row) const {
        auto const [segment, within] = find(row);
        return segment->label(within);
    }

    /// Writes the states of picture `row` to `out`, [tokens * width]. Throws ArgumentError when
    /// there is no such row or `out` has another size.
    void read(std::int64_t row, std::span<float> out) const {
        auto const [segment, within] = find(row);
        if (out.size() != layout().numbers())
            throw ArgumentError(
                join("states of ", layout().numbers(), " numbers do not fit into ", out.size()));
        auto const bytes =
            segment->numbers().subspan(within * static_cast<std::size_t>(layout().row_bytes()),
                                       static_cast<std::size_t>(layout().row_bytes()));
        if (layout().type == DataType::f32) {
            std::memcpy(out.data(), bytes.data(), bytes.size());
            return;
        }
        auto const* halves = reinterpret_cast<std::uint16_t const*>(bytes.data());
        for (std::size_t i = 0; i < out.size(); ++i)
            out[i] = half_to_float(halves[i]);
    }

private:
    explicit StoredStates(std::filesystem::path const& path) : file_(path) {
        if (layout().kind != RowKind::image_states)
            throw FormatError(join(path.string(), ": holds vectors, not image states"));
        std::size_t end = 0;
        for (auto const& segment : file_.view().segments())
            ends_.push_back(end += segment.rows());
    }

    std::pair<RowSegment const*, std::size_t> find(std::int64_t row) const {
        if (row < 0 || static_cast<std::uint64_t>(row) >= file_.rows())
            throw ArgumentError(join(path().string(), ": picture ", row, " of ", file_.rows()));
        auto const at = static_cast<std::size_t>(row);
        auto const end = std::upper_bound(ends_.begin(), ends_.end(), at);
        auto const which = static_cast<std::size_t>(end - ends_.begin());
        return {&file_.view().segments()[which], at - (which == 0 ? 0 : ends_[which - 1])};
    }

    RowFile file_;
    std::vector<std::size_t> ends_; ///< rows up to the end of each segment
};

/// Appends states to a file for StoredStates; float16 takes half the room and moves a match logit
/// by some 1e-3.
class StateWriter {
public:
    /// See RowFileWriter.
    StateWriter(std::filesystem::path path, RowLayout layout) : writer_(std::move(path), layout) {}

    std::uint64_t size() const { return writer_.size(); }
    RowLayout const& layout() const { return writer_.layout(); }

    /// See RowFileWriter.
    std::uint64_t before_last_append() const { return writer_.before_last_append(); }
    void keep(std::uint64_t rows) { writer_.keep(rows); }

    template <class Labels>
    void append(std::span<float const> states, Labels const& labels) {
        if (layout().type == DataType::f32)
            return writer_.append(states, labels);
        halves_.resize(states.size());
        for (std::size_t i = 0; i < states.size(); ++i)
            halves_[i] = float_to_half(states[i]);
        writer_.append(std::as_bytes(std::span<std::uint16_t const>(halves_)), labels);
    }

private:
    RowFileWriter writer_;
    std::vector<std::uint16_t> halves_;
};

} // namespace blip
