#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <blip/generate/log_softmax.hpp>

namespace blip {

/// Collects the k largest of the values it is offered; of equal values the lower index counts as
/// larger. -infinity and NaN are never collected.
///
/// A value below the k largest so far costs one vectorised comparison.
template <class T>
class TopEntries {
public:
    struct Entry {
        T value;
        std::int64_t index;
    };

    /// `k` >= 1.
    explicit TopEntries(std::size_t k) : k_(k) {}

    void clear() {
        entries_.clear();
        threshold_ = -std::numeric_limits<T>::infinity();
    }

    /// Offers values[i] + offset under index first_index + i. Indices must rise from call to call.
    void offer(std::span<T const> values, T offset = 0, std::int64_t first_index = 0) {
        std::size_t i = 0;
        for (; i + detail::sum_lanes <= values.size(); i += detail::sum_lanes) {
            T const* const part = values.data() + i;
            T const threshold = threshold_;
            int found = 0;
            for (std::size_t lane = 0; lane < detail::sum_lanes; ++lane)
                found |= part[lane] + offset > threshold ? 1 : 0;
            if (found)
                for (std::size_t lane = 0; lane < detail::sum_lanes; ++lane)
                    consider(values[i + lane] + offset,
                             first_index + static_cast<std::int64_t>(i + lane));
        }
        for (; i < values.size(); ++i)
            consider(values[i] + offset, first_index + static_cast<std::int64_t>(i));
    }

    /// The largest, best first, at most k. Valid until the next call.
    std::span<Entry const> sorted() {
        std::sort(entries_.begin(), entries_.end(), better);
        entries_.resize(std::min(entries_.size(), k_));
        return entries_;
    }

private:
    static bool better(Entry const& a, Entry const& b) {
        return a.value != b.value ? a.value > b.value : a.index < b.index;
    }

    void consider(T value, std::int64_t index) {
        if (!(value > threshold_))
            return;
        entries_.push_back({value, index});
        if (entries_.size() < 2 * k_ + detail::sum_lanes)
            return;
        auto const last = entries_.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
        std::nth_element(entries_.begin(), last, entries_.end(), better);
        threshold_ = last->value;
        entries_.resize(k_);
    }

    std::size_t k_;
    T threshold_ = -std::numeric_limits<T>::infinity();
    std::vector<Entry> entries_;
};

} // namespace blip
