#include <support/catch.hpp>

#include <algorithm>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/models/answer_targets.hpp>
#include <blip/models/question_answerer.hpp>
#include <support/golden_calls.hpp>

namespace {

using namespace blip;
using blip::test::golden_pictures;

/// The questions of a case that `which` lists.
std::vector<std::string> questions(nlohmann::json const& json, nlohmann::json const& which) {
    std::vector<std::string> texts;
    for (auto const& number : which)
        texts.push_back(json["questions"][number.get<std::size_t>()].get<std::string>());
    return texts;
}

#if BLIP_HAS_GOLDEN_VQA
template <class B>
auto authors_answerer() {
    return QuestionAnswerer<config::golden_vqa, B>::load(test::golden_file("vqa", ""));
}

/// The recorded questions, made from their texts, [ENC] first.
void check_question_batch(Tokenizer const& tokenizer) {
    auto const texts = test::golden_json("vqa")["questions"].get<std::vector<std::string>>();
    test::GoldenTensors const inputs("vqa", "inputs.safetensors");
    auto const batch =
        with_first(tokenizer.encode_batch(texts), tokenizer.vocabulary().special().enc);
    CHECK(std::ranges::equal(batch.ids, inputs.integers("question_ids")));
    CHECK(std::ranges::equal(batch.mask, inputs.integers("question_mask")));
}

/// The recorded batch of answers, made from their texts.
void check_answer_batch(Tokenizer const& tokenizer) {
    auto const json = test::golden_json("vqa");
    test::GoldenTensors const inputs("vqa", "inputs.safetensors");
    auto const weights = inputs["answer_weights"].values;
    std::vector<std::vector<WeightedAnswer>> questions;
    std::size_t next = 0;
    for (auto const count : inputs.integers("answers_per_question")) {
        questions.emplace_back();
        for (std::int64_t i = 0; i < count; ++i, ++next)
            questions.back().push_back({json["answers"][next].get<std::string>(), weights[next]});
    }
    AnswerBatch const batch(tokenizer, questions);
    auto const ids = inputs.integers("answer_ids"), mask = inputs.integers("answer_mask");
    CHECK(batch.tokens.ids == std::vector<int>(ids.begin(), ids.end()));
    CHECK(batch.tokens.mask == std::vector<unsigned char>(mask.begin(), mask.end()));
    CHECK(batch.weights == weights);
    REQUIRE(batch.labels.size() == ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i)
        CHECK(batch.labels[i] == (mask[i] ? static_cast<int>(ids[i]) : ignored_target));
}

template <class B>
void check_authors_answers(double tolerance) {
    auto const answerer = authors_answerer<B>();
    CHECK(answerer.settings().compatibility == Compatibility::salesforce);
    CHECK(answerer.report().extra.empty());
    check_answer_batch(answerer.tokenizer());
    check_question_batch(answerer.tokenizer());
    auto const json = test::golden_json("vqa");
    int number = 0;
    for (auto const& call : test::golden_json("vqa", "generate.json")) {
        INFO("call " << number++);
        auto const pixels = golden_pictures("vqa", "image", call["questions"]);
        auto const texts = questions(json, call["questions"]);
        test::check_authors_texts(answerer.answer(pixels, texts), call,
                                  answerer.tokenizer().vocabulary().special().pad, tolerance,
                                  test::decides_ids<B>(call));
        if (call.contains("finished_hypotheses"))
            test::check_hypotheses(answerer.answer(pixels, texts, {.results = 3}), call, tolerance,
                                   test::decides_ids<B>(call));
    }
    CHECK(number > 0);
}

/// Between the likeliest first token that was not kept and the least likely one that was.
double gap_at_the_cut(nlohmann::json const& kept, nlohmann::json const& probabilities) {
    auto const number = [](nlohmann::json const& one) { return one.get<double>(); };
    double const cut = number(probabilities[kept.back().get<std::size_t>()]);
    double rest = 0;
    for (std::size_t answer = 0; answer < probabilities.size(); ++answer)
        if (std::find(kept.begin(), kept.end(), answer) == kept.end())
            rest = std::max(rest, number(probabilities[answer]));
    return cut - rest;
}

/// Compares what stage one kept and how stage two ranked it. Kept sets may differ by candidates
/// whose first token is as likely as the last one kept, within the tolerance; the best may be
/// another whose score is as good within it.
void check_ranking(std::vector<ChosenAnswer> const& found, nlohmann::json const& kept,
                   nlohmann::json const& sums, nlohmann::json const& probabilities, int best,
                   double tolerance) {
    REQUIRE(found.size() == kept.size());
    double const cut = probabilities[kept.back().get<std::size_t>()].get<double>();
    for (auto const& chosen : found) {
        auto const answer = static_cast<std::size_t>(chosen.answer);
        double const likely = probabilities[answer].get<double>();
        CHECK(chosen.first_token_probability == Approx(likely).epsilon(tolerance));
        auto const at = std::find(kept.begin(), kept.end(), chosen.answer);
        if (at == kept.end())
            CHECK(likely == Approx(cut).epsilon(tolerance));
        else
            CHECK(chosen.score ==
                  Approx(sums[static_cast<std::size_t>(at - kept.begin())].get<double>())
                      .epsilon(tolerance));
    }
    auto const sum_of = [&](int answer) {
        auto const at = std::find(kept.begin(), kept.end(), answer);
        REQUIRE(at != kept.end());
        return sums[static_cast<std::size_t>(at - kept.begin())].get<double>();
    };
    if (found.front().answer != best)
        CHECK(sum_of(found.front().answer) == Approx(sum_of(best)).epsilon(tolerance));
}

template <class B>
void check_authors_ranking(double tolerance) {
    auto const answerer = authors_answerer<B>();
    auto const json = test::golden_json("vqa");
    auto const list = answerer.answer_list(json["answer_list"].get<std::vector<std::string>>());
    test::GoldenTensors const inputs("vqa", "inputs.safetensors");
    auto const ids = inputs.integers("candidate_ids"), mask = inputs.integers("candidate_mask");
    std::vector<int> flat;
    for (auto const& answer : list.ids())
        flat.insert(flat.end(), answer.begin(), answer.end());
    std::vector<int> wanted;
    for (std::size_t i = 0; i < ids.size(); ++i)
        if (mask[i])
            wanted.push_back(static_cast<int>(ids[i]));
    CHECK(flat == wanted);

    int number = 0;
    for (auto const& call : test::golden_json("vqa", "rank.json")) {
        INFO("call " << number++);
        auto const pixels = golden_pictures("vqa", "image", call["questions"]);
        auto const texts = questions(json, call["questions"]);
        double gap = 1;
        for (std::size_t q = 0; q < texts.size(); ++q)
            gap = std::min(gap, gap_at_the_cut(call["kept_candidates"][q],
                                               call["first_token_probability"][q]));
        CHECK(gap == Approx(call["smallest_gap_at_the_cut"].get<double>()).epsilon(1e-9));
        for (auto rule : {SmoothingRule::ignore_padding, SmoothingRule::torch_1_10}) {
            nlohmann::json const& expected =
                rule == SmoothingRule::torch_1_10 ? call["with_torch_1_10_0"] : call;
            RankOptions const options{
                .keep = call["k_test"].get<int>(), .results = 0, .batch = 4, .rule = rule};
            auto const found = answerer.rank(pixels, texts, list, options);
            for (std::size_t q = 0; q < found.size(); ++q)
                check_ranking(
                    found[q], call["kept_candidates"][q], expected["log_probability_sums"][q],
                    call["first_token_probability"][q], expected["best"][q].get<int>(), tolerance);
        }
        auto const best = answerer.rank(pixels, texts, list, {.keep = call["k_test"].get<int>()});
        for (std::size_t q = 0; q < best.size(); ++q)
            if (best[q].front().answer == call["best"][q].get<int>())
                CHECK(best[q].front().text == call["best_text"][q].get<std::string>());
    }
    CHECK(number > 0);
}
#endif

#if BLIP_HAS_GOLDEN_HF_VQA
/// The recorded answers of the port's training batch, made from their texts. It leaves [CLS] first
/// and does not learn padding.
void check_labels(Tokenizer const& tokenizer) {
    auto const texts = test::golden_json("hf_vqa")["labels_text"].get<std::vector<std::string>>();
    test::GoldenTensors const inputs("hf_vqa", "inputs.safetensors");
    auto const batch = tokenizer.encode_batch(texts);
    CHECK(std::ranges::equal(batch.ids, inputs.integers("decoder_input_ids")));
    CHECK(std::ranges::equal(batch.mask, inputs.integers("decoder_attention_mask")));
    auto const labels = inputs.integers("labels");
    REQUIRE(labels.size() == batch.ids.size());
    for (std::size_t i = 0; i < labels.size(); ++i)
        CHECK(labels[i] == (batch.mask[i] ? batch.ids[i] : ignored_target));
}

template <class B>
void check_port_answers() {
    auto const answerer =
        QuestionAnswerer<config::golden_hf_vqa, B>::load(test::golden_file("hf_vqa", "model"));
    CHECK(answerer.settings().compatibility == Compatibility::hugging_face);
    CHECK(answerer.report().extra.empty());
    check_labels(answerer.tokenizer());
    auto const json = test::golden_json("hf_vqa");
    auto const& special = answerer.tokenizer().vocabulary().special();
    int number = 0;
    for (auto const& call : test::golden_json("hf_vqa", "generate.json")) {
        INFO("call " << number++ << " " << call["generate"].dump());
        auto const texts = questions(json, call["questions"]);
        auto const tokens = answerer.tokenizer().encode_batch(texts);
        std::vector<int> wanted;
        for (auto const& row : call["input_ids"])
            for (auto const& id : row)
                wanted.push_back(id.get<int>());
        CHECK(tokens.ids == wanted);
        std::vector<unsigned char> wanted_mask;
        for (auto const& row : call["attention_mask"])
            for (auto const& mark : row)
                wanted_mask.push_back(mark.get<unsigned char>());
        CHECK(tokens.mask == wanted_mask);
        auto const options = test::golden_options<AnswerOptions>(call["generate"]);
        test::check_port_texts(
            answerer.answer(golden_pictures("hf_vqa", "pixel_values", call["questions"]), texts,
                            options),
            call, options.beams.value_or(1), special.pad, special.sep, test::decides_ids<B>(call));
    }
    CHECK(number > 0);
}
#endif

} // namespace

#if BLIP_HAS_GOLDEN_VQA
TEST_CASE("answers equal the authors' release", "[golden]") {
    SECTION("Reference<double>") {
        check_authors_answers<Reference<double>>(1e-9);
        check_authors_ranking<Reference<double>>(1e-9);
    }
    SECTION("Cpu<float>") {
        check_authors_answers<Cpu<float>>(1e-4);
        check_authors_ranking<Cpu<float>>(1e-4);
    }
}
#endif

#if BLIP_HAS_GOLDEN_HF_VQA
TEST_CASE("answers equal transformers", "[golden]") {
    SECTION("Reference<double>") {
        check_port_answers<Reference<double>>();
    }
    SECTION("Cpu<float>") {
        check_port_answers<Cpu<float>>();
    }
}
#endif
