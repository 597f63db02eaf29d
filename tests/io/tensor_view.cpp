#include <blip/io/tensor_view.hpp>

#include "io/files.hpp"
#include "support/catch.hpp"

#include <cmath>
#include <limits>
#include <numeric>

using namespace blip;
using namespace blip::test;

namespace {

template <class T>
TensorView view_of(std::vector<T> const& elements, std::vector<std::int64_t> shape,
                   std::vector<std::int64_t> strides, std::int64_t offset = 0) {
    return {.name = "tensor",
            .type = data_type_of<T>(),
            .shape = std::move(shape),
            .strides = std::move(strides),
            .storage = std::as_bytes(std::span(elements)),
            .offset = offset};
}

constexpr std::int64_t huge = std::int64_t{1} << 60;

} // namespace

TEST_CASE("strided views are read in row-major order") {
    std::vector<float> stored(24);
    std::iota(stored.begin(), stored.end(), 0.0f);
    CHECK(view_of(stored, {2, 3}, {1, 2}).values<double>() ==
          std::vector<double>{0, 2, 4, 1, 3, 5});
    CHECK(view_of(stored, {2, 2, 2}, {12, 4, 1}, 3).values<double>() ==
          std::vector<double>{3, 4, 7, 8, 15, 16, 19, 20});
    CHECK(view_of(stored, {2, 3}, {0, 0}, 5).values<std::int64_t>() ==
          std::vector<std::int64_t>(6, 5));
    CHECK(view_of(stored, {}, {}, 7).values<double>() == std::vector<double>{7});
    CHECK(view_of(stored, {3, 0}, {1, 1}).values<double>().empty());
}

TEST_CASE("elements are used in place only where that is possible") {
    std::vector<float> stored(12, 1.5f);
    auto const whole = view_of(stored, {3, 4}, {4, 1});
    REQUIRE(whole.direct<float>());
    CHECK(whole.direct<float>()->data() == stored.data());
    CHECK(whole.direct<float>()->size() == 12);
    CHECK(view_of(stored, {2, 4}, {4, 1}, 4).direct<float>()->data() == stored.data() + 4);
    CHECK(view_of(stored, {1, 4}, {99, 1}).is_contiguous());
    CHECK_FALSE(view_of(stored, {4, 3}, {1, 4}).is_contiguous());
    CHECK_FALSE(view_of(stored, {4, 3}, {1, 4}).direct<float>());
    CHECK_FALSE(whole.direct<double>());
    CHECK_THROWS_AS(view_of(stored, {4, 3}, {1, 4}).contiguous_bytes(), ArgumentError);

    auto unaligned = whole;
    std::vector<std::byte> shifted(stored.size() * sizeof(float) + 1);
    std::memcpy(shifted.data() + 1, stored.data(), stored.size() * sizeof(float));
    unaligned.storage = std::span<std::byte const>(shifted).subspan(1);
    CHECK_FALSE(unaligned.direct<float>());
    CHECK(unaligned.values<float>() == stored);
    CHECK(unaligned.values<double>() == std::vector<double>(12, 1.5));
}

TEST_CASE("every element type converts") {
    auto const check = [](DataType type, std::string const& bytes, double expected) {
        TensorView const view{"x", type, {1}, {1}, bytes_of(bytes), 0};
        CHECK(view.values<double>() == std::vector<double>{expected});
        CHECK(view.values<float>() == std::vector<float>{static_cast<float>(expected)});
        if (std::trunc(expected) == expected)
            CHECK(view.values<std::int64_t>()[0] == static_cast<std::int64_t>(expected));
        CHECK(size_of(type) == static_cast<std::int64_t>(bytes.size()));
    };
    check(DataType::f64, little_endian(-0.375), -0.375);
    check(DataType::f32, little_endian(3.0f), 3);
    check(DataType::f16, little_endian(std::uint16_t{0xC100}), -2.5);
    check(DataType::bf16, little_endian(std::uint16_t{0x4049}), 3.140625);
    check(DataType::i64, little_endian(std::int64_t{-9}), -9);
    check(DataType::i32, little_endian(std::int32_t{-70000}), -70000);
    check(DataType::i16, little_endian(std::int16_t{-300}), -300);
    check(DataType::i8, little_endian(std::int8_t{-128}), -128);
    check(DataType::u8, little_endian(std::uint8_t{255}), 255);
    check(DataType::boolean, little_endian(std::uint8_t{1}), 1);
    check(DataType::boolean, little_endian(std::uint8_t{7}), 1);
}

TEST_CASE("floating-point elements become integers only without loss") {
    for (double const value :
         {0.5, std::nan(""), 0x1p63, -0x1.8p63, std::numeric_limits<double>::infinity()}) {
        std::vector<double> const stored{value};
        CHECK_THROWS_AS(view_of(stored, {1}, {1}).values<std::int64_t>(), FormatError);
    }
    std::vector<double> const lowest{-0x1p63};
    CHECK(view_of(lowest, {1}, {1}).values<std::int64_t>()[0] ==
          std::numeric_limits<std::int64_t>::min());
}

TEST_CASE("a destination of another size is refused") {
    std::vector<float> const stored(6);
    std::vector<float> out(5);
    CHECK_THROWS_AS(view_of(stored, {6}, {1}).copy_to(std::span(out)), ArgumentError);
}

TEST_CASE("counts do not overflow") {
    CHECK(checked_count(std::vector<std::int64_t>{}) == 1);
    CHECK(checked_count(std::vector<std::int64_t>{2, 3, 4}) == 24);
    CHECK(checked_count(std::vector<std::int64_t>{huge, huge, 0}) == 0);
    CHECK_FALSE(checked_count(std::vector<std::int64_t>{huge, 8}));
    CHECK_FALSE(checked_count(std::vector<std::int64_t>{3, -1}));
    CHECK(contiguous_strides(std::vector<std::int64_t>{0, huge, huge}).size() == 3);
    CHECK(contiguous_strides(std::vector<std::int64_t>{2, 3, 4}) ==
          std::vector<std::int64_t>{12, 4, 1});
}

TEST_CASE("views that leave their storage are refused") {
    std::vector<float> const stored(12);
    auto const check = [&](std::vector<std::int64_t> shape, std::vector<std::int64_t> strides,
                           std::int64_t offset = 0) {
        check_tensor_bounds(view_of(stored, std::move(shape), std::move(strides), offset), 12,
                            "file");
    };
    CHECK_NOTHROW(check({3, 4}, {4, 1}));
    CHECK_NOTHROW(check({12}, {1}));
    CHECK_NOTHROW(check({1}, {huge}, 11));
    CHECK_NOTHROW(check({0}, {1}, 12));
    CHECK_NOTHROW(check({1000, 2}, {0, 1}));
    CHECK_THROWS_AS(check({12}, {1}, 1), FormatError);
    CHECK_THROWS_AS(check({}, {}, 12), FormatError);
    CHECK_THROWS_AS(check({1}, {1}, -1), FormatError);
    CHECK_THROWS_AS(check({0}, {1}, 13), FormatError);
    CHECK_THROWS_AS(check({2}, {12}), FormatError);
    CHECK_THROWS_AS(check({2}, {-1}, 5), FormatError);
    CHECK_THROWS_AS(check({3}, {huge * 4}), FormatError);
    CHECK_THROWS_AS(check({huge, huge}, {0, 0}), FormatError);
    CHECK_THROWS_AS(check({2, 2}, {1}), FormatError);
    CHECK_THROWS_AS(check({huge - 1}, {0}), LimitError);
}
