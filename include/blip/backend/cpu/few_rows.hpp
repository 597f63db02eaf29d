#pragma once

#include <algorithm>
#include <cstddef>

#include <blip/backend/cpu/memory.hpp>
#include <blip/backend/cpu/pack.hpp>
#include <blip/backend/cpu/product_task.hpp>
#include <blip/backend/cpu/tile.hpp>

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

namespace detail {

/// Few rows times panels [panel, last): the weights stream past once, in whole panels.
inline void multiply_few(Scratch& scratch, Product const& p, std::size_t rows, std::size_t panel,
                         std::size_t last) {
    constexpr std::size_t most_panels = few_vectors * lanes / panel_width;
    bool const pack_right = p.right.order != RightOrder::panels;
    bool const copy_left = p.left.order != LeftOrder::rows;
    std::size_t const left_size = copy_left ? rows * left_stride(p.depth) : 0;
    auto const loan =
        scratch.borrow(left_size + (pack_right ? most_panels * p.depth * panel_width : 0) + 1);
    float* const right = loan.data() + left_size;
    TileTask task{};
    task.depth = p.depth;
    task.a = p.left.data;
    task.a_stride = p.left.stride;
    if (copy_left) {
        pack_left(p.left, 0, rows, 0, p.depth, loan.data());
        task.a = loan.data();
        task.a_stride = left_stride(p.depth);
    }
    task.b_next = p.depth * panel_width;
    task.c_stride = p.result.stride;
    task.start = p.result.start;
    for (std::size_t n = panel; n < last;) {
        std::size_t const wide = std::min(most_panels, last - n);
        task.b = p.right.data + n * task.b_next;
        if (pack_right) {
            task.b = right;
            pack_group(p.right, p.columns, n, n + wide, 0, p.depth, right);
        }
        place(task, p, n, 0);
        if (wide == most_panels)
            few_tiles[rows - 1](task);
        else
            multiply_rows(task, rows);
        if (p.finishes)
            finish(p.result, 0, rows, n * panel_width, std::min(wide * panel_width, task.columns));
        n += wide;
    }
}

} // namespace detail

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
