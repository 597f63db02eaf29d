#include "generated.hpp"

#include <blip/config/presets.hpp>

#include "../support/random_model.hpp"

namespace explain {

namespace {

using namespace blip::config;
using Models = support::Served<ModelList<caption_base, caption_large>, built_in_captioners>;

struct Types {
    static constexpr auto task = blip::Task::captioning;
    template <class C>
    using model = blip::Captioner<C, blip::Cpu<float>>;

    template <class C>
    class loaded final : public support::LoadedAs<Model, model<C>> {
    public:
        using support::LoadedAs<Model, model<C>>::LoadedAs;
        Explained explain(blip::Pixels const& pixels, std::string const&,
                          std::optional<int> layer) const override {
            auto const caption = this->model_.generate(pixels).front().front();
            return explained(caption.text,
                             blip::heat_map(this->model_, pixels, caption, {.layer = layer}),
                             this->model_.tokenizer().vocabulary());
        }
    };
};

} // namespace

std::unique_ptr<Model> load_captioner(support::CommonArguments const& a) {
    return support::load_model<Model, Models, Types>("explain", a);
}

int write_random_captioner(support::CommonArguments const& a) {
    return support::write_random_model<Models, Types>(a, 384, a.seed);
}

} // namespace explain
