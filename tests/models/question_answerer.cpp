#include <support/catch.hpp>

#include <algorithm>
#include <thread>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/models/question_answerer.hpp>
#include <support/tiny_models.hpp>

namespace {

using namespace blip;
using namespace blip::test;

using Fast = QuestionAnswerer<tiny_model, Cpu<float>>;

Fast strict(std::size_t threads = 1) {
    return random_model<Fast>(Cpu<float>::Engine(threads), Compatibility::strict);
}

std::vector<std::string> questions() {
    return {"a photo of word9 word12", "word20", "", "word11 word30 word8 of a photo word33",
            "a word17"};
}

std::vector<AnswerOptions> ways() {
    return {{.beams = 1, .max_length = 10},
            {.beams = 3, .results = 2, .max_length = 10},
            {.beams = 5, .max_length = 7, .min_length = 4, .no_repeat_ngram = 2},
            {.results = 3, .sample = true, .max_length = 9, .seed = 5}};
}

AnswerList list_of(Fast const& answerer) {
    std::vector<std::string> texts;
    for (int i = 8; i < 38; ++i)
        texts.push_back("word" + std::to_string(i) + (i % 3 ? "" : " of") + (i % 4 ? "" : " a a"));
    return answerer.answer_list(texts);
}

void check_same_choice(std::vector<ChosenAnswer> const& a, std::vector<ChosenAnswer> const& b) {
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
        CHECK(a[i].text == b[i].text);
        CHECK(a[i].answer == b[i].answer);
        CHECK(a[i].score == b[i].score);
        CHECK(a[i].first_token_probability == b[i].first_token_probability);
    }
}

constexpr RankOptions choice{.keep = 9, .results = 0, .batch = 4};

} // namespace

TEST_CASE("in strict mode a batch gives bit for bit what its questions give alone") {
    auto const answerer = strict();
    auto const all = noise(5);
    auto const texts = questions();
    for (auto const& options : ways()) {
        auto const together = answerer.answer(all, texts, options);
        REQUIRE(together.size() == 5);
        for (std::size_t i = 0; i < 5; ++i) {
            auto alone = options;
            alone.first_question = i;
            check_same_texts(
                answerer.answer(some_of(all, i), std::span(&texts[i], 1), alone).front(),
                together[i]);
        }
    }
    auto const list = list_of(answerer);
    auto const together = answerer.rank(all, texts, list, choice);
    for (std::size_t i = 0; i < 5; ++i)
        check_same_choice(
            answerer.rank(some_of(all, i), std::span(&texts[i], 1), list, choice).front(),
            together[i]);
}

TEST_CASE("several questions about one picture give what each gives alone") {
    auto const answerer = strict();
    auto const all = noise(3);
    auto const texts = questions();
    auto const list = list_of(answerer);
    constexpr int about[] = {2, 0, 2, 2, 0};
    for (auto const& options : ways()) {
        auto const mixed = answerer.answer(all, texts, options, about);
        auto const shared = answerer.answer(some_of(all, 1), texts, options);
        for (std::size_t i = 0; i < 5; ++i) {
            auto alone = options;
            alone.first_question = i;
            std::span const question(&texts[i], 1);
            check_same_texts(
                answerer.answer(some_of(all, static_cast<std::size_t>(about[i])), question, alone)
                    .front(),
                mixed[i]);
            check_same_texts(answerer.answer(some_of(all, 1), question, alone).front(), shared[i]);
        }
    }
    auto const mixed = answerer.rank(all, texts, list, choice, about);
    for (std::size_t i = 0; i < 5; ++i)
        check_same_choice(answerer
                              .rank(some_of(all, static_cast<std::size_t>(about[i])),
                                    std::span(&texts[i], 1), list, choice)
                              .front(),
                          mixed[i]);
}

TEST_CASE("more questions than go through the model at a time are answered as each alone") {
    auto const answerer = strict();
    auto const all = noise(3);
    std::vector<std::string> texts;
    std::vector<int> about;
    for (int i = 0; i < 75; ++i) { // most of them about one picture
        texts.push_back(questions()[static_cast<std::size_t>(i) % 5] + " word" +
                        std::to_string(8 + i % 30));
        about.push_back(i % 7 == 0 ? 0 : i % 7 == 1 ? 2 : 1);
    }
    auto const list = list_of(answerer);
    AnswerOptions const options{.results = 2, .sample = true, .max_length = 6, .seed = 5};
    auto const written = answerer.answer(all, texts, options, about);
    auto const ranked = answerer.rank(all, texts, list, choice, about);
    REQUIRE(written.size() == texts.size());
    REQUIRE(ranked.size() == texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
        auto alone = options;
        alone.first_question = i;
        auto const picture = some_of(all, static_cast<std::size_t>(about[i]));
        std::span const question(&texts[i], 1);
        check_same_texts(answerer.answer(picture, question, alone).front(), written[i]);
        check_same_choice(answerer.rank(picture, question, list, choice).front(), ranked[i]);
    }
}

TEST_CASE("strict keeps what the checkpoint's release does where nothing is said") {
    Folder const folder, saved;
    random_model<Fast>().save(folder.path); // as the authors'
    auto const authors = Fast::load(folder.path);
    auto const chosen = Fast::load(folder.path, {.compatibility = Compatibility::strict});
    CHECK(chosen.settings().compatibility == Compatibility::strict);
    CHECK(chosen.generation_defaults() == authors.generation_defaults());
    CHECK(chosen.generation_defaults().beams == 3);
    CHECK(chosen.generation_defaults().max_length == 10);
    std::vector<std::string> const text{questions()[0]};
    auto const picture = noise(1);
    check_same_texts(chosen.answer(picture, text).front(), authors.answer(picture, text).front());
    chosen.save(saved.path);
    auto const again = Fast::load(saved.path);
    CHECK(again.settings().compatibility == Compatibility::strict);
    CHECK(again.generation_defaults() == authors.generation_defaults());
}

TEST_CASE("the order of questions does not matter, that of a list's answers only for its numbers") {
    auto const answerer = strict();
    auto const all = noise(5);
    auto const texts = questions();
    std::vector<std::string> const turned(texts.rbegin(), texts.rend());
    constexpr int about[] = {4, 3, 2, 1, 0};
    auto const there = answerer.answer(all, texts), back = answerer.answer(all, turned, {}, about);
    for (std::size_t i = 0; i < 5; ++i)
        check_same_texts(there[i], back[4 - i]);
    auto const list = list_of(answerer);
    auto const other = answerer.answer_list({list.texts().rbegin(), list.texts().rend()});
    RankOptions const everything{.keep = 100, .results = 0};
    auto const a = answerer.rank(all, texts, list, everything),
               b = answerer.rank(all, texts, other, everything);
    for (std::size_t i = 0; i < 5; ++i)
        for (std::size_t j = 0; j < list.size(); ++j) {
            CHECK(a[i][j].text == b[i][j].text);
            CHECK(a[i][j].score == b[i][j].score);
        }
}

TEST_CASE("answers do not depend on the number of threads") {
    auto const one = strict(1);
    for (std::size_t threads : {2, 3}) {
        auto const several = strict(threads);
        for (auto const& options : ways()) {
            auto const a = one.answer(noise(5), questions(), options),
                       b = several.answer(noise(5), questions(), options);
            for (std::size_t i = 0; i < 5; ++i)
                check_same_texts(a[i], b[i]);
        }
        auto const a = one.rank(noise(5), questions(), list_of(one), choice),
                   b = several.rank(noise(5), questions(), list_of(several), choice);
        for (std::size_t i = 0; i < 5; ++i)
            check_same_choice(a[i], b[i]);
    }
}

TEST_CASE("many threads may call one answerer") {
    auto const answerer = strict();
    auto const all = noise(4);
    auto const texts = questions();
    std::vector<std::vector<Answer>> expected(4), found(4);
    auto const ask = [&](std::size_t i) {
        return answerer.answer(some_of(all, i), std::span(&texts[i], 1)).front();
    };
    for (std::size_t i = 0; i < 4; ++i)
        expected[i] = ask(i);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < 4; ++i)
        threads.emplace_back([&, i] { found[i] = ask(i); });
    for (auto& thread : threads)
        thread.join();
    for (std::size_t i = 0; i < 4; ++i)
        check_same_texts(found[i], expected[i]);
}

TEST_CASE("both published answerers look at the padding of shorter questions") {
    auto const all = noise(5);
    auto const texts = questions();
    for (auto compatibility : {Compatibility::salesforce, Compatibility::hugging_face}) {
        auto const answerer = random_model<Fast>(Cpu<float>::Engine(1), compatibility);
        auto const differs = [&](AnswerOptions options) {
            options.max_length = 8;
            auto const together = answerer.answer(all, texts, options);
            bool any = false;
            for (std::size_t i = 0; i < 5; ++i)
                any = any || answerer.answer(some_of(all, i), std::span(&texts[i], 1), options)
                                     .front()
                                     .front()
                                     .score != together[i].front().score;
            return any;
        };
        CHECK(differs({}));
        CHECK_FALSE(differs({.attend_padding = false}));
    }
    auto const answerer = strict();
    AnswerOptions const padded{.attend_padding = true};
    CHECK(answerer.answer(all, texts, padded)[1].front().score !=
          answerer.answer(all, texts)[1].front().score);
}

TEST_CASE("a long question is cut as the authors' release cuts it") {
    std::string longer, limit;
    for (int i = 0; i < 40; ++i)
        longer += "word" + std::to_string(8 + i % 30) + " ";
    // The position table of the test's model is shorter than 35 tokens, so even the cut question
    // does not fit; without the cut, the error would tell the whole length.
    auto const message = [&](Compatibility compatibility) -> std::string {
        try {
            random_model<Fast>(Cpu<float>::Engine(1), compatibility)
                .answer(noise(1), std::span(&longer, 1));
        } catch (ArgumentError const& error) {
            return error.what();
        }
        return {};
    };
    CHECK(message(Compatibility::salesforce).find("a text of 35 tokens") != std::string::npos);
    CHECK(message(Compatibility::hugging_face).find("a text of 42 tokens") != std::string::npos);
}

TEST_CASE("an answerer that was saved is the one that is loaded") {
    Folder const folder;
    for (auto compatibility : {Compatibility::salesforce, Compatibility::hugging_face}) {
        auto const answerer = random_model<Fast>(Cpu<float>::Engine(1), compatibility);
        answerer.save(folder.path);
        auto const again = Fast::load(folder.path);
        CHECK(again.settings().compatibility == compatibility);
        CHECK(again.report().extra.empty());
        CHECK(again.report().fresh.empty());
        auto const config = JsonDocument::open(folder.path / "config.json").root();
        CHECK(config["architectures"][0] == "BlipForQuestionAnswering");
        for (auto const& options : ways())
            check_same_texts(again.answer(noise(1), questions(), options)[1],
                             answerer.answer(noise(1), questions(), options)[1]);
        // What is not asked for follows the checkpoint.
        check_same_texts(again.answer(noise(1), questions())[0],
                         answerer.answer(noise(1), questions())[0]);
        check_same_choice(again.rank(noise(1), questions(), list_of(again), choice)[3],
                          answerer.rank(noise(1), questions(), list_of(answerer), choice)[3]);
    }
    auto const answerer = random_model<Fast>();
    Folder const original;
    answerer.save(folder.path);
    auto engine = Cpu<float>::Engine(1);
    save_original(original.path / "model.pth", answerer.weights(), engine);
    std::filesystem::copy(folder.path / "vocab.txt", original.path / "vocab.txt");
    std::filesystem::copy(folder.path / "config.json", original.path / "config.json");
    check_same_texts(Fast::load(original.path).answer(noise(1), questions())[2],
                     answerer.answer(noise(1), questions())[2]);
}

TEST_CASE("a picture of another size is served through resized positions") {
    Folder const folder;
    random_model<Fast>().save(folder.path);
    auto const larger = QuestionAnswerer<tiny_model_large, Cpu<float>>::load(folder.path);
    CHECK(larger.report().interpolated.size() == 1);
    CHECK(larger.answer(noise(1, 32), questions()).size() == 5);
}

TEST_CASE("questions that make no sense say so") {
    auto const answerer = strict();
    auto const texts = questions();
    auto const list = list_of(answerer);
    CHECK(answerer.answer(noise(2), {}).empty());
    CHECK(answerer.rank(noise(2), {}, list).empty());
    CHECK_THROWS_AS(answerer.answer(noise(2), texts), ArgumentError);
    CHECK_THROWS_AS(answerer.answer(noise(5, 32), texts), ArgumentError);
    constexpr int few[] = {0, 1}, beyond[] = {0, 1, 2, 3, 5}, below[] = {0, 1, 2, 3, -1};
    CHECK_THROWS_AS(answerer.answer(noise(5), texts, {}, few), ArgumentError);
    CHECK_THROWS_AS(answerer.answer(noise(5), texts, {}, beyond), ArgumentError);
    CHECK_THROWS_AS(answerer.answer(noise(5), texts, {}, below), ArgumentError);
    CHECK_THROWS_AS(answerer.answer(noise(5), texts, {.max_length = 1}), ArgumentError);
    CHECK_THROWS_AS(answerer.answer_list({}), ArgumentError);
    CHECK_THROWS_AS(answerer.answer_list({"a", "\xff"}), TextError);
    CHECK_THROWS_AS(answerer.rank(noise(5), texts, list, {.keep = 0}), ArgumentError);
    CHECK_THROWS_AS(answerer.rank(noise(5), texts, list, {.results = -1}), ArgumentError);
}

TEST_CASE("ranking returns as many answers as are wanted") {
    auto const answerer = strict();
    auto const list = list_of(answerer);
    std::string const question = "word9";
    auto const rank = [&](RankOptions const& options) {
        return answerer.rank(noise(1), std::span(&question, 1), list, options).front();
    };
    CHECK(rank({}).size() == 1);
    CHECK(rank({.keep = 7, .results = 5}).size() == 5);
    CHECK(rank({.keep = 7, .results = 0}).size() == 7);
    CHECK(rank({.results = 0}).size() == list.size());
    for (auto const& chosen : rank({.results = 0}))
        CHECK(chosen.text == list.texts()[static_cast<std::size_t>(chosen.answer)]);
}

TEST_CASE(
    "a pre-training file starts an answerer only when that is asked for, and says what is fresh") {
    // As a large one: its decoder looked at pictures, which are wider than its text.
    Folder const folder;
    auto const answerer = random_model<Fast>();
    answerer.save(folder.path);
    auto const path = folder.path / "model.safetensors";
    std::vector<std::string> narrow;
    {
        auto const file = TensorFile::open(path);
        std::vector<OutputTensor> tensors;
        std::vector<std::vector<float>> values;
        values.reserve(file.tensors().size() + 2);
        for (auto const& tensor : file.tensors()) {
            auto shape = tensor.shape;
            values.push_back(tensor.values<float>());
            bool const looks = tensor.name.starts_with("text_decoder.") &&
                               (tensor.name.ends_with("crossattention.self.key.weight") ||
                                tensor.name.ends_with("crossattention.self.value.weight"));
            if (looks) {
                narrow.push_back(tensor.name);
                shape[1] = tiny_model::vision::width;
                values.back().resize(static_cast<std::size_t>(shape[0] * shape[1]));
            }
            tensors.push_back(
                output_tensor<float>(tensor.name, shape, std::span<float const>(values.back())));
        }
        values.push_back(std::vector<float>(2 * tiny_model::text::width));
        tensors.push_back(output_tensor<float>(
            "itm_head.weight", std::vector<std::int64_t>{2, tiny_model::text::width},
            std::span<float const>(values.back())));
        write_safetensors(folder.path / "other.safetensors", std::move(tensors));
    }
    std::filesystem::rename(folder.path / "other.safetensors", path);
    CHECK_THROWS_AS(Fast::load(folder.path), CheckpointError);
    auto const started = Fast::load(folder.path, {.fresh_seed = 1});
    auto fresh = started.report().fresh;
    std::ranges::sort(fresh);
    std::ranges::sort(narrow);
    REQUIRE(narrow.size() == 2 * tiny_model::text::depth);
    for (auto const& name : narrow)
        CHECK(std::ranges::binary_search(fresh, name));
    CHECK(fresh.size() == narrow.size());
    CHECK(started.report().extra == std::vector<std::string>{"itm_head.weight"});
    // What was there is kept: the question is read as before.
    auto const& a = started.network().encoder.stack.blocks[0].mlp.norm;
    auto const& b = answerer.network().encoder.stack.blocks[0].mlp.norm;
    CHECK(std::equal(a.scale.data, a.scale.data + tiny_model::text::width, b.scale.data));
}
