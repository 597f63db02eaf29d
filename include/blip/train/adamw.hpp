#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <blip/backend/backend.hpp>
#include <blip/core/error.hpp>
#include <blip/core/weights.hpp>
#include <blip/train/parameter_rules.hpp>

namespace blip {

struct AdamWOptions {
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0.05; ///< on every parameter that no rule exempts, as the authors
};

/// AdamW (Loshchilov & Hutter 2019) in PyTorch's formula and order: in step t
///
///     θ ← θ (1 - lr wd);  m ← β₁ m + (1-β₁) g;  v ← β₂ v + (1-β₂) g²;
///     θ ← θ - lr / (1-β₁ᵗ) · m / (√v / √(1-β₂ᵗ) + ε).
///
/// One pass over flat buffers, or one over each run of parameters that a rule treats alike. The
/// moments are values of the gradient's type.
template <Trainable Network>
class AdamW {
public:
    using B = typename Network::backend;
    using Engine = typename B::Engine;
    using Gradient = Weights<typename Network::Grad>;

    /// Moments are 0, no step is done. `rules` says what each parameter's learning rate is
    /// multiplied with and whether it decays; without rules all are alike, as in the authors'
    /// recipes (biases, norms and temperature decay too). Throws ArgumentError when an option is
    /// out of its range.
    explicit AdamW(Engine& engine, AdamWOptions options = {}, ParameterRules const& rules = {})
        : options_(options), first_(engine), second_(engine) {
        bool const valid = options.beta1 >= 0 && options.beta1 < 1 && options.beta2 >= 0 &&
                           options.beta2 < 1 && options.epsilon > 0 && options.weight_decay >= 0;
        if (!valid)
            throw ArgumentError(join("AdamW: beta1 ", options.beta1, ", beta2 ", options.beta2,
                                     ", epsilon ", options.epsilon, ", weight decay ",
                                     options.weight_decay,
                                     "; expected betas in [0, 1), epsilon > 0, decay >= 0"));
        divide(rules);
    }

    /// Changes `weights`, which lie in Layout::rows. `learning_rate` is this step's.
    void step(Engine& engine, Weights<Network>& weights, Gradient const& gradient,
              double learning_rate) {
        if (weights.layout() != Layout::rows)
            throw ArgumentError("AdamW: weights in Layout::panels are for inference only; load "
                                "the model in Layout::rows to train it");
        ++steps_;
        auto const t = static_cast<double>(steps_);
        for (auto const& [first, size, rule] : ranges_) {
            if (rule.rate == 0)
                continue;
            double const rate = learning_rate * rule.rate;
            AdamWStep const step{
                .shrink = 1 - rate * (rule.decay ? options_.weight_decay : 0),
                .beta1 = options_.beta1,
                .beta2 = options_.beta2,
                .step_size = rate / (1 - std::pow(options_.beta1, t)),
                .root_correction = std::sqrt(1 - std::pow(options_.beta2, t)),
                .epsilon = options_.epsilon,
            };
            B::adamw(engine, step, gradient.data() + first, first_.data() + first,
                     second_.data() + first, weights.data() + first, size);
        }
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
    /// Neighbours in the flat buffers that one rule applies to, with the padding after them.
    struct Range {
        std::ptrdiff_t first, size;
        ParameterRule rule;
    };

    void divide(ParameterRules const& rules) {
        for (auto const& parameter : list_parameters(*first_)) {
            ParameterRule const rule =
                rules ? rules(parameter.path, parameter.shape) : ParameterRule{};
            if (!(rule.rate >= 0) || !std::isfinite(rule.rate))
                throw ArgumentError(join("AdamW: the rule gives parameter ", parameter.path,
                                         " a learning rate times ", rule.rate,
                                         "; expected 0 or more"));
            std::ptrdiff_t const begin = parameter.data - first_.data();
            if (!ranges_.empty())
                ranges_.back().size = begin - ranges_.back().first;
            if (ranges_.empty() || ranges_.back().rule != rule)
                ranges_.push_back({begin, 0, rule});
        }
        if (!ranges_.empty())
            ranges_.back().size = first_.size() - ranges_.back().first;
    }

    AdamWOptions options_;
    Gradient first_, second_;
    std::vector<Range> ranges_;
    std::int64_t steps_ = 0;
};

} // namespace blip
