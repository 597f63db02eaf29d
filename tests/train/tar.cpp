#include <support/catch.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/train/tar.hpp>
#include <io/files.hpp>

using namespace blip;
using test::bytes_of, test::contains, test::message_of;

namespace {

using Files = std::vector<std::pair<std::string, std::string>>;

Files files_of(std::string_view archive, TarLimits const& limits = {}) {
    Files files;
    read_tar(
        bytes_of(archive), "a.tar",
        [&](TarMember const& member) {
            REQUIRE(member.offset + member.size <= archive.size());
            files.emplace_back(member.name, archive.substr(member.offset, member.size));
        },
        limits);
    return files;
}

std::string written(Files const& files) {
    test::TemporaryFolder const folder;
    TarWriter writer(folder / "a.tar");
    for (auto const& [name, content] : files)
        writer.add(name, content);
    writer.commit();
    return test::content_of(folder / "a.tar");
}

/// `archive` with other bytes at `offset`, and the sum of that header mended.
std::string changed(std::string archive, std::size_t header, std::size_t offset,
                    std::string const& bytes) {
    archive.replace(header + offset, bytes.size(), bytes);
    std::string sum = "000000";
    auto left = detail::tar_sum(std::string_view(archive).substr(header, 512));
    for (std::size_t i = 6; i-- > 0; left /= 8)
        sum[i] = static_cast<char>('0' + left % 8);
    return archive.replace(header + 148, 6, sum);
}

std::string refusal(std::string_view archive, TarLimits const& limits = {}) {
    return message_of<Error>([&] { files_of(archive, limits); });
}

} // namespace

TEST_CASE("what is written is read") {
    Files const files{{"a.txt", "one"},
                      {"b.jpg", std::string(512, 'x')},
                      {"c", ""},
                      {std::string(100, 'n'), "exactly"},
                      {std::string(60, 'f') + "/" + std::string(80, 'n'), "prefix"},
                      {std::string(101, 'l'), "too long for one part"},
                      {std::string(200, 'f') + "/" + std::string(150, 'n'), "pax"},
                      {"d\xC3\xA9.txt", std::string(1000, '\0')}};
    auto const archive = written(files);
    CHECK(archive.size() % 512 == 0);
    CHECK(files_of(archive) == files);
    CHECK(written(files) == archive);
    CHECK(files_of(written({})).empty());
    // Names around the lengths at which the header changes.
    for (std::size_t length = 1; length < 300; ++length) {
        Files const one{{std::string(length / 2, 'f') + "/" + std::string(length, 'n'), "x"}};
        CHECK(files_of(written(one)) == one);
    }
}

TEST_CASE("a writer refuses what no archive holds") {
    test::TemporaryFolder const folder;
    TarWriter writer(folder / "a.tar");
    CHECK_THROWS_AS(writer.add("", "x"), ArgumentError);
    CHECK_THROWS_AS(writer.add("folder/", "x"), ArgumentError);
    CHECK_THROWS_AS(writer.add(std::string("a\0b", 3), "x"), ArgumentError);
    CHECK_THROWS_AS(TarWriter(folder / "missing" / "a.tar"), FileError);
}

TEST_CASE("archives of other programs are read") {
    std::string const name =
        "folder/" + std::string(90, 'd') + "/" + std::string(120, 'x') + ".txt";
    for (auto const* const format : {"gnu.tar", "pax.tar"}) {
        INFO(format);
        CHECK(files_of(test::content_of(test::test_data("tar") / format)) ==
              Files{{"one.txt", "a caption\n"},
                    {"two.json", "{\"caption\": \"from json\"}"},
                    {name, "long caption\n"},
                    {"empty.txt", ""}});
    }
    CHECK(files_of(test::content_of(test::test_data("tar") / "v7.tar")).size() == 3);
    CHECK(files_of(test::content_of(test::test_data("tar") / "python.tar")) ==
          Files{{"one.txt", "a caption\n"},
                {"b\xC3\xBCrste/" + std::string(110, 'y') + ".txt", "long caption\n"}});
}

TEST_CASE("every beginning of an archive is refused, damage is found or harmless") {
    auto const archive = written({{"a.txt", "one"}, {std::string(200, 'n'), "two"}});
    auto const read = [](std::span<std::byte const> bytes) {
        files_of({reinterpret_cast<char const*>(bytes.data()), bytes.size()});
    };
    CHECK(test::readable_beginnings(archive, read) == 0);
    // All but the contents and padding is covered by a check: three headers, the end.
    auto const found = test::failures_after_damage(archive, read);
    CHECK(found >= 3 * 5 * 512);
    CHECK(found < 3 * archive.size());
}

TEST_CASE("sizes are checked against what is there") {
    auto const archive = written({{"a.txt", "one"}, {"b.txt", "two"}});
    CHECK(contains(refusal(changed(archive, 0, 124, "00000100000")), "only"));
    CHECK(contains(refusal(changed(archive, 0, 124, "77777777777")), "truncated"));
    CHECK(contains(
        refusal(changed(archive, 0, 124, std::string("\x80\0\0\0", 4) + std::string(8, '\xFF'))),
        "truncated"));
    CHECK(contains(refusal(changed(archive, 0, 124, "\x80" + std::string(11, '\xFF'))), "2^64"));
    CHECK(contains(refusal(changed(archive, 0, 124, std::string(12, '\xFF'))), "negative"));
    CHECK(contains(refusal(changed(archive, 0, 124, "0000000000x")), "octal"));
    // GNU's numbers for what octal digits could say, too.
    CHECK(
        files_of(changed(archive, 0, 124, std::string("\x80", 1) + std::string(10, '\0') + "\3")) ==
        files_of(archive));
    CHECK(files_of(changed(archive, 0, 124, " 3         ")) == files_of(archive));
}

TEST_CASE("what is no archive, or more than one, is refused with a reason") {
    auto const archive = written({{"a.txt", "one"}});
    CHECK(contains(refusal(std::string(512, 'x')), "does not begin with a tar header"));
    CHECK(contains(refusal("\x1F\x8B" + std::string(600, 'x')), "compressed"));
    CHECK(contains(refusal("\x28\xB5\x2F\xFD" + std::string(600, 'x')), "compressed"));
    CHECK(contains(refusal("x"), "truncated"));
    CHECK(contains(refusal(archive + archive), "joined"));
    CHECK(contains(refusal(archive.substr(0, archive.size() - 512)), "only one empty block"));
    CHECK(contains(refusal(archive.substr(0, archive.size() - 1024)), "truncated"));
    CHECK(files_of(archive + std::string(7 * 512, '\0')).size() == 1);
    CHECK(contains(refusal(changed(archive, 0, 156, "S")), "sparse"));
    CHECK(contains(refusal(archive, {.members = 0}), "more than 0 entries"));
    CHECK(contains(refusal(changed(archive, 0, 156, "x")), "extended header"));
    CHECK(contains(refusal(changed(archive, 0, 156, "L")), "that is not there"));
    CHECK(files_of(changed(written({{"a", ""}}), 0, 156, "5")).empty());
    CHECK(files_of(changed(archive, 0, 156, "g")).empty());
}

TEST_CASE("hostile extended headers are refused") {
    // The name of the first member is given by an extended header whose text is replaced.
    auto const with = [](std::string text) {
        auto archive = written({{std::string(300, 'n'), "x"}});
        text.resize(512, '\n');
        return archive.replace(512, 512, text);
    };
    for (std::string const text :
         {"", "0 path=x\n", "99999999999999999999 path=x\n", "1000 path=x\n", "-5 path=x\n",
          "10 pathx\n\n", "9 path=xx\n", "12 size=1x2\n", "9 size=\n\n",
          "30 size=99999999999999999999\n"})
        CHECK_FALSE(refusal(with(text)).empty());
    std::string const size = "25 size=1000000000000000\n"; // and a comment up to the end
    auto const rest = std::string("310 path=").size() + 301 - size.size();
    CHECK(contains(refusal(with(size + join(rest, " a=", std::string(rest - 7, 'x'), "\n"))),
                   "truncated"));
    CHECK(contains(refusal(written({{std::string(300, 'n'), "x"}}), {.extension_bytes = 100}),
                   "limit is 100"));
    CHECK(contains(refusal(written({{std::string(300, 'n'), "x"}}), {.name_bytes = 200}),
                   "a name of 300"));
}
