#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/io/model_folder.hpp>
#include <blip/model/built_in.hpp>
#include <blip/models/captioner.hpp>
#include <blip/models/dispatch.hpp>

namespace support {

/// All sizes that this program serves.
using CaptionModels =
    blip::config::concatenate<blip::config::caption_models, blip::config::built_in_models>;

/// A captioner whose sizes are known at run time only: the rest of a program is compiled once, not
/// once per size.
class CaptionModel {
public:
    virtual ~CaptionModel() = default;
    virtual std::vector<std::vector<blip::Caption>>
    generate(blip::Pixels const& pixels, blip::CaptionOptions const& options) const = 0;
    virtual blip::Preprocess const& preprocessing() const = 0;
    virtual blip::ModelSettings const& settings() const = 0;
    /// What to tell the user about the loaded file, a line each.
    virtual std::vector<std::string> warnings() const = 0;
};

namespace detail {

template <class Captioner>
class LoadedCaptioner final : public CaptionModel {
public:
    explicit LoadedCaptioner(Captioner captioner) : captioner_(std::move(captioner)) {}

    std::vector<std::vector<blip::Caption>>
    generate(blip::Pixels const& pixels, blip::CaptionOptions const& options) const override {
        return captioner_.generate(pixels, options);
    }
    blip::Preprocess const& preprocessing() const override { return captioner_.preprocessing(); }
    blip::ModelSettings const& settings() const override { return captioner_.settings(); }
    std::vector<std::string> warnings() const override {
        auto lines = captioner_.settings().warnings;
        if (auto summary = captioner_.report().summary(); !summary.empty())
            lines.push_back(std::move(summary));
        return lines;
    }

private:
    Captioner captioner_;
};

} // namespace detail

/// How a program loads a model.
struct CaptionModelOptions {
    std::optional<int> image_size{}; ///< in pixels, in place of the checkpoint's
    std::optional<blip::Compatibility> compatibility{};
    std::size_t threads = 0; ///< 0: all of the machine's
};

/// Loads the model in a folder or weights file. Throws ConfigError when its sizes were not compiled
/// in, and what Captioner::load throws.
inline std::unique_ptr<CaptionModel> load_caption_model(std::filesystem::path const& path,
                                                        CaptionModelOptions const& options) {
    using B = blip::Cpu<float>;
    auto const folder = blip::ModelFolder::open(path);
    auto const load = [&]<class C>(std::type_identity<C>) -> std::unique_ptr<CaptionModel> {
        using Captioner = blip::Captioner<C, B>;
        return std::make_unique<detail::LoadedCaptioner<Captioner>>(
            Captioner::load(folder, {.compatibility = options.compatibility,
                                     .engine = typename B::Engine(options.threads)}));
    };
    return blip::visit_config<CaptionModels>(folder, load, options.image_size);
}

} // namespace support
