#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numbers>

#include <blip/core/error.hpp>

namespace blip {

/// A learning rate for every step, counted from 0; a function of the step alone, so that a resumed
/// training goes on with the same rates. The types below are such functions.
using Schedule = std::function<double(std::int64_t step)>;

namespace detail {

inline void require_schedule(bool valid, char const* name, std::int64_t step, char const* rules) {
    if (!valid || step < 0)
        throw ArgumentError(
            join(name, " at step ", step, ": expected a step from 0 on, and ", rules));
}

/// Half a cosine from `from` to `to` while `angle` goes from 0 to π, in the authors' order of
/// operations.
inline double half_cosine(double from, double to, double angle) {
    return (from - to) * 0.5 * (1 + std::cos(angle)) + to;
}

} // namespace detail

/// The same rate in every step.
struct Constant {
    double rate = 1e-5;

    double operator()(std::int64_t) const { return rate; }
};

/// The authors' schedule of fine-tuning: half a cosine in as many levels as there are epochs, no
/// warm-up (`cosine_lr_schedule`). At and after the end the rate is `floor`.
struct CosineByEpoch {
    double initial = 1e-5;
    double floor = 0;
    std::int64_t epochs = 5;
    std::int64_t steps_per_epoch = 1;

    /// Throws ArgumentError for a step below 0, and unless epochs and steps_per_epoch are above 0.
    double operator()(std::int64_t step) const {
        detail::require_schedule(epochs > 0 && steps_per_epoch > 0, "CosineByEpoch", step,
                                 "epochs and steps_per_epoch above 0");
        auto const epoch = static_cast<double>(std::min(step / steps_per_epoch, epochs));
        return detail::half_cosine(initial, floor,
                                   std::numbers::pi * epoch / static_cast<double>(epochs));
    }
};

/// The authors' schedule of pre-training: `initial` decays by a factor an epoch, not below `floor`;
/// in the first epoch it rises from `warmup_rate` in equal steps (`step_lr_schedule`,
/// `warmup_lr_schedule`). A warm-up that is longer than the first epoch ends with it, as there. The
/// released recipe decays by 0.9, the paper (section 4.1) says 0.85.
struct WarmupStepDecay {
    double initial = 3e-4;
    double floor = 1e-6;
    double decay = 0.9;
    std::int64_t warmup_steps = 3000;
    double warmup_rate = 1e-6;
    std::int64_t steps_per_epoch = 1;

    /// Throws ArgumentError for a step below 0, and unless steps_per_epoch is above 0.
    double operator()(std::int64_t step) const {
        detail::require_schedule(steps_per_epoch > 0, "WarmupStepDecay", step,
                                 "steps_per_epoch above 0");
        auto const epoch = static_cast<double>(step / steps_per_epoch);
        if (step >= steps_per_epoch || warmup_steps <= 0)
            return std::max(floor, initial * std::pow(decay, epoch));
        return std::min(initial, warmup_rate + (initial - warmup_rate) * static_cast<double>(step) /
                                                   static_cast<double>(warmup_steps));
    }
};

/// For training from scratch: the rate rises from 0 to `peak` in `warmup_steps` equal steps (the
/// first step has peak / warmup_steps), then falls along half a cosine to `floor` at step `steps`,
/// where it stays.
struct WarmupCosine {
    double peak = 1e-3;
    double floor = 0;
    std::int64_t warmup_steps = 0;
    std::int64_t steps = 1;

    /// Throws ArgumentError for a step below 0, and unless 0 <= warmup_steps < steps.
    double operator()(std::int64_t step) const {
        detail::require_schedule(warmup_steps >= 0 && warmup_steps < steps, "WarmupCosine", step,
                                 "0 <= warmup_steps < steps");
        if (step < warmup_steps)
            return peak * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
        auto const done = static_cast<double>(std::min(step, steps) - warmup_steps);
        return detail::half_cosine(
            peak, floor, std::numbers::pi * done / static_cast<double>(steps - warmup_steps));
    }
};

} // namespace blip
