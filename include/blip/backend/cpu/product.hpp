#pragma once

#include <algorithm>
#include <cstddef>

#include <blip/backend/cpu/activation.hpp>
#include <blip/backend/cpu/engine.hpp>
#include <blip/backend/cpu/pack.hpp>
#include <blip/backend/cpu/tile.hpp>

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

/// Result of a product, and what happens to it while it is still in the cache: with s the sums,
/// begun as `start` says, u = s, y = activation(s) + residual.
struct Result {
    float* data = nullptr;
    std::size_t stride = 0;
    Start start = Start::zero;
    float const* bias = nullptr;
    Activation activation = Activation::none;
    float* before_activation = nullptr; ///< receives u where it is not null
    std::size_t before_stride = 0;
    float const* residual = nullptr; ///< must not be the result itself (that is Start::result)
    std::size_t residual_stride = 0;
};

namespace detail {

/// How a product is cut into parts, each of which computes its own rows and columns completely.
struct Split {
    std::size_t rows = 1;   ///< parts of the rows
    std::size_t panels = 1; ///< parts of the panels
};

inline constexpr std::size_t most_rows = 42 * tile_rows; ///< of a left block that is copied

/// Chooses the cut whose slowest part takes least time, counting what each part packs for itself.
inline Split choose_split(std::size_t threads, std::size_t rows, std::size_t panels,
                          RightOrder order) {
    std::size_t const tiles = (rows + tile_rows - 1) / tile_rows;
    Split best;
    double least = -1;
    for (std::size_t r = 1; r <= std::min(tiles, threads); ++r) {
        // Twice as many parts as threads evens out cores that are not free all the time.
        for (std::size_t parts : {threads, 2 * threads}) {
            std::size_t const c = std::clamp<std::size_t>(parts / r, 1, panels);
            // Whole tiles, panels and rounds. NOLINTBEGIN(bugprone-integer-division)
            auto const part_rows = static_cast<double>((tiles + r - 1) / r * tile_rows);
            auto const part_columns = static_cast<double>((panels + c - 1) / c * panel_width);
            auto const rounds = static_cast<double>((r * c + threads - 1) / threads);
            // NOLINTEND(bugprone-integer-division)
            double const pack = part_rows * 6 + (order == RightOrder::panels ? part_columns * 0.5
                                                                             : part_columns * 6);
            double const time = rounds * (part_rows * part_columns + pack);
            if (least < 0 || time < least) {
                least = time;
                best = {r, c};
            }
        }
    }
    return best;
}

/// Applies what follows the sums to rows x columns of the result at (row, column).
inline void finish(Result const& y, std::size_t row, std::size_t rows, std::size_t column,
                   std::size_t columns) {
    for (std::size_t r = row; r < row + rows; ++r) {
        float* const to = y.data + r * y.stride + column;
        for (std::size_t j = 0; j < columns; j += lanes) {
            Mask const mask = first_lanes(columns - j);
            Floats value = load(to + j, mask);
            if (y.before_activation != nullptr)
                store(y.before_activation + r * y.before_stride + column + j, value, mask);
            value = activate(y.activation, value);
            if (y.residual != nullptr)
                value = value + load(y.residual + r * y.residual_stride + column + j, mask);
            store(to + j, value, mask);
        }
    }
}

/// Sizes common to all parts of one product.
struct Product {
    Left left;
    Right right;
    Result result;
    std::size_t columns;
    std::size_t depth;
    bool copy_left;
    bool finishes;
};

/// Rows up to which a product is as slow as the reading of its weights: panels then pass one after
/// another, whole, in the order in which they lie in memory.
inline constexpr std::size_t streaming_rows = 4 * tile_rows;

/// Depths multiplied in one go: so many that a product of width 768 writes its sums once, and few
/// enough that a tile of left rows is still near when the next panel passes.
inline std::size_t block_depth(std::size_t rows, std::size_t depth) {
    std::size_t const most = rows <= streaming_rows ? 4096 : 800;
    std::size_t const blocks = std::max<std::size_t>(1, (depth + most - 1) / most);
    return std::max<std::size_t>(1, (depth + blocks - 1) / blocks);
}

/// Depths of panels that stay in the second cache while all left rows pass.
inline constexpr std::size_t group_depth = 3072;

/// Puts the columns from panel n on into a task.
inline void place(TileTask& task, Product const& p, std::size_t n, std::size_t row) {
    std::size_t const column = n * panel_width;
    task.columns = p.columns - column;
    task.c = p.result.data + row * p.result.stride + column;
    task.bias = p.result.bias == nullptr ? nullptr : p.result.bias + column;
}

/// Few rows times panels [panel, last): the weights stream past once, in whole panels.
inline void multiply_few(Scratch& scratch, Product const& p, std::size_t row, std::size_t rows,
                         std::size_t panel, std::size_t last) {
    constexpr std::size_t most_panels = few_vectors * lanes / panel_width;
    bool const pack_right = p.right.order != RightOrder::panels;
    std::size_t const left_size = p.copy_left ? rows * left_stride(p.depth) : 0;
    auto const loan =
        scratch.borrow(left_size + (pack_right ? most_panels * p.depth * panel_width : 0) + 1);
    float* const right = loan.data() + left_size;
    TileTask task{};
    task.depth = p.depth;
    task.a = p.left.data + row * p.left.stride;
    task.a_stride = p.left.stride;
    if (p.copy_left) {
        pack_left(p.left, row, rows, 0, p.depth, loan.data());
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
            for (std::size_t i = 0; i < wide; ++i)
                pack_block(p.right, p.columns, (n + i) * panel_width, 0, p.depth,
                           right + i * task.b_next);
        }
        place(task, p, n, row);
        if (wide == most_panels)
            few_tiles[rows - 1](task);
        else
            multiply_rows(task, rows);
        if (p.finishes)
            finish(p.result, row, rows, n * panel_width,
                   std::min(wide * panel_width, task.columns));
        n += wide;
    }
}

/// Rows [row, row + rows) of panels [panel, last), complete.
inline void multiply_part(Scratch& scratch, Product const& p, std::size_t row, std::size_t rows,
                          std::size_t panel, std::size_t last) {
    if (rows <= few_rows)
        return multiply_few(scratch, p, row, rows, panel, last);
    std::size_t const block = block_depth(rows, p.depth);
    std::size_t const most_panels =
        rows <= streaming_rows ? 1 : std::max<std::size_t>(1, group_depth / block);
    std::size_t const groups = (last - panel + most_panels - 1) / most_panels;
    bool const pack_right = p.right.order != RightOrder::panels;
    std::size_t const chunks = (rows + most_rows - 1) / most_rows;
    std::size_t const chunk_rows = (rows + chunks - 1) / chunks;
    std::size_t const left_size = p.copy_left ? chunk_rows * left_stride(block) : 0;
    std::size_t const right_size =
        pack_right ? std::min(most_panels, last - panel) * block * panel_width : 0;
    auto const loan = scratch.borrow(left_size + right_size + 1);
    float* const left = loan.data();
    float* const right = left + left_size;

    for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
        std::size_t const begin_row = row + rows * chunk / chunks;
        std::size_t const height = row + rows * (chunk + 1) / chunks - begin_row;
        std::size_t const tiles = (height + tile_rows - 1) / tile_rows;
        for (std::size_t k = 0; k < p.depth || k == 0; k += block) {
            TileTask task{};
            task.depth = std::min(block, p.depth - k);
            float const* a = p.left.data + begin_row * p.left.stride + k;
            task.a_stride = p.left.stride;
            if (p.copy_left) {
                pack_left(p.left, begin_row, height, k, task.depth, left);
                a = left;
                task.a_stride = left_stride(task.depth);
            }
            task.c_stride = p.result.stride;
            task.start = k == 0 ? p.result.start : Start::result;
            bool const ends = k + block >= p.depth;
            for (std::size_t group = 0; group < groups; ++group) {
                std::size_t const first = panel + (last - panel) * group / groups;
                std::size_t const end = panel + (last - panel) * (group + 1) / groups;
                float const* b = p.right.data + first * p.depth * panel_width + k * panel_width;
                task.b_next = p.depth * panel_width;
                if (pack_right) {
                    b = right;
                    task.b_next = task.depth * panel_width;
                    for (std::size_t n = first; n < end; ++n)
                        pack_block(p.right, p.columns, n * panel_width, k, task.depth,
                                   right + (n - first) * task.b_next);
                }
                for (std::size_t tile = 0; tile < tiles; ++tile) {
                    // Heights differ by one at most: a last tile of two rows would waste most of
                    // its time.
                    std::size_t const top = height * tile / tiles;
                    std::size_t const bottom = height * (tile + 1) / tiles;
                    task.a = a + top * task.a_stride;
                    for (std::size_t n = first; n < end; ++n) {
                        task.b = b + (n - first) * task.b_next;
                        place(task, p, n, begin_row + top);
                        multiply_tile_rows(task, bottom - top, n + 1 < end && k > 0);
                    }
                    if (ends && p.finishes)
                        finish(p.result, begin_row + top, bottom - top, first * panel_width,
                               std::min(p.columns, end * panel_width) - first * panel_width);
                }
            }
        }
    }
}

} // namespace detail

/// y [rows, columns] = left [rows, depth] right [depth, columns], with what `y` asks for. Every sum
/// is one chain over the depth: neither the number of rows nor of threads changes a bit.
inline void multiply(Engine& engine, std::size_t rows, std::size_t columns, std::size_t depth,
                     Left left, Right right, Result const& y) {
    if (rows == 0 || columns == 0)
        return;
    detail::Product product{left, right, y, columns, depth, false, false};
    product.copy_left = left.order == LeftOrder::depth_rows || rows > few_rows;
    product.finishes =
        y.activation != Activation::none || y.before_activation != nullptr || y.residual != nullptr;
    std::size_t const panels = panel_count(columns);
    Scratch& scratch = engine.scratch();
    // Below this many operations waking other threads costs more than it saves.
    bool const small =
        static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(depth) < 3e4;
    if (small || engine.threads() == 1) {
        detail::multiply_part(scratch, product, 0, rows, 0, panels);
        return;
    }
    detail::Split split;
    if (rows <= detail::streaming_rows)
        split.panels = std::min(panels, engine.threads() * (panels >= 64 ? 4 : 1));
    else
        split = detail::choose_split(engine.threads(), rows, panels, right.order);
    std::size_t const tiles = (rows + tile_rows - 1) / tile_rows;
    engine.parallel_for(split.rows * split.panels, [&](std::size_t part) {
        std::size_t const r = part / split.panels;
        std::size_t const c = part % split.panels;
        // Whole tiles to every part, as far as there are any.
        std::size_t const begin = rows * (tiles * r / split.rows) / tiles;
        std::size_t const end = rows * (tiles * (r + 1) / split.rows) / tiles;
        detail::multiply_part(scratch, product, begin, end - begin, panels * c / split.panels,
                              panels * (c + 1) / split.panels);
    });
}

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
