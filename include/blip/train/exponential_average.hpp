#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include <blip/core/error.hpp>
#include <blip/core/weights.hpp>
#include <blip/losses/momentum_teacher.hpp>

namespace blip {

/// An exponential moving average of all weights, to be evaluated and exported in place of the
/// weights themselves: a ← m a + (1 - m) θ after every step. In update t (from 0) m is at most
/// (1 + t) / (10 + t), so that the random beginning is soon forgotten.
template <Trainable Network>
class ExponentialAverage {
public:
    using Engine = typename Network::backend::Engine;

    /// Starts as a copy of `weights` (Layout::rows). Throws ArgumentError unless 0 <= momentum < 1.
    ExponentialAverage(Engine& engine, Weights<Network> const& weights, double momentum = 0.999)
        : average_(engine, weights), momentum_(momentum) {
        if (!(momentum >= 0 && momentum < 1))
            throw ArgumentError(join("exponential average: momentum is ", momentum,
                                     ", expected 0 or more and less than 1"));
    }

    /// After a step of the optimizer.
    void update(Engine& engine, Weights<Network> const& weights) {
        auto const t = static_cast<double>(updates_++);
        average_.update(engine, weights, std::min(momentum_, (1 + t) / (10 + t)));
    }

    Weights<Network>& weights() { return average_.weights(); }
    Weights<Network> const& weights() const { return average_.weights(); }
    std::int64_t updates() const { return updates_; }

    /// f(name, part) for what a training checkpoint keeps.
    template <class F>
    void for_each_state(F f) {
        f("weights", average_.weights());
        f("updates", updates_);
    }

private:
    MomentumTeacher<Network, Network> average_;
    double momentum_;
    std::int64_t updates_ = 0;
};

/// While this lives, the trained weights and their average have changed places: what shares the
/// weights (a captioner that validates, an export) sees the average. Costs nothing: buffers are
/// exchanged, not numbers. Neither step nor save a training state meanwhile.
template <Trainable Network>
class AverageInPlace {
public:
    AverageInPlace(ExponentialAverage<Network>& average, Weights<Network>& weights)
        : average_(average.weights()), weights_(weights) {
        std::swap(average_, weights_);
    }
    AverageInPlace(AverageInPlace const&) = delete;
    AverageInPlace& operator=(AverageInPlace const&) = delete;
    ~AverageInPlace() { std::swap(average_, weights_); }

private:
    Weights<Network>& average_;
    Weights<Network>& weights_;
};

} // namespace blip
