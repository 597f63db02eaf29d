#include <support/catch.hpp>

#include <blip/models/approximate_index.hpp>

#if BLIP_HAS_FAISS

#include <blip/core/random.hpp>
#include <io/files.hpp>

#include <cmath>
#include <cstring>

namespace {

using namespace blip;
using blip::test::contains, blip::test::message_of, blip::test::TemporaryFolder;

constexpr std::size_t width = 24;

/// Normalised vectors around some centres, as features of pictures are.
std::vector<float> clustered(std::size_t first, std::size_t rows) {
    std::vector<float> values(rows * width);
    for (std::size_t r = 0; r < rows; ++r) {
        double sum = 0;
        for (std::size_t k = 0; k < width; ++k) {
            double const centre = random_uniform({1, (first + r) % 40}, k) - 0.5;
            double const own = random_uniform({2, first + r}, k) - 0.5;
            values[r * width + k] = static_cast<float>(centre + 0.5 * own);
            sum += std::pow(values[r * width + k], 2);
        }
        for (std::size_t k = 0; k < width; ++k)
            values[r * width + k] /= static_cast<float>(std::sqrt(sum));
    }
    return values;
}

VectorIndex index_of(std::size_t rows) {
    VectorIndex index({.width = width, .model = 5});
    std::vector<std::string> labels;
    for (std::size_t i = 0; i < rows; ++i)
        labels.push_back(std::to_string(i));
    index.append(clustered(0, rows), labels);
    return index;
}

double recall_of(ApproximateIndex const& cells, VectorIndex const& index,
                 std::vector<float> const& queries, std::size_t top) {
    auto const exact = index.search(queries, top);
    auto const found = cells.search(queries, top);
    std::size_t right = 0, all = 0;
    for (std::size_t q = 0; q < exact.size(); ++q)
        for (auto const& n : exact[q]) {
            ++all;
            right += std::find(found[q].begin(), found[q].end(), n) != found[q].end() ? 1 : 0;
        }
    return static_cast<double>(right) / static_cast<double>(all);
}

} // namespace

TEST_CASE("cells find what exact search finds, with the products of exact search") {
    auto const index = index_of(4000);
    auto const queries = clustered(100'000, 50);
    auto const cells =
        ApproximateIndex::build(index, {.recall = 0.95, .top = 5, .queries = queries});
    CHECK(cells.measured_recall() >= 0.95);
    CHECK(cells.probes() < cells.lists());
    CHECK(recall_of(cells, index, queries, 5) == cells.measured_recall());
    for (auto const& found : cells.search(queries, 5)) {
        REQUIRE(found.size() == 5);
        CHECK(std::is_sorted(found.begin(), found.end()));
    }
    // All cells are all rows.
    auto const all = ApproximateIndex::build(index, {.recall = 1, .top = 5, .queries = queries});
    CHECK(all.measured_recall() == 1);
    CHECK(all.search(queries, 5) == index.search(queries, 5));
    CHECK(all.label(7) == "7");
}

TEST_CASE("cells are the same saved and opened") {
    TemporaryFolder const folder;
    auto const index = index_of(1500);
    auto const queries = clustered(100'000, 20);
    auto const built = ApproximateIndex::build(index);
    built.save(folder / "cells");
    auto const opened = ApproximateIndex::open(folder / "cells", index);
    CHECK(opened.measured_recall() == built.measured_recall());
    CHECK(opened.probes() == built.probes());
    CHECK(opened.search(queries, 9) == built.search(queries, 9));
}

TEST_CASE("rows appended after the build are found") {
    TemporaryFolder const folder;
    auto index = index_of(1500);
    ApproximateIndex::build(index).save(folder / "cells");
    auto const later = clustered(50'000, 30);
    index.append(later, std::vector<std::string>(30, "later"));
    auto const cells = ApproximateIndex::open(folder / "cells", index);
    auto const found = cells.search(later, 1);
    for (std::size_t i = 0; i < 30; ++i) {
        CHECK(found[i].front().row == static_cast<std::int64_t>(1500 + i));
        CHECK(cells.label(found[i].front().row) == "later");
    }
}

TEST_CASE("cells of another index, and damaged ones, are refused") {
    TemporaryFolder const folder;
    auto const index = index_of(1500);
    ApproximateIndex::build(index).save(folder / "cells");
    CHECK_THROWS_AS(ApproximateIndex::open(folder / "cells", index_of(1400)), CheckpointError);
    VectorIndex other({.width = width, .model = 5});
    other.append(clustered(9000, 1500), std::vector<std::string>(1500));
    CHECK(contains(
        message_of<CheckpointError>([&] { ApproximateIndex::open(folder / "cells", other); }),
        "built from another index"));
    auto const whole = blip::test::content_of(folder / "cells");
    for (std::size_t at = 0; at < whole.size(); at += at < 64 ? 1 : 997) {
        auto bytes = whole;
        bytes[at] ^= 0x11;
        write_file(folder / "damaged", bytes);
        CHECK_THROWS_AS(ApproximateIndex::open(folder / "damaged", index), FormatError);
    }
    // Nor are cells that contradict one another, though every checksum is right: the last of their
    // bytes are the number of a row.
    for (std::int64_t const row : {std::int64_t{-1}, std::int64_t{1500}, std::int64_t{1} << 40,
                                   std::int64_t{0}, std::int64_t{1}}) {
        auto bytes = whole;
        std::memcpy(bytes.data() + bytes.size() - sizeof row, &row, sizeof row);
        auto const all = std::as_bytes(std::span(bytes));
        auto const body = detail::row_checksum(all.subspan(64));
        std::memcpy(bytes.data() + 12, &body, sizeof body);
        auto const head = detail::row_checksum(all.first(60));
        std::memcpy(bytes.data() + 60, &head, sizeof head);
        write_file(folder / "damaged", bytes);
        if (bytes != whole)
            CHECK(contains(
                message_of<FormatError>([&] { ApproximateIndex::open(folder / "damaged", index); }),
                "contradict one another"));
    }
    for (std::size_t size : {std::size_t{0}, std::size_t{63}, whole.size() - 1}) {
        write_file(folder / "damaged", whole.substr(0, size));
        CHECK_THROWS_AS(ApproximateIndex::open(folder / "damaged", index), FormatError);
    }
    CHECK_THROWS_AS(ApproximateIndex::build(index_of(999)), ArgumentError);
    CHECK_THROWS_AS(ApproximateIndex::build(index, {.recall = 0}), ArgumentError);
    std::vector<float> const half(width / 2);
    CHECK_THROWS_AS(ApproximateIndex::build(index, {.queries = half}), ArgumentError);
}

#endif
