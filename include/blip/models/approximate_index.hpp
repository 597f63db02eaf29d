#pragma once

// Nearest neighbours through faiss; empty unless the program links blip::faiss.
#if BLIP_HAS_FAISS

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <filesystem>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <faiss/invlists/InvertedLists.h>

#include <blip/backend/host.hpp>
#include <blip/core/random.hpp>
#include <blip/io/mapped_file.hpp>
#include <blip/io/write_file.hpp>
#include <blip/models/vector_index.hpp>

namespace blip {

namespace detail {

/// faiss reports errors by exceptions of its own.
template <class Action>
auto faiss_call(Action const& action) {
    try {
        return action();
    } catch (Error const&) {
        throw;
    } catch (std::bad_alloc const&) {
        throw;
    } catch (std::exception const& error) {
        throw FormatError(join("faiss: ", error.what()));
    }
}

} // namespace detail

/// How an ApproximateIndex is built.
struct ApproximateOptions {
    double recall = 0.95;  ///< wanted share of the true nearest neighbours that are found
    std::size_t top = 10;  ///< among how many
    std::size_t lists = 0; ///< cells of the collection; 0: 4 √rows
    /// Queries like those to come, [n, width], on which the recall is measured: features of texts,
    /// where texts are searched for. Empty: rows of the collection, which are easier.
    std::span<float const> queries{};
};

/// Finds neighbours in a large index without reading all of it: rows are sorted into cells around
/// centres (faiss, IVF with whole vectors), and a query looks into the nearest cells only, into as
/// many as the wanted recall takes. What is found has the product that exact search gives it. Rows
/// appended to the index after the build are searched exactly. The VectorIndex must live longer.
/// Holds a second copy of the vectors in memory. Any number of threads may search.
class ApproximateIndex {
public:
    /// Sorts all rows of `index` into cells and chooses the number of cells a query looks into.
    /// Throws ArgumentError for an index of fewer than 1000 rows, for which it makes no sense.
    static ApproximateIndex build(VectorIndex const& index,
                                  ApproximateOptions const& options = {}) {
        if (index.size() < least_rows)
            throw ArgumentError(join("approximate index: ", index.size(), " rows; below ",
                                     least_rows, " exact search is faster"));
        if (!(options.recall > 0 && options.recall <= 1) || options.top < 1 ||
            options.queries.size() % index.width() != 0)
            throw ArgumentError("approximate index: expected a recall above 0 and up to 1, at "
                                "least 1 neighbour, and whole queries");
        return detail::faiss_call([&] {
            ApproximateIndex result(index);
            result.sort_into_cells(options.lists);
            result.choose_probes(options);
            return result;
        });
    }

    /// Reads what save() wrote. Throws FileError; FormatError when it is damaged;
    /// CheckpointError when it was built from another index. A checksum guards against accidents,
    /// not against intent: faiss allocates what the file says before it reads it, so open only
    /// files that you built.
    static ApproximateIndex open(std::filesystem::path const& path, VectorIndex const& index) {
        MappedFile const file(path);
        auto const bytes = file.bytes();
        if (bytes.size() < head_bytes ||
            std::memcmp(bytes.data(), magic.data(), magic.size()) != 0 ||
            detail::row_field<std::uint32_t>(bytes, 8) != version)
            throw FormatError(join(path.string(), ": is no approximate index of this version"));
        auto const body = bytes.subspan(head_bytes);
        if (detail::row_field<std::uint32_t>(bytes, 60) != detail::row_checksum(bytes.first(60)) ||
            detail::row_field<std::uint64_t>(bytes, 48) != body.size() ||
            detail::row_field<std::uint32_t>(bytes, 12) != detail::row_checksum(body))
            throw FormatError(join(path.string(), ": is damaged; build it again"));
        ApproximateIndex result(index);
        result.rows_ = static_cast<std::size_t>(detail::row_field<std::uint64_t>(bytes, 16));
        result.recall_ = detail::row_field<double>(bytes, 40);
        if (detail::row_field<std::uint64_t>(bytes, 24) != index.layout().model ||
            result.rows_ > index.size() ||
            detail::row_field<std::uint64_t>(bytes, 32) != result.fingerprint())
            throw CheckpointError(
                join(path.string(), ": was built from another index; build it again"));
        return detail::faiss_call([&] {
            Reader reader(body);
            std::unique_ptr<faiss::Index> read(faiss::read_index(&reader));
            auto* const cells = dynamic_cast<faiss::IndexIVFFlat*>(read.get());
            if (cells == nullptr || static_cast<std::size_t>(cells->d) != index.width() ||
                static_cast<std::size_t>(cells->ntotal) != result.rows_)
                throw FormatError(join(path.string(), ": is no index of such vectors"));
            if (!is_sound(*cells, result.rows_))
                throw FormatError(join(path.string(), ": its cells contradict one another; build "
                                                      "it again"));
            static_cast<void>(read.release());
            result.cells_.reset(cells);
            return std::move(result);
        });
    }

    /// Writes a file that appears whole or not at all. Throws FileError.
    void save(std::filesystem::path const& path) const {
        Writer body;
        detail::faiss_call([&] { faiss::write_index(cells_.get(), &body); });
        std::vector<std::byte> head(head_bytes);
        std::memcpy(head.data(), magic.data(), magic.size());
        detail::put_row_field(head, 8, version);
        detail::put_row_field(head, 12, detail::row_checksum(body.bytes));
        detail::put_row_field(head, 16, std::uint64_t{rows_});
        detail::put_row_field(head, 24, index_->layout().model);
        detail::put_row_field(head, 32, fingerprint());
        detail::put_row_field(head, 40, recall_);
        detail::put_row_field(head, 48, std::uint64_t{body.bytes.size()});
        detail::put_row_field(head, 60, detail::row_checksum(std::span(head).first(60)));
        FileWriter writer(path);
        writer.write(head);
        writer.write(body.bytes);
        writer.commit();
    }

    RowLayout const& layout() const { return index_->layout(); }
    std::string_view label(std::int64_t row) const { return index_->label(row); }
    std::size_t size() const { return index_->size(); }
    /// Share of the true nearest neighbours found when it was built.
    double measured_recall() const { return recall_; }
    std::size_t lists() const { return cells_->nlist; }
    /// Cells that a query looks into.
    std::size_t probes() const { return cells_->nprobe; }

    /// As VectorIndex::search, but some neighbours may be missed, and others take their place.
    std::vector<std::vector<Neighbour>> search(std::span<float const> queries, std::size_t top,
                                               std::size_t threads = 0) const {
        std::size_t const width = index_->width(), count = queries.size() / width;
        std::vector<VectorBlock> later;
        for (auto block : index_->blocks()) {
            auto const end = static_cast<std::size_t>(block.first) + block.rows;
            if (end <= rows_)
                continue;
            auto const skip = rows_ - std::min(rows_, static_cast<std::size_t>(block.first));
            later.push_back({block.data + skip * width, block.rows - skip,
                             block.first + static_cast<std::int64_t>(skip)});
        }
        auto found = exact_search(later, width, queries, top, threads);
        std::size_t const most = std::min(top, rows_);
        if (most == 0 || count == 0)
            return found;
        std::vector<float> products(count * most);
        std::vector<std::int64_t> rows(count * most);
        detail::faiss_call([&] {
            cells_->search(static_cast<std::int64_t>(count), queries.data(),
                           static_cast<std::int64_t>(most), products.data(), rows.data());
        });
        for (std::size_t q = 0; q < count; ++q) {
            for (std::size_t i = q * most; i < (q + 1) * most; ++i) {
                if (rows[i] < 0 || static_cast<std::size_t>(rows[i]) >= rows_)
                    continue; // fewer rows in its cells than asked for
                Neighbour one{rows[i], 0};
                host::dot_products(index_->vector(rows[i]).data(), 1,
                                   queries.subspan(q * width, width), width, &one.similarity, 1);
                // As exact search: a damaged row is no neighbour of anything.
                if (std::isfinite(one.similarity))
                    found[q].push_back(one);
            }
            std::sort(found[q].begin(), found[q].end());
            found[q].resize(std::min(found[q].size(), top));
        }
        return found;
    }

private:
    static constexpr std::size_t least_rows = 1000, head_bytes = 64;
    static constexpr std::string_view magic = "BLIPCELL";
    static constexpr std::uint32_t version = 1;

    struct Writer : faiss::IOWriter {
        std::vector<std::byte> bytes;
        size_t operator()(void const* data, size_t size, size_t count) override {
            auto const* const from = static_cast<std::byte const*>(data);
            bytes.insert(bytes.end(), from, from + size * count);
            return count;
        }
    };

    struct Reader : faiss::IOReader {
        std::span<std::byte const> rest;
        explicit Reader(std::span<std::byte const> bytes) : rest(bytes) {}
        size_t operator()(void* data, size_t size, size_t count) override {
            if (size == 0)
                return count;
            count = std::min(count, rest.size() / size);
            std::memcpy(data, rest.data(), size * count);
            rest = rest.subspan(size * count);
            return count;
        }
    };

    /// Whether search stays within what was read: centres as wide as the vectors, a list for each,
    /// every row in one list and named once.
    static bool is_sound(faiss::IndexIVFFlat const& cells, std::size_t rows) {
        auto const* const centres = dynamic_cast<faiss::IndexFlat const*>(cells.quantizer);
        auto const* const lists = dynamic_cast<faiss::ArrayInvertedLists const*>(cells.invlists);
        auto const width = static_cast<std::size_t>(cells.d);
        if (centres == nullptr || lists == nullptr || !cells.is_trained ||
            cells.metric_type != faiss::METRIC_INNER_PRODUCT ||
            centres->metric_type != faiss::METRIC_INNER_PRODUCT || centres->d != cells.d ||
            static_cast<std::size_t>(centres->ntotal) != cells.nlist ||
            centres->codes.size() != cells.nlist * width * sizeof(float) || cells.nprobe < 1 ||
            cells.nprobe > cells.nlist || lists->nlist != cells.nlist ||
            lists->ids.size() != cells.nlist || lists->codes.size() != cells.nlist ||
            lists->code_size != width * sizeof(float) || cells.code_size != lists->code_size)
            return false;
        std::vector<bool> seen(rows);
        std::size_t count = 0;
        for (std::size_t list = 0; list < cells.nlist; ++list) {
            if (lists->codes[list].size() != lists->ids[list].size() * lists->code_size)
                return false;
            for (auto const id : lists->ids[list]) {
                if (id < 0 || static_cast<std::size_t>(id) >= rows ||
                    seen[static_cast<std::size_t>(id)])
                    return false;
                seen[static_cast<std::size_t>(id)] = true;
                ++count;
            }
        }
        return count == rows;
    }

    explicit ApproximateIndex(VectorIndex const& index) : index_(&index), rows_(index.size()) {}

    void sort_into_cells(std::size_t lists) {
        std::size_t const width = index_->width();
        if (lists == 0)
            lists = static_cast<std::size_t>(4 * std::sqrt(static_cast<double>(rows_)));
        lists = std::clamp<std::size_t>(lists, 1, rows_ / 8);
        auto centres = std::make_unique<faiss::IndexFlatIP>(static_cast<std::int64_t>(width));
        cells_ = std::make_unique<faiss::IndexIVFFlat>(centres.get(), width, lists,
                                                       faiss::METRIC_INNER_PRODUCT);
        cells_->own_fields = true;
        static_cast<void>(centres.release());
        cells_->cp.seed = 1;
        cells_->cp.spherical = true;
        // Some rows for each centre are enough, spread over the whole collection.
        std::size_t const sample = std::min(rows_, 40 * lists);
        cells_->cp.min_points_per_centroid = 1;
        std::vector<float> points(sample * width);
        for (std::size_t i = 0; i < sample; ++i) {
            auto const row = index_->vector(static_cast<std::int64_t>(i * rows_ / sample));
            std::copy(row.begin(), row.end(),
                      points.begin() + static_cast<std::ptrdiff_t>(i * width));
        }
        cells_->train(static_cast<std::int64_t>(sample), points.data());
        for (auto const& block : index_->blocks())
            cells_->add(static_cast<std::int64_t>(block.rows), block.data);
    }

    /// The fewest cells, of 1, 2, 4, ..., that give the wanted recall.
    void choose_probes(ApproximateOptions const& options) {
        std::vector<float> own(options.queries.begin(), options.queries.end());
        if (own.empty())
            for (std::size_t i = 0; i < 128; ++i) {
                auto const row = index_->vector(static_cast<std::int64_t>(
                    random_bits({1, 0}, i) % static_cast<std::uint64_t>(rows_)));
                own.insert(own.end(), row.begin(), row.end());
            }
        auto const exact = index_->search(own, options.top);
        for (std::size_t probes = 1;; probes *= 2) {
            cells_->nprobe = std::min(probes, cells_->nlist);
            auto const found = search(own, options.top);
            std::size_t right = 0, all = 0;
            for (std::size_t q = 0; q < exact.size(); ++q)
                for (auto const& neighbour : exact[q]) {
                    ++all;
                    right +=
                        std::find(found[q].begin(), found[q].end(), neighbour) != found[q].end()
                            ? 1
                            : 0;
                }
            recall_ = static_cast<double>(right) / static_cast<double>(all);
            if (recall_ >= options.recall || cells_->nprobe == cells_->nlist)
                return;
        }
    }

    /// Of the rows it was built from: some of their numbers.
    std::uint64_t fingerprint() const {
        std::uint32_t sum = 0;
        std::size_t const step = std::max<std::size_t>(1, rows_ / 1024);
        for (std::size_t row = 0; row < rows_; row += step)
            sum = detail::row_checksum(
                std::as_bytes(index_->vector(static_cast<std::int64_t>(row))), sum);
        return sum;
    }

    VectorIndex const* index_;
    std::size_t rows_;
    double recall_ = 0;
    std::unique_ptr<faiss::IndexIVFFlat> cells_;
};

} // namespace blip

#endif
