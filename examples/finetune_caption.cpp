// Teaches a captioner from pictures with captions: finetune_caption MODEL --data LIST --output RUN

#include <filesystem>
#include <span>
#include <string>

#include <CLI/CLI.hpp>

#include <blip/models/caption_objective.hpp>
#include <blip/models/captioner.hpp>

#include "support/training/program.hpp"
#include "support/training/text_scores.hpp"

namespace {

using namespace support;

template <class C>
class CaptionTask final : public TrainedAs<blip::CaptionObjective<C, TrainedModel::B>> {
    using Objective = blip::CaptionObjective<C, TrainedModel::B>;

public:
    CaptionTask(blip::ModelFolder const& from, TrainingPlan const& plan)
        : TrainedAs<Objective>(
              start<Objective>(from, plan,
                               blip::CaptionTraining{.prompt = prompt(from, plan),
                                                     .word_dropout = plan.word_dropout}),
              plan) {}

    Validation validate(SampleStream const& stream, TrainingPlan const& plan) override {
        blip::Captioner<C, TrainedModel::B> const captioner(this->objective_.shared());
        TextScores scores;
        for (auto samples = stream(); !samples.empty(); samples = stream()) {
            auto const captions = captioner.generate(this->pixels(samples), {.beams = plan.beams});
            for (std::size_t i = 0; i < samples.size(); ++i)
                scores.add(samples[i], captions[i].front().text);
        }
        return scores.validation();
    }

    void export_to(std::filesystem::path const& folder, TrainingPlan const& plan) override {
        this->objective_.shared()->save(folder, save_options(plan));
    }

private:
    static std::string prompt(blip::ModelFolder const& from, TrainingPlan const& plan) {
        if (plan.prompt != TrainingPlan::own_prompt)
            return plan.prompt;
        auto const authors = blip::caption_prompt({});
        // Pre-training had none, but fine-tuning adds it.
        bool const captioner =
            plan.scratch || blip::detect_task(from.weights) == blip::Task::captioning;
        return captioner ? from.settings.prompt.value_or(authors) : authors;
    }

    blip::CaptionBatch gather(std::span<Sample const> samples) const override {
        blip::CaptionBatch batch{this->pixels(samples), {}};
        for (auto const& sample : samples)
            batch.captions.push_back(sample.text);
        return batch;
    }
};

/// The paper's fine-tuning on COCO (section 5.2 and the authors' caption_coco.yaml).
TrainingPlan recipe() {
    TrainingPlan plan;
    plan.task = "caption";
    plan.batch = 32;
    plan.accumulate = 8;
    plan.epochs = 5;
    plan.learning_rate = 1e-5;
    return plan;
}

} // namespace

int main(int count, char** values) {
    return training_program<CaptionTask, Served<blip::config::caption_training_models,
                                                blip::config::built_in_captioners>>(
        count, values,
        {.name = "finetune_caption",
         .purpose = "Teaches a model to describe pictures in words.",
         .example =
             "  finetune_caption blip-image-captioning-base --data train.json --pictures photos "
             "-o run\n"
             "  finetune_caption examples/scenes/model --scratch \\\n"
             "      --config examples/scenes/caption.json --data scenes/train \\\n"
             "      --validation scenes/test_scenes.json -o run\n"
             "  caption run/best photos",
         .recipe = recipe(),
         .kind = SampleKind::caption});
}
