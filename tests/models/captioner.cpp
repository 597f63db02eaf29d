#include <support/catch.hpp>

#include <filesystem>
#include <fstream>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/models/captioner.hpp>
#include <support/network.hpp>
#include <support/tiny_models.hpp>

namespace {

using namespace blip;
using namespace blip::test;

using Fast = Captioner<tiny_model, Cpu<float>>;

std::vector<CaptionOptions> ways() {
    return {{.beams = 1, .max_length = 14},
            {.beams = 3, .results = 2, .max_length = 14},
            {.prompt = "", .beams = 8, .max_length = 9, .min_length = 4, .no_repeat_ngram = 2},
            {.results = 3, .sample = true, .max_length = 12, .seed = 5}};
}

} // namespace

TEST_CASE("a batch gives bit for bit what its pictures give alone") {
    auto const captioner = random_model<Fast>();
    auto const all = noise(5);
    std::vector<std::string> const prompts{"a photo of ", "", "a ", "word9 word10 word11 ",
                                           "photo"};
    for (auto const& options : ways()) {
        auto const together = captioner.generate(all, options, prompts);
        for (std::size_t i = 0; i < 5; ++i) {
            auto alone = options;
            alone.first_image = i;
            check_same_texts(captioner.generate(some_of(all, i), alone, {&prompts[i], 1}).front(),
                             together[i]);
        }
    }
}

TEST_CASE("results do not depend on the number of threads") {
    auto const one = random_model<Fast>(Cpu<float>::Engine(1));
    for (std::size_t threads : {2, 3, 5}) {
        auto const several = random_model<Fast>(Cpu<float>::Engine(threads));
        for (auto const& options : ways()) {
            auto const a = one.generate(noise(3), options), b = several.generate(noise(3), options);
            for (std::size_t i = 0; i < 3; ++i)
                check_same_texts(a[i], b[i]);
        }
        CHECK((one.encode(noise(3)) == several.encode(noise(3))));
    }
}

TEST_CASE("cached decoding equals full recomputation") {
    auto const captioner = random_model<Captioner<tiny_model, Reference<double>>>();
    auto const captions = captioner.generate(noise(2), {.beams = 3, .max_length = 16});
    using B = Reference<double>;
    for (std::size_t i = 0; i < 2; ++i) {
        auto const& caption = captions[i].front();
        test::Bench<B> bench;
        auto const pixels = some_of(noise(2), i);
        typename CaptionerNetwork<tiny_model, B>::Vision::Cache vision;
        auto const states = captioner.network().vision.forward(
            {bench.put(std::vector<float>(pixels.begin(), pixels.end())), 1}, vision,
            bench.context);
        typename CaptionerNetwork<tiny_model, B>::Decoder::Cache cache;
        std::vector<std::int64_t> const ids(caption.ids.begin(), caption.ids.end());
        auto const logits = bench.get(captioner.network().decoder.forward(
            bench.text(ids, {}, 1), {.states = states}, cache, bench.context));
        std::size_t const given = ids.size() - caption.token_log_probabilities.size();
        for (std::size_t t = given; t < ids.size(); ++t) {
            std::span const row(logits.data() + (t - 1) * 40, 40);
            double sum = 0;
            for (double z : row)
                sum += std::exp(z);
            double const log_p = row[static_cast<std::size_t>(ids[t])] - std::log(sum);
            CHECK(caption.token_log_probabilities[t - given] == Approx(log_p).epsilon(1e-10));
        }
    }
}

TEST_CASE("what is saved is what is loaded") {
    Folder const folder;
    auto const captioner = random_model<Fast>();
    captioner.save(folder.path);
    // The saved folder has the port's names, but its config.json says whose behaviour is meant.
    auto const again = Fast::load(folder.path);
    CHECK(again.settings().compatibility == Compatibility::salesforce);
    CHECK(again.report().extra.empty());
    for (auto const& options : ways())
        check_same_texts(again.generate(noise(1), options).front(),
                         captioner.generate(noise(1), options).front());
    Fast const shared(captioner.shared());
    check_same_texts(shared.generate(noise(1), ways()[1]).front(),
                     captioner.generate(noise(1), ways()[1]).front());
    auto const rows = Fast::load(
        folder.path, {.layout = Layout::rows, .compatibility = Compatibility::salesforce});
    check_same_texts(rows.generate(noise(1), ways()[1]).front(),
                     captioner.generate(noise(1), ways()[1]).front());

    Folder const original;
    auto engine = Cpu<float>::Engine(1);
    save_original(original.path / "model.pth", captioner.weights(), engine);
    // Beside a table of positions stands the buffer that the authors' loader asks for.
    auto const file = TensorFile::open(original.path / "model.pth");
    auto const* const positions = file.find("text_decoder.bert.embeddings.position_ids");
    REQUIRE(positions != nullptr);
    CHECK(positions->shape == std::vector<std::int64_t>{1, tiny_model::text::positions});
    CHECK(positions->template values<double>().back() == tiny_model::text::positions - 1);
    std::filesystem::copy(folder.path / "vocab.txt", original.path / "vocab.txt");
    std::filesystem::copy(folder.path / "config.json", original.path / "config.json");
    auto const from_pth = Fast::load(original.path);
    CHECK(from_pth.settings().compatibility == Compatibility::salesforce);
    check_same_texts(from_pth.generate(noise(1), ways()[1]).front(),
                     captioner.generate(noise(1), ways()[1]).front());
}

TEST_CASE("a model goes on from the prompt it was trained with, and saves it") {
    Folder const folder, again;
    auto config = nlohmann::json();
    for (auto const release : {Compatibility::salesforce, Compatibility::hugging_face}) {
        random_model<Fast>(Cpu<float>::Engine(), release).save(folder.path);
        auto const plain = Fast::load(folder.path);
        CHECK_FALSE(plain.settings().prompt.has_value());
        config = nlohmann::json::parse(std::ifstream(folder.path / "config.json"));
        config["blip"]["prompt"] = "a photo of ";
        write_file(folder.path / "config.json", config.dump());

        Fast::load(folder.path).save(again.path);
        auto const trained = Fast::load(again.path);
        CHECK(trained.settings().prompt == "a photo of ");
        for (auto const& options : ways()) {
            auto named = options;
            named.prompt = "a photo of ";
            auto silent = options;
            silent.prompt.reset();
            auto const own = trained.generate(noise(2), silent);
            auto const given = plain.generate(noise(2), named);
            for (std::size_t i = 0; i < own.size(); ++i) {
                REQUIRE(own[i].front().ids == given[i].front().ids);
                // A prompt that was given is part of the text in the port; the model's own never.
                bool const cut = release == Compatibility::salesforce;
                CHECK((cut ? "" : "a photo of ") + own[i].front().text == given[i].front().text);
            }
            for (std::string const other : {"", "a "}) {
                named.prompt = other;
                check_same_texts(trained.generate(noise(1), named).front(),
                                 plain.generate(noise(1), named).front());
            }
        }
    }
    config["blip"]["prompt"] = 7;
    write_file(folder.path / "config.json", config.dump());
    std::string message;
    try {
        Fast::load(folder.path);
    } catch (FormatError const& error) {
        message = error.what();
    }
    CHECK(message.find("blip.prompt") != std::string::npos);
    CHECK(message.find("string") != std::string::npos);
}

TEST_CASE("words that follow a model's own prompt stand alone") {
    Tokenizer const words(
        parse_vocabulary("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nphoto\n:\n##s\na\ndog\n"));
    auto const text = [&](std::vector<int> ids) {
        std::vector<std::vector<Hypothesis>> found(1, std::vector<Hypothesis>(1));
        found[0][0].ids = std::move(ids);
        return describe_texts(std::move(found), words, {}, 3)[0][0].text;
    };
    int const dec = words.vocabulary().special().dec;
    CHECK(text({dec, 5, 6, 8, 9, 3}) == "a dog"); // "photo: a dog" is decoded "photo : a dog"
    CHECK(text({dec, 5, 6, 7, 9}) == "s dog");
    CHECK(text({dec, 5, 6, 3}) == "");
    CHECK(text({dec, 5}) == "");
}

TEST_CASE("a checkpoint's own ways of generating are followed, and saved with it") {
    Folder const folder, other;
    random_model<Fast>().save(folder.path);
    auto const port = [&](Folder const& where) {
        return Fast::load(where.path, {.compatibility = Compatibility::hugging_face});
    };
    auto const write = [&](std::string const& text) {
        write_file(folder.path / "generation_config.json", text);
    };
    auto const first = [](Fast const& captioner, CaptionOptions const& options = {}) {
        return captioner.generate(noise(2), options).front();
    };
    // The port without a file: greedy, 20 new tokens.
    write("{}");
    check_same_texts(first(port(folder)), first(port(folder), {.beams = 1, .max_new_tokens = 20}));
    // The port samples from everything where the authors keep 0.9 of it.
    auto const all = first(port(folder), {.sample = true, .max_new_tokens = 20, .top_p = 1.0});
    check_same_texts(first(port(folder), {.sample = true}), all);
    auto const nucleus = first(port(folder), {.sample = true, .top_p = 0.5});
    CHECK(nucleus.front().ids != all.front().ids);
    auto const authors = Fast::load(folder.path);
    CHECK(authors.settings().compatibility == Compatibility::salesforce);
    check_same_texts(first(authors, {.sample = true}),
                     first(authors, {.sample = true, .top_k = 50, .top_p = 0.9}));

    struct Case {
        std::string text;
        CaptionOptions same;
    };
    std::vector<Case> const cases{
        {R"({"do_sample": true, "temperature": 0.5, "top_k": 7, "top_p": 0.8})",
         {.sample = true, .max_new_tokens = 20, .temperature = 0.5, .top_k = 7, .top_p = 0.8}},
        {R"({"num_beams": 4, "max_length": 12, "min_length": 6, "length_penalty": 2.0,
             "early_stopping": true, "no_repeat_ngram_size": 2, "repetition_penalty": 1.5})",
         {.beams = 4,
          .max_length = 12,
          .min_length = 6,
          .repetition_penalty = 1.5,
          .length_penalty = 2,
          .no_repeat_ngram = 2,
          .early_stopping = EarlyStopping::when_filled}},
        {R"({"num_beams": 3, "early_stopping": "never", "max_new_tokens": 9})",
         {.beams = 3, .max_new_tokens = 9, .early_stopping = EarlyStopping::never}}};
    for (auto const& [text, same] : cases) {
        write(text);
        auto const captioner = port(folder);
        check_same_texts(first(captioner), first(captioner, same));
        // What the caller says counts more, and naming beams asks for a search.
        check_same_texts(first(captioner, {.beams = 1,
                                           .max_new_tokens = 3,
                                           .min_length = 0,
                                           .repetition_penalty = 1,
                                           .no_repeat_ngram = 0}),
                         first(captioner, {.beams = 1,
                                           .sample = false,
                                           .max_new_tokens = 3,
                                           .min_length = 0,
                                           .repetition_penalty = 1,
                                           .no_repeat_ngram = 0}));
        captioner.save(other.path);
        auto const again = Fast::load(other.path);
        CHECK(again.settings().compatibility == Compatibility::hugging_face);
        CHECK((again.generation_defaults() == captioner.generation_defaults()));
        check_same_texts(first(again), first(captioner));
        // The authors' ways stay theirs, whatever the file says.
        check_same_texts(first(Fast::load(folder.path)), first(authors));
    }
}

TEST_CASE("pictures of another size than the model's are refused") {
    Folder const folder;
    random_model<Fast>().save(folder.path);
    auto json = JsonDocument::open(folder.path / "preprocessor_config.json").root();
    json["size"] = 48;
    write_file(folder.path / "preprocessor_config.json", json.dump());
    CHECK_THROWS_AS(Fast::load(folder.path), ConfigError);
    json["size"] = 32;
    write_file(folder.path / "preprocessor_config.json", json.dump());
    CHECK_THROWS_AS(Fast::load(folder.path), ConfigError);
    // A model that resizes its positions may be given the pictures' size in this way.
    CHECK_NOTHROW((Captioner<tiny_model_large, Cpu<float>>::load(folder.path)));
}

TEST_CASE("strict keeps the promise that the port's padded prompts break") {
    // Of different lengths, with and without text: the port pads them to one length.
    std::vector<std::string> const prompts{"a photo of", "", "a", "word9 word10 word11", "photo"};
    Folder const folder;
    random_model<Fast>(Cpu<float>::Engine(1), Compatibility::hugging_face).save(folder.path);
    auto const all = noise(5);
    auto const load = [&](Compatibility compatibility) {
        return Fast::load(folder.path, {.compatibility = compatibility});
    };
    auto const strict = load(Compatibility::strict), port = load(Compatibility::hugging_face);
    for (auto const& options : ways()) {
        auto const together = strict.generate(all, options, prompts);
        auto const padded = port.generate(all, options, prompts);
        int different = 0;
        for (std::size_t i = 0; i < 5; ++i) {
            auto alone = options;
            alone.first_image = i;
            auto const picture = some_of(all, i);
            auto const one = strict.generate(picture, alone, {&prompts[i], 1}).front();
            check_same_texts(one, together[i]);
            // Alone there is nothing to pad, so strict is the port.
            check_same_texts(port.generate(picture, alone, {&prompts[i], 1}).front(), one);
            different += padded[i].front().ids != one.front().ids ? 1 : 0;
        }
        // The three shorter prompts keep their [SEP] and pads in the port's batch.
        CHECK(different == 3);
    }
    // Prompts of one length need no padding: then the port keeps the promise too.
    std::vector<std::string> const even{"a photo", "word9 word10", "a a", "of a", "photo of"};
    auto const a = strict.generate(all, ways()[1], even), b = port.generate(all, ways()[1], even);
    for (std::size_t i = 0; i < 5; ++i)
        check_same_texts(a[i], b[i]);
}

TEST_CASE("strict follows the checkpoint's release where the two disagree without a quirk") {
    Folder const folder;
    random_model<Fast>(Cpu<float>::Engine(1), Compatibility::hugging_face).save(folder.path);
    auto const load = [&](Compatibility compatibility) {
        return Fast::load(folder.path, {.compatibility = compatibility});
    };
    auto const strict = load(Compatibility::strict), port = load(Compatibility::hugging_face),
               authors = load(Compatibility::salesforce);
    // Prompt, search, lengths, sampling, and how beams are scored, with options and without.
    auto tries = ways();
    tries.push_back({});
    tries.push_back({.sample = true, .seed = 3});
    bool differs = false;
    for (auto const& options : tries) {
        auto const one = strict.generate(noise(2), options);
        auto const two = port.generate(noise(2), options);
        auto const three = authors.generate(noise(2), options);
        for (std::size_t i = 0; i < 2; ++i) {
            check_same_texts(one[i], two[i]);
            differs = differs || one[i].front().ids != three[i].front().ids;
        }
    }
    CHECK(differs);
    Folder const saved;
    strict.save(saved.path);
    CHECK(Fast::load(saved.path).settings().compatibility == Compatibility::strict);

    // Of the authors' checkpoint strict keeps the authors' ways, saved and loaded too.
    Folder const released, kept;
    random_model<Fast>().save(released.path);
    auto const original = Fast::load(released.path);
    auto const masked = Fast::load(released.path, {.compatibility = Compatibility::strict});
    masked.save(kept.path);
    auto const again = Fast::load(kept.path);
    CHECK(again.settings().compatibility == Compatibility::strict);
    for (auto const& options : tries) {
        auto const wanted = original.generate(noise(2), options);
        auto const one = masked.generate(noise(2), options);
        auto const two = again.generate(noise(2), options);
        for (std::size_t i = 0; i < 2; ++i) {
            check_same_texts(one[i], wanted[i]);
            check_same_texts(two[i], wanted[i]);
        }
    }
}

TEST_CASE("a checkpoint serves another image size through resized positions") {
    Folder const folder;
    random_model<Fast>().save(folder.path);
    auto const larger = Captioner<tiny_model_large, Cpu<float>>::load(folder.path);
    CHECK(larger.report().interpolated.size() == 1);
    CHECK(larger.generate(noise(1, 32)).front().size() == 1);
}

TEST_CASE("a checkpoint that does not fit is one readable error") {
    Folder const folder;
    random_model<Fast>().save(folder.path);
    auto message = [&]() -> std::string {
        try {
            Fast::load(folder.path);
        } catch (Error const& error) {
            return error.what();
        }
        return {};
    };
    SECTION("missing and misshapen tensors are all listed, with the nearest name") {
        auto const file = TensorFile::open(folder.path / "model.safetensors");
        std::vector<OutputTensor> tensors;
        std::vector<std::vector<float>> keep;
        for (auto const& t : file.tensors()) {
            auto name = t.name;
            if (name == "vision_model.post_layernorm.weight")
                name = "vision_model.post_layer_norm.weight";
            auto shape = t.shape;
            keep.push_back(t.values<float>());
            if (name == "vision_model.encoder.layers.1.mlp.fc1.bias") {
                shape = {3};
                keep.back().resize(3);
            }
            tensors.push_back(
                output_tensor<float>(name, shape, std::span<float const>(keep.back())));
        }
        write_safetensors(folder.path / "other.safetensors", std::move(tensors));
        std::filesystem::rename(folder.path / "other.safetensors",
                                folder.path / "model.safetensors");
        auto const text = message();
        INFO(text);
        CHECK(text.find("missing vision_model.post_layernorm.weight; nearest in the file: "
                        "vision_model.post_layer_norm.weight") != text.npos);
        CHECK(text.find("vision_model.encoder.layers.1.mlp.fc1.bias: expected [48], found [3]") !=
              text.npos);
    }
    SECTION("sizes of another model") {
        auto json = JsonDocument::open(folder.path / "config.json").root();
        json["vision_config"]["hidden_size"] = 64;
        write_file(folder.path / "config.json", json.dump());
        CHECK(message().find("vision width 64 instead of 32") != std::string::npos);
    }
    SECTION("no weights") {
        std::filesystem::remove(folder.path / "model.safetensors");
        CHECK(message().find("expected model.safetensors") != std::string::npos);
    }
}

TEST_CASE("a caption can be followed and stopped") {
    auto const captioner = random_model<Fast>();
    int seen = 0;
    CaptionOptions options{.beams = 1, .max_length = 20};
    options.watch.on_token = [&](GeneratedToken const&) {
        return ++seen == 2 ? Control::stop : Control::go_on;
    };
    auto const caption = captioner.generate(noise(1), options).front().front();
    CHECK(seen == 2);
    CHECK(caption.token_log_probabilities.size() == 2);
    CHECK_FALSE(caption.finished);
}

TEST_CASE("calls that make no sense say so") {
    auto const captioner = random_model<Fast>();
    CHECK_THROWS_AS(captioner.generate(noise(1, 32)), ArgumentError);
    CHECK_THROWS_AS(captioner.generate(noise(1), {.max_length = 2}), ArgumentError);
    CHECK_THROWS_AS(captioner.generate(noise(1), {.max_length = 60}), ArgumentError);
    CHECK_THROWS_AS(captioner.generate(noise(1), {.beams = 2, .results = 3}), ArgumentError);
    std::vector<std::string> const prompts{"a", "photo"};
    CHECK_THROWS_AS(captioner.generate(noise(1), {}, prompts), ArgumentError);
}
