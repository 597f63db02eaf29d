#include <support/catch.hpp>

#include <string>
#include <thread>
#include <vector>

#include <blip/train/data_source.hpp>
#include <io/files.hpp>

using namespace blip;
using test::contains, test::message_of;

namespace {

struct List {
    test::TemporaryFolder folder;
    std::filesystem::path path;

    explicit List(std::string const& text, char const* name = "train.json") : path(folder / name) {
        write_file(path, text);
    }
    DataSource open(DataSourceOptions const& options = {}) const {
        return DataSource::open(path, options);
    }
    std::string refusal(DataSourceOptions const& options = {}) const {
        return message_of<Error>([&] { open(options); });
    }
};

} // namespace

TEST_CASE("a list as the reference's gives its records") {
    List const list(R"( [
        {"image": "val2014/a.jpg", "caption": "a \"red\" [bus]", "image_id": "coco_1"},
        {"image": "b.jpg", "caption": ["one", "two"], "image_id": 7, "other": {"a": [1]}},
        {"question_id": 5, "question": "what?", "answer": ["yes", "yes", "no"], "image": "c.jpg", "dataset": "vqa"},
        {"image": "d.jpg", "question": "why?", "answer": 3, "dataset": "vg", "caption": null},
        {"sentence": "left of it", "label": "True", "images": ["e.png", "f.png"]},
        {"sentence": "x", "label": false, "images": ["/e.png", "f.png"]} ] )");
    auto const source = list.open();
    REQUIRE(source.size() == 6);
    auto const first = source.record(0);
    REQUIRE(first.pictures.size() == 1);
    CHECK(first.pictures[0].file == list.folder / "val2014/a.jpg");
    CHECK_FALSE(first.pictures[0].size);
    CHECK(first.captions == std::vector<std::string>{"a \"red\" [bus]"});
    CHECK(first.image_id == "coco_1");
    CHECK(first.where == list.path.string() + ", element 1");
    CHECK(source.record(1).captions == std::vector<std::string>{"one", "two"});
    CHECK(source.record(1).image_id == "7");
    auto const question = source.record(2);
    CHECK(question.question == "what?");
    CHECK(question.answers == std::vector<std::string>{"yes", "yes", "no"});
    CHECK(question.dataset == "vqa");
    CHECK(source.record(3).answers == std::vector<std::string>{"3"});
    CHECK(source.record(3).captions.empty());
    auto const pair = source.record(4);
    CHECK(pair.pictures.size() == 2);
    CHECK(pair.captions == std::vector<std::string>{"left of it"});
    CHECK(pair.label == true);
    CHECK(source.record(5).label == false);
    CHECK(source.record(5).pictures[0].file == "/e.png");
    CHECK_THROWS_AS(source.record(6), ArgumentError);
    CHECK(list.open({.pictures = "/photos"}).record(0).pictures[0].file == "/photos/val2014/a.jpg");
}

TEST_CASE("an object a line is a list, too, with a byte order mark and blank lines") {
    List const list("\xEF\xBB\xBF{\"file_name\": \"a.jpg\", \"text\": \"one\"}\r\n\n  \n"
                    "{\"image\": \"b.jpg\", \"caption\": \"two\"}",
                    "data.JSONL");
    auto const source = list.open();
    REQUIRE(source.size() == 2);
    CHECK(source.record(0).captions == std::vector<std::string>{"one"});
    CHECK(source.record(1).pictures[0].file == list.folder / "b.jpg");
    CHECK(List("\xEF\xBB\xBF[{\"image\": \"a\"}]").open().size() == 1);
}

TEST_CASE("a bad element breaks that record alone and is named") {
    List const list(R"([{"image": "a.jpg", "caption": "good"},
        {"image": "a.jpg" "caption": "no comma"},
        17,
        {"caption": "no picture"},
        {"image": ["a.jpg", {"b": 1}]},
        {"image": "a.jpg", "question": ["a", "b"]},
        {"image": "", "caption": "x"},
        {"url": "https://x.y/a.jpg", "caption": "x"},
        {"image": "https://x.y/a.jpg", "caption": "x"},
        {"image": "a.jpg", "label": "maybe"},
        {"image": "a.jpg", "caption": "unbalanced"],
        {"image": "a.jpg", "caption": "good"}])");
    auto const source = list.open({.needs = {.captions = true}});
    REQUIRE(source.size() == 12);
    auto const broken = [&](std::size_t i) {
        auto const message = message_of<FormatError>([&] { source.record(i); });
        CHECK(contains(message, join("element ", i + 1)));
        return message;
    };
    CHECK(source.record(0).captions.size() == 1);
    CHECK(contains(broken(1), "not valid JSON"));
    CHECK(contains(broken(2), "expected an object"));
    CHECK(contains(broken(3), "There is: caption"));
    CHECK(contains(broken(4), "neither text"));
    CHECK(contains(broken(5), "expected one text"));
    CHECK(contains(broken(6), "empty"));
    CHECK(contains(broken(7), "download it first"));
    CHECK(contains(broken(8), "Download them"));
    CHECK_FALSE(list.open().record(9).label);
    CHECK(contains(broken(10), "not valid JSON"));
    CHECK(source.record(11).captions.size() == 1);
}

TEST_CASE("what is no list is refused with a reason") {
    CHECK(contains(List("").refusal(), "is empty"));
    CHECK(contains(List(" \n ").refusal(), "is empty"));
    CHECK(contains(List("[]").refusal(), "holds no records"));
    CHECK(contains(List("[{\"image\": 1}").refusal(), "element 2: expected a comma"));
    CHECK(contains(List("[{\"image\": 1},").refusal(), "element 2: the list ends within"));
    CHECK(contains(List("[{\"image\": \"a").refusal(), "element 1: the list ends within"));
    CHECK(contains(List("[{\"image\": \"a\\").refusal(), "element 1: the list ends within"));
    CHECK(contains(List("[1 2]").refusal(), "comma"));
    CHECK(contains(List("[1,,2]").refusal(), "nothing where this element"));
    CHECK(contains(List("[1,]").refusal(), "nothing where this element"));
    CHECK(contains(List("[1] x").refusal(), "follows"));
    CHECK(contains(List("[1}").refusal(), "comma"));
    CHECK(contains(List("{\n\"images\": []\n}").refusal(), "expected a JSON list"));
    CHECK(contains(List("image,caption\na,b\n").refusal(), "expected a JSON list"));
    CHECK(contains(List("\xFF\xFE[").refusal(), "UTF-16"));
    CHECK(contains(List("x", "data.bin").refusal(), "not a kind of training data"));
    CHECK(contains(message_of<FileError>([] { DataSource::open("/nowhere/x.json"); }), "no such"));
}

TEST_CASE("limits hold") {
    CHECK(contains(List("[1,2,3]").refusal({.max_records = 2}), "more than 2 records"));
    std::string const big = "{\"image\": \"" + std::string(5000, 'a') + "\"}";
    CHECK(contains(List("[" + big + "]").refusal({.max_record_bytes = 1000}), "longer than 1000"));
    CHECK(contains(List(big).refusal({.max_record_bytes = 1000}), "longer than 1000"));
    std::string const deep = std::string(100, '[') + std::string(100, ']');
    auto const source = List("[" + deep + "]").open();
    CHECK_THROWS_AS(source.record(0), LimitError);
}

TEST_CASE("every beginning of a list and every damage gives records or errors") {
    std::string const text =
        R"([{"image": "a.jpg", "caption": ["x", "\"[y]\""]}, {"image": "b.jpg", "label": "True"}])";
    auto const read = [](std::span<std::byte const> bytes) {
        std::string_view const part(reinterpret_cast<char const*>(bytes.data()), bytes.size());
        for (auto const& span : detail::json_records(part, "list", {}))
            detail::record_of(fields_of(parse_json(span.of(part), "list"), "list"), "list", {},
                              detail::PictureNames::in_record);
    };
    CHECK(test::readable_beginnings(text, read) == 0);
    CHECK(test::failures_after_damage(text, read) > 50);
}

TEST_CASE("a long list is opened without holding it") {
    std::string text = "[";
    for (int i = 0; i < 100000; ++i)
        text += join(i == 0 ? "" : ",", "{\"image\": \"", i, ".jpg\", \"caption\": \"picture ", i,
                     "\"}\n");
    List const list(text + "]");
    auto const source = list.open();
    REQUIRE(source.size() == 100000);
    CHECK(source.record(99999).captions[0] == "picture 99999");
    std::vector<std::jthread> threads;
    std::vector<int> wrong(4);
    for (std::size_t t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            for (std::size_t i = t; i < 4000; i += 4)
                wrong[t] += source.record(i).captions[0] != join("picture ", i) ? 1 : 0;
        });
    threads.clear();
    CHECK(wrong == std::vector<int>(4));
}

TEST_CASE("needs are checked") {
    auto const message = [](RecordNeeds const& needs, std::string const& text) {
        List const list("[" + text + "]");
        auto const source = list.open({.needs = needs});
        return message_of<FormatError>([&] { source.record(0); });
    };
    std::string const plain = R"({"image": "a.jpg"})";
    CHECK(message({}, plain).empty());
    CHECK(contains(message({.pictures = 2}, plain), "1 pictures, expected 2"));
    CHECK(contains(message({.captions = true}, plain), "no \"caption\""));
    CHECK(
        contains(message({.captions = true}, R"({"image": "a", "caption": ["b", " "]})"), "empty"));
    CHECK(contains(message({.question = true}, plain), "no \"question\""));
    CHECK(contains(message({.answers = true}, plain), "no \"answer\""));
    CHECK(contains(message({.label = true}, plain), "no \"label\""));
}

TEST_CASE("pictures are numbered in the order of their first appearance") {
    List const list(R"([{"image": "a.jpg", "image_id": "x"}, {"image": "b.jpg"}, {"oops": 1},
        {"image": "c.jpg", "image_id": "x"}, {"image": "b.jpg"}, {"image": "x"}])");
    CHECK(picture_numbers(list.open()) == std::vector<std::int64_t>{0, 1, 2, 0, 1, 3});
}
