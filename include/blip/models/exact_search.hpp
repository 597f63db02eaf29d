#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <span>
#include <thread>
#include <vector>

#include <blip/backend/host.hpp>
#include <blip/core/error.hpp>
#include <blip/generate/top_entries.hpp>

namespace blip {

/// Vectors that lie one after another: [rows, width].
struct VectorBlock {
    float const* data = nullptr;
    std::size_t rows = 0;
    std::int64_t first = 0; ///< number of the first row within the collection
};

/// A row of a collection, and its product with a query.
struct Neighbour {
    std::int64_t row = 0;
    float similarity = 0;

    /// Best first; of equal similarities the lower row. What is no number comes last.
    friend bool operator<(Neighbour const& a, Neighbour const& b) {
        bool const number_a = a.similarity == a.similarity, number_b = b.similarity == b.similarity;
        if (number_a != number_b)
            return number_a;
        return number_a && a.similarity != b.similarity ? a.similarity > b.similarity
                                                        : a.row < b.row;
    }
    friend bool operator==(Neighbour const&, Neighbour const&) = default;
};

namespace detail {

/// Calls function(0) .. function(threads - 1) on as many threads, the caller's included.
template <class Function>
void on_threads(std::size_t threads, Function const& function) {
    std::vector<std::exception_ptr> failures(threads);
    auto const part = [&](std::size_t i) {
        try {
            function(i);
        } catch (...) {
            failures[i] = std::current_exception();
        }
    };
    {
        std::vector<std::jthread> others;
        others.reserve(threads - 1);
        for (std::size_t i = 1; i < threads; ++i)
            others.emplace_back(part, i);
        part(0);
    }
    for (auto const& failure : failures)
        if (failure)
            std::rethrow_exception(failure);
}

} // namespace detail

/// The `top` rows of `blocks` with the largest products with each of `queries`, [n, width], best
/// first; fewer where there are fewer. The result depends neither on `threads` (0: as many as the
/// hardware has) nor on how the rows are cut into blocks. Reads every vector once for each 64
/// queries; nothing is copied. Rows whose product is no finite number are not found. Throws
/// ArgumentError.
inline std::vector<std::vector<Neighbour>> exact_search(std::span<VectorBlock const> blocks,
                                                        std::size_t width,
                                                        std::span<float const> queries,
                                                        std::size_t top, std::size_t threads = 0) {
    if (width == 0 || queries.size() % width != 0)
        throw ArgumentError(join("search: ", queries.size(), " numbers are no vectors of ", width));
    constexpr std::size_t most_rows = 256, most_queries = 64;
    std::vector<VectorBlock> pieces;
    std::size_t rows = 0;
    for (auto const& block : blocks) {
        rows += block.rows;
        for (std::size_t r = 0; r < block.rows; r += most_rows)
            pieces.push_back({block.data + r * width, std::min(most_rows, block.rows - r),
                              block.first + static_cast<std::int64_t>(r)});
    }
    std::size_t const count = queries.size() / width;
    std::vector<std::vector<Neighbour>> found(count);
    top = std::min(top, rows);
    if (top == 0)
        return found;
    if (threads == 0)
        threads = std::max(1u, std::thread::hardware_concurrency());
    // Below some 100 kB a thread takes longer to start than to search.
    threads = std::min(threads, std::max<std::size_t>(1, rows * width * count / 25'000));
    threads = std::min(threads, pieces.size());

    std::vector<std::vector<std::vector<Neighbour>>> parts(threads);
    for (std::size_t first = 0; first < count; first += most_queries) {
        std::size_t const some = std::min(most_queries, count - first);
        auto const group = queries.subspan(first * width, some * width);
        detail::on_threads(threads, [&](std::size_t part) {
            std::vector<TopEntries<float>> best(some, TopEntries<float>(top));
            std::vector<float> products(some * most_rows);
            for (std::size_t i = pieces.size() * part / threads;
                 i < pieces.size() * (part + 1) / threads; ++i) {
                auto const& piece = pieces[i];
                host::dot_products(piece.data, piece.rows, group, width, products.data(),
                                   most_rows);
                for (std::size_t q = 0; q < some; ++q) {
                    std::span const mine(products.data() + q * most_rows, piece.rows);
                    // A row that holds infinity, of a damaged file, is near to nothing.
                    for (float& product : mine)
                        product = std::abs(product) <= std::numeric_limits<float>::max()
                                      ? product
                                      : -std::numeric_limits<float>::infinity();
                    best[q].offer(mine, 0, piece.first);
                }
            }
            parts[part].resize(some);
            for (std::size_t q = 0; q < some; ++q)
                for (auto const& entry : best[q].sorted())
                    parts[part][q].push_back({entry.index, entry.value});
        });
        for (std::size_t q = 0; q < some; ++q) {
            auto& all = found[first + q];
            for (auto& part : parts) {
                all.insert(all.end(), part[q].begin(), part[q].end());
                part[q].clear();
            }
            std::sort(all.begin(), all.end());
            all.resize(std::min(all.size(), top));
        }
    }
    return found;
}

} // namespace blip
