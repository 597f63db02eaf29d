#include <support/catch.hpp>
#include <support/pictures.hpp>

#include <map>
#include <string>

#include <blip/train/record.hpp>
#include <blip/vision/write_image.hpp>
#include <io/files.hpp>

using namespace blip;
using test::contains, test::message_of;

TEST_CASE("a picture is read from a file or a part of one") {
    auto const photo = std::filesystem::path(BLIP_SOURCE_DIR) / "examples/photos/chelsea.png";
    auto const image = read_image(photo);
    CHECK(test::same(read_picture({photo, 0, {}, {}}), image));

    test::TemporaryFolder const folder;
    auto const bytes = test::content_of(photo);
    write_file(folder / "parts", "12345" + bytes + "tail");
    CHECK(test::same(read_picture({folder / "parts", 5, bytes.size(), "a.png"}), image));
    auto const refusal = [&](PictureSource const& source, ReadOptions const& options = {}) {
        return message_of<Error>([&] { read_picture(source, options); });
    };
    CHECK(contains(refusal({folder / "parts", 4, bytes.size(), "a.png"}), "member a.png"));
    CHECK(contains(refusal({folder / "parts", 5, bytes.size() + 5, "a.png"}), "cannot be read"));
    CHECK(contains(refusal({folder / "parts", 5, UINT64_MAX, "a.png"}), "limit"));
    CHECK(contains(refusal({folder / "parts", 5, bytes.size(), "a.png"}, {.max_bytes = 100}),
                   "limit is 100"));
    CHECK(contains(refusal({folder / "missing", 5, 10, "a.png"}), "cannot be opened"));
    CHECK(contains(refusal({folder / "missing", 0, {}, {}}), "no such file"));
    CHECK_FALSE(refusal({folder / "parts", UINT64_MAX - 3, 10, "a.png"}).empty());
}

TEST_CASE("one of several texts is chosen evenly and from the key alone") {
    std::vector<std::string> const texts{"a", "b", "c"};
    std::map<std::string, int> count;
    for (std::uint64_t i = 0; i < 3000; ++i)
        ++count[choose_text(texts, {4, i})];
    for (auto const& text : texts)
        CHECK(count[text] == Approx(1000).margin(110));
    CHECK_THROWS_AS(choose_text({}, {1, 1}), ArgumentError);
}

TEST_CASE("pairs change places in half of the records, and left and right with them") {
    CHECK(exchange_sides("the left image is right of the leftmost, left") ==
          "the right image is left of the leftmost, right");
    CHECK(exchange_sides("") == "");
    CHECK(exchange_sides(" a  left ") == " a  right ");
    TrainingRecord const record{.pictures = {{"a", 0, {}, {}}, {"b", 0, {}, {}}},
                                .captions = {"left one"}};
    int exchanged = 0;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        auto other = record;
        exchange_pair(other, {8, i});
        bool const swapped = other.pictures[0].file == "b";
        CHECK(other.captions[0] == (swapped ? "right one" : "left one"));
        exchanged += swapped ? 1 : 0;
    }
    CHECK(exchanged == Approx(500).margin(70));
    TrainingRecord single{.pictures = {{"a", 0, {}, {}}}, .captions = {"left"}};
    for (std::uint64_t i = 0; i < 20; ++i)
        exchange_pair(single, {8, i});
    CHECK(single.captions[0] == "left");
}
