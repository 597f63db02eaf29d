#pragma once

#include <cmath>
#include <cstddef>

#include <blip/backend/cpu/engine.hpp>
#include <blip/backend/cpu/exponential.hpp>
#include <blip/backend/cpu/normalize.hpp>
#include <blip/backend/cpu/simd.hpp>

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

/// What one pass over a row of logits needs to know of it.
struct LogitSummary {
    double log_sum = 0; ///< log Σ e^z
    double total = 0;   ///< Σ z
};

/// Sums in double over blocks of 1024: a vocabulary is long enough for float sums to lose digits.
inline LogitSummary summarize_logits(float const* z, std::size_t count) {
    Floats largest = broadcast(-HUGE_VALF);
    for (std::size_t c = 0; c < count; c += lanes) {
        Mask const mask = first_lanes(count - c);
        largest = max(largest, select(mask, load(z + c, mask), broadcast(-HUGE_VALF)));
    }
    float part[lanes];
    store(part, largest);
    float most = part[0];
    for (float const value : part)
        most = value > most ? value : most;
    Floats const base = broadcast(most);
    double exponentials = 0;
    double total = 0;
    for (std::size_t block = 0; block < count; block += 1024) {
        std::size_t const end = block + 1024 < count ? block + 1024 : count;
        Floats sums = broadcast(0.0f);
        Floats totals = broadcast(0.0f);
        for (std::size_t c = block; c < end; c += lanes) {
            Mask const mask = first_lanes(end - c);
            Floats const value = load(z + c, mask);
            sums = sums + select(mask, exponential(value - base), broadcast(0.0f));
            totals = totals + value;
        }
        exponentials += static_cast<double>(sum(sums));
        total += static_cast<double>(sum(totals));
    }
    return {static_cast<double>(most) + std::log(exponentials), total};
}

/// With l = -log softmax(z): losses[r] = t_r (1 - ε) l[target] + u_r ε/V Σ l. A negative target has
/// no first term. `gradient` (null data: not wanted; may be the logits) receives the derivative.
inline void cross_entropy(Engine& engine, std::size_t rows, std::size_t classes, ConstRows logits,
                          int const* targets, float const* target_weights,
                          float const* uniform_weights, double smoothing, float* losses,
                          Rows gradient) {
    engine.parallel_ranges(rows, 8192 / classes + 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) {
            float const* const z = logits[r];
            LogitSummary const summary = summarize_logits(z, classes);
            double const share =
                static_cast<double>(uniform_weights[r]) * smoothing / static_cast<double>(classes);
            double const keep =
                targets[r] < 0 ? 0 : static_cast<double>(target_weights[r]) * (1 - smoothing);
            double loss =
                share == 0
                    ? 0
                    : share * (static_cast<double>(classes) * summary.log_sum - summary.total);
            if (targets[r] >= 0 && keep != 0)
                loss += keep * (summary.log_sum - static_cast<double>(z[targets[r]]));
            losses[r] = static_cast<float>(loss);
            if (gradient.data == nullptr)
                continue;
            float* const g = gradient[r];
            Floats const base = broadcast(static_cast<float>(summary.log_sum));
            Floats const mass =
                broadcast(static_cast<float>(keep + share * static_cast<double>(classes)));
            Floats const less_share = broadcast(static_cast<float>(-share));
            for (std::size_t c = 0; c < classes; c += lanes) {
                Mask const mask = first_lanes(classes - c);
                store(g + c, fma(mass, exponential(load(z + c, mask) - base), less_share), mask);
            }
            if (targets[r] >= 0)
                g[targets[r]] -= static_cast<float>(keep);
        }
    });
}

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
