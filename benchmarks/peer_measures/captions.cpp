#include <cmath>
#include <cstdint>
#include <iostream>
#include <memory>
#include <vector>

#include <blip/config/presets.hpp>
#include <blip/models/captioner.hpp>
#include <blip/train/adamw.hpp>
#include <blip/vision/read_image.hpp>

#include "peer_measures/measures.hpp"
#include "support/process.hpp"

namespace blip::bench {

namespace {

using namespace config;

template <class C>
auto load(Arguments const& a, char const* folder) {
    using Captioner = Captioner<C, B>;
    return std::make_shared<Captioner const>(load_model<Captioner>(a, folder));
}

/// 20 new tokens whatever the model thinks: the end token is banned until the length limit.
CaptionOptions forced(int beams) {
    CaptionOptions options;
    options.prompt = "";
    options.beams = beams;
    options.max_new_tokens = 20;
    options.min_length = 1000;
    return options;
}

void require_tokens(Caption const& caption) {
    if (caption.token_log_probabilities.size() != 20)
        throw Error(join("expected 20 new tokens, found ", caption.token_log_probabilities.size()));
}

Work preprocess_384(Arguments const& a) {
    auto const path = list_photos(a.photos).front();
    return {[path] { (void)preprocess(read_image(path)); },
            1,
            48,
            {{"photo", path.filename().string()}}};
}

template <class C>
Work vision(Arguments const& a, char const* folder, std::size_t batch) {
    auto const model = load<C>(a, folder);
    auto const pixels = make_pixels(batch, C::vision::image);
    return {[=] { (void)model->encode(pixels); },
            static_cast<int>(batch),
            batch > 1 ? 4 : 8,
            {{"shape", pixels.shape()}}};
}

Work caption(Arguments const& a, int beams) {
    auto const model = load<config::caption_base>(a, "caption_base");
    auto const pixels = make_pixels(1, 384);
    return {[=] { require_tokens(model->generate(pixels, forced(beams)).front().front()); },
            1,
            8,
            {{"decoding_steps", 20}, {"beams", beams}}};
}

Work caption_from_jpeg(Arguments const& a) {
    auto const model = load<config::caption_base>(a, "caption_base");
    auto const path = list_photos(a.photos).front();
    return {[=] { require_tokens(model->generate(read_image(path), forced(1)).front()); },
            1,
            8,
            {{"photo", path.filename().string()}}};
}

Work caption_folder(Arguments const& a) {
    auto const model = load<config::caption_base>(a, "caption_base");
    auto const photos = list_photos(a.photos);
    auto const run = [=] {
        std::size_t next = 0;
        for (int batch = 0; batch < 2; ++batch) {
            std::vector<Image> images;
            for (int i = 0; i < 8; ++i)
                images.push_back(read_image(photos[next++ % photos.size()]));
            for (auto const& captions : model->generate(images, forced(3)))
                require_tokens(captions.front());
        }
    };
    return {run, 16, 2, {{"photos", 16}, {"batch", 8}}};
}

/// A step of captioner fine-tuning: gradients are cleared, all weights trained.
template <class C>
class TrainingStep {
public:
    using Network = CaptionerNetwork<C, B>;

    TrainingStep(Arguments const& a, char const* name, int batch)
        : engine_(a.threads), weights_(engine_), gradient_(engine_),
          optimizer_(engine_, {.weight_decay = 0.05}), batch_(batch),
          pixels_(make_pixels(static_cast<std::size_t>(batch), C::vision::image)) {
        auto const folder = ModelFolder::open(a.models / name);
        load_weights(weights_, engine_, folder.weights);
        auto settings = folder.settings;
        settings.hidden_dropout = settings.attention_dropout = 0.1;
        apply_settings(*weights_, settings);
        for (int row = 0; row < batch; ++row)
            for (int i = 0; i < length; ++i) {
                int const word = 1000 + row * (length - 2) + i - 1;
                ids_.push_back(i == 0 ? 30522 : i == length - 1 ? 102 : word);
                positions_.push_back(i);
                labels_.push_back(i < 4 ? ignored_target : ids_.back());
            }
    }

    void operator()() {
        Context<B> context{.engine = engine_,
                           .arena = arena_,
                           .mode = Mode::train,
                           .random = split({1, 0}, step_++)};
        Scope scope(arena_);
        gradient_.zero(engine_);
        typename Network::Cache cache;
        double const loss = weights_->loss(
            {pixels_.data(), batch_}, {ids_.data(), positions_.data(), nullptr, batch_, length},
            labels_, {.smoothing = 0.1}, cache, context);
        if (!std::isfinite(loss))
            throw Error("the loss is not finite");
        weights_->backward(cache, *gradient_, context);
        optimizer_.step(engine_, weights_, gradient_, 1e-5);
    }

private:
    static constexpr int length = 35;
    B::Engine engine_;
    Arena<B> arena_;
    Weights<Network> weights_;
    Weights<typename Network::Grad> gradient_;
    AdamW<Network> optimizer_;
    int batch_;
    Pixels pixels_;
    std::vector<int> ids_, positions_, labels_;
    std::uint64_t step_ = 0;
};

template <class C>
Work train(Arguments const& a, char const* folder, int batch) {
    auto const step = std::make_shared<TrainingStep<C>>(a, folder, batch);
    return {[=] { (*step)(); },
            batch,
            4,
            {{"text_tokens", 35}, {"dropout", 0.1}, {"optimizer", "AdamW"}}};
}

} // namespace

Measures caption_measures() {
    return {
        {"preprocess_384", preprocess_384},
        {"vision_base_384_batch1",
         [](Arguments const& a) { return vision<caption_base>(a, "caption_base", 1); }},
        {"vision_base_384_batch8",
         [](Arguments const& a) { return vision<caption_base>(a, "caption_base", 8); }},
        {"caption_greedy_20", [](Arguments const& a) { return caption(a, 1); }},
        {"caption_greedy_20_from_jpeg", caption_from_jpeg},
        {"caption_beam3_20", [](Arguments const& a) { return caption(a, 3); }},
        {"caption_folder16_batch8_beam3_20", caption_folder},
        {"train_caption_224_batch4",
         [](Arguments const& a) { return train<base<224>>(a, "caption_base_224", 4); }},
        {"train_caption_384_batch2",
         [](Arguments const& a) { return train<caption_base>(a, "caption_base", 2); }},
        {"train_caption_224_batch4_recompute",
         [](Arguments const& a) {
             return train<config::recomputed<base<224>>>(a, "caption_base_224", 4);
         }},
        {"vision_large_384_batch1",
         [](Arguments const& a) { return vision<caption_large>(a, "caption_large", 1); }},
    };
}

void caption_once(Arguments const& a) {
    auto const start = Clock::now();
    auto const model = load<caption_base>(a, "caption_base");
    double const loaded = seconds_since(start);
    auto const captions = model->generate(read_image(a.once), forced(1));
    std::cerr << captions.front().text << '\n';
    std::cout << loaded << ' ' << seconds_since(start) - loaded << '\n';
}

} // namespace blip::bench
