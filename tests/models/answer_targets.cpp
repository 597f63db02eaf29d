#include <support/catch.hpp>

#include <blip/backend/reference/reference.hpp>
#include <blip/models/answer_targets.hpp>
#include <support/network.hpp>
#include <support/tiny_models.hpp>

using namespace blip;

TEST_CASE("a question's answers weigh as many people gave them") {
    std::vector<std::string> const people{"yes", "no", "yes", "maybe", "yes",
                                          "yes", "no", "yes", "yes",   "yes"};
    auto const weighted = weigh_answers(people);
    REQUIRE(weighted.size() == 3);
    CHECK(weighted[0].text == "yes");
    CHECK(weighted[0].weight == Approx(0.7).epsilon(1e-15));
    CHECK(weighted[1].text == "no");
    CHECK(weighted[1].weight == Approx(0.2).epsilon(1e-15));
    CHECK(weighted[2].text == "maybe");
    CHECK(weighted[2].weight == Approx(0.1).epsilon(1e-15));
    CHECK(weigh_answers({}).empty());
}

TEST_CASE("the answers of a batch are tokenised together") {
    auto const words = test::tiny_words();
    AnswerBatch const batch(words, std::vector<std::vector<WeightedAnswer>>{
                                       {{"a photo", 0.75}, {"word9", 0.25}}, {{"of", 0.2}}});
    auto const& special = words.vocabulary().special();
    CHECK(batch.per_question == std::vector{2, 1});
    CHECK(batch.weights == std::vector{0.75, 0.25, 0.2});
    CHECK(batch.tokens.ids == std::vector{special.dec, 5, 6, special.sep, special.dec, 9,
                                          special.sep, special.pad, special.dec, 7, special.sep,
                                          special.pad});
    CHECK(batch.labels == std::vector{special.dec, 5, 6, special.sep, special.dec, 9, special.sep,
                                      ignored_target, special.dec, 7, special.sep, ignored_target});
    test::Bench<Reference<double>> bench;
    auto const targets = batch.targets<test::tiny_model>({}, bench.context);
    CHECK((targets.text.batch == 3 && targets.text.length == 4));
    CHECK(targets.labels.data() == batch.labels.data());
    CHECK_THROWS_AS(AnswerBatch(words, std::vector<std::vector<WeightedAnswer>>{{}}),
                    ArgumentError);
}
