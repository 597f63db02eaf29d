#include <blip/generate/score_processors.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "generate/hashed_scores.hpp"
#include "support/catch.hpp"
#include "support/golden.hpp"

using namespace blip;
using namespace blip::test;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double no = -infinity;
using Row = std::vector<double>;

/// The row after `change(row)`.
template <class Change>
Row after(Row row, Change change) {
    change(std::span(row));
    return row;
}

} // namespace

TEST_CASE("repetition is penalised once per distinct token, by sign") {
    std::vector<int> const ids{0, 1, 1, 3, 0};
    CHECK(after({2, -2, 5, 0}, [&](auto row) { penalize_repetition(row, ids, 2); }) ==
          Row{1, -4, 5, 0});
    CHECK(after({2, no, 5, 0}, [&](auto row) { penalize_repetition(row, ids, 0.5); }) ==
          Row{4, no, 5, 0});
    for (double penalty : {0.0, -1.0, infinity, std::nan("")})
        CHECK_THROWS_AS(
            after({2, 2, 2, 2}, [&](auto row) { penalize_repetition(row, ids, penalty); }),
            ArgumentError);
    CHECK_THROWS_AS(after({2, 2}, [&](auto row) { penalize_repetition(row, ids, 2); }),
                    ArgumentError);
}

TEST_CASE("repeated n-grams are forbidden") {
    std::vector<int> const ids{0, 1, 2, 0, 1, 3, 0, 1};
    auto const forbid = [&](int size) {
        return after({1, 1, 1, 1, 1}, [&](auto row) { forbid_repeated_ngrams(row, ids, size); });
    };
    CHECK(forbid(0) == Row{1, 1, 1, 1, 1});
    CHECK(forbid(1) == Row{no, no, no, no, 1});
    CHECK(forbid(2) == Row{1, 1, no, no, 1});
    CHECK(forbid(3) == Row{1, 1, no, no, 1});
    CHECK(forbid(4) == Row{1, 1, 1, 1, 1});
    CHECK(forbid(8) == Row{1, 1, 1, 1, 1});
    CHECK(forbid(9) == Row{1, 1, 1, 1, 1});
    CHECK_THROWS_AS(forbid(-1), ArgumentError);
}

TEST_CASE("the end token waits for the minimum length") {
    auto const forbid = [](std::size_t length, int least, int end) {
        return after({1, 1, 1}, [&](auto row) { forbid_early_end(row, length, least, end); });
    };
    CHECK(forbid(4, 5, 2) == Row{1, 1, no});
    CHECK(forbid(5, 5, 2) == Row{1, 1, 1});
    CHECK(forbid(1, 0, 2) == Row{1, 1, 1});
    CHECK(forbid(1, -3, 2) == Row{1, 1, 1});
    CHECK_THROWS_AS(forbid(1, 0, 3), ArgumentError);
    CHECK_THROWS_AS(forbid(1, 0, -1), ArgumentError);
}

TEST_CASE("temperature divides") {
    CHECK(after({1, -2, no}, [](auto row) { divide_by_temperature(row, 0.5); }) == Row{2, -4, no});
    for (double bad : {0.0, -1.0, infinity, std::nan("")})
        CHECK_THROWS_AS(after({1}, [&](auto row) { divide_by_temperature(row, bad); }),
                        ArgumentError);
}

TEST_CASE("top-k keeps ties with the last") {
    auto const keep = [](Row row, int k) {
        return after(row, [&](auto scores) { keep_top_k(scores, k); });
    };
    Row const row{3, 1, 2, 2, 0};
    CHECK(keep(row, 1) == Row{3, no, no, no, no});
    CHECK(keep(row, 2) == Row{3, no, 2, 2, no});
    CHECK(keep(row, 3) == Row{3, no, 2, 2, no});
    CHECK(keep(row, 4) == Row{3, 1, 2, 2, no});
    for (int k : {0, 5, 50})
        CHECK(keep(row, k) == row);
    CHECK(keep({3, no, no, no}, 2) == Row{3, no, no, no});
    CHECK_THROWS_AS(keep(row, -1), ArgumentError);
}

TEST_CASE("top-p keeps the token that crosses the threshold") {
    auto const keep = [](Row row, double p) {
        return after(row, [&](auto scores) { keep_top_p(scores, p); });
    };
    // Probabilities 1/8, 1/2, 1/4, 1/8.
    Row const row{0, std::log(4.0), std::log(2.0), 0};
    CHECK(keep(row, 0.01) == Row{no, row[1], no, no});
    CHECK(keep(row, 0.4999) == Row{no, row[1], no, no});
    CHECK(keep(row, 0.6) == Row{no, row[1], row[2], no});
    CHECK(keep(row, 0.8) == Row{0, row[1], row[2], no});
    CHECK(keep(row, 0.9) == row);
    CHECK(keep(row, 1) == row);
    CHECK(keep({0, no, 0}, 0.6) == Row{0, no, 0});
    for (double bad : {0.0, -0.1, 1.1, std::nan("")})
        CHECK_THROWS_AS(keep(row, bad), ArgumentError);
}

TEST_CASE("top-p of a wide, flat row is that of a full sort") {
    HashedLanguage const language{3000, 4, {}, 0};
    auto const logits = language.logits(std::vector<int>{1});
    double total = 0;
    for (float x : logits)
        total += std::exp(static_cast<double>(x));
    std::vector<std::size_t> order(logits.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
    for (double p : {0.001, 0.05, 0.3, 0.9, 0.9999}) {
        std::vector<float> expected(logits.size(), -std::numeric_limits<float>::infinity());
        double sum = 0;
        for (std::size_t i = 0; i < order.size() && sum <= p * total; ++i) {
            expected[order[i]] = logits[order[i]];
            sum += std::exp(static_cast<double>(logits[order[i]]));
        }
        auto row = logits;
        keep_top_p(std::span(row), p);
        CAPTURE(p);
        CHECK(row == expected);
    }
}

namespace {

/// Repetition penalty 1.1, top-k 50, top-p, soft-max over the given logits.
template <class T>
void check_filters(double tolerance) {
    GoldenTensors const inputs("captioner_nucleus", "inputs.safetensors");
    GoldenTensors const expected("captioner_nucleus", "expected.safetensors");
    auto const json = golden_json("captioner_nucleus");
    int const end = json["tokens"]["sep"];
    auto const logits = inputs["filter_logits"];
    auto const previous = inputs.integers("filter_previous_ids");
    auto const rows = static_cast<std::size_t>(logits.shape[0]);
    auto const width = static_cast<std::size_t>(logits.shape[1]);
    auto const known = previous.size() / rows;
    int compared = 0;
    for (auto const& name : expected.names()) {
        std::string const prefix = "filter_p";
        if (!name.starts_with(prefix))
            continue;
        double const top_p = std::stod(name.substr(prefix.size())) / 100;
        bool const banned = name.find("_min.") != std::string::npos;
        auto const probabilities = expected[name].values;
        for (std::size_t r = 0; r < rows; ++r) {
            std::vector<T> row;
            for (std::size_t i = 0; i < width; ++i)
                row.push_back(static_cast<T>(logits.values[r * width + i]));
            std::vector<int> ids;
            for (std::size_t i = 0; i < known; ++i)
                ids.push_back(static_cast<int>(previous[r * known + i]));
            std::span<T> const scores(row);
            penalize_repetition(scores, ids, 1.1);
            forbid_early_end(scores, ids.size(), banned ? static_cast<int>(known) + 1 : 0, end);
            keep_top_k(scores, 50);
            keep_top_p(scores, top_p);
            log_softmax(std::span<T const>(scores), scores);
            std::vector<double> found, wanted;
            for (std::size_t i = 0; i < width; ++i) {
                found.push_back(std::exp(static_cast<double>(row[i])));
                wanted.push_back(probabilities[r * width + i]);
            }
            // Which of several tied tokens stays is nobody's promise, so compare how many do.
            auto const first = logits.values.begin() + static_cast<std::ptrdiff_t>(r * width);
            std::vector<double> raw(first, first + static_cast<std::ptrdiff_t>(width));
            std::sort(raw.begin(), raw.end());
            if (std::adjacent_find(raw.begin(), raw.end()) != raw.end()) {
                std::sort(found.begin(), found.end());
                std::sort(wanted.begin(), wanted.end());
            }
            CAPTURE(name, r);
            CHECK(relative_difference(found, wanted) < tolerance);
            ++compared;
        }
    }
    CHECK(compared >= 4);
}

} // namespace

TEST_CASE("the filter chain of the authors' sampling", "[golden]") {
    check_filters<double>(1e-9);
    check_filters<float>(1e-4);
}
