#include <support/catch.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <blip/backend/cpu/dot_products.hpp>
#include <blip/core/random.hpp>

using namespace blip;

namespace {

/// `count` numbers that end where their memory does, for the sanitizer to watch.
std::unique_ptr<float[]> numbers(std::size_t count, std::uint64_t stream) {
    auto values = std::make_unique<float[]>(count);
    for (std::size_t i = 0; i < count; ++i)
        values[i] = static_cast<float>(random_uniform({17, stream}, i) - 0.5);
    return values;
}

} // namespace

TEST_CASE("dot products are the same to the bit however many are computed together") {
    for (std::size_t const width : {1, 15, 16, 17, 37, 256})
        for (std::size_t const count : {1, 3, 4, 15, 16, 17, 33})
            for (std::size_t queries = 1; queries <= 9; ++queries) {
                auto const rows = numbers(count * width, 1);
                auto const others = numbers(queries * width, 2);
                std::span<float const> const all(others.get(), queries * width);
                std::size_t const stride = count + 2;
                std::vector<float> found(queries * stride, 5);
                cpu::dot_products(rows.get(), count, all, width, found.data(), stride);
                std::size_t unequal = 0, wrong = 0, touched = 0;
                for (std::size_t q = 0; q < queries; ++q) {
                    for (std::size_t r = 0; r < count; ++r) {
                        float alone = 0;
                        double exact = 0;
                        cpu::dot_products(rows.get() + r * width, 1, all.subspan(q * width, width),
                                          width, &alone, 1);
                        for (std::size_t k = 0; k < width; ++k)
                            exact += double{rows[r * width + k]} * double{all[q * width + k]};
                        float const product = found[q * stride + r];
                        unequal += product != alone ? 1 : 0;
                        wrong += std::abs(double{product} - exact) > 1e-5 ? 1 : 0;
                    }
                    touched += found[q * stride + count] != 5 ? 1 : 0;
                }
                INFO("width " << width << ", " << count << " rows, " << queries << " queries");
                CHECK(unequal == 0);
                CHECK(wrong == 0);
                CHECK(touched == 0);
            }
}
