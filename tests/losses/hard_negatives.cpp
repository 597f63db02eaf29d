#include <support/catch.hpp>

#include <cmath>
#include <vector>

#include <blip/losses/hard_negatives.hpp>
#include <support/random_weights.hpp>

using namespace blip;

TEST_CASE("negative weights are soft-max, then masked") {
    // Soft-max of the first row: (1/8, 3/8, 4/8).
    std::vector<double> const s{0, std::log(3), std::log(4), 1, 1, 1, 500, 0, 500};
    std::vector<std::int64_t> const ids{5, 6, 5}, all{0, 1, 2};
    auto const plain = negative_weights(s, ids, 0);
    std::vector<double> const wanted{0, 0.375, 0, 1 / 3.0, 0, 1 / 3.0, 0, 0, 0};
    for (std::size_t i = 0; i < 9; ++i)
        CHECK(plain[i] == Approx(wanted[i]).epsilon(1e-14).margin(1e-200));
    auto const raised = negative_weights(s, all, 1e-4);
    CHECK(raised[1] == Approx(0.3751).epsilon(1e-14));
    CHECK(raised[7] == Approx(1e-4).epsilon(1e-14));
    CHECK((raised[0] == 0 && raised[4] == 0 && raised[8] == 0));
    CHECK_THROWS_AS(negative_weights(s, std::vector<std::int64_t>{1, 2}, 0), ArgumentError);
}

TEST_CASE("negative weights that underflow keep their proportions") {
    std::vector<double> const s{900, 0, 1, 0, 0, 0, -2000, -1e4, 0};
    std::vector<std::int64_t> const all{0, 1, 2}, alike{4, 4, 4};
    auto const weights = negative_weights(s, all, 0);
    CHECK(weights[0] == 0);
    CHECK(weights[1] / weights[2] == Approx(std::exp(-1)).epsilon(1e-14));
    CHECK((weights[6] == 1 && weights[7] == 0 && weights[8] == 0));
    CHECK(draw_negatives(weights, 3, {1, 2}).size() == 3);
    // A floor needs none of it, and there is no negative among equal pictures.
    CHECK(negative_weights(s, all, 1e-4)[1] == 1e-4);
    for (double const weight : negative_weights(s, alike, 0))
        CHECK(weight == 0);
}

TEST_CASE("negatives are drawn in proportion to their weights") {
    std::vector<double> const weights{0, 1, 3, 0.5, 0, 0, 2, 2, 0};
    int counts[3][3] = {};
    int const draws = 20000;
    for (int i = 0; i < draws; ++i) {
        auto const chosen =
            draw_negatives(weights, 3, split({3, 0}, static_cast<std::uint64_t>(i)));
        for (int r = 0; r < 3; ++r)
            ++counts[r][chosen[static_cast<std::size_t>(r)]];
    }
    CHECK((counts[0][0] == 0 && counts[1][0] == draws && counts[2][2] == 0));
    // Four standard deviations.
    CHECK(std::abs(counts[0][2] - 0.75 * draws) < 4 * std::sqrt(draws * 0.75 * 0.25));
    CHECK(std::abs(counts[2][0] - 0.5 * draws) < 4 * std::sqrt(draws * 0.25));
    CHECK(draw_negatives(weights, 3, {1, 2}) == draw_negatives(weights, 3, {1, 2}));
}

TEST_CASE("a batch without negatives is refused in words") {
    std::vector<double> const none(4, 0.0);
    CHECK_THROWS_WITH(draw_negatives(none, 2, {}),
                      "hard negatives: sample 0 of 2 has no negative in its batch; a batch needs "
                      "at least two different pictures, and finite weights");
    std::vector<double> const broken{0, std::nan(""), 1, 0};
    CHECK_THROWS_AS(draw_negatives(broken, 2, {}), ArgumentError);
}
