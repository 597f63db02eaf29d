#include "model.hpp"

#include <utility>

#include <blip/models/video_retriever.hpp>

#include "../support/random_model.hpp"

namespace video {

namespace {

using Models = support::MatchingModels;

struct Types {
    static constexpr auto task = blip::Task::matching;
    template <class C>
    using model = blip::VideoRetriever<C, blip::Cpu<float>>;

    template <class C>
    class loaded final : public support::LoadedAs<Model, model<C>> {
    public:
        using support::LoadedAs<Model, model<C>>::LoadedAs;
        std::vector<blip::Match> match(blip::Pixels const& frames,
                                       Texts const& texts) const override {
            auto const clips = this->model_.encode(frames, frames.shape()[0]);
            return this->model_.match(clips.front(), texts);
        }
    };
};

/// What is written is a matcher: its weights are all that clips need.
struct Untrained {
    template <class C>
    using model = blip::Matcher<C, blip::Cpu<float>>;
};

} // namespace

std::unique_ptr<Model> load_matcher(support::CommonArguments const& a) {
    return support::load_model<Model, Models, Types>("video", a);
}

int write_random_matcher(support::CommonArguments const& a) {
    return support::write_random_model<Models, Untrained>(a, 384, a.seed);
}

} // namespace video
