#include <support/catch.hpp>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/models/pair_reasoner.hpp>
#include <blip/networks/matching_network.hpp>
#include <support/tiny_models.hpp>

namespace {

using namespace blip;
using test::Folder, test::noise, test::some_of;

struct tiny : test::tiny_model {
    static constexpr int merge_from = 1;
};
struct tiny_averaging : test::tiny_model {
    static constexpr int merge_from = 2;
};
struct tiny_large : test::tiny_model_large {
    static constexpr int merge_from = 1;
};

using Fast = PairReasoner<tiny, Cpu<float>>;

std::vector<std::string> const sentences{"a photo of word9 word10 word11 word12", "word20",
                                         "word13 a", "", "photo of word30 word31 word32"};

void check_same(PairJudgement const& a, PairJudgement const& b) {
    CHECK(a.logits == b.logits);
    CHECK(a.probability == b.probability);
}

/// What `call` complains about.
std::string complaint(auto call) {
    try {
        call();
    } catch (Error const& error) {
        return error.what();
    }
    return {};
}

} // namespace

TEST_CASE("a batch of pairs gives bit for bit what its pairs give alone") {
    auto const reasoner = test::random_model<Fast>();
    auto const first = noise(5, 24, 3), second = noise(5, 24, 4);
    auto const together = reasoner.predict(first, second, sentences);
    REQUIRE(together.size() == 5);
    for (std::size_t i = 0; i < 5; ++i) {
        auto const alone =
            reasoner.predict(some_of(first, i), some_of(second, i), {&sentences[i], 1});
        check_same(alone.front(), together[i]);
        CHECK(alone.front().probability ==
              Approx(1 / (1 + std::exp(alone.front().logits[0] - alone.front().logits[1]))));
        CHECK(alone.front().is_true() == (alone.front().probability > 0.5));
    }
    CHECK(together[0].logits != together[2].logits);
}

TEST_CASE("several sentences about a pair give what each gives alone") {
    auto const reasoner = test::random_model<Fast>();
    auto const first = noise(2, 24, 3), second = noise(2, 24, 4);
    std::vector<std::string> const six{"a photo", "word9", "of word12 word13",
                                       "word9",   "a",     "word20 word21"};
    auto const together = reasoner.predict(first, second, six);
    REQUIRE(together.size() == 6);
    for (std::size_t i = 0; i < 6; ++i)
        check_same(
            reasoner.predict(some_of(first, i / 3), some_of(second, i / 3), {&six[i], 1}).front(),
            together[i]);
}

TEST_CASE("a pair reasoner does not depend on threads, and many may call it") {
    auto const one = test::random_model<Fast>(Cpu<float>::Engine(1));
    auto const three = test::random_model<Fast>(Cpu<float>::Engine(3));
    auto const first = noise(5, 24, 3), second = noise(5, 24, 4);
    auto const expected = one.predict(first, second, sentences);
    std::vector<std::vector<PairJudgement>> found(4);
    std::vector<std::thread> threads;
    for (auto& result : found)
        threads.emplace_back([&] { result = three.predict(first, second, sentences); });
    for (auto& thread : threads)
        thread.join();
    for (auto const& result : found)
        for (std::size_t i = 0; i < 5; ++i)
            check_same(result[i], expected[i]);
}

TEST_CASE("the order of the pictures counts, and pictures are preprocessed as everywhere") {
    auto const reasoner = test::random_model<Fast>();
    Image a(Image::shape_type{20, 30, 3}), b(Image::shape_type{40, 10, 3});
    for (std::size_t i = 0; i < a.size(); ++i)
        a.data()[i] = static_cast<unsigned char>(random_bits({5, 1}, i));
    for (std::size_t i = 0; i < b.size(); ++i)
        b.data()[i] = static_cast<unsigned char>(random_bits({5, 2}, i));
    auto const ab = reasoner.predict(a, b, "a photo of word9");
    CHECK(reasoner.predict(b, a, "a photo of word9").logits != ab.logits);
    std::string const sentence = "a photo of word9";
    check_same(reasoner
                   .predict(preprocess(a, reasoner.preprocessing()),
                            preprocess(b, reasoner.preprocessing()), {&sentence, 1})
                   .front(),
               ab);
}

TEST_CASE("a saved pair reasoner is the one that is loaded") {
    Folder const folder;
    auto const reasoner = test::random_model<Fast>();
    reasoner.save(folder.path);
    auto const first = noise(5, 24, 3), second = noise(5, 24, 4);
    auto const expected = reasoner.predict(first, second, sentences);
    for (auto layout : {Layout::panels, Layout::rows}) {
        auto const again = Fast::load(folder.path, {.layout = layout});
        CHECK(again.report().extra.empty());
        CHECK(again.settings().compatibility == Compatibility::salesforce);
        auto const found = again.predict(first, second, sentences);
        for (std::size_t i = 0; i < 5; ++i)
            check_same(found[i], expected[i]);
    }
    auto const json = JsonDocument::open(folder.path / "config.json").root();
    CHECK(json["blip"]["merge_from_layer"] == 1);
    CHECK(PairReasoner<tiny_large, Cpu<float>>::load(folder.path).report().interpolated.size() ==
          1);

    SECTION("a configuration that averages where the file merges is refused") {
        auto const text =
            complaint([&] { PairReasoner<tiny_averaging, Cpu<float>>::load(folder.path); });
        INFO(text);
        CHECK(text.find("layer.1.crossattention.output.merge_layer.") != text.npos);
        CHECK(text.find("merge_from is 2") != text.npos);
    }
    SECTION("sizes are measured where there is no config.json") {
        std::filesystem::remove(folder.path / "config.json");
        // Heads of 64 channels, as published models have them, are what is assumed there.
        auto const text = complaint([&] { Fast::load(folder.path); });
        INFO(text);
        CHECK(text.find("heads 1 instead of 4") != text.npos);
        CHECK(text.find("encoder width") == text.npos);
    }
}

TEST_CASE("a checkpoint for one picture is refused, or starts a model of two on request") {
    using Single = LoadedModel<MatchingNetwork<tiny, Cpu<float>>>;
    Folder const folder;
    Cpu<float>::Engine engine(1);
    {
        Weights<MatchingNetwork<tiny, Cpu<float>>> weights(engine);
        initialize(weights, engine, 11);
        ModelSettings settings;
        settings.hidden_dropout = settings.attention_dropout = 0;
        Single(std::move(weights), settings, test::tiny_words(), {.size = 24}, engine)
            .save(folder.path);
    }
    auto const text = complaint([&] { Fast::load(folder.path); });
    INFO(text);
    CHECK(text.find("this is a checkpoint for image-text matching") != text.npos);
    CHECK(text.find("blip::PairReasoner") != text.npos);

    LoadOptions<Cpu<float>> const options{.layout = Layout::rows, .fresh_seed = 5};
    auto const reasoner = Fast::load(folder.path, options);
    CHECK(reasoner.report().fresh ==
          std::vector<std::string>{
              "text_encoder.encoder.layer.1.crossattention.output.merge_layer.weight",
              "text_encoder.encoder.layer.1.crossattention.output.merge_layer.bias",
              "cls_head.0.weight", "cls_head.0.bias", "cls_head.2.weight", "cls_head.2.bias"});
    auto const single = Single::load(ModelFolder::open(folder.path), {.layout = Layout::rows});
    auto const& one = single->network().encoder.stack.blocks[0].cross.branch;
    auto const& two = reasoner.network().encoder.stack.lower.blocks[0].cross.branch;
    auto const same = [](auto const& a, auto const& b) {
        return std::equal(a.data, a.data + a.size, b.data);
    };
    for (auto const* twin : {&two.first, &two.second}) {
        CHECK(same(twin->query.weight, one.query.weight));
        CHECK(same(twin->key_value.weight, one.key_value.weight));
        CHECK(same(twin->key_value.bias, one.key_value.bias));
        CHECK(same(twin->output.weight, one.output.weight));
    }
    // Fresh numbers follow from the seed alone.
    auto const& merge = reasoner.network().encoder.stack.upper.blocks[0].cross.branch.merge;
    auto const again = Fast::load(folder.path, options);
    CHECK(same(again.network().encoder.stack.upper.blocks[0].cross.branch.merge.weight,
               merge.weight));
    CHECK(merge.bias.data[0] == 0);
    CHECK(merge.weight.data[0] != 0);
    // Both pictures are looked at alike where averaging layers are all there is.
    auto const averaging = PairReasoner<tiny_averaging, Cpu<float>>::load(folder.path, options);
    auto const a = noise(1, 24, 3), b = noise(1, 24, 4);
    CHECK(averaging.predict(a, b, {&sentences[0], 1}).front().probability ==
          Approx(averaging.predict(b, a, {&sentences[0], 1}).front().probability).epsilon(1e-4));
}

TEST_CASE("calls of a pair reasoner that make no sense say so") {
    auto const reasoner = test::random_model<Fast>();
    auto const two = noise(2), three = noise(3);
    CHECK_THROWS_AS(reasoner.predict(two, three, {sentences.data(), 2}), ArgumentError);
    CHECK_THROWS_AS(reasoner.predict(two, two, {sentences.data(), 3}), ArgumentError);
    CHECK_THROWS_AS(reasoner.predict(two, two, {}), ArgumentError);
    CHECK_THROWS_AS(reasoner.predict(noise(1, 32), noise(1, 32), {sentences.data(), 1}),
                    ArgumentError);
    CHECK_THROWS_AS(reasoner.predict(std::vector<Image>{}, std::vector<Image>{}, sentences),
                    ArgumentError);
    // 30 pieces and two special tokens just fit; nothing is ever cut.
    std::string longest;
    for (int i = 0; i < 30; ++i)
        longest += "a ";
    std::vector<std::string> const texts{"a", longest};
    CHECK(reasoner.predict(two, two, texts).size() == 2);
    std::vector<std::string> const too_long{"a", longest + "photo"};
    auto const text = complaint([&] { reasoner.predict(two, two, too_long); });
    INFO(text);
    CHECK(text.find("33 tokens, but the model has only 32 positions") != text.npos);
}
