#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include <blip/backend/backend.hpp>
#include <blip/core/error.hpp>
#include <blip/core/weights.hpp>

namespace blip {

struct AdamWOptions {
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0.05; ///< on every parameter: biases, norms and temperature included
};

/// AdamW (Loshchilov & Hutter 2019) in PyTorch's formula and order: in step t
///
///     θ ← θ (1 - lr wd);  m ← β₁ m + (1-β₁) g;  v ← β₂ v + (1-β₂) g²;
///     θ ← θ - lr / (1-β₁ᵗ) · m / (√v / √(1-β₂ᵗ) + ε).
///
/// One pass over flat buffers. The moments are values of the gradient's type.
template <Trainable Network>
class AdamW {
public:
    using B = typename Network::backend;
    using Engine = typename B::Engine;
    using Gradient = Weights<typename Network::Grad>;

    /// Moments are 0, no step is done. Throws ArgumentError when an option is out of its range.
    explicit AdamW(Engine& engine, AdamWOptions options = {})
        : options_(options), first_(engine), second_(engine) {
        bool const valid = options.beta1 >= 0 && options.beta1 < 1 && options.beta2 >= 0 &&
                           options.beta2 < 1 && options.epsilon > 0 && options.weight_decay >= 0;
        if (!valid)
            throw ArgumentError(join("AdamW: beta1 ", options.beta1, ", beta2 ", options.beta2,
                                     ", epsilon ", options.epsilon, ", weight decay ",
                                     options.weight_decay,
                                     "; expected betas in [0, 1), epsilon > 0, decay >= 0"));
    }

    /// Changes `weights`, which lie in Layout::rows. `learning_rate` is this step's.
    void step(Engine& engine, Weights<Network>& weights, Gradient const& gradient,
              double learning_rate) {
        if (weights.layout() != Layout::rows)
            throw ArgumentError("AdamW: weights in Layout::panels are for inference only; load "
                                "the model in Layout::rows to train it");
        ++steps_;
        auto const t = static_cast<double>(steps_);
        AdamWStep const step{
            .shrink = 1 - learning_rate * options_.weight_decay,
            .beta1 = options_.beta1,
            .beta2 = options_.beta2,
            .step_size = learning_rate / (1 - std::pow(options_.beta1, t)),
            .root_correction = std::sqrt(1 - std::pow(options_.beta2, t)),
            .epsilon = options_.epsilon,
        };
        B::adamw(engine, step, gradient.data(), first_.data(), second_.data(), weights.data(),
                 weights.size());
    }

    AdamWOptions const& options() const { return options_; }

    /// What a training checkpoint keeps beside the weights.
    std::int64_t steps() const { return steps_; }
    Gradient& first_moment() { return first_; }
    Gradient& second_moment() { return second_; }
    void resume_at(std::int64_t steps) { steps_ = steps; }

    /// f(name, part) for each of them: moments and number of steps.
    template <class F>
    void for_each_state(F f) {
        f("first_moment", first_);
        f("second_moment", second_);
        f("steps", steps_);
    }

private:
    AdamWOptions options_;
    Gradient first_, second_;
    std::int64_t steps_ = 0;
};

} // namespace blip
