// Pre-trains a model from pictures with captions: pretrain MODEL --data SHARDS --output RUN

#include <utility>

#include <CLI/CLI.hpp>

#include <blip/config/presets.hpp>
#include <blip/models/pretrainer.hpp>

#include "support/training/alignment_task.hpp"
#include "support/training/program.hpp"
#include "support/training/text_scores.hpp"

namespace {

using namespace support;

template <class C>
class PretrainingTask final : public AlignmentTask<blip::Pretrainer<C, TrainedModel::B>> {
    using Base = AlignmentTask<blip::Pretrainer<C, TrainedModel::B>>;

public:
    using Base::Base;

    Validation validate(SampleStream const& stream, TrainingPlan const& plan) override {
        auto const matcher = blip::extract_matcher(this->objective_);
        auto const captioner = blip::extract_captioner(this->objective_);
        AlignmentCheck check(matcher, plan);
        TextScores texts;
        for (auto samples = stream(); !samples.empty(); samples = stream()) {
            auto const pixels = this->pixels(samples);
            auto const captions = captioner.generate(pixels, {.beams = plan.beams});
            for (std::size_t i = 0; i < samples.size(); ++i)
                texts.add(samples[i], captions[i].front().text);
            check.add(std::move(samples), pixels);
        }
        auto validation = texts.validation();
        auto const found = check.scores();
        validation.scores.insert(validation.scores.end(), found.begin(), found.end());
        return validation;
    }

    /// Each part as the programs for it read it, and the whole to go on from.
    void export_to(std::filesystem::path const& folder, TrainingPlan const& plan) override {
        blip::extract_captioner(this->objective_).save(folder / "captioner", save_options(plan));
        blip::extract_matcher(this->objective_).save(folder / "matcher", save_options(plan));
        this->objective_.save(folder / "pretrained", save_options(plan));
    }
};

/// The paper's pre-training (section 4.1 and the authors' pretrain.yaml).
TrainingPlan recipe() {
    TrainingPlan plan;
    plan.task = "pretraining";
    plan.batch = 75;
    plan.accumulate = 8;
    plan.epochs = 20;
    plan.schedule = "warm-up decay";
    plan.learning_rate = 3e-4;
    plan.least_rate = 1e-6;
    plan.warmup_steps = 3000;
    plan.crop_least = 0.2;
    plan.alpha_epochs = 2;
    return plan;
}

} // namespace

int main(int count, char** values) {
    return training_program<PretrainingTask, Served<blip::config::pretraining_models,
                                                    blip::config::built_in_pretrainers>>(
        count, values,
        {.name = "pretrain",
         .purpose = "Pre-trains a model: contrastive, matching and language-modelling losses.",
         .example = "  pretrain examples/scenes/pretraining --scratch \\\n"
                    "      --config examples/scenes/pretraining.json --data scenes/train \\\n"
                    "      --validation scenes/test_scenes.json -o run\n"
                    "  caption run/best/captioner photos",
         .recipe = recipe(),
         .kind = SampleKind::caption});
}
