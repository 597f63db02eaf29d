#include <support/catch.hpp>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <blip/train/data_source.hpp>
#include <io/files.hpp>

using namespace blip;
using test::contains, test::message_of;

namespace {

struct Table {
    test::TemporaryFolder folder;
    std::filesystem::path path;

    explicit Table(std::string const& text, char const* name = "data.csv") : path(folder / name) {
        write_file(path, text);
    }
    DataSource open(DataSourceOptions const& options = {}) const {
        return DataSource::open(path, options);
    }
    std::string refusal(DataSourceOptions const& options = {}) const {
        return message_of<Error>([&] { open(options); });
    }
};

using Texts = std::vector<std::string>;

} // namespace

TEST_CASE("a table gives a record a row") {
    Table const table("\xEF\xBB\xBFimage, caption ,extra\r\n"
                      "a.jpg,\"red, \"\"big\"\"\nbus\",1\r\n"
                      "\r\n"
                      "b.jpg,5'3\" tall,\r\n"
                      "c.jpg,,x");
    auto const source = table.open();
    REQUIRE(source.size() == 3);
    CHECK(source.record(0).pictures.at(0).file == table.folder / "a.jpg");
    CHECK(source.record(0).captions == Texts{"red, \"big\"\nbus"});
    CHECK(source.record(1).captions == Texts{"5'3\" tall"});
    CHECK(source.record(2).captions.empty());
    CHECK(source.record(2).where == table.path.string() + ", element 3");
}

TEST_CASE("columns of one name are a list; tabs and semicolons separate, too") {
    Table const pairs("images,images,sentence,label\na.png,b.png,left of it,False\n");
    auto const record = pairs.open().record(0);
    CHECK(record.pictures.size() == 2);
    CHECK(record.label == false);
    CHECK(record.captions == Texts{"left of it"});
    Table const captions("image\tcaption\tcaption\na.png\tone, two\tthree\nb.png\tfour\t\n",
                         "data.TSV");
    CHECK(captions.open().record(0).captions == Texts{"one, two", "three"});
    CHECK(captions.open().record(1).captions == Texts{"four"});
    Table const semicolons("image;caption\na.png;one, two\n");
    CHECK(semicolons.open().record(0).captions == Texts{"one, two"});
    Table const questions("image,question,answer\na.png,what?,bus\n");
    CHECK(questions.open({.needs = {.question = true, .answers = true}}).record(0).answers ==
          Texts{"bus"});
}

TEST_CASE("a row with other cells than columns is broken alone") {
    auto const source = Table("image,caption\na.jpg,one, two\nb.jpg,good\nc.jpg\n").open();
    REQUIRE(source.size() == 3);
    auto const message = message_of<FormatError>([&] { source.record(0); });
    CHECK(contains(message, "element 1: 3 cells, but the first line names 2 columns"));
    CHECK(source.record(1).captions == Texts{"good"});
    CHECK_THROWS_AS(source.record(2), FormatError);
}

TEST_CASE("what is no table is refused with a reason") {
    CHECK(contains(Table("").refusal(), "is empty"));
    CHECK(contains(Table("image,caption\n").refusal(), "holds no records"));
    CHECK(contains(Table("picture,caption\na,b\n").refusal(),
                   "The first line has: picture, caption"));
    CHECK(
        contains(Table("image,caption\na,\"b\n").refusal(), "element 1: a quote is never closed"));
    CHECK(contains(Table("\xFE\xFF").refusal(), "UTF-16"));
    CHECK(contains(Table("image\na\nb\nc\n").refusal({.max_records = 2}), "more than 2 records"));
    CHECK(contains(Table("image,caption\na,\"" + std::string(2000, 'x') + "\n")
                       .refusal({.max_record_bytes = 1000}),
                   "is a quote missing?"));
}

TEST_CASE("any text gives rows or errors") {
    std::string const text = "image,caption\r\n\"a\"\"b\",\"c\nd\"\r\ne,f";
    int rows = 0;
    auto const read = [&](std::span<std::byte const> bytes) {
        std::string_view const part(reinterpret_cast<char const*>(bytes.data()), bytes.size());
        auto const csv = detail::read_csv(part, "table", {});
        for (std::size_t i = 0; i < csv.rows.size(); ++i)
            detail::csv_fields(csv, part, i, "table");
        rows += static_cast<int>(csv.rows.size());
    };
    test::readable_beginnings(text, read);
    test::failures_after_damage(text, read);
    CHECK(rows > 50);
}
