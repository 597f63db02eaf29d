#include "support/catch.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <blip/vision/read_image.hpp>

#include "../../examples/support/caption_job.hpp"
#include "../../examples/support/html_report.hpp"
#include "../../examples/support/record_file.hpp"

namespace {

namespace fs = std::filesystem;
using namespace support;

struct TemporaryFile {
    fs::path path =
        fs::temp_directory_path() / ("blip_records_" + std::to_string(std::random_device{}()));
    ~TemporaryFile() { fs::remove(path); }
    std::string text() const {
        std::ifstream file(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    void set(std::string const& text) const {
        std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
    }
};

blip::Caption caption(std::string text) {
    blip::Caption result;
    result.text = std::move(text);
    result.ids = {7, 8};
    result.token_log_probabilities = {-0.5, -0.25};
    result.log_probability = -0.75;
    result.score = -0.375;
    return result;
}

Record good(std::string path, std::size_t count = 1) {
    Record record;
    record.key = {std::move(path)};
    std::vector<blip::Caption> captions;
    for (std::size_t i = 0; i < count; ++i)
        captions.push_back(caption("a \"cat\", " + std::to_string(i)));
    fill_record(record, captions, {.height = 3, .width = 4});
    return record;
}

Record broken(std::string path) {
    Record record;
    record.key = {std::move(path)};
    record.error = "no picture,\nbut \"text\" <b>";
    return record;
}

std::vector<Record> examples(std::size_t count) {
    std::vector<Record> records{good("a.jpg", count),        broken("b\tc\n\"d\".jpg"),
                                good("a.jpg", count),        good("x,y <&>.jpg", count),
                                broken("\xff not utf8.png"), good("z.jpg", count)};
    return records;
}

std::unique_ptr<RecordFormat> make(std::string const& name, std::size_t count) {
    if (name == "html")
        return std::make_unique<HtmlFormat>(caption_schema(count));
    return make_format(name, caption_schema(count));
}

void write_all(RecordFile& file, std::vector<Record> const& records, std::size_t first) {
    for (std::size_t i = first; i < records.size(); ++i)
        file.write(records[i]);
    file.finish();
}

} // namespace

TEST_CASE("a file cut anywhere is continued to the same bytes") {
    for (std::string const name : {"text", "jsonl", "csv", "html"})
        for (std::size_t count : {1u, 3u}) {
            auto const records = examples(count);
            TemporaryFile const file;
            {
                RecordFile output(file.path, make(name, count), Existing::refuse);
                write_all(output, records, 0);
            }
            auto const whole = file.text();
            std::size_t const step = name == "html" ? 97 : 3;
            for (std::size_t cut = whole.size() % step; cut <= whole.size(); cut += step) {
                file.set(whole.substr(0, cut));
                auto format = make(name, count);
                RecordReader reader(file.path, *format);
                std::size_t done = 0;
                while (done < records.size() && reader.read(records[done].key)) {
                    reader.take();
                    ++done;
                }
                REQUIRE(reader.records() == done);
                REQUIRE(reader.errors() == static_cast<std::size_t>(done > 1) + (done > 4));
                RecordFile output(file.path, std::move(format), reader);
                write_all(output, records, done);
                INFO(name << ", cut at " << cut << ", " << done << " done");
                REQUIRE(file.text() == whole);
                if (cut == whole.size())
                    CHECK(done == records.size());
            }
        }
}

TEST_CASE("a file of other pictures or another format is not continued") {
    TemporaryFile const file;
    auto const records = examples(1);
    for (std::string const name : {"text", "jsonl", "csv", "html"}) {
        {
            RecordFile output(file.path, make(name, 1), Existing::replace);
            write_all(output, records, 0);
        }
        auto const format = make(name, 1);
        RecordReader reader(file.path, *format);
        CHECK_THROWS_AS(reader.read({"other.jpg"}), blip::FormatError);
        RecordReader longer(file.path, *format);
        CHECK(longer.read({"a.jpg"}));
        CHECK_THROWS_AS(longer.expect_end(), blip::FormatError);
    }
    CHECK_THROWS_AS(RecordReader(file.path, CsvFormat(caption_schema(1))), blip::FormatError);
    CHECK_THROWS_AS(RecordFile(file.path, make("csv", 1), Existing::refuse), blip::FileError);
}

TEST_CASE("text has a line a caption") {
    TextFormat const format(caption_schema(2));
    CHECK(format.rows(good("a\tb", 2), 0) == "a\\tb\ta \"cat\", 0\na\\tb\ta \"cat\", 1\n");
    CHECK(format.rows(broken("x"), 0) == "x\terror: no picture, but \"text\" <b>\n");
}

TEST_CASE("JSON lines and the JSON array hold the same objects") {
    JsonLinesFormat const lines(caption_schema(2));
    JsonArrayFormat const array(caption_schema(2));
    std::string text = array.header();
    std::vector<nlohmann::json> expected;
    for (auto const& record : examples(2)) {
        text += array.rows(record, expected.size());
        expected.push_back(nlohmann::json::parse(lines.rows(record, 0)));
    }
    CHECK(nlohmann::json::parse(text + array.footer(expected.size())) == nlohmann::json(expected));
    CHECK(nlohmann::json::parse(array.header() + array.footer(0)).empty());
    auto const& first = expected.front();
    CHECK(first["captions"][1]["text"] == "a \"cat\", 1");
    CHECK(first["captions"][0]["ids"] == std::vector<int>{7, 8});
    CHECK(first["captions"][0]["log_probability"] == -0.75);
    CHECK(first["captions"][0]["token_log_probabilities"][1] == -0.25);
    CHECK(first["width"] == 4);
    CHECK(expected[1]["error"] == "no picture,\nbut \"text\" <b>");
    CHECK_FALSE(expected[1].contains("captions"));
}

TEST_CASE("CSV quotes as RFC 4180 asks") {
    CsvFormat const format(caption_schema(1));
    CHECK(format.rows(good("x,y.jpg"), 0) ==
          "\"x,y.jpg\",1,\"a \"\"cat\"\", 0\",-0.75,-0.375,4,3,\r\n");
    CHECK(format.rows(broken("b"), 0) == "b,,,,,,,\"no picture,\nbut \"\"text\"\" <b>\"\r\n");
    auto commas = [](std::string const& text) { return std::count(text.begin(), text.end(), ','); };
    auto simple = broken("b");
    simple.error = "bad";
    CHECK(commas(format.header()) == commas(format.rows(simple, 0)));
}

TEST_CASE("the page escapes text, embeds pictures and shows how sure the model is") {
    HtmlFormat const format(caption_schema(1));
    auto record = good("<script>&\"'.jpg");
    blip::Image const image = blip::read_image(BLIP_SOURCE_DIR "/examples/photos/rocket.jpg");
    record.pictures = {thumbnail(image)};
    CHECK(record.pictures[0].starts_with("data:image/jpeg;base64,"));
    auto const rows = format.rows(record, 0);
    CHECK(rows.find("<script>") == std::string::npos);
    CHECK(rows.find("&lt;script&gt;&amp;&quot;&#39;.jpg") != std::string::npos);
    CHECK(rows.find("--p:69%") != std::string::npos);
    CHECK(rows.find('\n') == rows.size() - 1);
    CHECK(format.rows(broken("b"), 0).find("&lt;b&gt;") != std::string::npos);
    CHECK(confidence({-0.5, -0.25}) == Approx(std::exp(-0.375)));
    CHECK(confidence({}) == 0);
}

TEST_CASE("base64 follows RFC 4648") {
    auto encode = [](std::string const& text) {
        return support::detail::base64(std::as_bytes(std::span(text)));
    };
    CHECK(encode("") == "");
    CHECK(encode("f") == "Zg==");
    CHECK(encode("fo") == "Zm8=");
    CHECK(encode("foo") == "Zm9v");
    CHECK(encode("foobar") == "Zm9vYmFy");
    CHECK(encode("\xff\xfe\xfd") == "//79");
}

TEST_CASE("tiny thumbnails are exact") {
    auto image = blip::make_image({2, 3});
    image.fill(77);
    CHECK(thumbnail(image).starts_with("data:image/png;base64,iVBOR"));
}
