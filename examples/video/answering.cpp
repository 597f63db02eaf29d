#include "model.hpp"

#include <optional>

#include <blip/config/presets.hpp>
#include <blip/models/video_question_answerer.hpp>

#include "../support/random_model.hpp"

namespace video {

namespace {

using namespace blip::config;
using Models = support::Served<answer_models, built_in_question_answerers>;

struct Types {
    static constexpr auto task = blip::Task::question_answering;
    template <class C>
    using model = blip::VideoQuestionAnswerer<C, blip::Cpu<float>>;

    template <class C>
    class loaded final : public support::LoadedAs<Model, model<C>> {
    public:
        using support::LoadedAs<Model, model<C>>::LoadedAs;
        std::vector<std::vector<blip::Answer>> answer(blip::Pixels const& frames,
                                                      Texts const& questions) const override {
            return this->model_.answer(frames, frames.shape()[0], questions,
                                       {.attend_padding = false});
        }
        void set_candidates(Texts const& texts) override {
            candidates_ = this->model_.answer_list(texts);
        }
        std::vector<std::vector<blip::ChosenAnswer>>
        rank(blip::Pixels const& frames, Texts const& questions,
             blip::RankOptions const& options) const override {
            return this->model_.rank(frames, frames.shape()[0], questions, *candidates_, options);
        }

    private:
        std::optional<blip::AnswerList> candidates_;
    };
};

/// What is written is an answerer of pictures: its weights are all that clips need.
struct Untrained {
    template <class C>
    using model = blip::QuestionAnswerer<C, blip::Cpu<float>>;
};

} // namespace

std::unique_ptr<Model> load_answerer(support::CommonArguments const& a) {
    return support::load_model<Model, Models, Types>("video", a);
}

int write_random_answerer(support::CommonArguments const& a) {
    return support::write_random_model<Models, Untrained>(a, 384, a.seed);
}

} // namespace video
