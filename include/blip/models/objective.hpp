#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <blip/losses/hard_negatives.hpp>
#include <blip/losses/language_modeling.hpp>
#include <blip/models/loaded_model.hpp>

namespace blip {

/// Where momentum networks and queues come from when training begins from a checkpoint.
enum class MomentumStart {
    file,   ///< the checkpoint, which must hold them: pre-training and retrieval files do
    trained ///< networks are copies of the trained ones and queues random where the file lacks them
};

/// How an objective is put into memory.
template <class B>
struct ObjectiveOptions {
    std::optional<Compatibility> compatibility{};     ///< default: as the file's names say
    typename B::Engine engine = typename B::Engine{}; ///< who computes: threads or a device
    MomentumStart momentum = MomentumStart::file;     ///< retrieval and pre-training
    /// To start from a checkpoint of another task: what it lacks is initialised from this seed, and
    /// `report().fresh` names it. Not set: an error. From scratch: in place of `seed`.
    std::optional<std::uint64_t> fresh_seed{};
    /// End of the stochastic depth ramp, of trained and momentum network. Default: what the picture
    /// network is trained with, 0.1 for ViT-L, and in question answering and pair reasoning for
    /// every one, else 0 (see `default_drop_path`).
    std::optional<double> drop_path{};
    /// Dropout of the text network. Default: as the settings say, which is 0 for a config.json that
    /// does not name it, as those of the port; the authors train with 0.1.
    std::optional<double> dropout{};
    /// Default: as the settings say, 0 in the port; the authors train with 0.1.
    std::optional<double> label_smoothing{};
    /// Captions and questions are cut to so many tokens. Default: the authors' number for the task,
    /// or the model's positions where they are fewer.
    std::optional<int> text_length{};
    /// From scratch: how untrained weights are spread.
    Initialization initialization{};
    std::uint64_t seed = 42; ///< of dropout, stochastic depth, negatives and fresh queues
};

/// One step's choices. An objective passes over those that it has no use for.
struct StepOptions {
    double alpha = 0.4;                   ///< see `ramped_alpha`; retrieval and pre-training
    double momentum = 0.995;              ///< of the teacher
    std::optional<Negatives> negatives{}; ///< in place of drawing them; for a step of one part
    /// Which tokens the language-modelling loss smooths over.
    SmoothingRule rule = SmoothingRule::ignore_padding;
};

/// Pictures with a caption each, without a prompt: what captioning and pre-training learn from.
struct CaptionBatch {
    Pixels pixels; ///< [n, 3, image_size, image_size], normalised
    std::vector<std::string> captions;
};

/// Losses by name, for logs.
using NamedLosses = std::vector<std::pair<std::string_view, double>>;

/// A checkpoint's model as training needs it. Throws as `LoadedModel::load`.
template <class Network>
std::shared_ptr<LoadedModel<Network>>
load_to_train(ModelFolder const& folder,
              ObjectiveOptions<typename Network::backend> const& options) {
    return LoadedModel<Network>::load(folder, {.layout = Layout::rows,
                                               .compatibility = options.compatibility,
                                               .engine = options.engine,
                                               .fresh_seed = options.fresh_seed});
}

/// A model that nothing has been taught: weights as the authors' release initialises them, named by
/// `options.fresh_seed`, else by `options.seed`. Ids that `settings` leaves out are the
/// tokenizer's. Throws ConfigError when the vocabulary or the pictures do not fit the
/// configuration.
template <class Network>
std::shared_ptr<LoadedModel<Network>>
fresh_model(ModelSettings settings, Tokenizer tokenizer, Preprocess const& preprocess,
            ObjectiveOptions<typename Network::backend> const& options) {
    using C = typename Network::config;
    if (tokenizer.vocabulary().size() > C::text::vocabulary)
        throw ConfigError(join("training from scratch: the tokenizer has ",
                               tokenizer.vocabulary().size(), " ids with [DEC] and [ENC], but ",
                               "this program's configuration a vocabulary of ",
                               C::text::vocabulary));
    if (preprocess.size != std::size_t{C::vision::image})
        throw ConfigError(join("training from scratch: pictures of ", preprocess.size,
                               " pixels, but this program's configuration has ", C::vision::image));
    auto const& ids = tokenizer.vocabulary().special();
    for (auto const& [setting, id] : {std::pair{&settings.dec_id, ids.dec},
                                      {&settings.enc_id, ids.enc},
                                      {&settings.cls_id, ids.cls},
                                      {&settings.sep_id, ids.sep},
                                      {&settings.pad_id, ids.pad},
                                      {&settings.unk_id, ids.unk},
                                      {&settings.mask_id, ids.mask}})
        if (!*setting)
            *setting = id;
    if (options.compatibility) {
        settings.release = release_of(settings);
        settings.compatibility = *options.compatibility;
    }
    auto engine = options.engine;
    Weights<Network> weights(engine);
    initialize(weights, engine, options.fresh_seed.value_or(options.seed), options.initialization);
    return std::make_shared<LoadedModel<Network>>(std::move(weights), std::move(settings),
                                                  std::move(tokenizer), preprocess,
                                                  std::move(engine));
}

/// What training holds, whatever is learnt: a model, the gradient of its weights, a counter of
/// steps. Unlike the models for inference it changes with every step, and serves one caller at a
/// time. An optimizer changes `weights()` between steps. All that is random is a function of the
/// seed and the number of the step, so that neither threads nor a restart can be seen in results.
template <class Network>
class Objective {
public:
    using B = typename Network::backend;
    using config = typename Network::config;
    using Gradient = Weights<typename Network::Grad>;
    static constexpr int image_size = config::vision::image;

    Weights<Network>& weights() { return model_->weights; }
    Weights<Network> const& weights() const { return model_->weights; }
    /// What the last step left: ∂(total loss)/∂weights.
    Gradient& gradient() { return gradient_; }
    Gradient const& gradient() const { return gradient_; }
    typename B::Engine& engine() { return model_->engine; }
    ModelSettings const& settings() const { return model_->settings; }
    Tokenizer const& tokenizer() const { return model_->tokenizer; }
    Preprocess const& preprocessing() const { return model_->preprocess; }
    LoadReport const& report() const { return model_->report; }

    /// The model being trained. What is built from it, a Captioner for one, sees the weights as
    /// they are when it is called; it must not be called while a step runs.
    std::shared_ptr<LoadedModel<Network> const> shared() const { return model_; }

    /// Steps done, counted from the beginning of training.
    std::int64_t steps() const { return steps_; }

    /// Steps done before, when training is resumed: random choices go on as if it had not stopped.
    void resume_at(std::int64_t steps) { steps_ = steps; }

    /// What a training checkpoint keeps beside weights and the optimizer's moments, as
    /// f(name, scalar*, count) in backend memory or f(name, std::vector<std::int64_t>&). Once all
    /// of it is restored, `resume_at` says where to go on.
    template <class F>
    void for_each_state(F const&) {}

    /// The most memory that a step took beside weights, gradient and the optimizer's moments, or a
    /// model over `shared()` where that took more.
    std::size_t peak_bytes() const { return peak_; }

protected:
    /// `drop_path`: the ramp's end unless the options say another. Throws ArgumentError when a
    /// probability is none.
    Objective(std::shared_ptr<LoadedModel<Network>> model, ObjectiveOptions<B> const& options,
              double drop_path)
        : model_(std::move(model)), gradient_(model_->engine), seed_(options.seed) {
        if (model_->weights.layout() != Layout::rows)
            throw ArgumentError("an objective trains weights in Layout::rows; Layout::panels are "
                                "for inference only");
        auto& settings = model_->settings;
        // Named, because nvcc 13 does not translate such a list in the head of the loop.
        std::array const shares{std::pair{"dropout", options.dropout},
                                std::pair{"label smoothing", options.label_smoothing}};
        for (auto const& [name, share] : shares)
            if (share && !(*share >= 0 && *share < 1))
                throw ArgumentError(
                    join("an objective's ", name, " is ", *share, ", expected 0 to below 1"));
        if (options.dropout)
            settings.hidden_dropout = settings.attention_dropout = *options.dropout;
        if (options.label_smoothing)
            settings.label_smoothing = *options.label_smoothing;
        apply_settings(*model_->weights, settings);
        set_drop_path(model_->weights->vision, options.drop_path.value_or(drop_path));
    }

    /// Calls `run(part, ctx)` for every part of a step, one after another: it computes a part's
    /// losses and adds their gradient to `gradient()`, which is zero before the first. Everything
    /// that can be wrong with a batch has been refused before.
    template <class Run>
    void run_step(std::size_t parts, Run const& run) {
        auto loan = model_->workspaces.borrow();
        auto const key = split({seed_, 1}, static_cast<std::uint64_t>(steps_));
        for (std::size_t part = 0; part < parts; ++part) {
            auto ctx = loan.context(Keep::everything);
            Scope scope(ctx.arena);
            if (part == 0)
                gradient_.zero(ctx.engine);
            ctx.mode = Mode::train;
            // Parts after the first draw from streams that no layer's number reaches.
            ctx.random = part == 0 ? key : split(key, (std::uint64_t{1} << 32) + part);
            run(part, ctx);
            peak_ = std::max(peak_, ctx.arena.peak_bytes());
        }
        ++steps_;
    }

    /// How many tokens of a text are read.
    static int tokens_read(ObjectiveOptions<B> const& options, int authors) {
        int const length = options.text_length.value_or(authors);
        if (length < 2)
            throw ArgumentError(
                join("an objective's texts of ", length, " tokens; [CLS] and [SEP] alone are 2"));
        return std::min<int>(length, config::text::positions);
    }

    /// Throws ArgumentError when a step has no part, or one's pictures are not
    /// [n, 3, image_size, image_size]; gives their number in all parts. `who` begins the message.
    template <class Batch>
    static int require_pictures(std::span<Batch const> parts, std::string_view who) {
        if (parts.empty())
            throw ArgumentError(join(who, ": a step of no batch"));
        std::size_t count = 0;
        for (auto const& part : parts) {
            LoadedModel<Network>::require_pixels(part.pixels, who);
            count += part.pixels.shape()[0];
        }
        return static_cast<int>(count);
    }

    /// Pictures in backend memory.
    static typename Network::Images upload_pictures(Pixels const& pixels, Context<B>& ctx) {
        auto const size = static_cast<std::ptrdiff_t>(pixels.size());
        typename Network::Images const images{ctx.take(size), static_cast<int>(pixels.shape()[0])};
        B::upload(ctx.engine, images.data, pixels.data(), size);
        return images;
    }

    SpecialIds const& special() const { return model_->special(); }
    LoadedModel<Network>& model() { return *model_; }
    bool is_original() const { return model_->is_original(); }
    std::uint64_t seed() const { return seed_; }

private:
    std::shared_ptr<LoadedModel<Network>> model_;
    Gradient gradient_;
    std::uint64_t seed_;
    std::int64_t steps_ = 0;
    std::size_t peak_ = 0;
};

} // namespace blip
