#include <support/catch.hpp>

#include <blip/metrics/vqa_accuracy.hpp>

using namespace blip;

namespace {

/// `agreeing` times "yes", the other of ten answers all different.
std::vector<std::string> people(int agreeing) {
    std::vector<std::string> answers(static_cast<std::size_t>(agreeing), "yes");
    for (int i = agreeing; i < 10; ++i)
        answers.push_back("answer" + std::to_string(i));
    return answers;
}

} // namespace

TEST_CASE("an answer counts by how many other people gave it") {
    // Of n agreeing people each sees n - 1 others, the rest see n.
    CHECK(vqa_accuracy("yes", people(0)) == 0);
    CHECK(vqa_accuracy("yes", people(1)) == Approx(9 * (1.0 / 3) / 10).epsilon(1e-15));
    CHECK(vqa_accuracy("yes", people(2)) == Approx((2 * (1.0 / 3) + 8 * (2.0 / 3)) / 10));
    CHECK(vqa_accuracy("yes", people(3)) == Approx((3 * (2.0 / 3) + 7) / 10));
    CHECK(vqa_accuracy("yes", people(4)) == 1);
    CHECK(vqa_accuracy("yes", people(10)) == 1);
    CHECK_THROWS_AS(vqa_accuracy("yes", {}), ArgumentError);
}

TEST_CASE("predictions are put into the script's form") {
    struct Case {
        std::string answer, normal;
    };
    auto const c = GENERATE(values<Case>({
        {"Yes", "yes"},
        {" two\n dogs\t", "2 dogs"},
        {"The cat", "cat"},
        {"none", "0"},
        {"ten apples and an orange", "10 apples and orange"},
        {"dont know", "don't know"},
        {"couldnt've", "couldn't've"},
        {"couldn'tve", "couldn't've"},
        {"yalld've", "yalld've"},
        {"y'alld've", "y'all'd've"},
        {"ows'at", "ows'at"},
        {"ow's'at", "'ow's'at"},
        {"somebody'd", "somebodyd"},
        {"Im", "im"}, // lower case comes first, so the table's capital I never meets
        {"it's", "it's"},
        {"", ""},
        {"a", ""},
        // Marks beside a space are deleted everywhere, others become spaces.
        {"red/white", "red white"},
        {"red / white", "red white"},
        {"red/white - blue-green", "red white bluegreen"},
        {"t-shirt", "t shirt"},
        {"yes!", "yes"},
        {"(left)", "left"},
        {"what? no", "what no"},
        // A comma between digits deletes all marks.
        {"1,000", "1000"},
        {"1,000-2,000", "10002000"},
        {"1,a-b", "1 b"},
        // Full stops stay before a digit.
        {"3.5 ft.", "3.5 ft"},
        {".5", ".5"},
        {"u.s.a.", "usa"},
        {"5.", "5"},
    }));
    CHECK(normalize_vqa_answer(c.answer) == c.normal);
}

TEST_CASE("at most 32 full stops are deleted") {
    CHECK(strip_vqa_punctuation(std::string(40, '.')) == std::string(8, '.'));
}

TEST_CASE("human answers go through the punctuation step only, and only when they differ") {
    // All alike: compared as they stand, so that not even the same words agree.
    std::vector<std::string> const alike(10, "t-shirt");
    CHECK(vqa_accuracy("t-shirt", alike) == 0);
    CHECK(vqa_accuracy("t shirt", alike) == 0);
    auto mixed = alike;
    mixed.back() = "shirt";
    CHECK(vqa_accuracy("t-shirt", mixed) == 1);
    // No articles or number words on this side.
    std::vector<std::string> articles(9, "the two");
    articles.push_back("2");
    CHECK(vqa_accuracy("the two", articles) == Approx(9 * (1.0 / 3) / 10));
}

TEST_CASE("accuracies are averaged per type and rounded to two decimals") {
    VqaAccuracy accuracy;
    CHECK_THROWS_AS(accuracy.overall(), ArgumentError);
    accuracy.add("yes", people(10), "yes/no");
    accuracy.add("no", people(10), "yes/no");
    accuracy.add("yes", people(1), "other");
    accuracy.add("yes", people(1));
    CHECK(accuracy.questions() == 4);
    CHECK(accuracy.overall() == 40.0);
    CHECK(accuracy.by_type() == std::map<std::string, double>{{"other", 30.0}, {"yes/no", 50.0}});
    VqaAccuracy thirds;
    thirds.add("yes", people(10));
    thirds.add("no", people(10));
    thirds.add("no", people(10));
    CHECK(thirds.overall() == 33.33);
}
