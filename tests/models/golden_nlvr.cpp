#include <support/catch.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/io/load_weights.hpp>
#include <blip/io/model_config.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/models/pair_reasoner.hpp>
#include <support/network.hpp>

#if BLIP_HAS_GOLDEN_NLVR

namespace {

using namespace blip;
using blip::test::GoldenTensors, blip::test::relative_difference;
using C = config::golden_nlvr;

std::string const name = "nlvr";

template <class B>
void check_network(double tolerance, test::TinyGradients const& tiny) {
    using Network = PairNetwork<C, B>;
    test::Bench<B> bench;
    auto& context = bench.context;
    GoldenTensors const inputs(name, "inputs.safetensors");
    GoldenTensors const expected(name, "expected.safetensors");
    Weights<Network> weights(bench.engine);
    auto const report = load_weights(weights, bench.engine,
                                     TensorFile::open(test::golden_file(name, "weights.pth")));
    CHECK(report.extra.empty());
    apply_settings(*weights,
                   read_settings(JsonDocument::open(test::golden_file(name, "config.json"))));

    auto const image = inputs["image"];
    auto const batch = image.shape[0] / 2;
    auto const text =
        bench.text(inputs.integers("text_ids"), inputs.integers("attention_mask"), batch);
    auto const wide = inputs.integers("targets");
    std::vector<int> const labels(wide.begin(), wide.end());
    typename Network::Images const images{bench.put(image.values), static_cast<int>(2 * batch)};

    typename Network::Cache cache;
    double const loss = weights->loss(images, text, labels, cache, context);
    CHECK(loss == Approx(expected["loss"].values[0]).epsilon(tolerance));
    CHECK(relative_difference(bench.get(cache.text), expected["last_hidden"].values) < tolerance);
    typename Network::Cache other;
    auto const logits = bench.get(weights->logits(images, text, other, context));
    CHECK(relative_difference(logits, expected["predictions"].values) < tolerance);
    auto const classes = expected["predicted_class"].values;
    for (std::size_t i = 0; i < classes.size(); ++i)
        CHECK((logits[2 * i + 1] > logits[2 * i]) == (classes[i] == 1));

    Weights<typename Network::Grad> gradient(bench.engine);
    weights->backward(cache, *gradient, context);
    // Deep self-attention reads states that are nearly alike here: queries and keys of the last
    // layers have gradients of 1e-8 and less where the values' are near 1, the difference of terms
    // whose last bits they consist of.
    auto const found = test::compare_gradients(
        gradient, bench, expected, "grad.",
        [](std::string const& path) { return checkpoint_names(path, Naming::original); }, tiny);
    INFO("worst gradient: " << found.worst);
    CHECK(found.off < tolerance);
    CHECK(found.unasked == std::vector<std::string>{});
    CHECK(found.wrong == std::vector<std::string>{});
    CHECK(found.tiny.size() * 20 < found.compared);
    for (auto const& small : found.tiny) {
        INFO(small);
        CHECK(small.find(".attention.self.") != std::string::npos);
        CHECK((small.find(".query.") != std::string::npos ||
               small.find(".key.") != std::string::npos));
    }
    if (!found.tiny.empty())
        WARN(found.tiny.size() << " of " << found.compared
                               << " gradients are compared as tiny ones");
}

/// Every tensor of `file` is what the model holds under that name.
template <class Network, class Bench>
void check_holds(Weights<Network> const& weights, Bench& bench, GoldenTensors const& file) {
    std::size_t compared = 0;
    for (auto const& parameter : list_parameters(*weights)) {
        auto const held = bench.get(parameter.data, parameter.size);
        auto const parts = checkpoint_names(parameter.path, Naming::original);
        auto const size = held.size() / parts.size();
        for (std::size_t i = 0; i < parts.size(); ++i) {
            INFO(parts[i]);
            auto const wanted = file[parts[i]].values;
            REQUIRE(wanted.size() == size);
            // A position table that was resized in float32 may differ in its last bit.
            std::vector<double> const slice(held.begin() + static_cast<std::ptrdiff_t>(i * size),
                                            held.begin() +
                                                static_cast<std::ptrdiff_t>((i + 1) * size));
            if (parts[i] == "visual_encoder.pos_embed")
                CHECK(relative_difference(slice, wanted) < 1e-6);
            else
                CHECK(slice == wanted);
            ++compared;
        }
    }
    auto const buffers = std::ranges::count_if(
        file.names(), [](auto const& tensor) { return tensor.ends_with("position_ids"); });
    CHECK(compared + static_cast<std::size_t>(buffers) == file.names().size());
}

} // namespace

TEST_CASE("the pair network's loss, predictions and gradients agree with the authors' release",
          "[golden]") {
    SECTION("Reference<double>") {
        check_network<Reference<double>>(1e-9, {.below = 1e-6, .relative = 1e-7});
    }
    SECTION("Cpu<float>") {
        check_network<Cpu<float>>(1e-4, {.below = 1e-3,
                                         .rounding = 8 * std::numeric_limits<float>::epsilon(),
                                         .cosine = 0.9,
                                         .noise = 1e-6,
                                         .noise_cosine = 0.5});
    }
}

TEST_CASE("a checkpoint for one picture starts a model of two as in the authors' release",
          "[golden]") {
    using B = Reference<double>;
    using Network = PairNetwork<C, B>;
    test::Bench<B> bench;
    auto open = [](char const* file) { return TensorFile::open(test::golden_file(name, file)); };
    // The pickled checkpoint is read as what it was recorded to hold.
    auto const pickled = open("single_image.pth"), recorded = open("single_image.safetensors");
    CHECK(pickled.tensors().size() == recorded.tensors().size());
    for (auto const& tensor : recorded.tensors()) {
        INFO(tensor.name);
        auto const* const same = pickled.find(tensor.name);
        REQUIRE(same != nullptr);
        CHECK(same->shape == tensor.shape);
        if (is_floating(tensor.type))
            CHECK(same->template values<double>() == tensor.template values<double>());
    }
    Weights<Network> weights(bench.engine);
    load_weights(weights, bench.engine, open("before_loading.safetensors"));
    check_holds(weights, bench, GoldenTensors(name, "before_loading.safetensors"));
    CHECK_THROWS_AS(load_weights(weights, bench.engine, open("single_image.pth")), CheckpointError);
    check_holds(weights, bench, GoldenTensors(name, "before_loading.safetensors"));
    auto report =
        load_weights(weights, bench.engine, open("single_image.pth"), Missing::stays_fresh);
    check_holds(weights, bench, GoldenTensors(name, "after_loading.safetensors"));

    auto const loading = test::golden_json(name)["loading"];
    auto missing = loading["missing"].get<std::vector<std::string>>();
    std::ranges::sort(missing);
    std::ranges::sort(report.fresh);
    CHECK(report.fresh == missing);
    bool const resized = loading["checkpoint_image_size"] != loading["model_image_size"];
    CHECK(report.interpolated.size() == (resized ? 1u : 0u));
    // What the release calls unexpected, but for the tensors that it copied under other names.
    std::vector<std::string> unused;
    for (auto const& tensor : loading["unexpected"].get<std::vector<std::string>>())
        if (tensor.find("crossattention") == tensor.npos)
            unused.push_back(tensor);
    std::ranges::sort(unused);
    std::ranges::sort(report.extra);
    CHECK(report.extra == unused);
}

namespace {

template <class B>
void check_reasoner(double tolerance) {
    // The folder holds several checkpoints, so the one that is meant is named.
    auto const reasoner = PairReasoner<C, B>::load(test::golden_file(name, "weights.pth"));
    GoldenTensors const inputs(name, "inputs.safetensors");
    GoldenTensors const expected(name, "expected.safetensors");
    auto const image = inputs.floats("image");
    auto const side = static_cast<std::size_t>(inputs["image"].shape[2]);
    auto const sentences = test::golden_json(name)["sentences"].get<std::vector<std::string>>();
    Pixels first(Pixels::shape_type{sentences.size(), 3, side, side}), second = first;
    REQUIRE(image.size() == 2 * first.size());
    std::copy_n(image.data(), first.size(), first.data());
    std::copy_n(image.data() + first.size(), second.size(), second.data());
    auto const judgements = reasoner.predict(first, second, sentences);
    std::vector<double> logits;
    for (auto const& judgement : judgements)
        logits.insert(logits.end(), judgement.logits.begin(), judgement.logits.end());
    CHECK(relative_difference(logits, expected["predictions"].values) < tolerance);
    auto const classes = expected["predicted_class"].values;
    for (std::size_t i = 0; i < classes.size(); ++i)
        CHECK(judgements[i].is_true() == (classes[i] == 1));
}

} // namespace

TEST_CASE("a pair reasoner judges sentences as the authors' release does", "[golden]") {
    check_reasoner<Reference<double>>(1e-9);
    check_reasoner<Cpu<float>>(1e-4);
}

#endif
