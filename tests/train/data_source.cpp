#include <support/catch.hpp>
#include <support/pictures.hpp>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <blip/train/data_source.hpp>
#include <io/files.hpp>

using namespace blip;
using test::contains, test::message_of;

namespace {

using Texts = std::vector<std::string>;

std::filesystem::path const photo =
    std::filesystem::path(BLIP_SOURCE_DIR) / "examples/photos/chelsea.png";

void write_shard(std::filesystem::path const& path,
                 std::vector<std::pair<std::string, std::string>> const& members) {
    TarWriter writer(path);
    for (auto const& [name, content] : members)
        writer.add(name, content);
    writer.commit();
}

std::string refusal(std::filesystem::path const& path, DataSourceOptions const& options = {}) {
    return message_of<Error>([&] { DataSource::open(path, options); });
}

} // namespace

TEST_CASE("a folder of pictures takes the texts beside them") {
    test::TemporaryFolder const folder;
    std::filesystem::create_directories(folder / "sub");
    std::filesystem::create_directories(folder / ".hidden");
    for (auto const* const name : {"p10.jpg", "p9.JPG", "sub/q.png", "alone.jpg", ".hidden/x.jpg",
                                   ".x.jpg", "notes.txt", "sub/r.webp"})
        write_file(folder / name, "x");
    write_file(folder / "p9.txt", "\xEF\xBB\xBF one \r\n\n two\n");
    write_file(folder / "p10.json", R"({"caption": "ten", "question": "what?", "answer": "a"})");
    write_file(folder / "sub/q.txt", "from lines");
    write_file(folder / "sub/q.json", R"({"caption": "from json", "image_id": 7})");
    write_file(folder / "sub/r.json", "{");
    for (auto const& path : {folder.path(), folder.path() / ""}) {
        auto const source = DataSource::open(path);
        REQUIRE(source.size() == 5);
        CHECK(source.record(0).pictures.at(0).file.filename() == "alone.jpg");
        CHECK(source.record(0).captions.empty());
        CHECK(source.record(1).captions == Texts{"one", "two"});
        CHECK(contains(source.record(1).where, "p9.JPG"));
        CHECK(source.record(2).captions == Texts{"ten"});
        CHECK(source.record(2).question == "what?");
        CHECK(source.record(3).captions == Texts{"from lines"});
        CHECK(source.record(3).image_id == "7");
        CHECK(contains(message_of<FormatError>([&] { source.record(4); }), "r.webp"));
    }
    auto const needing = DataSource::open(folder.path(), {.needs = {.captions = true}});
    CHECK(
        contains(message_of<FormatError>([&] { needing.record(0); }), "alone.jpg: no \"caption\""));
    CHECK(contains(refusal(folder.path(), {.max_records = 2}), "more than 2"));
    DataSourceOptions const small{.max_record_bytes = 4};
    CHECK_THROWS_AS(DataSource::open(folder.path(), small).record(1), LimitError);
}

TEST_CASE("a folder without texts or pictures is refused") {
    test::TemporaryFolder const folder;
    CHECK(contains(refusal(folder.path()), "none of its 0 pictures"));
    write_file(folder / "a.jpg", "x");
    CHECK(contains(refusal(folder.path()), "none of its 1 pictures has a text beside it"));
    write_file(folder / "metadata.csv", "file_name,text\na.jpg,one\n");
    auto const source = DataSource::open(folder.path());
    CHECK(source.record(0).captions == Texts{"one"});
    CHECK(source.record(0).pictures.at(0).file == folder / "a.jpg");
}

TEST_CASE("a shard gives its samples, wherever their parts stand") {
    test::TemporaryFolder const folder;
    auto const picture = test::content_of(photo);
    write_shard(folder / "a.tar", {{"x/0001.png", picture},
                                   {"x/0001.txt", "one\ntwo\n"},
                                   {"x/0002.seg.png", "mask"},
                                   {"x/0002.PNG", picture},
                                   {"x/._0001.png", "resource fork"},
                                   {"x/0003.json", R"({"question": "why?", "answer": ["a", "b"]})"},
                                   {"x/0002.json", R"({"caption": "json", "label": 5})"},
                                   {"x/0003.png", "no picture"},
                                   {"x/0004.txt", "no picture at all"},
                                   {"x/0005.1.png", "b"},
                                   {"x/0005.0.png", "a"},
                                   {"x/0005.json", R"({"sentence": "s", "label": "True"})"},
                                   {"x/0006.jpg", "j"},
                                   {"x/0006.json", "[1]"}});
    auto const source = DataSource::open(folder / "a.tar");
    REQUIRE(source.size() == 6);
    auto const first = source.record(0);
    CHECK(first.captions == Texts{"one", "two"});
    REQUIRE(first.pictures.size() == 1);
    CHECK(test::same(read_picture(first.pictures[0]), read_image(photo)));
    CHECK(contains(first.where, "a.tar, sample x/0001"));
    CHECK(source.record(1).captions == Texts{"json"});
    CHECK_FALSE(source.record(1).label);
    CHECK(test::same(read_picture(source.record(1).pictures.at(0)), read_image(photo)));
    CHECK(source.record(2).answers == Texts{"a", "b"});
    CHECK(contains(message_of<FormatError>([&] { read_picture(source.record(2).pictures.at(0)); }),
                   "a.tar, member x/0003.png"));
    CHECK(contains(message_of<FormatError>([&] { source.record(3); }),
                   "sample x/0004: there is no picture"));
    auto const pair = source.record(4);
    REQUIRE(pair.pictures.size() == 2);
    CHECK(pair.pictures[0].member == "x/0005.0.png");
    CHECK(pair.pictures[1].member == "x/0005.1.png");
    CHECK(pair.label == true);
    CHECK(
        contains(message_of<FormatError>([&] { source.record(5); }), "x/0006: expected an object"));
    DataSourceOptions const small{.max_record_bytes = 4};
    CHECK_THROWS_AS(DataSource::open(folder / "a.tar", small).record(0), LimitError);
}

TEST_CASE("shards of a folder or a list are one source") {
    test::TemporaryFolder const folder;
    for (int shard : {2, 10, 1})
        write_shard(
            folder / join("s", shard, ".tar"),
            {{"0.jpg", "x"}, {"0.txt", join("shard ", shard)}, {"1.jpg", "x"}, {"1.txt", "y"}});
    auto const source = DataSource::open(folder.path());
    REQUIRE(source.size() == 6);
    CHECK(source.record(0).captions == Texts{"shard 1"});
    CHECK(source.record(2).captions == Texts{"shard 2"});
    CHECK(source.record(4).captions == Texts{"shard 10"});
    auto const numbered = DataSource::open(folder / "s{1..2}.tar");
    REQUIRE(numbered.size() == 4);
    CHECK(numbered.record(2).captions == Texts{"shard 2"});
    CHECK(contains(refusal(folder / "s{01..02}.tar"), "s01.tar"));
    CHECK(contains(refusal(folder / "s{2..1}.tar"), "expected two numbers"));
    CHECK(contains(refusal(folder / "s{1..x}.tar"), "expected two numbers"));
    CHECK(contains(refusal(folder / "s{0..9999999}.tar"), "less than a million"));
    CHECK(contains(refusal(folder / "s{1..2.tar"), "no such file"));
    CHECK(contains(refusal(folder / "s{18446744073709551615..18446744073709551615}.tar"),
                   "s18446744073709551615.tar"));
    write_file(folder / "list.txt", "s10.tar\n\n" + (folder / "s2.tar").string() + "\n");
    auto const listed = DataSource::open(folder / "list.txt");
    REQUIRE(listed.size() == 4);
    CHECK(listed.record(0).captions == Texts{"shard 10"});
    CHECK(listed.record(2).captions == Texts{"shard 2"});
    write_file(folder / "list.txt", "s10.tar\nx.jpg\n");
    CHECK(contains(refusal(folder / "list.txt"), "\"x.jpg\" is no shard"));
    write_file(folder / "list.txt", "missing.tar\n");
    CHECK(contains(refusal(folder / "list.txt"), "missing.tar"));
    CHECK(contains(refusal(folder.path(), {.max_records = 3}), "more than 3"));
    write_file(folder / "s3.tar", test::content_of(folder / "s2.tar").substr(0, 600));
    CHECK(contains(refusal(folder.path()), "s3.tar: not a usable tar archive"));
}

TEST_CASE("an unusable shard is refused") {
    test::TemporaryFolder const folder;
    write_file(folder / "a.tar", "");
    CHECK(contains(refusal(folder / "a.tar"), "is empty"));
    write_shard(folder / "a.tar", {{"readme.md", "x"}});
    CHECK(contains(refusal(folder / "a.tar"), "no pictures or texts"));
    write_shard(folder / "a.tar", {{"1.jpg", "x"}, {"1.jpg", "y"}});
    CHECK(contains(refusal(folder / "a.tar"), "two members"));
    write_shard(folder / "a.tar", {{"1.TXT", "x"}, {"1.txt", "y"}});
    CHECK(contains(refusal(folder / "a.tar"), "two members"));
}

TEST_CASE("a shard that was shortened after it was opened gives an error, not less") {
    test::TemporaryFolder const folder;
    write_shard(folder / "a.tar", {{"1.png", test::content_of(photo)}, {"1.txt", "one"}});
    auto const source = DataSource::open(folder / "a.tar");
    auto const record = source.record(0);
    std::filesystem::resize_file(folder / "a.tar", 1000);
    CHECK_THROWS_AS(source.record(0), FileError);
    CHECK_THROWS_AS(read_picture(record.pictures.at(0)), FileError);
}

TEST_CASE("records of a shard are read by several threads") {
    test::TemporaryFolder const folder;
    std::vector<std::pair<std::string, std::string>> members;
    for (int i = 0; i < 200; ++i) {
        members.emplace_back(join(i, ".jpg"), "x");
        members.emplace_back(join(i, ".txt"), join("picture ", i));
    }
    write_shard(folder / "a.tar", members);
    auto const source = DataSource::open(folder / "a.tar");
    REQUIRE(source.size() == 200);
    std::vector<int> wrong(3);
    {
        std::vector<std::jthread> threads;
        for (std::size_t t = 0; t < 3; ++t)
            threads.emplace_back([&, t] {
                for (std::size_t i = 0; i < 200; ++i)
                    wrong[t] += source.record(i).captions != Texts{join("picture ", i)} ? 1 : 0;
            });
    }
    CHECK(wrong == std::vector<int>(3));
}
