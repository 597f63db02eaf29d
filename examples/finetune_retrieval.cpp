// Teaches a model to find pictures by texts: finetune_retrieval MODEL --data LIST --output RUN

#include <utility>

#include <CLI/CLI.hpp>

#include <blip/config/presets.hpp>
#include <blip/models/retrieval_objective.hpp>

#include "support/training/alignment_task.hpp"
#include "support/training/program.hpp"

namespace {

using namespace support;

template <class C>
class RetrievalTask final : public AlignmentTask<blip::RetrievalObjective<C, TrainedModel::B>> {
    using Base = AlignmentTask<blip::RetrievalObjective<C, TrainedModel::B>>;

public:
    using Base::Base;

    Validation validate(SampleStream const& stream, TrainingPlan const& plan) override {
        auto const matcher = blip::extract_matcher(this->objective_);
        AlignmentCheck check(matcher, plan);
        for (auto samples = stream(); !samples.empty(); samples = stream()) {
            auto const pixels = this->pixels(samples);
            check.add(std::move(samples), pixels);
        }
        return {.scores = check.scores(), .samples = {}};
    }

    void export_to(std::filesystem::path const& folder, TrainingPlan const& plan) override {
        blip::extract_matcher(this->objective_).save(folder, save_options(plan));
    }
};

/// The paper's fine-tuning on COCO (section 5.1 and the authors' retrieval_coco.yaml), except that
/// hard negatives come from each part of a batch and not from all of them.
TrainingPlan recipe() {
    TrainingPlan plan;
    plan.task = "retrieval";
    plan.batch = 32;
    plan.accumulate = 8;
    plan.epochs = 6;
    plan.learning_rate = 1e-5;
    return plan;
}

} // namespace

int main(int count, char** values) {
    return training_program<RetrievalTask, Served<blip::config::retrieval_training_models,
                                                  blip::config::built_in_retrievers>>(
        count, values,
        {.name = "finetune_retrieval",
         .purpose = "Teaches a model which texts and pictures belong together.",
         .example =
             "  finetune_retrieval model_base.pth --data train.json --pictures photos -o run\n"
             "  match run/best photos --text \"a dog on a beach\"",
         .recipe = recipe(),
         .kind = SampleKind::caption});
}
