#include <blip/generate/top_entries.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <blip/core/random.hpp>

#include "support/catch.hpp"

using namespace blip;

TEST_CASE("the largest entries are those of a full sort, ties by index") {
    for (std::size_t size : {1u, 5u, 16u, 40u, 1000u, 30524u})
        for (std::size_t k : {1u, 2u, 6u, 16u, 50u, 2000u})
            for (int levels : {1, 7, 1000000}) {
                std::vector<float> values;
                for (std::size_t i = 0; i < size; ++i)
                    values.push_back(static_cast<float>(
                        static_cast<int>(random_uniform({k, size}, i) * levels)));
                std::vector<std::pair<float, std::int64_t>> expected;
                for (std::size_t row = 0; row < 3; ++row)
                    for (std::size_t i = 0; i < size; ++i)
                        expected.push_back({-(values[i] - static_cast<float>(row)),
                                            static_cast<std::int64_t>(row * size + i)});
                std::sort(expected.begin(), expected.end());
                TopEntries<float> top(k);
                for (int round = 0; round < 2; ++round) {
                    top.clear();
                    for (std::size_t row = 0; row < 3; ++row)
                        top.offer(values, -static_cast<float>(row),
                                  static_cast<std::int64_t>(row * size));
                    auto const found = top.sorted();
                    CAPTURE(size, k, levels);
                    REQUIRE(found.size() == std::min(k, 3 * size));
                    bool equal = true;
                    for (std::size_t i = 0; i < found.size(); ++i)
                        equal = equal && found[i].value == -expected[i].first &&
                                found[i].index == expected[i].second;
                    CHECK(equal);
                }
            }
}

TEST_CASE("minus infinity and NaN are not collected") {
    std::vector<float> values(40, -std::numeric_limits<float>::infinity());
    values[3] = -1e30f;
    values[39] = 2;
    values[20] = std::numeric_limits<float>::quiet_NaN();
    TopEntries<float> top(8);
    top.offer(values);
    auto const found = top.sorted();
    REQUIRE(found.size() == 2);
    CHECK(found[0].index == 39);
    CHECK(found[1].index == 3);
}
