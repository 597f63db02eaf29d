#include "support/catch.hpp"

#include <string>

#include "../../examples/support/progress.hpp"

TEST_CASE("the progress line tells counts, rate and time left") {
    using support::progress_line;
    CHECK(progress_line({.done = 30, .earlier = 10, .total = 100, .seconds = 40}, 200) ==
          "[" + std::string(9, '=') + std::string(21, ' ') + "] 30/100  0.50/s  2:20 left");
    CHECK(progress_line({.done = 3, .earlier = 0, .total = {}, .seconds = 0.1}, 80) == "3  30/s");
    CHECK(progress_line({.done = 0, .earlier = 0, .total = 7, .seconds = 0}, 10) == "0/7");
    for (std::size_t width : {5u, 20u, 30u, 50u, 80u})
        CHECK(progress_line({.done = 5, .earlier = 0, .total = 9, .seconds = 1}, width).size() <=
              width);
    CHECK(support::duration_text(59.6) == "1:00");
    CHECK(support::duration_text(3723) == "1:02:03");
}
