#include <blip/generate/log_softmax.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include "generate/hashed_scores.hpp"
#include "support/catch.hpp"

using namespace blip;
using namespace blip::test;

TEST_CASE("the quick exponential is accurate to float") {
    double worst = 0;
    for (int i = 0; i <= 870000; ++i) {
        float const x = static_cast<float>(i) * -1e-4f;
        double const exact = std::exp(static_cast<double>(x));
        double const found = static_cast<double>(detail::exp_of_nonpositive(x));
        worst = std::max(worst, std::abs(found - exact) / exact);
    }
    CHECK(worst < 2e-7);
    CHECK(detail::exp_of_nonpositive(0.0f) == 1.0f);
    CHECK(std::isnan(detail::exp_of_nonpositive(std::numeric_limits<float>::quiet_NaN())));
}

TEMPLATE_TEST_CASE("log-softmax agrees with its definition", "", float, double) {
    double const tolerance = std::is_same_v<TestType, float> ? 2e-6 : 1e-13;
    for (int size : {1, 2, 15, 16, 17, 222, 511, 512, 513, 30524})
        for (double shift : {0.0, 80.0, -300.0}) {
            HashedLanguage const language{size, static_cast<std::uint32_t>(size), {}, 0};
            std::vector<TestType> logits;
            for (float x : language.logits(std::vector<int>{1}))
                logits.push_back(static_cast<TestType>(3 * x) + static_cast<TestType>(shift));
            long double sum = 0;
            for (TestType x : logits)
                sum += std::exp(static_cast<long double>(x));
            double const total = static_cast<double>(std::log(sum));
            CAPTURE(size, shift);
            CHECK(log_sum_exp(std::span<TestType const>(logits)) ==
                  Approx(total).epsilon(0).margin(tolerance * (1 + std::abs(total))));
            std::vector<TestType> result(logits.size());
            CHECK(log_softmax(std::span<TestType const>(logits), std::span(result)) ==
                  log_sum_exp(std::span<TestType const>(logits)));
            double worst = 0;
            for (std::size_t i = 0; i < logits.size(); ++i)
                worst = std::max(worst, std::abs(static_cast<double>(result[i]) -
                                                 (static_cast<double>(logits[i]) - total)));
            CHECK(worst <= tolerance * (1 + std::abs(total)));
        }
}

TEST_CASE("log-softmax in place, with excluded entries, refuses what has no value") {
    float const infinity = std::numeric_limits<float>::infinity();
    std::vector<float> x{0, -infinity, 0};
    log_softmax(std::span<float const>(x), std::span(x));
    CHECK(x[0] == Approx(-std::log(2.0)));
    CHECK(x[1] == -infinity);
    CHECK(x[2] == x[0]);
    for (float bad : {infinity, std::numeric_limits<float>::quiet_NaN()})
        for (std::size_t place : {0u, 20u, 32u}) {
            std::vector<float> broken(33, 1.0f);
            broken[place] = bad;
            CHECK_THROWS_AS(log_sum_exp(std::span<float const>(broken)), ArgumentError);
        }
    std::vector<float> const nothing(5, -infinity);
    CHECK_THROWS_AS(log_sum_exp(std::span<float const>(nothing)), ArgumentError);
    CHECK_THROWS_AS(log_sum_exp(std::span<float const>()), ArgumentError);
}
