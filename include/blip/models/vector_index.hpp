#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <blip/io/row_file.hpp>
#include <blip/io/row_file_writer.hpp>
#include <blip/models/exact_search.hpp>

namespace blip {

/// Vectors of a collection with a label each (a path, or the text itself), and the search among
/// them. Rows of a mapped file stay on the disk; appended rows are kept in memory. Any number of
/// threads may search at the same time.
class VectorIndex {
public:
    /// No rows yet. Throws ArgumentError unless `layout` is of float32 vectors, [1, width].
    explicit VectorIndex(RowLayout layout) : layout_(layout) {
        if (layout.kind == RowKind::image_states || layout.type != DataType::f32 ||
            layout.length != 1 || layout.width < 1)
            throw ArgumentError("an index holds vectors of float32 numbers, one row each");
    }

    VectorIndex(VectorIndex&&) noexcept = default;
    VectorIndex& operator=(VectorIndex&&) noexcept = default;
    VectorIndex(VectorIndex const&) = delete; ///< the blocks point into the rows
    VectorIndex& operator=(VectorIndex const&) = delete;

    /// Maps an index file: searched where it lies, its numbers unread until then. A row that holds
    /// infinity or no number, which only a damaged file has, is found by no search; `load` refuses
    /// it. Throws FileError and FormatError.
    static VectorIndex open(std::filesystem::path const& path) {
        auto file = std::make_shared<RowFile const>(path);
        auto layout = file->layout();
        if (layout.kind == RowKind::image_states || layout.type != DataType::f32 ||
            layout.length != 1)
            throw FormatError(join(path.string(), ": holds image states, not vectors; the index is "
                                                  "the other file"));
        VectorIndex index(layout);
        for (auto const& segment : file->view().segments()) {
            if (segment.rows() == 0)
                continue;
            index.blocks_.push_back({reinterpret_cast<float const*>(segment.numbers().data()),
                                     segment.rows(), static_cast<std::int64_t>(index.mapped_)});
            index.segments_.push_back(&segment);
            index.mapped_ += segment.rows();
        }
        index.file_ = std::move(file);
        return index;
    }

    /// Reads an index file into memory and checks every number of it. Throws FileError and
    /// FormatError.
    static VectorIndex load(std::filesystem::path const& path) {
        auto const mapped = open(path);
        mapped.file_->verify();
        VectorIndex index(mapped.layout_);
        for (std::size_t i = 0; i < mapped.blocks_.size(); ++i) {
            std::vector<std::string_view> labels;
            for (std::size_t row = 0; row < mapped.blocks_[i].rows; ++row)
                labels.push_back(mapped.segments_[i]->label(row));
            index.append({mapped.blocks_[i].data, mapped.blocks_[i].rows * index.width()}, labels);
        }
        return index;
    }

    /// Adds labels.size() vectors, [n, width]. Throws ArgumentError when sizes differ or a number
    /// is not finite.
    template <class Labels>
    void append(std::span<float const> vectors, Labels const& labels) {
        std::size_t const rows = std::size(labels);
        if (vectors.size() != rows * width())
            throw ArgumentError(
                join("index: ", vectors.size(), " numbers for ", rows, " vectors of ", width()));
        if (!std::all_of(vectors.begin(), vectors.end(), [](float x) { return std::isfinite(x); }))
            throw ArgumentError("index: a vector holds infinity or no number");
        for (std::size_t row = 0; row < rows;) {
            if (chunks_.empty() || chunks_.back().size() == chunk_rows * width()) {
                chunks_.emplace_back().reserve(chunk_rows * width());
                blocks_.push_back(
                    {chunks_.back().data(), 0, static_cast<std::int64_t>(size() + row)});
            }
            auto& chunk = chunks_.back();
            auto const some = std::min(rows - row, chunk_rows - chunk.size() / width());
            auto const part = vectors.subspan(row * width(), some * width());
            chunk.insert(chunk.end(), part.begin(), part.end());
            blocks_.back().rows += some;
            row += some;
        }
        for (std::string_view const label : labels) {
            names_ += label;
            ends_.push_back(names_.size());
        }
    }

    /// Writes all rows as one file, which appears whole or not at all. Throws FileError.
    void save(std::filesystem::path const& path) const {
        std::vector<std::span<std::byte const>> bytes;
        for (auto const& block : blocks_)
            bytes.push_back(std::as_bytes(std::span(block.data, block.rows * width())));
        std::vector<std::string_view> labels;
        labels.reserve(size());
        for (std::size_t row = 0; row < size(); ++row)
            labels.push_back(label(static_cast<std::int64_t>(row)));
        write_row_file(path, layout_, bytes, labels);
    }

    RowLayout const& layout() const { return layout_; }
    std::size_t width() const { return static_cast<std::size_t>(layout_.width); }
    std::size_t size() const { return mapped_ + ends_.size(); }
    std::span<VectorBlock const> blocks() const { return blocks_; }

    /// Throws ArgumentError when there is no such row.
    std::string_view label(std::int64_t row) const {
        require(row);
        auto const at = static_cast<std::size_t>(row);
        if (at < mapped_) {
            auto const which = static_cast<std::size_t>(block_of(row) - blocks_.begin());
            return segments_[which]->label(static_cast<std::size_t>(row - blocks_[which].first));
        }
        auto const own = at - mapped_;
        auto const begin = own == 0 ? 0 : ends_[own - 1];
        return std::string_view(names_).substr(begin, ends_[own] - begin);
    }

    /// Throws ArgumentError when there is no such row.
    std::span<float const> vector(std::int64_t row) const {
        require(row);
        auto const block = block_of(row);
        return {block->data + static_cast<std::size_t>(row - block->first) * width(), width()};
    }

    /// See exact_search.
    std::vector<std::vector<Neighbour>> search(std::span<float const> queries, std::size_t top,
                                               std::size_t threads = 0) const {
        return exact_search(blocks_, width(), queries, top, threads);
    }

private:
    static constexpr std::size_t chunk_rows = 4096;

    void require(std::int64_t row) const {
        if (row < 0 || static_cast<std::uint64_t>(row) >= size())
            throw ArgumentError(join("index: row ", row, " of ", size()));
    }

    std::vector<VectorBlock>::const_iterator block_of(std::int64_t row) const {
        return std::upper_bound(blocks_.begin(), blocks_.end(), row,
                                [](std::int64_t r, VectorBlock const& b) { return r < b.first; }) -
               1;
    }

    RowLayout layout_;
    std::shared_ptr<RowFile const> file_;
    std::vector<RowSegment const*> segments_; ///< of the first blocks, which are mapped
    std::size_t mapped_ = 0;
    std::vector<std::vector<float>> chunks_; ///< never grow beyond what they reserved
    std::vector<VectorBlock> blocks_;
    std::string names_;
    std::vector<std::size_t> ends_;
};

} // namespace blip
