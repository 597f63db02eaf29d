// Teaches a model to judge sentences about pairs of pictures: finetune_nlvr2 MODEL --data LIST
// --output RUN

#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <blip/config/presets.hpp>
#include <blip/models/pair_objective.hpp>
#include <blip/models/pair_reasoner.hpp>

#include "support/training/program.hpp"

namespace {

using namespace support;

template <class C>
class PairTask final : public TrainedAs<blip::PairObjective<C, TrainedModel::B>> {
    using Objective = blip::PairObjective<C, TrainedModel::B>;

public:
    PairTask(blip::ModelFolder const& from, TrainingPlan const& plan)
        : TrainedAs<Objective>(start<Objective>(from, plan), plan) {}

    Validation validate(SampleStream const& stream, TrainingPlan const&) override {
        constexpr std::size_t most_shown = 24;
        blip::PairReasoner<C, TrainedModel::B> const reasoner(this->objective_.shared());
        double right = 0, all = 0;
        Validation validation;
        for (auto samples = stream(); !samples.empty(); samples = stream()) {
            std::vector<std::string> sentences;
            for (auto const& sample : samples)
                sentences.push_back(sample.text);
            auto const both = this->pixels(samples);
            auto const judged =
                reasoner.predict(blip::items_of(both, 0, samples.size()),
                                 blip::items_of(both, samples.size(), samples.size()), sentences);
            for (std::size_t i = 0; i < samples.size(); ++i) {
                bool const said = judged[i].probability > 0.5;
                bool const expected = samples[i].label == 1;
                right += said == expected ? 1 : 0;
                all += 1;
                auto const word = [](bool value) { return value ? "true" : "false"; };
                if (validation.samples.size() < most_shown)
                    validation.samples.push_back({.picture = samples[i].thumbnail,
                                                  .asked = samples[i].text,
                                                  .said = word(said),
                                                  .expected = word(expected),
                                                  .right = said == expected});
            }
        }
        if (all > 0)
            validation.scores = {{"accuracy", 100 * right / all}};
        return validation;
    }

    void export_to(std::filesystem::path const& folder, TrainingPlan const& plan) override {
        this->objective_.shared()->save(folder, save_options(plan));
    }

private:
    blip::PairBatch gather(std::span<Sample const> samples) const override {
        blip::PairBatch batch{this->pixels(samples), {}, {}};
        for (auto const& sample : samples) {
            batch.sentences.push_back(sample.text);
            batch.labels.push_back(sample.label);
        }
        return batch;
    }
};

/// The paper's fine-tuning on NLVR2 (section 5.4 and the authors' nlvr.yaml).
TrainingPlan recipe() {
    TrainingPlan plan;
    plan.task = "nlvr2";
    plan.batch = 16;
    plan.accumulate = 16;
    plan.epochs = 15;
    plan.learning_rate = 3e-5;
    plan.max_words = 40;
    return plan;
}

} // namespace

int main(int count, char** values) {
    return training_program<
        PairTask, Served<blip::config::pair_models, blip::config::built_in_pair_reasoners>>(
        count, values,
        {.name = "finetune_nlvr2",
         .purpose = "Teaches a model to judge sentences about pairs of pictures.",
         .example = "  finetune_nlvr2 model_base.pth --fresh-seed 1 --data nlvr_train.json \\\n"
                    "      --pictures NLVR2 --validation nlvr_dev.json -o run\n"
                    "  reason run/best left.jpg right.jpg --sentence \"two dogs\"",
         .recipe = recipe(),
         .kind = SampleKind::pair});
}
