#include <support/catch.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/models/captioner.hpp>
#include <support/golden_calls.hpp>
#include <support/network.hpp>

namespace {

using namespace blip;
using blip::test::for_each_case, blip::test::golden_options, blip::test::golden_pictures,
    blip::test::GoldenCase, blip::test::GoldenTensors, blip::test::padded;

template <class C, class B>
void check_original_calls(std::string const& name, double tolerance) {
    auto const captioner = Captioner<C, B>::load(test::golden_file(name, ""));
    CHECK(captioner.settings().compatibility == Compatibility::salesforce);
    int const pad = captioner.tokenizer().vocabulary().special().pad;
    int number = 0;
    for (auto const& call : test::golden_json(name, "calls.json")) {
        INFO(name << " call " << number++ << " " << call["arguments"].dump());
        auto options = golden_options<CaptionOptions>(call["arguments"]);
        if (call.contains("prompt"))
            options.prompt = call["prompt"].get<std::string>();
        options.results = 1;
        auto const captions =
            captioner.generate(golden_pictures(name, "image", call["images"]), options);
        bool const decided = test::decides_ids<B>(call);
        test::check_authors_texts(captions, call, pad, tolerance, decided);
        if (!call.contains("finished_hypotheses"))
            continue;
        options.results = *options.beams;
        test::check_hypotheses(
            captioner.generate(golden_pictures(name, "image", call["images"]), options), call,
            tolerance, decided);
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
        auto options = golden_options<CaptionOptions>(call["generate"]);
        std::vector<std::string> prompts;
        if (call["prompt"].is_array())
            prompts = call["prompt"].get<std::vector<std::string>>();
        else if (call["prompt"].is_string())
            options.prompt = call["prompt"].get<std::string>();
        auto const captions = captioner.generate(
            golden_pictures(name, "pixel_values", call["images"]), options, prompts);
        test::check_port_texts(captions, call, options.beams.value_or(1), special.pad, special.sep,
                               test::decides_ids<B>(call));
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
        auto const pixels = golden_pictures(name, "image", call["images"]);
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

TEST_CASE("captions equal the authors' release", "[golden]") {
    // clang-format off
    std::tuple const cases{
#if BLIP_HAS_GOLDEN_CAPTIONER_GENERATE
        GoldenCase<config::golden_captioner_generate>{"captioner_generate"},
#endif
#if BLIP_HAS_GOLDEN_CAPTIONER_FULL_VOCAB
        GoldenCase<config::golden_captioner_full_vocab>{"captioner_full_vocab"},
#endif
    };
    // clang-format on
    SECTION("Reference<double>") {
        for_each_case(cases, []<class C>(GoldenCase<C> const& c) {
            check_original_calls<C, Reference<double>>(c.name, 1e-9);
        });
    }
    SECTION("Cpu<float>") {
        for_each_case(cases, []<class C>(GoldenCase<C> const& c) {
            check_original_calls<C, Cpu<float>>(c.name, 1e-4);
        });
    }
}

TEST_CASE("captions equal transformers", "[golden]") {
    // clang-format off
    std::tuple const cases{
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
            check_hugging_face_calls<C, Reference<double>>(c.name);
        });
    }
    SECTION("Cpu<float>") {
        for_each_case(cases, []<class C>(GoldenCase<C> const& c) {
            check_hugging_face_calls<C, Cpu<float>>(c.name);
        });
    }
}

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
