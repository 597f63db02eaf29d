#include <support/catch.hpp>

#include <numeric>
#include <vector>

#include <blip/backend/reference/reference.hpp>
#include <blip/core/tokens.hpp>

using namespace blip;
using B = Reference<double>;

TEST_CASE("tokens know their rows, size and items") {
    std::vector<double> values(2 * 3 * 4);
    std::iota(values.begin(), values.end(), 0.0);
    Tokens<4, B> const x{values.data(), 2, 3};
    CHECK((x.rows() == 6 && x.size() == 24 && x.width == 4));
    auto const second = x.items(1, 1);
    CHECK((second.data[0] == 12 && second.batch == 1 && second.length == 3));
}

TEST_CASE("matrices view tokens in place") {
    std::vector<double> values(2 * 3 * 4);
    std::iota(values.begin(), values.end(), 0.0);
    Tokens<4, B> const x{values.data(), 2, 3};
    auto const all = matrix(x);
    CHECK((all.rows == 6 && all.columns == 4 && all.stride == 4 && all.data == x.data));
    auto const middle = columns(x, 1, 2);
    CHECK((middle.rows == 6 && middle.columns == 2 && middle.stride == 4));
    CHECK(middle.data[5 * middle.stride + 1] == 22);
}

TEST_CASE("sizes beyond 2³¹ do not overflow") {
    Tokens<30524, B> const logits{nullptr, 1000, 512};
    CHECK(logits.size() == std::ptrdiff_t{30524} * 512000);
}
