#include <support/catch.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/io/load_weights.hpp>
#include <blip/io/model_config.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/networks/captioner_network.hpp>
#include <support/network.hpp>

namespace {

using namespace blip;
using blip::test::GoldenTensors, blip::test::relative_difference;

/// A golden case with a captioner's whole loss: where its files are and how its tensors are called.
struct LossCase {
    std::string name;
    std::string weights;
    std::string config;
    std::string image, ids, mask, labels, logits;
    Naming naming;
};

template <class C, class B>
void check_loss(LossCase const& names, double tolerance) {
    using Network = CaptionerNetwork<C, B>;
    test::Bench<B> bench;
    auto& context = bench.context;
    GoldenTensors const inputs(names.name, "inputs.safetensors");
    GoldenTensors const expected(names.name, "expected.safetensors");
    Weights<Network> weights(bench.engine);
    auto const report = load_weights(
        weights, bench.engine, TensorFile::open(test::golden_file(names.name, names.weights)));
    CHECK(report.extra.empty());
    auto const config = JsonDocument::open(test::golden_file(names.name, names.config));
    auto const settings = read_settings(config);
    apply_settings(*weights, settings);

    auto const image = inputs[names.image];
    auto const batch = image.shape[0];
    auto const wide_labels = inputs.integers(names.labels);
    std::vector<int> const labels(wide_labels.begin(), wide_labels.end());
    typename Network::Cache cache;
    auto const text = bench.text(inputs.integers(names.ids), inputs.integers(names.mask), batch);
    auto run = [&](SmoothingRule rule) {
        return weights->loss({bench.put(image.values), static_cast<int>(batch)}, text, labels,
                             {.smoothing = settings.label_smoothing, .rule = rule}, cache, context);
    };
    auto const json = test::golden_json(names.name);
    if (json.contains("loss_with_torch_1_10_0"))
        CHECK(run(SmoothingRule::torch_1_10) ==
              Approx(json["loss_with_torch_1_10_0"].get<double>()).epsilon(tolerance));
    CHECK(run(SmoothingRule::ignore_padding) ==
          Approx(expected["loss"].values[0]).epsilon(tolerance));
    if (!names.logits.empty()) {
        typename Network::Decoder::Cache unused;
        auto const logits = weights->decoder.forward(text, cache.image, unused, context);
        CHECK(relative_difference(bench.get(logits), expected[names.logits].values) < tolerance);
    }

    Weights<typename Network::Grad> gradient(bench.engine);
    weights->backward(cache, *gradient, context);
    std::string worst;
    double const off = test::gradient_difference(
        gradient, bench, expected, "grad.",
        [&](std::string const& path) { return checkpoint_names(path, names.naming); }, worst);
    INFO("worst gradient: " << worst);
    CHECK(off < tolerance);
}

} // namespace

#if BLIP_HAS_GOLDEN_CAPTIONER_TRAIN
TEST_CASE("captioner's loss and gradients agree with the authors' release", "[golden]") {
    using C = config::golden_captioner_train;
    LossCase const names{"captioner_train", "weights.pth", "config.json",
                         "image",           "decoder_ids", "attention_mask",
                         "targets",         "logits",      Naming::original};
    SECTION("Reference<double>") {
        check_loss<C, Reference<double>>(names, 1e-9);
    }
    SECTION("Cpu<float>") {
        check_loss<C, Cpu<float>>(names, 1e-4);
    }
}
#endif

#if BLIP_HAS_GOLDEN_HF_CAPTION
TEST_CASE("captioner's loss and gradients agree with transformers", "[golden]") {
    using C = config::golden_hf_caption;
    LossCase const names{"hf_caption",
                         "model/model.safetensors",
                         "model/config.json",
                         "pixel_values",
                         "input_ids",
                         "attention_mask",
                         "labels",
                         "logits",
                         Naming::hugging_face};
    SECTION("Reference<double>") {
        check_loss<C, Reference<double>>(names, 1e-9);
    }
    SECTION("Cpu<float>") {
        check_loss<C, Cpu<float>>(names, 1e-4);
    }
}
#endif

#if BLIP_HAS_GOLDEN_HF_CAPTION_DEFAULTS
TEST_CASE("captioner's loss and gradients agree with transformers' defaults", "[golden]") {
    using C = config::golden_hf_caption_defaults;
    LossCase const names{"hf_caption_defaults",
                         "model/model.safetensors",
                         "model/config.json",
                         "pixel_values",
                         "input_ids",
                         "attention_mask",
                         "labels",
                         "logits",
                         Naming::hugging_face};
    SECTION("Reference<double>") {
        check_loss<C, Reference<double>>(names, 1e-9);
    }
    SECTION("Cpu<float>") {
        check_loss<C, Cpu<float>>(names, 1e-4);
    }
}
#endif
