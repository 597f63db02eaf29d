#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include <blip/backend/cuda/group.hpp>
#include <blip/backend/cuda/portable.hpp>

namespace blip::cuda {

/// Label-smoothed cross entropy of one row of logits and its derivative, a task a row.
template <class T>
struct CrossEntropy {
    T const* logits = nullptr;
    std::ptrdiff_t stride = 0;
    int columns = 0;
    int const* targets = nullptr;
    T const* target_weights = nullptr;
    T const* uniform_weights = nullptr;
    double smoothing = 0;
    T* losses = nullptr;
    T* gradient = nullptr; ///< may be null or the logits
    std::ptrdiff_t gradient_stride = 0;

    template <class Group>
    BLIP_HOST_DEVICE void operator()(Group const& group, std::ptrdiff_t r) const {
        T const keep = static_cast<T>(1 - smoothing);
        T const share = static_cast<T>(smoothing / columns);
        T const* z = logits + r * stride;
        T most = -std::numeric_limits<T>::infinity();
        for (int c = group.rank(); c < columns; c += group.size())
            most = larger(most, z[c]);
        most = group.max(most);
        T sum = T(0), total = T(0);
        for (int c = group.rank(); c < columns; c += group.size()) {
            sum += std::exp(z[c] - most);
            total += z[c];
        }
        T const log_sum = most + std::log(group.sum(sum));
        total = group.sum(total);
        int const target = targets[r];
        T const target_weight = target < 0 ? T(0) : target_weights[r] * keep;
        T const uniform_weight = uniform_weights[r];
        if (group.rank() == 0) {
            T loss = uniform_weight * share * (static_cast<T>(columns) * log_sum - total);
            if (target >= 0)
                loss += target_weight * (log_sum - z[target]);
            losses[r] = loss;
        }
        if (!gradient)
            return;
        // The target's logit must be read before another thread's gradient may replace it.
        group.sync();
        T const mass = target_weight + uniform_weight * static_cast<T>(smoothing);
        T* const g = gradient + r * gradient_stride;
        for (int c = group.rank(); c < columns; c += group.size())
            g[c] = mass * std::exp(z[c] - log_sum) - (c == target ? target_weight : T(0)) -
                   uniform_weight * share;
    }
};

} // namespace blip::cuda
