#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/models/objective.hpp>
#include <blip/train/adamw.hpp>
#include <blip/train/clip.hpp>
#include <blip/train/exponential_average.hpp>
#include <blip/train/parameter_rules.hpp>
#include <blip/train/training_state.hpp>

#include "page.hpp"
#include "plan.hpp"
#include "sample.hpp"

namespace support {

/// What a validation found: the first score decides which model is the best.
struct Validation {
    std::vector<std::pair<std::string, double>> scores; ///< in percent
    std::vector<ShownSample> samples;
};

/// Gives the samples of a validation batch by batch; an empty one ends it.
using SampleStream = std::function<std::vector<Sample>()>;

/// Memory of a training, in bytes.
struct MemoryPlan {
    std::size_t weights = 0;
    std::size_t gradient = 0;
    std::size_t moments = 0;
    std::size_t teacher = 0; ///< momentum networks, queues and averaged weights
    std::size_t step = 0;    ///< the most that a step took; 0 before the first
};

/// A task at a size that is known at run time only, being trained: the loop is compiled once, not
/// once per task and size.
class TrainedModel {
public:
    using B = blip::Cpu<float>;
    using Scores = std::vector<std::pair<std::string, double>>;

    virtual ~TrainedModel() = default;
    virtual blip::Preprocess const& preprocessing() const = 0;
    virtual std::vector<std::string> warnings() const = 0;
    virtual MemoryPlan memory() = 0;
    /// What `step` returns values of.
    virtual std::vector<std::string> loss_names() const = 0;

    /// Losses of `samples`, computed in parts of `part`, by name, their sum first; the gradient is
    /// left for `clip` and `update`.
    virtual Scores step(std::span<Sample const> samples, std::size_t part,
                        blip::StepOptions const& options) = 0;
    /// The gradient's norm, which is at most `most` afterwards; 0: not changed.
    virtual double clip(double most) = 0;
    virtual void update(double rate) = 0;

    /// What a checkpoint keeps; `resume_at` follows a restore.
    virtual void add_to(blip::TrainingState<B>& state) = 0;
    virtual void resume_at(std::int64_t step) = 0;

    /// While what is returned lives, validation and export see the averaged weights of --average.
    /// Neither step nor save a state meanwhile, and ask for no second one.
    virtual std::shared_ptr<void> show_average() = 0;
    virtual Validation validate(SampleStream const& samples, TrainingPlan const& plan) = 0;
    /// Writes the model as the programs that use it read it.
    virtual void export_to(std::filesystem::path const& folder, TrainingPlan const& plan) = 0;
};

/// The part of a TrainedModel that is the same for all tasks.
template <class Objective>
class TrainedAs : public TrainedModel {
public:
    using Network = typename Objective::Network;

    TrainedAs(Objective objective, TrainingPlan const& plan)
        : objective_(std::move(objective)),
          optimizer_(objective_.engine(),
                     {.beta1 = plan.beta1, .beta2 = plan.beta2, .weight_decay = plan.weight_decay},
                     plan.decay_all ? blip::ParameterRules{}
                                    : blip::ParameterRules{blip::decay_matrices_only}) {
        if (plan.average > 0)
            average_.emplace(objective_.engine(), objective_.weights(), plan.average);
    }

    blip::Preprocess const& preprocessing() const override { return objective_.preprocessing(); }
    std::vector<std::string> warnings() const override {
        auto lines = objective_.settings().warnings;
        if (auto summary = objective_.report().summary(); !summary.empty())
            lines.push_back(std::move(summary));
        return lines;
    }
    MemoryPlan memory() override {
        auto const flat = static_cast<std::size_t>(objective_.weights().size()) * sizeof(float);
        MemoryPlan plan{.weights = flat, .gradient = flat, .moments = 2 * flat};
        objective_.for_each_state([&](auto const&, auto&& data, auto... count) {
            if constexpr (sizeof...(count) == 1)
                plan.teacher += static_cast<std::size_t>((count + ...)) * sizeof(*data);
        });
        if (average_)
            plan.teacher += flat;
        plan.step = objective_.peak_bytes();
        return plan;
    }

    Scores step(std::span<Sample const> samples, std::size_t part,
                blip::StepOptions const& options) override {
        std::vector<typename Objective::Batch> parts;
        for (std::size_t first = 0; first < samples.size(); first += part)
            parts.push_back(gather(samples.subspan(first, std::min(part, samples.size() - first))));
        return named(objective_.step(std::span<typename Objective::Batch const>(parts), options));
    }
    std::vector<std::string> loss_names() const override {
        std::vector<std::string> names;
        for (auto const& [name, value] : named({}))
            names.push_back(name);
        return names;
    }
    double clip(double most) override {
        return most > 0 ? blip::clip_gradient(objective_.engine(), objective_.gradient(), most)
                        : blip::gradient_norm(objective_.engine(), objective_.gradient());
    }
    void update(double rate) override {
        optimizer_.step(objective_.engine(), objective_.weights(), objective_.gradient(), rate);
        if (average_)
            average_->update(objective_.engine(), objective_.weights());
    }

    void add_to(blip::TrainingState<B>& state) override {
        blip::add_weights(state, "model", objective_.weights());
        blip::add_optimizer(state, optimizer_);
        blip::add_parts(state, "objective", objective_);
        if (average_)
            blip::add_parts(state, "average", *average_);
    }
    void resume_at(std::int64_t step) override { objective_.resume_at(step); }
    std::shared_ptr<void> show_average() override {
        if (!average_)
            return nullptr;
        return std::make_shared<blip::AverageInPlace<Network>>(*average_, objective_.weights());
    }

protected:
    /// The sum first; one loss alone is the sum.
    static Scores named(typename Objective::Losses const& losses) {
        Scores all{{"loss", losses.total()}};
        if (auto const parts = losses.named(); parts.size() > 1)
            all.insert(all.end(), parts.begin(), parts.end());
        return all;
    }

    virtual typename Objective::Batch gather(std::span<Sample const> samples) const = 0;

    blip::Pixels pixels(std::span<Sample const> samples) const {
        return gather_pixels(samples, objective_.preprocessing().size);
    }

    Objective objective_;
    blip::AdamW<Network> optimizer_;
    std::optional<blip::ExponentialAverage<Network>> average_;
};

} // namespace support
