#pragma once

#include <blip/backend/cuda/portable.hpp>

namespace blip::cuda {

/// The larger of two numbers. Not-a-number wins, so that a broken result stays visible.
template <class T>
BLIP_HOST_DEVICE T larger(T a, T b) {
    return a < b ? b : (a >= b ? a : a + b);
}

/// The thread group of one: runs every kernel on the host.
///
/// A kernel is a struct of raw pointers and sizes with `operator()(group, task)`, where the threads
/// of a group do one task together; `rank()` of `size()` names the thread. Every thread of a group
/// must reach each of the others, which all threads leave with the same result:
/// - `sync()`: what any thread wrote before is seen by all of them after;
/// - `sum(x)`, `max(x)`: over all threads' x, in an order that does not change between runs;
/// - `from(x, r)`: the x of thread r;
/// - `column_sum(x)`: over the threads whose rank is the same modulo `columns()`.
///
/// A kernel without cooperation has `operator()(index)` and no group.
struct HostGroup {
    BLIP_HOST_DEVICE int rank() const { return 0; }
    BLIP_HOST_DEVICE int size() const { return 1; }
    BLIP_HOST_DEVICE int columns() const { return 1; }
    BLIP_HOST_DEVICE void sync() const {}

    template <class T>
    BLIP_HOST_DEVICE T sum(T x) const {
        return x;
    }
    template <class T>
    BLIP_HOST_DEVICE T max(T x) const {
        return x;
    }
    template <class T>
    BLIP_HOST_DEVICE T from(T x, int) const {
        return x;
    }
    template <class T>
    BLIP_HOST_DEVICE T column_sum(T x) const {
        return x;
    }
};

} // namespace blip::cuda
