#pragma once

#include <cstddef>
#include <span>

#include <blip/backend/cpu/dot_products.hpp>

/// What the host computes, whatever backend made the numbers.
namespace blip::host {

/// out[q * stride + r] = rows[r] · queries[q]; rows [count, width], queries [n, width]. The bits of
/// a product depend on nothing but its two vectors.
inline void dot_products(float const* rows, std::size_t count, std::span<float const> queries,
                         std::size_t width, float* out, std::size_t stride) {
    cpu::dot_products(rows, count, queries, width, out, stride);
}

} // namespace blip::host
