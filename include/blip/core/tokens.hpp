#pragma once

#include <cstddef>

namespace blip {

/// `batch` sequences of `length` rows of `Width` numbers, contiguous: [batch, length, Width]. A
/// view: it owns nothing, and lives as long as the arena mark it was taken under. The width is part
/// of the type because a checkpoint fixes it; batch and length belong to the request.
template <int Width, class B>
struct Tokens {
    using backend = B;
    using scalar = typename B::scalar;
    static constexpr int width = Width;

    scalar* data = nullptr;
    int batch = 0;
    int length = 0;

    std::ptrdiff_t rows() const { return std::ptrdiff_t{batch} * length; }
    std::ptrdiff_t size() const { return rows() * Width; }

    /// Sequences `first` to `first + count - 1`.
    Tokens items(int first, int count) const {
        return {data + std::ptrdiff_t{first} * length * Width, count, length};
    }
};

/// Rows of numbers with a stride, sizes known at run time only: what backends compute on.
/// Element (r, c) is data[r * stride + c].
template <class B>
struct Matrix {
    typename B::scalar* data = nullptr;
    std::ptrdiff_t rows = 0;
    int columns = 0;
    std::ptrdiff_t stride = 0;
};

/// All rows of `x` under one another: [batch * length, Width].
template <int Width, class B>
Matrix<B> matrix(Tokens<Width, B> x) {
    return {x.data, x.rows(), Width, Width};
}

/// Columns `first` to `first + count - 1` of every row of `x`.
template <int Width, class B>
Matrix<B> columns(Tokens<Width, B> x, int first, int count) {
    return {x.data + first, x.rows(), count, Width};
}

} // namespace blip
