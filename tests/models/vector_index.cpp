#include <support/catch.hpp>

#include <blip/core/random.hpp>
#include <blip/models/vector_index.hpp>
#include <io/files.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <thread>

namespace {

using namespace blip;
using blip::test::contains, blip::test::message_of, blip::test::TemporaryFolder;

RowLayout layout(std::uint64_t width = 23) {
    return {.width = width, .model = 1};
}

std::vector<float> random_vectors(std::size_t rows, std::size_t width, std::uint64_t seed) {
    std::vector<float> values(rows * width);
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(random_uniform({seed, 3}, i) * 2 - 1);
    return values;
}

std::vector<std::string> numbered(std::size_t first, std::size_t count) {
    std::vector<std::string> labels;
    for (std::size_t i = first; i < first + count; ++i)
        labels.push_back("picture " + std::to_string(i) + ".jpg");
    return labels;
}

/// `rows` rows appended `step` at a time.
VectorIndex index_of(std::vector<float> const& vectors, std::size_t width, std::size_t step) {
    VectorIndex index(layout(width));
    std::size_t const rows = vectors.size() / width;
    for (std::size_t first = 0; first < rows; first += step) {
        auto const some = std::min(step, rows - first);
        index.append(std::span(vectors).subspan(first * width, some * width),
                     numbered(first, some));
    }
    return index;
}

void check_same(VectorIndex const& a, VectorIndex const& b, std::span<float const> queries) {
    REQUIRE(a.size() == b.size());
    CHECK(a.layout() == b.layout());
    for (std::int64_t row = 0; row < static_cast<std::int64_t>(a.size()); ++row) {
        REQUIRE(a.label(row) == b.label(row));
        REQUIRE(std::ranges::equal(a.vector(row), b.vector(row)));
    }
    CHECK(a.search(queries, 7) == b.search(queries, 7));
}

} // namespace

TEST_CASE("exact search finds what sorting all products finds") {
    for (std::size_t const width : {1, 7, 16, 23, 48}) {
        std::size_t const rows = 531;
        auto const vectors = random_vectors(rows, width, width);
        auto const queries = random_vectors(9, width, 100);
        auto const index = index_of(vectors, width, rows);
        for (std::size_t const top : {std::size_t{1}, std::size_t{5}, std::size_t{600}}) {
            auto const found = index.search(queries, top);
            REQUIRE(found.size() == 9);
            for (std::size_t q = 0; q < 9; ++q) {
                std::vector<double> exact(rows);
                for (std::size_t r = 0; r < rows; ++r)
                    for (std::size_t k = 0; k < width; ++k)
                        exact[r] += static_cast<double>(vectors[r * width + k]) *
                                    static_cast<double>(queries[q * width + k]);
                REQUIRE(found[q].size() == std::min(top, rows));
                CHECK(std::is_sorted(found[q].begin(), found[q].end()));
                std::vector<double> sorted = exact;
                std::sort(sorted.rbegin(), sorted.rend());
                for (std::size_t i = 0; i < found[q].size(); ++i) {
                    CHECK(found[q][i].similarity ==
                          Approx(exact[static_cast<std::size_t>(found[q][i].row)]).margin(1e-5));
                    CHECK(found[q][i].similarity == Approx(sorted[i]).margin(1e-5));
                }
            }
        }
    }
}

TEST_CASE("search depends neither on threads nor on blocks nor on other queries") {
    std::size_t const width = 37, rows = 9000;
    auto const vectors = random_vectors(rows, width, 1);
    auto const queries = random_vectors(67, width, 2);
    auto const whole = index_of(vectors, width, rows);
    auto const expected = whole.search(queries, 10, 1);
    for (std::size_t const threads : {2, 3, 7})
        CHECK((whole.search(queries, 10, threads) == expected));
    for (std::size_t const step : {1, 3, 255, 1000})
        CHECK(index_of(vectors, width, step).search(queries, 10, 2) == expected);
    // The same rows as one block each.
    std::vector<VectorBlock> blocks;
    for (std::size_t row = 0; row < rows; ++row)
        blocks.push_back({vectors.data() + row * width, 1, static_cast<std::int64_t>(row)});
    CHECK(exact_search(blocks, width, queries, 10, 2) == expected);
    for (std::size_t q = 0; q < 67; ++q)
        CHECK(whole.search(std::span(queries).subspan(q * width, width), 10).front() ==
              expected[q]);
}

TEST_CASE("of equal products the lower row comes first") {
    std::size_t const width = 8, rows = 5000;
    std::vector<float> vectors(rows * width);
    for (std::size_t row = 0; row < rows; ++row)
        vectors[row * width] = row % 3 == 0 ? 1.0f : 0.5f;
    std::vector<float> query(width);
    query[0] = 1;
    auto const index = index_of(vectors, width, 77);
    for (std::size_t const threads : {1, 4}) {
        auto const found = index.search(query, 2000, threads).front();
        REQUIRE(found.size() == 2000);
        for (std::size_t i = 0; i < 1667; ++i)
            CHECK((found[i] == Neighbour{static_cast<std::int64_t>(3 * i), 1.0f}));
        CHECK((found[1667] == Neighbour{1, 0.5f}));
        CHECK((found[1668] == Neighbour{2, 0.5f}));
        CHECK((found[1669] == Neighbour{4, 0.5f}));
    }
}

TEST_CASE("an index is the same saved, loaded, mapped, appended to and built at once") {
    TemporaryFolder const folder;
    std::size_t const width = 23, rows = 4200; // more than a chunk
    auto const vectors = random_vectors(rows, width, 1);
    auto const queries = random_vectors(3, width, 2);
    auto const built = index_of(vectors, width, 100);
    built.save(folder / "index");
    check_same(VectorIndex::open(folder / "index"), built, queries);
    check_same(VectorIndex::load(folder / "index"), built, queries);

    // Appended to in memory, on top of a mapped file.
    std::size_t const half = 2100;
    std::span const all(vectors);
    index_of({vectors.begin(), vectors.begin() + half * width}, width, half).save(folder / "half");
    auto grown = VectorIndex::open(folder / "half");
    grown.append(all.subspan(half * width), numbered(half, rows - half));
    check_same(grown, built, queries);
    grown.save(folder / "half"); // over the file that is mapped
    check_same(VectorIndex::open(folder / "half"), built, queries);
    check_same(grown, built, queries);

    // Appended to on the disk.
    {
        RowFileWriter writer(folder / "disk", layout());
        for (std::size_t first = 0; first < rows; first += 300)
            writer.append(all.subspan(first * width, 300 * width), numbered(first, 300));
    }
    auto const appended = VectorIndex::open(folder / "disk");
    CHECK(appended.blocks().size() == 14);
    check_same(appended, built, queries);
    auto const moved = VectorIndex::load(folder / "disk");
    check_same(moved, built, queries);
}

TEST_CASE("an index says what is wrong with its input") {
    VectorIndex index(layout(4));
    std::vector<float> const query(4, 1.0f);
    CHECK(index.search(query, 3) == std::vector<std::vector<Neighbour>>(1));
    CHECK(index.search({}, 3).empty());
    std::vector<float> vectors(8, 1.0f);
    CHECK_THROWS_AS(index.append(std::span<float const>(vectors), numbered(0, 1)), ArgumentError);
    index.append(std::span<float const>(vectors), numbered(0, 2));
    CHECK_THROWS_AS(index.search(std::span(vectors).first(5), 1), ArgumentError);
    CHECK_THROWS_AS(index.label(2), ArgumentError);
    CHECK_THROWS_AS(index.label(-1), ArgumentError);
    CHECK_THROWS_AS(index.vector(2), ArgumentError);
    CHECK(index.search(query, 0).front().empty());
    vectors[3] = std::nanf("");
    CHECK_THROWS_AS(index.append(std::span<float const>(vectors), numbered(0, 2)), ArgumentError);
    CHECK(index.size() == 2);
    CHECK_THROWS_AS(VectorIndex(RowLayout{.kind = RowKind::image_states, .width = 4}),
                    ArgumentError);

    TemporaryFolder const folder;
    RowFileWriter(folder / "states", {.kind = RowKind::image_states, .length = 2, .width = 4});
    CHECK(contains(message_of<FormatError>([&] { VectorIndex::open(folder / "states"); }),
                   "holds image states, not vectors"));
    index.save(folder / "index");
    auto bytes = blip::test::content_of(folder / "index");
    bytes[4096 + 64 + 5] ^= 1;
    write_file(folder / "index", bytes);
    CHECK_NOTHROW(VectorIndex::open(folder / "index"));
    CHECK(contains(message_of<FormatError>([&] { VectorIndex::load(folder / "index"); }),
                   "numbers are damaged"));
}

TEST_CASE("a mapped row that holds no numbers is found by nobody and disturbs nobody") {
    TemporaryFolder const folder;
    auto const vectors = random_vectors(40, 4, 3);
    auto spoiled = vectors;
    spoiled[4 * 5] = std::nanf("");
    spoiled[4 * 11 + 2] = std::numeric_limits<float>::infinity();
    spoiled[4 * 17 + 3] = -std::numeric_limits<float>::infinity();
    {
        RowFileWriter writer(folder / "index", layout(4));
        writer.append(std::span<float const>(spoiled), numbered(0, 40));
    }
    auto const index = VectorIndex::open(folder / "index");
    std::vector<float> const queries{1, -1, 1, 1, 0, 1, 2, -3};
    auto const found = index.search(queries, 40),
               right = index_of(vectors, 4, 40).search(queries, 40);
    for (std::size_t q = 0; q < 2; ++q) {
        std::vector<Neighbour> expected;
        for (auto const& one : right[q])
            if (one.row != 5 && one.row != 11 && one.row != 17)
                expected.push_back(one);
        CHECK(found[q] == expected);
    }
    CHECK_THROWS_AS(VectorIndex::load(folder / "index"), ArgumentError);
    // As neighbours they come last, in the order of their rows.
    std::vector<Neighbour> some{{1, std::nanf("")}, {0, std::nanf("")}, {2, -1}, {3, 1}};
    std::sort(some.begin(), some.end());
    CHECK(some[0].row == 3);
    CHECK(some[1].row == 2);
    CHECK(some[2].row == 0);
    CHECK(some[3].row == 1);
}

TEST_CASE("many threads may search one index") {
    std::size_t const width = 16;
    auto const index = index_of(random_vectors(3000, width, 1), width, 50);
    auto const queries = random_vectors(8, width, 2);
    auto const expected = index.search(queries, 5);
    std::vector<std::vector<std::vector<Neighbour>>> found(8);
    std::vector<std::thread> threads;
    for (std::size_t q = 0; q < 8; ++q)
        threads.emplace_back([&, q] {
            found[q] = index.search(std::span(queries).subspan(q * width, width), 5, 2);
        });
    for (auto& thread : threads)
        thread.join();
    for (std::size_t q = 0; q < 8; ++q)
        CHECK(found[q].front() == expected[q]);
}
