#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <numeric>
#include <optional>
#include <vector>

#include <blip/backend/cpu/memory.hpp>
#include <blip/backend/cpu/pack.hpp>
#include <blip/backend/cpu/product_task.hpp>
#include <blip/backend/cpu/tile.hpp>

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

namespace detail {

/// How a product is cut into shares, each of which has rows and columns of its own.
struct Split {
    std::size_t rows = 1;   ///< runs of rows
    std::size_t panels = 1; ///< runs of panels
};

/// Whether the rows of a tile may be read where they lie: not where their distance is such a
/// multiple of 2 or 4 KB that their numbers of one depth crowd the same few places of the
/// first-level cache.
inline bool lies_well(Left left) {
    constexpr std::size_t cache_way = 1024; // floats
    std::size_t const places = cache_way / std::gcd(left.stride, cache_way);
    return left.order == LeftOrder::rows && tile_rows <= 4 * places;
}

/// Chooses the cut into one share a thread whose largest takes least time, counting what several
/// shares do each for itself. In products: `copying` for a number that is copied, twice that where
/// it is transposed, less where it is only read from far.
inline Split choose_split(std::size_t threads, std::size_t rows, std::size_t panels, Left left,
                          Right right) {
    constexpr double copying = 7;
    double const left_cost = lies_well(left)                 ? 3
                             : left.order == LeftOrder::rows ? copying
                                                             : 2 * copying;
    double const right_cost = right.order == RightOrder::panels       ? 0.5
                              : right.order == RightOrder::depth_rows ? copying
                                                                      : 2 * copying;
    std::size_t const tiles = (rows + tile_rows - 1) / tile_rows;
    Split best;
    double least = -1;
    for (std::size_t r = 1; r <= std::min(tiles, threads); ++r) {
        std::size_t const c = std::clamp<std::size_t>(threads / r, 1, panels);
        // Whole tiles and panels. NOLINTBEGIN(bugprone-integer-division)
        auto const share_rows = static_cast<double>((tiles + r - 1) / r * tile_rows);
        auto const share_columns = static_cast<double>((panels + c - 1) / c * panel_width);
        // NOLINTEND(bugprone-integer-division)
        double const time =
            share_rows * share_columns + share_rows * left_cost + share_columns * right_cost;
        if (least < 0 || time < least) {
            least = time;
            best = {r, c};
        }
    }
    return best;
}

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

/// Rows and columns of a product that one thread computes, a block of rows and depths at a time.
/// Of the last block others may take panels when they have none.
struct Share {
    std::size_t first_row = 0, last_row = 0;
    std::size_t first_panel = 0, last_panel = 0;

    // The block at hand.
    std::size_t row = 0, rows = 0;
    std::size_t depth = 0, depths = 0;
    float const* left = nullptr;
    std::size_t left_stride = 0;
    std::optional<Scratch::Loan> copy;
    std::atomic<bool> last_block{false};
    std::atomic<std::size_t> next{0}; ///< first panel of the last block that nobody has taken
};

/// The block at hand times panels [first, end); `packed` has room for them.
inline void multiply_panels(Product const& p, Share const& share, std::size_t first,
                            std::size_t end, float* packed) {
    TileTask task{};
    task.depth = share.depths;
    task.a_stride = share.left_stride;
    task.c_stride = p.result.stride;
    task.start = share.depth == 0 ? p.result.start : Start::result;
    float const* b = p.right.data + (first * p.depth + share.depth) * panel_width;
    task.b_next = p.depth * panel_width;
    if (p.right.order != RightOrder::panels) {
        b = packed;
        task.b_next = share.depths * panel_width;
        pack_group(p.right, p.columns, first, end, share.depth, share.depths, packed);
    }
    bool const ends = p.finishes && share.depth + share.depths == p.depth;
    std::size_t const tiles = (share.rows + tile_rows - 1) / tile_rows;
    for (std::size_t tile = 0; tile < tiles; ++tile) {
        // Heights differ by one at most: a last tile of two rows would waste most of its time.
        std::size_t const row = share.rows * tile / tiles;
        std::size_t const rows = share.rows * (tile + 1) / tiles - row;
        task.a = share.left + row * task.a_stride;
        for (std::size_t n = first; n < end; ++n) {
            task.b = b + (n - first) * task.b_next;
            place(task, p, n, share.row + row);
            multiply_tile_rows(task, rows, n + 1 < end && share.depth > 0);
        }
        if (ends)
            finish(p.result, share.row + row, rows, first * panel_width,
                   std::min(p.columns, end * panel_width) - first * panel_width);
    }
}

/// A product of many rows, in at most as many shares as threads take part. Whoever calls `compute`
/// for every share, in whatever threads and order, has all of it; std::bad_alloc leaves it undone.
class ManyRows {
public:
    ManyRows(std::size_t threads, Product const& p, std::size_t rows)
        : p_(p), block_(block_depth(rows, p.depth)), copies_(p.depth > 0 && !lies_well(p.left)),
          most_(rows <= streaming_rows ? 1 : std::max<std::size_t>(1, group_depth / block_)) {
        std::size_t const panels = panel_count(p.columns);
        Split split;
        if (rows <= streaming_rows)
            split.panels = std::min(panels, threads);
        else
            split = choose_split(threads, rows, panels, p.left, p.right);
        std::size_t const tiles = (rows + tile_rows - 1) / tile_rows;
        shares_ = std::vector<Share>(split.rows * split.panels);
        for (std::size_t i = 0; i < shares_.size(); ++i) {
            std::size_t const r = i / split.panels;
            std::size_t const c = i % split.panels;
            // Whole tiles to every share, as far as there are any.
            shares_[i].first_row = rows * (tiles * r / split.rows) / tiles;
            shares_[i].last_row = rows * (tiles * (r + 1) / split.rows) / tiles;
            shares_[i].first_panel = panels * c / split.panels;
            shares_[i].last_panel = panels * (c + 1) / split.panels;
        }
    }

    std::size_t shares() const { return shares_.size(); }

    /// Computes share `own`, then helps with the others.
    void compute(Scratch& scratch, std::size_t own) {
        std::optional<Scratch::Loan> loan;
        if (p_.right.order != RightOrder::panels)
            loan.emplace(scratch.borrow(most_ * block_ * panel_width));
        float* const packed = loan ? loan->data() : nullptr;
        compute_up_to_last_block(scratch, shares_[own], packed);
        // Others may have come to their last block meanwhile.
        for (bool helped = true; helped;) {
            helped = false;
            for (std::size_t i = 0; i < shares_.size(); ++i)
                if (Share& share = shares_[(own + i) % shares_.size()];
                    share.last_block.load(std::memory_order_acquire))
                    helped = take_panels(share, packed) || helped;
        }
    }

private:
    /// Rows copied at a time: a block of them stays in the second cache or near it.
    static constexpr std::size_t most_rows = 42 * tile_rows;

    /// Computes a share up to its last block, which it opens for everyone.
    void compute_up_to_last_block(Scratch& scratch, Share& share, float* packed) {
        std::size_t const height = share.last_row - share.first_row;
        std::size_t const chunks = (height + most_rows - 1) / most_rows;
        std::size_t const chunk_rows = (height + chunks - 1) / chunks;
        if (copies_)
            share.copy.emplace(scratch.borrow(chunk_rows * left_stride(block_) + 1));
        std::size_t const steps = std::max<std::size_t>(1, (p_.depth + block_ - 1) / block_);
        for (std::size_t block = 0;; ++block) {
            std::size_t const chunk = block / steps;
            share.row = share.first_row + height * chunk / chunks;
            share.rows = share.first_row + height * (chunk + 1) / chunks - share.row;
            share.depth = block % steps * block_;
            share.depths = std::min(block_, p_.depth - share.depth);
            if (copies_) {
                pack_left(p_.left, share.row, share.rows, share.depth, share.depths,
                          share.copy->data());
                share.left = share.copy->data();
                share.left_stride = left_stride(share.depths);
            } else {
                share.left = p_.left.data + share.row * p_.left.stride + share.depth;
                share.left_stride = p_.left.stride;
            }
            if (block + 1 == chunks * steps)
                break;
            for (std::size_t n = share.first_panel; n < share.last_panel; n += most_)
                multiply_panels(p_, share, n, std::min(n + most_, share.last_panel), packed);
        }
        share.next.store(share.first_panel, std::memory_order_relaxed);
        share.last_block.store(true, std::memory_order_release);
    }

    /// Takes panels of a last block until none are left; towards the end fewer at a time, so that a
    /// core that is not free all the time keeps nobody waiting for long. Gives whether it took any.
    bool take_panels(Share& share, float* packed) {
        bool const alone = shares_.size() == 1;
        bool took = false;
        std::size_t first = share.next.load(std::memory_order_relaxed);
        while (first < share.last_panel) {
            std::size_t const left = share.last_panel - first;
            std::size_t const wide =
                std::min(most_, alone ? left : std::max<std::size_t>(1, left / 2));
            if (!share.next.compare_exchange_weak(first, first + wide, std::memory_order_relaxed))
                continue;
            multiply_panels(p_, share, first, first + wide, packed);
            took = true;
            first = share.next.load(std::memory_order_relaxed);
        }
        return took;
    }

    Product const& p_;
    std::size_t block_; ///< depths multiplied in one go
    bool copies_;       ///< whether left rows are copied
    std::size_t most_;  ///< panels that meet a tile one after the other
    std::vector<Share> shares_;
};

} // namespace detail

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
