#include "model.hpp"

#include <numeric>

#include "../support/random_model.hpp"

namespace explain {

namespace {

using Models = support::MatchingModels;

struct Types {
    static constexpr auto task = blip::Task::matching;
    template <class C>
    using model = blip::Matcher<C, blip::Cpu<float>>;

    template <class C>
    class loaded final : public support::LoadedAs<Model, model<C>> {
    public:
        using support::LoadedAs<Model, model<C>>::LoadedAs;
        Explained explain(blip::Pixels const& pixels, std::string const& text,
                          std::optional<int> layer) const override {
            auto const map = blip::heat_map(this->model_, pixels, text, {.layer = layer});
            // Without [ENC] and [SEP].
            std::vector<std::size_t> numbers(map.ids.size() - 2);
            std::iota(numbers.begin(), numbers.end(), std::size_t{1});
            return {text, map.match.probability, map.words, words_of(map, numbers)};
        }
    };
};

} // namespace

std::unique_ptr<Model> load_matcher(support::CommonArguments const& a) {
    return support::load_model<Model, Models, Types>("explain", a);
}

int write_random_matcher(support::CommonArguments const& a) {
    return support::write_random_model<Models, Types>(a, 384, a.seed);
}

} // namespace explain
