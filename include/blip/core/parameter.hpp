#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace blip {

/// How the numbers of a product's weight lie in memory.
enum class Layout : std::int64_t {
    rows,  ///< row-major [Out, In], as every checkpoint stores it; gradients and moments always
    panels ///< as the backend's products like to read it; made once when a model is loaded
};

/// A bias, scale or table: a view of `Dims...` numbers in a flat buffer.
template <class B, int... Dims>
struct Parameter {
    using backend = B;
    using scalar = typename B::scalar;
    static constexpr std::array<int, sizeof...(Dims)> shape{Dims...};
    static constexpr std::ptrdiff_t size = (std::ptrdiff_t{1} * ... * Dims);

    scalar* data = nullptr;
};

/// The same with sizes known at run time only, as backends take it.
template <class B>
struct WeightView {
    typename B::scalar* data = nullptr;
    int out = 0;
    int in = 0;
    Layout layout = Layout::rows;
};

/// The matrix of a product x Wᵀ: [Out, In], kept in either layout.
template <class B, int Out, int In>
struct Weight {
    using backend = B;
    using scalar = typename B::scalar;
    static constexpr std::array<int, 2> shape{Out, In};
    static constexpr std::ptrdiff_t size = std::ptrdiff_t{Out} * In;

    scalar* data = nullptr;
    Layout layout = Layout::rows;

    WeightView<B> view() const { return {data, Out, In, layout}; }
};

template <class P>
inline constexpr bool is_weight = false;
template <class B, int Out, int In>
inline constexpr bool is_weight<Weight<B, Out, In>> = true;

template <class P>
inline constexpr bool is_parameter = is_weight<P>;
template <class B, int... Dims>
inline constexpr bool is_parameter<Parameter<B, Dims...>> = true;

/// Any parameter by its path, with a shape known at run time only: for code that treats all of them
/// alike and is to be compiled once, not once for every type.
template <class B>
struct NamedParameter {
    std::string path;
    typename B::scalar* data = nullptr;
    std::span<int const> shape;
    std::ptrdiff_t size = 0;
    bool is_weight = false; ///< of a product, in `layout`
    Layout layout = Layout::rows;

    WeightView<B> view() const { return {data, shape[0], shape[1], layout}; }
};

} // namespace blip
