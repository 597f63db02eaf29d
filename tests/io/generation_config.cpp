#include <blip/io/generation_config.hpp>

#include <string>
#include <vector>

#include "io/files.hpp"
#include "support/catch.hpp"

using namespace blip;
using namespace blip::test;

namespace {

GenerationDefaults read(std::string const& text, std::vector<std::string>* warnings = nullptr) {
    std::vector<std::string> found;
    auto const result =
        read_generation({parse_json(text, "g.json"), "g.json"}, warnings ? *warnings : found);
    if (!warnings)
        CHECK(found.empty());
    return result;
}

} // namespace

TEST_CASE("every generation default is read, and read back from what is written") {
    auto const text = R"({"num_beams": 4, "max_length": 30, "max_new_tokens": 12, "min_length": 3,
        "no_repeat_ngram_size": 2, "repetition_penalty": 1.25, "length_penalty": -0.5,
        "early_stopping": true, "do_sample": false, "temperature": 0.7, "top_k": 0, "top_p": 0.95,
        "bos_token_id": 5, "transformers_version": "5.23.0"})";
    auto const all = read(text);
    GenerationDefaults const expected{.beams = 4,
                                      .max_length = 30,
                                      .max_new_tokens = 12,
                                      .min_length = 3,
                                      .no_repeat_ngram = 2,
                                      .repetition_penalty = 1.25,
                                      .length_penalty = -0.5,
                                      .early_stopping = EarlyStopping::when_filled,
                                      .sample = false,
                                      .temperature = 0.7,
                                      .top_p = 0.95,
                                      .top_k = 0};
    CHECK((all == expected));
    CHECK((read(generation_json(all).dump()) == all));
    // Null is as good as left out.
    CHECK((read(R"({"top_p": null, "num_beams": null})") == GenerationDefaults{}));
    CHECK(generation_json({}).empty());
    for (auto const early :
         {EarlyStopping::off, EarlyStopping::when_filled, EarlyStopping::never}) {
        GenerationDefaults const one{.early_stopping = early};
        CHECK((read(generation_json(one).dump()) == one));
    }
    CHECK((read(R"({"early_stopping": "never"})").early_stopping == EarlyStopping::never));
    CHECK((read(R"({"early_stopping": false})").early_stopping == EarlyStopping::off));
}

TEST_CASE("generation defaults that make no sense name their key") {
    auto refuse = [](std::string const& text, std::string const& key) {
        auto const message = message_of<Error>([&] { read(text); });
        INFO(message);
        CHECK(contains(message, "g.json"));
        CHECK(contains(message, key));
    };
    refuse(R"({"num_beams": 0})", "num_beams");
    refuse(R"({"max_length": -1})", "max_length");
    refuse(R"({"top_k": -1})", "top_k");
    refuse(R"({"top_p": 1.5})", "top_p");
    refuse(R"({"top_p": 0})", "top_p");
    refuse(R"({"temperature": 0.0})", "temperature");
    refuse(R"({"repetition_penalty": -1})", "repetition_penalty");
    refuse(R"({"do_sample": 1})", "do_sample");
    refuse(R"({"early_stopping": "sometimes"})", "early_stopping");
}

TEST_CASE("what cannot be followed is said") {
    std::vector<std::string> warnings;
    read(R"({"typical_p": 1.0, "num_beam_groups": 1, "bad_words_ids": null, "guidance_scale": 1,
             "suppress_tokens": [], "diversity_penalty": 0.0, "min_p": null})",
         &warnings);
    CHECK(warnings.empty());
    read(R"({"typical_p": 0.9, "bad_words_ids": [[3]], "do_sample": true, "num_beams": 2})",
         &warnings);
    REQUIRE(warnings.size() == 3);
    CHECK(contains(warnings[0], "samples within a beam search"));
    CHECK(contains(warnings[1], "bad_words_ids"));
    CHECK(contains(warnings[2], "typical_p"));
}

TEST_CASE("the authors' defaults do not depend on files, the port's do") {
    GenerationDefaults const file{.beams = 5, .max_length = 9, .sample = true};
    using enum Compatibility;
    CHECK((generation_defaults(Task::captioning, salesforce, file) ==
           GenerationDefaults{.beams = 3, .max_length = 20, .min_length = 5}));
    CHECK((generation_defaults(Task::question_answering, salesforce, file) ==
           GenerationDefaults{.beams = 3, .max_length = 10, .min_length = 1}));
    for (Task const task : {Task::captioning, Task::question_answering})
        for (auto const compatibility : {hugging_face, strict})
            CHECK((generation_defaults(task, compatibility, file) == file));
}
