// Teaches a model to answer questions about pictures: finetune_vqa MODEL --data LIST --output RUN

#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <blip/config/presets.hpp>
#include <blip/metrics/vqa_accuracy.hpp>
#include <blip/models/answer_objective.hpp>
#include <blip/models/question_answerer.hpp>

#include "support/training/program.hpp"
#include "support/training/text_scores.hpp"

namespace {

using namespace support;

template <class C>
class AnswerTask final : public TrainedAs<blip::AnswerObjective<C, TrainedModel::B>> {
    using Objective = blip::AnswerObjective<C, TrainedModel::B>;

public:
    AnswerTask(blip::ModelFolder const& from, TrainingPlan const& plan)
        : TrainedAs<Objective>(start<Objective>(from, plan), plan) {}

    /// Answers that are generated; of questions with several answers the official accuracy too.
    Validation validate(SampleStream const& stream, TrainingPlan const& plan) override {
        blip::QuestionAnswerer<C, TrainedModel::B> const answerer(this->objective_.shared());
        TextScores texts;
        double accuracy = 0, judged = 0;
        for (auto samples = stream(); !samples.empty(); samples = stream()) {
            std::vector<std::string> questions;
            for (auto const& sample : samples)
                questions.push_back(sample.question);
            auto const answers = answerer.answer(this->pixels(samples), questions,
                                                 {.beams = plan.beams, .attend_padding = false});
            for (std::size_t i = 0; i < samples.size(); ++i) {
                auto const& said = answers[i].front().text;
                if (samples[i].references.size() > 1) {
                    accuracy += blip::vqa_accuracy(said, samples[i].references);
                    judged += 1;
                }
                texts.add(samples[i], said);
            }
        }
        auto validation = texts.validation();
        if (judged > 0)
            validation.scores.insert(validation.scores.begin(),
                                     {"vqa accuracy", 100 * accuracy / judged});
        return validation;
    }

    void export_to(std::filesystem::path const& folder, TrainingPlan const& plan) override {
        this->objective_.shared()->save(folder, save_options(plan));
    }

private:
    blip::QuestionBatch gather(std::span<Sample const> samples) const override {
        blip::QuestionBatch batch{this->pixels(samples), {}, {}};
        for (auto const& sample : samples) {
            batch.questions.push_back(sample.question);
            batch.answers.push_back(sample.answers);
        }
        return batch;
    }
};

/// The paper's fine-tuning on VQA v2 (section 5.3 and the authors' vqa.yaml).
TrainingPlan recipe() {
    TrainingPlan plan;
    plan.task = "vqa";
    plan.batch = 16;
    plan.accumulate = 16;
    plan.epochs = 10;
    plan.learning_rate = 2e-5;
    plan.max_words = 50;
    return plan;
}

} // namespace

int main(int count, char** values) {
    return training_program<AnswerTask, Served<blip::config::vqa_training_models,
                                               blip::config::built_in_question_answerers>>(
        count, values,
        {.name = "finetune_vqa",
         .purpose = "Teaches a model to answer questions about pictures.",
         .example =
             "  finetune_vqa model_base_capfilt_large.pth --fresh-seed 1 --data vqa_train.json \\\n"
             "      --pictures photos --validation vqa_val.json -o run\n"
             "  answer run/best photos --question \"what is this?\"",
         .recipe = recipe(),
         .kind = SampleKind::question});
}
