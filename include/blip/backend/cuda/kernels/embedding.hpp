#pragma once

#include <cstddef>

#include <blip/backend/cuda/portable.hpp>

namespace blip::cuda {

/// y[r] = table[ids[r]] + position_table[positions[r]], a task a row.
template <class T>
struct Embed {
    int const* ids = nullptr;
    int const* positions = nullptr;
    T const* table = nullptr;
    T const* position_table = nullptr;
    T* y = nullptr;
    std::ptrdiff_t y_stride = 0;
    int columns = 0;

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t r) const {
        T const* token = table + std::ptrdiff_t{ids[r]} * columns;
        T const* position = position_table + std::ptrdiff_t{positions[r]} * columns;
        for (int c = group.rank(); c < columns; c += group.size())
            y[r * y_stride + c] = token[c] + position[c];
    }
};

/// table[ids[r]] += x[r], a task a row. The first row of each id adds all rows of that id in their
/// order: no atomics, so the same bits every time.
template <class T>
struct AddRows {
    int const* ids = nullptr;
    int ignored = -1; ///< rows of this id add nothing
    T const* x = nullptr;
    std::ptrdiff_t stride = 0;
    std::ptrdiff_t rows = 0;
    int columns = 0;
    T* table = nullptr;

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t r) const {
        int const id = ids[r];
        if (id == ignored)
            return;
        int earlier = 0;
        for (std::ptrdiff_t i = group.rank(); i < r; i += group.size())
            earlier |= ids[i] == id ? 1 : 0;
        if (group.max(earlier) != 0)
            return;
        for (int c = group.rank(); c < columns; c += group.size()) {
            T& slot = table[std::ptrdiff_t{id} * columns + c];
            T sum = slot;
            for (std::ptrdiff_t i = r; i < rows; ++i)
                if (ids[i] == id)
                    sum += x[i * stride + c];
            slot = sum;
        }
    }
};

/// Where a number of [n, patches, 3 patch²] lies in [n, 3, size, size].
struct PatchOrder {
    int size = 0;
    int patch = 0;

    BLIP_HOST_DEVICE std::ptrdiff_t pixel(std::ptrdiff_t entry) const {
        std::ptrdiff_t const grid = size / patch;
        std::ptrdiff_t const x = entry % patch;
        entry /= patch;
        std::ptrdiff_t const y = entry % patch;
        entry /= patch;
        std::ptrdiff_t const channel = entry % 3;
        entry /= 3;
        std::ptrdiff_t const column = entry % grid;
        entry /= grid;
        std::ptrdiff_t const row = entry % grid;
        std::ptrdiff_t const item = entry / grid;
        return ((item * 3 + channel) * size + row * patch + y) * size + column * patch + x;
    }
};

/// Copies pixels of images into rows of patches.
template <class T>
struct Patches {
    T const* images = nullptr;
    PatchOrder order{};
    T* rows = nullptr;

    BLIP_HOST_DEVICE void operator()(std::ptrdiff_t entry) const {
        rows[entry] = images[order.pixel(entry)];
    }
};

/// Copies rows of patches back to where their pixels lie.
template <class T>
struct PatchesBackward {
    T const* drows = nullptr;
    PatchOrder order{};
    T* dimages = nullptr;

    BLIP_HOST_DEVICE void operator()(std::ptrdiff_t entry) const {
        dimages[order.pixel(entry)] = drows[entry];
    }
};

/// y = [first; x] + positions, for element `index` of [n, length + 1, width].
template <class T>
struct Prepend {
    T const* x = nullptr;
    T const* first = nullptr;
    T const* positions = nullptr;
    int length = 0;
    int width = 0;
    T* y = nullptr;

    BLIP_HOST_DEVICE void operator()(std::ptrdiff_t index) const {
        std::ptrdiff_t const item_size = (std::ptrdiff_t{length} + 1) * width;
        std::ptrdiff_t const item = index / item_size, place = index - item * item_size;
        T const value = place < width ? first[place] : x[index - (item + 1) * width];
        y[index] = value + positions[place];
    }
};

/// Backward of `Prepend` for number `place` of [length + 1, width], over all items in their order:
/// dx is assigned, dfirst and dpositions are added to.
template <class T>
struct PrependBackward {
    T const* dy = nullptr;
    int count = 0;
    int length = 0;
    int width = 0;
    T* dx = nullptr;
    T* dfirst = nullptr;
    T* dpositions = nullptr;

    BLIP_HOST_DEVICE void operator()(std::ptrdiff_t place) const {
        std::ptrdiff_t const item_size = (std::ptrdiff_t{length} + 1) * width;
        bool const is_first = place < width;
        T position_sum = dpositions[place], first_sum = is_first ? dfirst[place] : T(0);
        for (std::ptrdiff_t item = 0; item < count; ++item) {
            std::ptrdiff_t const index = item * item_size + place;
            T const d = dy[index];
            position_sum += d;
            if (is_first)
                first_sum += d;
            else
                dx[index - (item + 1) * width] = d;
        }
        dpositions[place] = position_sum;
        if (is_first)
            dfirst[place] = first_sum;
    }
};

} // namespace blip::cuda
