#include <support/catch.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/models/captioner.hpp>
#include <support/network.hpp>

namespace {

using namespace blip;
using blip::test::GoldenTensors, blip::test::relative_difference;

/// The chosen pictures of a case, normalised.
Pixels pictures(std::string const& name, std::string const& tensor, nlohmann::json const& which) {
    GoldenTensors const inputs(name, "inputs.safetensors");
    auto const shape = inputs[tensor].shape;
    auto const values = inputs.floats(tensor);
    auto const side = static_cast<std::size_t>(shape[2]);
    std::size_t const each = 3 * side * side;
    Pixels pixels(Pixels::shape_type{which.size(), 3, side, side});
    for (std::size_t i = 0; i < which.size(); ++i)
        std::copy_n(values.begin() +
                        static_cast<std::ptrdiff_t>(which[i].get<std::size_t>() * each),
                    each, pixels.data() + i * each);
    return pixels;
}

template <class T>
std::optional<T> argument(nlohmann::json const& arguments, char const* key) {
    if (!arguments.contains(key))
        return std::nullopt;
    return arguments[key].get<T>();
}

CaptionOptions options_of(nlohmann::json const& a) {
    CaptionOptions o;
    o.beams = argument<int>(a, "num_beams");
    o.max_length = argument<int>(a, "max_length");
    o.max_new_tokens = argument<int>(a, "max_new_tokens");
    o.min_length = argument<int>(a, "min_length");
    o.repetition_penalty = argument<double>(a, "repetition_penalty");
    o.length_penalty = argument<double>(a, "length_penalty");
    o.early_stopping =
        a.value("early_stopping", false) ? EarlyStopping::when_filled : EarlyStopping::off;
    return o;
}

/// `ids` as the reference returns them: filled up to the longest of the batch.
std::vector<int> padded(std::vector<int> ids, std::size_t length, int fill) {
    ids.resize(std::max(length, ids.size()), fill);
    return ids;
}

template <class C, class B>
void check_original_calls(std::string const& name, double tolerance) {
    auto const captioner = Captioner<C, B>::load(test::golden_file(name, ""));
    CHECK(captioner.settings().compatibility == Compatibility::salesforce);
    int const pad = captioner.tokenizer().vocabulary().special().pad;
    int number = 0;
    for (auto const& call : test::golden_json(name, "calls.json")) {
        INFO(name << " call " << number++ << " " << call["arguments"].dump());
        auto options = options_of(call["arguments"]);
        if (call.contains("prompt"))
            options.prompt = call["prompt"].get<std::string>();
        options.results = 1;
        auto const captions = captioner.generate(pictures(name, "image", call["images"]), options);
        REQUIRE(captions.size() == call["ids"].size());
        for (std::size_t i = 0; i < captions.size(); ++i) {
            auto const wanted = call["ids"][i].get<std::vector<int>>();
            CHECK(padded(captions[i].front().ids, wanted.size(), pad) == wanted);
            CHECK(captions[i].front().text == call["text"][i].get<std::string>());
            if (call.contains("score"))
                CHECK(captions[i].front().score ==
                      Approx(call["score"][i].get<double>()).epsilon(tolerance));
        }
        if (!call.contains("finished_hypotheses"))
            continue;
        options.results = *options.beams;
        auto const all = captioner.generate(pictures(name, "image", call["images"]), options);
        for (std::size_t i = 0; i < all.size(); ++i) {
            auto const& list = call["finished_hypotheses"][i];
            REQUIRE(all[i].size() == list.size());
            for (std::size_t k = 0; k < list.size(); ++k) {
                auto ids = all[i][k].ids;
                if (all[i][k].finished)
                    ids.pop_back();
                CHECK(ids == list[k]["ids"].get<std::vector<int>>());
                CHECK(all[i][k].score == Approx(list[k]["score"].get<double>()).epsilon(tolerance));
            }
        }
    }
    CHECK(number > 0);
}

template <class C, class B>
void check_hugging_face_calls(std::string const& name) {
    auto const captioner = Captioner<C, B>::load(test::golden_file(name, "model"));
    CHECK(captioner.settings().compatibility == Compatibility::hugging_face);
    auto const& special = captioner.tokenizer().vocabulary().special();
    int number = 0;
    for (auto const& call : test::golden_json(name, "generate.json")) {
        INFO(name << " call " << number++ << " " << call["generate"].dump());
        auto options = options_of(call["generate"]);
        std::vector<std::string> prompts;
        if (call["prompt"].is_array())
            prompts = call["prompt"].get<std::vector<std::string>>();
        else if (call["prompt"].is_string())
            options.prompt = call["prompt"].get<std::string>();
        auto const captions =
            captioner.generate(pictures(name, "pixel_values", call["images"]), options, prompts);
        REQUIRE(captions.size() == call["sequences"].size());
        // The port's beam search fills with [SEP] where the pad id is 0.
        int const fill =
            options.beams.value_or(1) > 1 && special.pad == 0 ? special.sep : special.pad;
        for (std::size_t i = 0; i < captions.size(); ++i) {
            auto const wanted = call["sequences"][i].get<std::vector<int>>();
            CHECK(padded(captions[i].front().ids, wanted.size(), fill) == wanted);
            CHECK(captions[i].front().text == call["text_skip_special"][i].get<std::string>());
            if (call.contains("sequences_scores_float32"))
                CHECK(captions[i].front().score ==
                      Approx(call["sequences_scores_float32"][i].get<double>()).epsilon(1e-4));
        }
    }
    CHECK(number > 0);
}

#if BLIP_HAS_GOLDEN_CAPTIONER_NUCLEUS
/// Feeds the recorded draws back and compares every distribution that a draw was made from.
template <class B>
void check_nucleus(double tolerance) {
    using C = config::golden_captioner_nucleus;
    std::string const name = "captioner_nucleus";
    auto const captioner = Captioner<C, B>::load(test::golden_file(name, ""));
    GoldenTensors const expected(name, "expected.safetensors");
    auto const& special = captioner.tokenizer().vocabulary().special();
    std::size_t number = 0;
    for (auto const& call : test::golden_json(name, "calls.json")) {
        auto const& arguments = call["library_arguments"];
        INFO("call " << number << " " << arguments.dump());
        test::Bench<B> bench;
        auto const pixels = pictures(name, "image", call["images"]);
        auto const count = static_cast<int>(call["images"].size());
        typename CaptionerNetwork<C, B>::Vision::Cache cache;
        bench.context.keep = Keep::nothing;
        auto const states = captioner.network().vision.forward(
            {bench.put(std::vector<float>(pixels.begin(), pixels.end())), count}, cache,
            bench.context);
        auto const prompts = prompt_batch(
            captioner.tokenizer(), std::vector<std::string>(call["images"].size(), "a picture of "),
            Compatibility::salesforce);
        int const longest = arguments["max_length"];
        DecoderSession<typename C::text, B> session(
            captioner.network().decoder, states, prompts.prompts, count * longest, bench.context);
        auto const wanted = expected["call" + std::to_string(number) + ".probabilities"];
        auto const& draws = call["chosen_per_step"];
        using T = typename DecoderSession<typename C::text, B>::scalar;
        auto replay = [&](std::size_t item, std::size_t, std::size_t step,
                          std::span<T> scores) -> std::optional<int> {
            keep_top_k(scores, 50);
            keep_top_p(scores, arguments["top_p"].get<double>());
            std::vector<T> logs(scores.size());
            log_softmax(std::span<T const>(scores), std::span<T>(logs));
            auto const first = (step * call["images"].size() + item) * logs.size();
            double worst = 0;
            for (std::size_t v = 0; v < logs.size(); ++v)
                worst = std::max(worst, std::abs(std::exp(static_cast<double>(logs[v])) -
                                                 wanted.values[first + v]));
            CHECK(worst < tolerance);
            return draws[step][item].get<int>();
        };
        SearchRules const rules{.end = special.sep,
                                .max_length = longest,
                                .max_new_tokens = std::nullopt,
                                .min_length = arguments["min_length"],
                                .repetition_penalty = arguments["repetition_penalty"]};
        auto const found =
            detail::extend_sequences(session, std::span<std::vector<int> const>(prompts.ids), rules,
                                     SearchWatch{}, 1, replay);
        for (std::size_t i = 0; i < found.size(); ++i) {
            auto const ids = call["ids"][i].get<std::vector<int>>();
            CHECK(padded(found[i].front().ids, ids.size(), special.pad) == ids);
            CHECK(without_prompt(captioner.tokenizer().decode(found[i].front().ids),
                                 "a picture of ") == call["text"][i].get<std::string>());
        }
        ++number;
    }
    CHECK(number > 0);
}
#endif

} // namespace

#if BLIP_HAS_GOLDEN_CAPTIONER_GENERATE
TEST_CASE("captions equal the authors' release", "[golden]") {
    using C = config::golden_captioner_generate;
    SECTION("Reference<double>") {
        check_original_calls<C, Reference<double>>("captioner_generate", 1e-9);
    }
    SECTION("Cpu<float>") {
        check_original_calls<C, Cpu<float>>("captioner_generate", 1e-4);
    }
}
#endif

#if BLIP_HAS_GOLDEN_CAPTIONER_FULL_VOCAB
TEST_CASE("captions over the full vocabulary equal the authors' release", "[golden]") {
    using C = config::golden_captioner_full_vocab;
    SECTION("Reference<double>") {
        check_original_calls<C, Reference<double>>("captioner_full_vocab", 1e-9);
    }
    SECTION("Cpu<float>") {
        check_original_calls<C, Cpu<float>>("captioner_full_vocab", 1e-4);
    }
}
#endif

#if BLIP_HAS_GOLDEN_HF_CAPTION
TEST_CASE("captions equal transformers", "[golden]") {
    using C = config::golden_hf_caption;
    SECTION("Reference<double>") {
        check_hugging_face_calls<C, Reference<double>>("hf_caption");
    }
    SECTION("Cpu<float>") {
        check_hugging_face_calls<C, Cpu<float>>("hf_caption");
    }
}
#endif

#if BLIP_HAS_GOLDEN_HF_CAPTION_DEFAULTS
TEST_CASE("captions equal transformers' defaults", "[golden]") {
    using C = config::golden_hf_caption_defaults;
    SECTION("Reference<double>") {
        check_hugging_face_calls<C, Reference<double>>("hf_caption_defaults");
    }
    SECTION("Cpu<float>") {
        check_hugging_face_calls<C, Cpu<float>>("hf_caption_defaults");
    }
}
#endif

#if BLIP_HAS_GOLDEN_CAPTIONER_NUCLEUS
TEST_CASE("nucleus sampling's distributions equal the authors' release", "[golden]") {
    SECTION("Reference<double>") {
        check_nucleus<Reference<double>>(1e-9);
    }
    SECTION("Cpu<float>") {
        check_nucleus<Cpu<float>>(1e-4);
    }
}
#endif
