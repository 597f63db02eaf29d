#include "generated.hpp"

#include <blip/config/presets.hpp>

#include "../support/random_model.hpp"

namespace explain {

namespace {

using namespace blip::config;
using Models = support::Served<answer_models, built_in_question_answerers>;

struct Types {
    static constexpr auto task = blip::Task::question_answering;
    template <class C>
    using model = blip::QuestionAnswerer<C, blip::Cpu<float>>;

    template <class C>
    class loaded final : public support::LoadedAs<Model, model<C>> {
    public:
        using support::LoadedAs<Model, model<C>>::LoadedAs;
        Explained explain(blip::Pixels const& pixels, std::string const& question,
                          std::optional<int> layer) const override {
            auto const answer = this->model_.answer(pixels, {&question, 1}).front().front();
            return explained(
                answer.text,
                blip::heat_map(this->model_, pixels, question, answer, {.layer = layer}),
                this->model_.tokenizer().vocabulary());
        }
    };
};

} // namespace

std::unique_ptr<Model> load_answerer(support::CommonArguments const& a) {
    return support::load_model<Model, Models, Types>("explain", a);
}

int write_random_answerer(support::CommonArguments const& a) {
    return support::write_random_model<Models, Types>(a, 384, a.seed);
}

} // namespace explain
