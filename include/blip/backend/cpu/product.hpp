#pragma once

#include <algorithm>
#include <cstddef>

#include <blip/backend/cpu/engine.hpp>
#include <blip/backend/cpu/few_rows.hpp>
#include <blip/backend/cpu/many_rows.hpp>
#include <blip/backend/cpu/pack.hpp>
#include <blip/backend/cpu/product_task.hpp>
#include <blip/backend/cpu/tile.hpp>

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

/// y [rows, columns] = left [rows, depth] right [depth, columns], with what `y` asks for. Every sum
/// is one chain over the depth: neither the number of rows nor of threads changes a bit.
inline void multiply(Engine& engine, std::size_t rows, std::size_t columns, std::size_t depth,
                     Left left, Right right, Result const& y) {
    if (rows == 0 || columns == 0)
        return;
    detail::Product product{left, right, y, columns, depth, false};
    product.finishes =
        y.activation != Activation::none || y.before_activation != nullptr || y.residual != nullptr;
    // Below this many operations waking other threads costs more than it saves, and where the pool
    // is busy this thread is alone anyway.
    bool const small =
        static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(depth) < 3e4;
    std::size_t const threads = small || engine.busy() ? 1 : engine.threads();
    if (rows > few_rows) {
        detail::ManyRows many(threads, product, rows);
        return engine.parallel_for(
            many.shares(), [&](std::size_t share) { many.compute(engine.scratch(), share); });
    }
    std::size_t const panels = panel_count(columns);
    std::size_t const parts = threads == 1 ? 1 : std::min(panels, threads * (panels >= 64 ? 4 : 1));
    engine.parallel_for(parts, [&](std::size_t part) {
        detail::multiply_few(engine.scratch(), product, rows, panels * part / parts,
                             panels * (part + 1) / parts);
    });
}

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
