#include <support/catch.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/io/load_weights.hpp>
#include <blip/io/model_config.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/networks/answer_network.hpp>
#include <support/network.hpp>

namespace {

using namespace blip;
using blip::test::GoldenTensors, blip::test::relative_difference;

/// A loaded answerer of a golden case with what its loss is made of.
template <class C, class B>
struct Case {
    using Network = AnswerNetwork<C, B>;

    test::Bench<B> bench{};
    GoldenTensors inputs, expected;
    Weights<Network> weights;
    ModelSettings settings;

    Case(std::string const& name, std::string const& file, std::string const& config)
        : inputs(name, "inputs.safetensors"), expected(name, "expected.safetensors"),
          weights(bench.engine) {
        auto const report =
            load_weights(weights, bench.engine, TensorFile::open(test::golden_file(name, file)));
        CHECK(report.extra.empty());
        settings = read_settings(JsonDocument::open(test::golden_file(name, config)));
        apply_settings(*weights, settings);
    }

    typename Network::Images images(std::string const& tensor) {
        auto const image = inputs[tensor];
        return {bench.put(image.values), static_cast<int>(image.shape[0])};
    }

    TextInput<B> text(std::string const& ids, std::string const& mask) {
        return bench.text(inputs.integers(ids), inputs.integers(mask), inputs[ids].shape[0]);
    }

    void check_gradient(typename Network::Cache& cache, Naming naming, double tolerance) {
        Weights<typename Network::Grad> gradient(bench.engine);
        weights->backward(cache, *gradient, bench.context);
        std::string worst;
        double const off = test::gradient_difference(
            gradient, bench, expected, "grad.",
            [&](std::string const& path) { return checkpoint_names(path, naming); }, worst);
        INFO("worst gradient: " << worst);
        CHECK(off < tolerance);
    }
};

#if BLIP_HAS_GOLDEN_VQA
template <class B>
void check_authors(double tolerance) {
    Case<config::golden_vqa, B> c("vqa", "weights.pth", "config.json");
    auto const wide_mask = c.inputs.integers("question_mask");
    std::vector<unsigned char> const question_mask(wide_mask.begin(), wide_mask.end());
    auto const ids = c.inputs.integers("answer_ids"), mask = c.inputs.integers("answer_mask");
    std::vector<int> labels;
    for (std::size_t i = 0; i < ids.size(); ++i)
        labels.push_back(mask[i] ? static_cast<int>(ids[i]) : ignored_target);
    auto const counts = c.inputs.integers("answers_per_question");
    std::vector<int> const per_question(counts.begin(), counts.end());
    auto const weights = c.inputs["answer_weights"].values;
    auto const images = c.images("image");
    auto const questions = c.text("question_ids", "question_mask");
    AnswerTargets<B> const answers{.text = c.text("answer_ids", "answer_mask"),
                                   .labels = labels,
                                   .per_question = per_question,
                                   .weights = weights,
                                   .question_mask = question_mask};
    typename AnswerNetwork<config::golden_vqa, B>::Cache cache;
    auto const run = [&](SmoothingRule rule) {
        double const loss = c.weights->loss(images, questions, answers,
                                            {.smoothing = c.settings.label_smoothing,
                                             .reduction = Reduction::sum_per_item,
                                             .rule = rule},
                                            cache, c.bench.context);
        auto items = LanguageModelingLoss<B>{}.per_item(cache.loss, c.bench.context);
        for (std::size_t i = 0; i < items.size(); ++i)
            items[i] *= static_cast<double>(per_question.size()) / weights[i];
        return std::pair{loss, items};
    };
    auto const json = test::golden_json("vqa");
    auto const [old_loss, old_items] = run(SmoothingRule::torch_1_10);
    CHECK(old_loss == Approx(json["loss_with_torch_1_10_0"].get<double>()).epsilon(tolerance));
    CHECK(relative_difference(
              old_items, json["loss_per_answer_with_torch_1_10_0"].get<std::vector<double>>()) <
          tolerance);
    auto const [loss, items] = run(SmoothingRule::ignore_padding);
    CHECK(loss == Approx(c.expected["loss"].values[0]).epsilon(tolerance));
    CHECK(relative_difference(items, c.expected["loss_per_answer"].values) < tolerance);

    typename AnswerNetwork<config::golden_vqa, B>::Encoder::Cache encoder;
    auto const states = c.weights->read(questions, cache.image, encoder, c.bench.context);
    CHECK(relative_difference(c.bench.get(states), c.expected["question_states"].values) <
          tolerance);
    typename AnswerNetwork<config::golden_vqa, B>::Decoder::Cache decoder;
    auto const logits =
        c.weights->decoder.forward(answers.text, cache.question, decoder, c.bench.context);
    CHECK(relative_difference(c.bench.get(logits), c.expected["answer_logits"].values) < tolerance);
    c.check_gradient(cache, Naming::original, tolerance);
}
#endif

#if BLIP_HAS_GOLDEN_HF_VQA
template <class B>
void check_port(double tolerance) {
    using C = config::golden_hf_vqa;
    Case<C, B> c("hf_vqa", "model/model.safetensors", "model/config.json");
    auto const wide_labels = c.inputs.integers("labels");
    std::vector<int> const labels(wide_labels.begin(), wide_labels.end());
    auto const questions = c.text("input_ids", "attention_mask");
    // The port computes the question's padding mask and leaves it unused.
    CHECK(test::golden_json("hf_vqa")["cross_attention_padding_mask_ignored"].get<bool>());
    AnswerTargets<B> const answers{.text = c.text("decoder_input_ids", "decoder_attention_mask"),
                                   .labels = labels};
    typename AnswerNetwork<C, B>::Cache cache;
    double const loss =
        c.weights->loss(c.images("pixel_values"), questions, answers,
                        {.smoothing = c.settings.label_smoothing}, cache, c.bench.context);
    CHECK(loss == Approx(c.expected["loss"].values[0]).epsilon(tolerance));
    CHECK(relative_difference(c.bench.get(cache.image.states), c.expected["image_embeds"].values) <
          tolerance);
    CHECK(relative_difference(c.bench.get(cache.question.states),
                              c.expected["question_states"].values) < tolerance);
    typename AnswerNetwork<C, B>::Decoder::Cache decoder;
    auto const logits =
        c.weights->decoder.forward(answers.text, cache.question, decoder, c.bench.context);
    CHECK(relative_difference(c.bench.get(logits), c.expected["decoder_logits"].values) <
          tolerance);
    c.check_gradient(cache, Naming::hugging_face, tolerance);
}
#endif

} // namespace

#if BLIP_HAS_GOLDEN_VQA
TEST_CASE("the answerer's loss and gradients agree with the authors' release", "[golden]") {
    SECTION("Reference<double>") {
        check_authors<Reference<double>>(1e-9);
    }
    SECTION("Cpu<float>") {
        check_authors<Cpu<float>>(1e-4);
    }
}
#endif

#if BLIP_HAS_GOLDEN_HF_VQA
TEST_CASE("the answerer's loss and gradients agree with transformers", "[golden]") {
    SECTION("Reference<double>") {
        check_port<Reference<double>>(1e-9);
    }
    SECTION("Cpu<float>") {
        check_port<Cpu<float>>(1e-4);
    }
}
#endif
