#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/backend/backend.hpp>
#include <blip/core/error.hpp>

namespace blip {

/// Self-attention keys and values of every token decoded so far, for every layer: one slot a token,
/// [layers, slots, 2 width] in backend memory. Which slots a row attends is a list, so reordering
/// beams moves indices, never numbers, and beams share the slots of their common past.
template <Backend B>
class KeyValueCache {
public:
    /// Room for `slots` tokens at a time. Throws std::bad_alloc or DeviceError.
    KeyValueCache(int layers, int slots, int width)
        : slots_(slots), width_(width), in_use_(static_cast<std::size_t>(slots), 0),
          memory_(B::allocate(sizeof(typename B::scalar) * static_cast<std::size_t>(layers) *
                              static_cast<std::size_t>(slots) * 2 *
                              static_cast<std::size_t>(width))) {}

    /// Slots that row r attends, oldest token first.
    std::vector<int> const& row(std::size_t r) const { return rows_[r]; }
    std::size_t rows() const { return rows_.size(); }

    /// Begins an empty row and returns its number.
    std::size_t add_row() {
        rows_.emplace_back();
        return rows_.size() - 1;
    }

    /// New row r continues old row parents[r]. Slots that no row attends any more become free.
    void reorder(std::span<int const> parents) {
        std::vector<std::vector<int>> next;
        next.reserve(parents.size());
        for (int parent : parents)
            next.push_back(rows_.at(static_cast<std::size_t>(parent)));
        rows_ = std::move(next);
        in_use_.assign(in_use_.size(), 0);
        for (auto const& row : rows_)
            for (int slot : row)
                in_use_[static_cast<std::size_t>(slot)] = 1;
        next_ = 0;
    }

    /// A free slot; the caller stores a token there and, if it may be attended, calls `append`.
    int take() {
        while (next_ < slots_ && in_use_[static_cast<std::size_t>(next_)])
            ++next_;
        if (next_ == slots_)
            throw LimitError(join("key/value cache: all ", slots_, " slots are in use"));
        in_use_[static_cast<std::size_t>(next_)] = 1;
        return next_++;
    }

    void append(std::size_t r, int slot) { rows_[r].push_back(slot); }

    /// Keys (part 0) or values (part 1) of one layer: row s is slot s.
    HeadRows<B> part(int layer, int which) const {
        auto const stride = std::ptrdiff_t{2} * width_;
        return {data(layer) + std::ptrdiff_t{which} * width_, 0, stride};
    }

    /// All slots of one layer, key | value.
    Matrix<B> slots(int layer) const {
        return {data(layer), slots_, 2 * width_, std::ptrdiff_t{2} * width_};
    }

private:
    typename B::scalar* data(int layer) const {
        auto* first = static_cast<typename B::scalar*>(
            const_cast<void*>(static_cast<void const*>(std::as_const(memory_).data())));
        return first + std::ptrdiff_t{layer} * slots_ * 2 * width_;
    }

    int slots_;
    int width_;
    int next_ = 0;
    std::vector<unsigned char> in_use_;
    std::vector<std::vector<int>> rows_;
    typename B::Memory memory_;
};

} // namespace blip
