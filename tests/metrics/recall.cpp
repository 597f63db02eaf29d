#include <support/catch.hpp>

#include <blip/metrics/recall.hpp>

#include <cmath>

namespace {

using namespace blip;

xt::xtensor<double, 2> matrix(std::size_t rows, std::vector<double> const& values) {
    xt::xtensor<double, 2> m(std::array<std::size_t, 2>{rows, values.size() / rows});
    std::copy(values.begin(), values.end(), m.data());
    return m;
}

} // namespace

TEST_CASE("of equal scores the higher index ranks first") {
    std::vector<double> const scores{-100, 3, -100, 5, -100};
    std::span<double const> const line(scores);
    CHECK(rank_among(line, 3) == 0);
    CHECK(rank_among(line, 1) == 1);
    CHECK(rank_among(line, 4) == 2);
    CHECK(rank_among(line, 2) == 3);
    CHECK(rank_among(line, 0) == 4);
    CHECK_THROWS_AS(rank_among(line, 5), ArgumentError);
    std::vector<double> const broken{1, std::nan("")};
    CHECK_THROWS_AS(rank_among(std::span<double const>(broken), 0), ArgumentError);
}

TEST_CASE("recall counts the best of several right answers") {
    // Ranks of the right answers: row 0: 0; row 1: 1 and 2; row 2: 5; row 3: 11.
    std::vector<double> values(4 * 12, -100);
    auto const at = [&](std::size_t row, std::size_t column) -> double& {
        return values[row * 12 + column];
    };
    for (std::size_t column = 0; column < 12; ++column)
        for (std::size_t row = 0; row < 4; ++row)
            at(row, column) = -static_cast<double>(column);
    RelevantItems const relevant{{0, 7}, {2, 1}, {5}, {11}};
    auto const found = recall(matrix(4, values), relevant);
    CHECK(found.at_1 == 25);
    CHECK(found.at_5 == 50);
    CHECK(found.at_10 == 75);
    CHECK(found.mean == 50);
    CHECK(found.median_rank == 4); // ranks 1, 2, 6, 12: the median lies between 2 and 6
    CHECK_THROWS_AS(recall(matrix(4, values), {{0}, {1}, {2}}), ArgumentError);
    CHECK_THROWS_AS(recall(matrix(4, values), {{0}, {1}, {}, {3}}), ArgumentError);
    CHECK_THROWS_AS(recall(matrix(4, values), {{0}, {1}, {2}, {12}}), ArgumentError);
}

TEST_CASE("both directions take their own answers") {
    // Two pictures, three texts; texts 0 and 2 describe picture 0.
    auto const image_to_text = matrix(2, {1, 2, 3, 1, 2, 3});
    auto const text_to_image = matrix(3, {0, 1, 0, 1, 1, 0});
    std::vector<std::size_t> const image_of_text{0, 1, 0};
    auto const found = retrieval_recall(image_to_text, text_to_image, image_of_text);
    CHECK(found.texts.at_1 == 50);
    CHECK(found.pictures.at_1 == Approx(200.0 / 3));
    CHECK(found.texts.at_5 == 100);
    CHECK(found.mean == Approx((found.texts.mean + found.pictures.mean) / 2));
    std::vector<std::size_t> const wrong{0, 2, 0};
    CHECK_THROWS_AS(retrieval_recall(image_to_text, text_to_image, wrong), ArgumentError);
}
