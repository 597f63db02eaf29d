#pragma once

#include <memory>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/models/captioner.hpp>

#include "model_choice.hpp"

namespace support {

/// All sizes that `caption` serves.
using CaptionModels = Served<blip::config::caption_models, blip::config::built_in_captioners>;

/// A captioner of any of these sizes.
class CaptionModel : public AnyModel {
public:
    virtual std::vector<std::vector<blip::Caption>>
    generate(blip::Pixels const& pixels, blip::CaptionOptions const& options) const = 0;
    virtual blip::GenerationDefaults generation_defaults() const = 0;
};

/// How load_model makes one.
struct CaptionTypes {
    static constexpr auto task = blip::Task::captioning;

    template <class C>
    using model = blip::Captioner<C, blip::Cpu<float>>;

    template <class C>
    class loaded final : public LoadedAs<CaptionModel, model<C>> {
    public:
        using LoadedAs<CaptionModel, model<C>>::LoadedAs;
        std::vector<std::vector<blip::Caption>>
        generate(blip::Pixels const& pixels, blip::CaptionOptions const& options) const override {
            return this->model_.generate(pixels, options);
        }
        blip::GenerationDefaults generation_defaults() const override {
            return this->model_.generation_defaults();
        }
    };
};

} // namespace support
