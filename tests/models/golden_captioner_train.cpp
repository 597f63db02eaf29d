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
using blip::test::for_each_case, blip::test::GoldenCase, blip::test::GoldenTensors;
using blip::test::relative_difference;

/// A golden case with a captioner's whole loss: where its files are and how its tensors are called.
struct LossCase {
    std::string name;
    std::string weights;
    std::string config;
    std::string image, ids, mask, labels, logits;
    Naming naming;
};

[[maybe_unused]] LossCase loss_case(std::string const& name) {
    if (name == "captioner_train")
        return {name,      "weights.pth", "config.json",   "image", "decoder_ids", "attention_mask",
                "targets", "logits",      Naming::original};
    return {name,
            "model/model.safetensors",
            "model/config.json",
            "pixel_values",
            "input_ids",
            "attention_mask",
            "labels",
            "logits",
            Naming::hugging_face};
}

template <class C, class B>
void check_loss(LossCase const& names, double tolerance) {
    using Network = CaptionerNetwork<C, B>;
    INFO(names.name);
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

TEST_CASE("captioner's loss and gradients agree with the published ones", "[golden]") {
    // clang-format off
    std::tuple const cases{
#if BLIP_HAS_GOLDEN_CAPTIONER_TRAIN
        GoldenCase<config::golden_captioner_train>{"captioner_train"},
#endif
#if BLIP_HAS_GOLDEN_HF_CAPTION
        GoldenCase<config::golden_hf_caption>{"hf_caption"},
#endif
#if BLIP_HAS_GOLDEN_HF_CAPTION_DEFAULTS
        GoldenCase<config::golden_hf_caption_defaults>{"hf_caption_defaults"},
#endif
    };
    // clang-format on
    SECTION("Reference<double>") {
        for_each_case(cases, []<class C>(GoldenCase<C> const& c) {
            check_loss<C, Reference<double>>(loss_case(c.name), 1e-9);
        });
    }
    SECTION("Cpu<float>") {
        for_each_case(cases, []<class C>(GoldenCase<C> const& c) {
            check_loss<C, Cpu<float>>(loss_case(c.name), 1e-4);
        });
    }
}

namespace {

/// States of the image encoder for pictures of another size, through resized positions.
template <class C, class B>
void check_larger_pictures(std::string const& name, double tolerance) {
    GoldenTensors const inputs(name, "inputs.safetensors");
    auto const image = inputs["larger_pixel_values"];
    if (image.shape[2] != C::vision::image)
        return;
    INFO(name << " at " << image.shape[2] << " pixels");
    using Network = CaptionerNetwork<C, B>;
    test::Bench<B> bench;
    Weights<Network> weights(bench.engine);
    load_weights(weights, bench.engine,
                 TensorFile::open(test::golden_file(name, "model/model.safetensors")));
    apply_settings(*weights,
                   read_settings(JsonDocument::open(test::golden_file(name, "model/config.json"))));
    typename Network::Vision::Cache cache;
    auto const states = weights->vision.forward(
        {bench.put(image.values), static_cast<int>(image.shape[0])}, cache, bench.context);
    GoldenTensors const expected(name, "expected.safetensors");
    CHECK(relative_difference(bench.get(states), expected["larger_image_embeds"].values) <
          tolerance);
}

template <class B, class... C>
void check_larger_pictures(config::ModelList<C...>, std::string const& name, double tolerance) {
    (check_larger_pictures<C, B>(name, tolerance), ...);
}

} // namespace

// The port resizes positions in the model's own precision while it runs; this library does so once,
// in float32, when it loads. 1e-6 is what float32 leaves of the double result.
#if BLIP_HAS_GOLDEN_HF_CAPTION
TEST_CASE("larger pictures agree with transformers", "[golden]") {
    check_larger_pictures<Reference<double>>(config::golden_hf_caption_sizes{}, "hf_caption", 1e-6);
    check_larger_pictures<Cpu<float>>(config::golden_hf_caption_sizes{}, "hf_caption", 1e-4);
}
#endif

#if BLIP_HAS_GOLDEN_CAPTIONER_FULL_VOCAB
namespace {

template <class B>
void check_full_vocabulary(double tolerance) {
    using C = config::golden_captioner_full_vocab;
    using Network = CaptionerNetwork<C, B>;
    std::string const name = "captioner_full_vocab";
    test::Bench<B> bench;
    GoldenTensors const inputs(name, "inputs.safetensors");
    GoldenTensors const expected(name, "expected.safetensors");
    Weights<Network> weights(bench.engine);
    load_weights(weights, bench.engine, TensorFile::open(test::golden_file(name, "weights.pth")));
    auto const settings = read_settings(JsonDocument::open(test::golden_file(name, "config.json")));
    apply_settings(*weights, settings);
    auto const json = test::golden_json(name);
    auto const image = inputs["image"];
    auto const batch = static_cast<std::size_t>(image.shape[0]);
    auto const ids = inputs.integers("decoder_ids");
    auto const mask = inputs.integers("attention_mask");
    auto const length = ids.size() / batch;
    std::vector<int> labels;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        bool const prompt = i % length < json["prompt_length"].get<std::size_t>();
        labels.push_back(mask[i] == 0 || prompt ? ignored_target : static_cast<int>(ids[i]));
    }
    typename Network::Cache cache;
    double const loss = weights->loss(
        {bench.put(image.values), static_cast<int>(batch)}, bench.text(ids, mask, image.shape[0]),
        labels, {.smoothing = settings.label_smoothing}, cache, bench.context);
    CHECK(loss == Approx(expected["loss"].values[0]).epsilon(tolerance));
    Weights<typename Network::Grad> gradient(bench.engine);
    weights->backward(cache, *gradient, bench.context);

    constexpr std::size_t words = C::text::vocabulary, width = C::text::width;
    auto const table = bench.get(gradient->decoder.body.embedding.words.data, words * width);
    std::vector<double> row_sums(words), column_norms(width);
    for (std::size_t i = 0; i < table.size(); ++i) {
        row_sums[i / width] += table[i];
        column_norms[i % width] += table[i] * table[i];
    }
    for (double& norm : column_norms)
        norm = std::sqrt(norm);
    CHECK(relative_difference(row_sums, expected["word_embedding_grad_row_sums"].values) <
          tolerance);
    CHECK(relative_difference(column_norms, expected["word_embedding_grad_column_norms"].values) <
          tolerance);
    CHECK(relative_difference(bench.get(gradient->decoder.head.bias.data, words),
                              expected["bias_grad"].values) < tolerance);
    auto const& qkv = gradient->vision.stack.blocks[0].attention.branch.qkv.weight;
    auto const wanted = expected["qkv_grad"];
    CHECK(relative_difference(bench.get(qkv.data, std::ssize(wanted.values)), wanted.values) <
          tolerance);
}

} // namespace

TEST_CASE("loss and gradients over the full vocabulary agree with the authors' release",
          "[golden]") {
    SECTION("Reference<double>") {
        check_full_vocabulary<Reference<double>>(1e-9);
    }
    SECTION("Cpu<float>") {
        check_full_vocabulary<Cpu<float>>(1e-4);
    }
}
#endif
