#include <support/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <iterator>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/models/feature_extractor.hpp>
#include <blip/models/matcher.hpp>
#include <support/network.hpp>
#include <support/random_weights.hpp>
#include <support/tiny_models.hpp>

namespace {

using namespace blip;
using B = Cpu<float>;
using blip::test::GoldenTensors, blip::test::relative_difference;

using tiny = test::tiny_model;
using Fast = FeatureExtractor<tiny, B>;

Pixels pictures(std::size_t count) {
    return test::noise(count);
}

std::vector<std::string> const texts{"a photo", "word9 word12 word30 of a photo", "", "word20"};

/// A folder of a matcher's weights, `without` those whose names begin like this.
struct Model : test::Folder {
    explicit Model(std::vector<std::string> const& without = {},
                   std::vector<OutputTensor> more = {}) {
        B::Engine engine;
        Weights<MatchingNetwork<tiny, B>> weights(engine);
        test::randomize(weights, engine, {7, 0}, 0.4);
        save_model(path, weights, engine, ModelSettings{}, test::tiny_words(),
                   {.size = tiny::vision::image});
        auto tensors = published_tensors(weights, engine, Naming::hugging_face);
        std::erase_if(tensors, [&](auto const& tensor) {
            return std::ranges::any_of(
                without, [&](auto const& prefix) { return tensor.name.starts_with(prefix); });
        });
        for (auto& tensor : more)
            tensors.push_back(std::move(tensor));
        write_safetensors(path / "model.safetensors", std::move(tensors));
    }
};

} // namespace

TEST_CASE("features of a batch are those of its items") {
    Model const folder;
    auto const extractor = Fast::load(folder.path);
    CHECK(extractor.has_projections());
    CHECK(extractor.report().extra == std::vector<std::string>{"itm_head.bias", "itm_head.weight"});
    auto const all = pictures(3);
    auto const vectors = extractor.image_embeddings(all);
    auto const tokens = extractor.image_token_embeddings(all);
    for (std::size_t i = 0; i < 3; ++i) {
        auto const one = items_of(all, i, 1);
        CHECK((extractor.image_embeddings(one) == items_of(vectors, i, 1)));
        CHECK((extractor.image_states(one) == items_of(extractor.image_states(all), i, 1)));
        for (std::size_t t = 0; t < tokens.shape()[1]; ++t) {
            double length = 0;
            for (std::size_t c = 0; c < tiny::projection; ++c) {
                length += double(tokens(i, t, c)) * double(tokens(i, t, c));
                if (t == 0)
                    CHECK(tokens(i, 0, c) == vectors(i, c));
            }
            CHECK(length == Approx(1).epsilon(1e-6));
        }
    }
    auto const embeddings = extractor.text_embeddings(texts);
    auto const of_tokens = extractor.text_token_embeddings(texts);
    auto const states = extractor.text_states(texts);
    auto const about = extractor.multimodal_states(items_of(all, 0, 1), texts);
    CHECK((states.mask == of_tokens.mask));
    for (std::size_t i = 0; i < texts.size(); ++i) {
        std::span const one(&texts[i], 1);
        CHECK((extractor.text_embeddings(one) == items_of(embeddings, i, 1)));
        auto const alone = extractor.text_states(one);
        auto const alone_about = extractor.multimodal_states(items_of(all, 0, 1), one);
        for (std::size_t t = 0; t < states.mask.shape()[1]; ++t) {
            REQUIRE(states.mask(i, t) == (t < alone.values.shape()[1] ? 1 : 0));
            for (std::size_t c = 0; states.mask(i, t) && c < tiny::text::width; ++c) {
                CHECK(states.values(i, t, c) == alone.values(0, t, c));
                CHECK(about.values(i, t, c) == alone_about.values(0, t, c));
            }
        }
        for (std::size_t c = 0; c < tiny::projection; ++c)
            CHECK(of_tokens.values(i, 0, c) == embeddings(i, c));
    }
    auto const paired = extractor.multimodal_states(items_of(all, 0, 2), texts);
    for (std::size_t c = 0; c < tiny::text::width; ++c) {
        CHECK(paired.values(1, 0, c) == about.values(1, 0, c));
        CHECK(paired.values(2, 0, c) != about.values(2, 0, c));
    }
}

TEST_CASE("a file without projections has states, and says why it has no embeddings") {
    Model const whole;
    Model const bare({"vision_proj", "text_proj", "itm_head"});
    auto const extractor = Fast::load(bare.path);
    CHECK_FALSE(extractor.has_projections());
    CHECK(extractor.report().extra.empty());
    CHECK(
        (extractor.image_states(pictures(2)) == Fast::load(whole.path).image_states(pictures(2))));
    auto const message = [&](auto const& call) -> std::string {
        try {
            call();
        } catch (ConfigError const& error) {
            return error.what();
        }
        return {};
    };
    for (auto const& text : {message([&] { extractor.image_embeddings(pictures(1)); }),
                             message([&] { extractor.image_token_embeddings(pictures(1)); }),
                             message([&] { extractor.text_embeddings(texts); }),
                             message([&] { extractor.text_token_embeddings(texts); })})
        CHECK(text.find("has no projections (vision_proj, text_proj)") != text.npos);
    // Half a pair is a broken file, not a file without.
    Model const half({"text_proj"});
    CHECK_THROWS_AS(Fast::load(half.path), CheckpointError);
}

TEST_CASE("zero-shot classes share out probability by cosine over temperature") {
    float const temperature = 0.05f;
    std::vector<OutputTensor> more;
    more.push_back(output_tensor<float>("temp", {}, std::span(&temperature, 1)));
    Model const folder({}, std::move(more));
    auto const extractor = Fast::load(folder.path);
    REQUIRE(extractor.temperature().has_value());
    CHECK(*extractor.temperature() == Approx(0.05));
    auto const p = extractor.classify(pictures(2), texts);
    auto const cosines =
        cosines_of(extractor.image_embeddings(pictures(2)), extractor.text_embeddings(texts));
    for (std::size_t i = 0; i < 2; ++i) {
        double sum = 0;
        for (std::size_t k = 0; k < texts.size(); ++k) {
            sum += p(i, k);
            CHECK(std::log(p(i, k) / p(i, 0)) ==
                  Approx((cosines(i, k) - cosines(i, 0)) / *extractor.temperature()).margin(1e-9));
        }
        CHECK(sum == Approx(1));
    }
    Model const without;
    CHECK_THROWS_AS(Fast::load(without.path).classify(pictures(1), texts), ConfigError);
    CHECK((Fast::load(without.path).classify(pictures(2), texts, *extractor.temperature()) == p));
}

TEST_CASE("an extractor that is saved is loaded again, projections and temperature with it") {
    float const temperature = 0.05f;
    std::vector<OutputTensor> more;
    more.push_back(output_tensor<float>("temp", {}, std::span(&temperature, 1)));
    for (bool const whole : {true, false}) {
        Model const folder(whole ? std::vector<std::string>{}
                                 : std::vector<std::string>{"vision_proj", "text_proj"},
                           whole ? more : std::vector<OutputTensor>{});
        auto const extractor = Fast::load(folder.path);
        test::Folder const saved;
        extractor.save(saved.path);
        auto const again = Fast::load(saved.path);
        CHECK(again.report().extra.empty());
        CHECK(again.has_projections() == whole);
        CHECK(again.temperature() == extractor.temperature());
        CHECK((again.image_states(pictures(2)) == extractor.image_states(pictures(2))));
        if (whole)
            CHECK((again.text_embeddings(texts) == extractor.text_embeddings(texts)));
        CHECK_THROWS_AS((Matcher<tiny, B>::load(saved.path)), CheckpointError);
    }
}

TEST_CASE("an extractor of parts is the one whose parts they are") {
    B::Engine engine;
    Weights<FeatureNetwork<tiny, B>> weights(engine);
    Weights<ProjectionPair<tiny, B>> projections(engine);
    test::randomize(weights, engine, {7, 0}, 0.4);
    test::randomize(projections, engine, {7, 1}, 0.4);
    Fast const extractor(std::move(weights), std::move(projections), 0.05, ModelSettings{},
                         test::tiny_words());
    Fast const bare(extractor.shared());
    CHECK((bare.image_states(pictures(2)) == extractor.image_states(pictures(2))));
    CHECK_THROWS_AS(bare.text_embeddings(texts), ConfigError);
    test::Folder const saved;
    extractor.save(saved.path);
    auto const again = Fast::load(saved.path);
    CHECK((again.image_embeddings(pictures(2)) == extractor.image_embeddings(pictures(2))));
    CHECK((again.text_embeddings(texts) == extractor.text_embeddings(texts)));
    CHECK((again.classify(pictures(2), texts, 0.05) == extractor.classify(pictures(2), texts)));
}

TEST_CASE("a file without a whole network starts nothing, whatever may be fresh") {
    Model const none({"text_encoder."}), head({"itm_head."});
    LoadOptions<B> const options{.fresh_seed = 1};
    using Judge = Matcher<tiny, B>;
    CHECK_THROWS_AS(Judge::load(none.path, options), CheckpointError);
    CHECK_THROWS_AS(Judge::load(head.path), CheckpointError);
    CHECK(Judge::load(head.path, options).report().fresh.size() == 2);
}

TEST_CASE("feature calls that make no sense say so") {
    Model const folder;
    auto const extractor = Fast::load(folder.path);
    CHECK_THROWS_AS(extractor.image_states(Pixels(Pixels::shape_type{1, 3, 8, 8})), ArgumentError);
    CHECK_THROWS_AS(extractor.text_states({}), ArgumentError);
    CHECK_THROWS_AS(extractor.multimodal_states(pictures(3), texts), ArgumentError);
    std::vector<std::string> const longer{std::string(200, 'a') + " " + [] {
        std::string text;
        for (int i = 0; i < 40; ++i)
            text += "photo ";
        return text;
    }()};
    CHECK_THROWS_AS(extractor.text_states(longer), ArgumentError);
}

#if BLIP_HAS_GOLDEN_FEATURE_EXTRACTOR
namespace {

/// Raw states by the recorded ids and by the caption, at one of the case's picture sizes.
template <class C, class Backend>
void check_features(double tolerance) {
    std::string const name = "feature_extractor";
    GoldenTensors const inputs(name, "inputs.safetensors");
    GoldenTensors const expected(name, "expected.safetensors");
    bool const larger = C::vision::image != config::golden_feature_extractor::vision::image;
    std::string const suffix = larger ? "_large" : "";
    // The released loader resizes positions in float32; its own bits, not 1e-9, can agree then.
    double const bound = larger ? std::max(tolerance, 1e-6) : tolerance;
    auto const compare = [&](std::string const& tensor, auto const& values, double within) {
        INFO(tensor << suffix);
        CHECK(relative_difference(values, expected[tensor + suffix].values) < within);
    };
    auto const extractor =
        FeatureExtractor<C, Backend>::load(test::golden_file(name, "weights.pth"));
    CHECK(extractor.report().interpolated.empty() == !larger);
    auto const shape = inputs["image" + suffix].shape;
    REQUIRE(shape[2] == C::vision::image);
    auto const values = inputs.floats("image" + suffix);
    auto const count = static_cast<std::size_t>(shape[0]);
    Pixels pixels(Pixels::shape_type{count, 3, static_cast<std::size_t>(shape[2]),
                                     static_cast<std::size_t>(shape[3])});
    std::copy(values.begin(), values.end(), pixels.data());
    std::vector<std::string> const captions(
        inputs["text_ids"].shape[0],
        test::golden_json(name)["caption"].template get<std::string>());
    auto const tokens = extractor.tokenizer().encode_batch(captions);
    CHECK(std::ranges::equal(tokens.ids, inputs.integers("text_ids")));
    CHECK(std::ranges::equal(tokens.mask, inputs.integers("attention_mask")));
    compare("image", extractor.image_states(pixels), bound);
    compare("text", extractor.text_states(captions).values, tolerance); // no positions of pictures
    compare("multimodal", extractor.multimodal_states(pixels, captions).values, bound);
    if (!larger)
        return;
    // From the resized table that the release used, everything agrees as it does elsewhere.
    test::Bench<Backend> bench;
    auto const& positions = extractor.network().vision.embedding.positions;
    auto const table = expected["pos_embed_large_float32"].values;
    CHECK(relative_difference(bench.get(positions.data, std::ssize(table)), table) < 1e-6);
    test::Folder const folder;
    for (auto const* file : {"config.json", "vocab.txt"})
        std::filesystem::copy_file(test::golden_file(name, file), folder.path / file);
    auto const checkpoint = TensorFile::open(test::golden_file(name, "weights.pth"));
    std::vector<std::vector<float>> numbers;
    numbers.reserve(checkpoint.tensors().size());
    std::vector<OutputTensor> tensors;
    for (auto const& tensor : checkpoint.tensors()) {
        if (!is_floating(tensor.type))
            continue;
        bool const resized = tensor.name == "visual_encoder.pos_embed";
        numbers.push_back(resized ? expected.floats("pos_embed_large_float32")
                                  : tensor.template values<float>());
        tensors.push_back(output_tensor<float>(
            tensor.name, resized ? expected["pos_embed_large_float32"].shape : tensor.shape,
            std::span<float const>(numbers.back())));
    }
    write_torch_pickle(folder.path / "resized.pth", tensors, {});
    auto const same = FeatureExtractor<C, Backend>::load(folder.path / "resized.pth");
    CHECK(same.report().interpolated.empty());
    compare("image", same.image_states(pixels), tolerance);
    compare("multimodal", same.multimodal_states(pixels, captions).values, tolerance);
}

template <class Backend, class... C>
void check_features(config::ModelList<C...>, double tolerance) {
    (check_features<C, Backend>(tolerance), ...);
}

} // namespace

TEST_CASE("features agree with the authors' release", "[golden]") {
    SECTION("Reference<double>") {
        check_features<Reference<double>>(config::golden_feature_extractor_sizes{}, 1e-9);
    }
    SECTION("Cpu<float>") {
        check_features<Cpu<float>>(config::golden_feature_extractor_sizes{}, 1e-4);
    }
}
#endif
