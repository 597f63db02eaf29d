#include "support/catch.hpp"

#if defined(BLIP_CAPTION_PROGRAM) && __has_include(<sys/wait.h>)

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/models/captioner.hpp>
#include <blip/vision/read_image.hpp>

#include <support/program.hpp>

namespace {

using namespace program_test;
std::string const model = std::string(BLIP_GOLDEN_DIR) + "/captioner_generate";

/// `caption` as a child process.
struct Caption : Program {
    Caption(Folder const& folder, Words words)
        : Program(BLIP_CAPTION_PROGRAM, folder, std::move(words)) {}
};

Result run(Folder const& folder, Words words) {
    return program_test::run(BLIP_CAPTION_PROGRAM, folder, std::move(words));
}

} // namespace

#if BLIP_HAS_GOLDEN_CAPTIONER_GENERATE
TEST_CASE("the program says what the library says, in order, whatever the batch", "[golden]") {
    using Captioner = blip::Captioner<blip::config::golden_captioner_generate, blip::Cpu<float>>;
    auto const captioner = Captioner::load(model);
    std::string expected;
    for (auto const& path : pictures())
        expected += path + "\t" + captioner.generate(blip::read_image(path)).front().text + "\n";
    Folder const folder;
    for (auto const* batch : {"1", "3", "8", "100"}) {
        auto const result = run(folder, {model, photos, "--batch", batch, "--threads", "2"});
        CHECK(result.status == 0);
        CHECK(result.error == "");
        CHECK(result.out == expected);
    }
}
#endif

TEST_CASE("broken files are reported and do not stop the run", "[golden]") {
    Folder const folder;
    std::ofstream(folder / "bad.jpg") << "no picture";
    auto const all = pictures();
    Words const inputs{folder / "none.png", all[0], folder / "bad.jpg", all[1]};
    auto const text = run(folder, Words{model} + inputs);
    CHECK(text.status == 1);
    auto const rows = lines_of(text.out);
    REQUIRE(rows.size() == 4);
    CHECK(rows[0].starts_with(inputs[0] + "\terror: "));
    CHECK(rows[2].starts_with(inputs[2] + "\terror: "));
    CHECK(rows[3].starts_with(inputs[3] + "\t"));
    CHECK(lines_of(text.error).size() == 2);

    auto const json = run(folder, Words{model} + inputs + Words{"--format", "json"});
    CHECK(json.status == 1);
    auto const array = nlohmann::json::parse(json.out);
    REQUIRE(array.size() == 4);
    CHECK(array[0].contains("error"));
    CHECK(array[1]["captions"].size() == 1);
    CHECK(array[3]["path"] == inputs[3]);
    auto const csv = run(folder, Words{model} + inputs + Words{"--format", "csv"});
    CHECK(lines_of(csv.out).size() == 5);
}

TEST_CASE("mistakes end with status 2 and say what to do", "[golden]") {
    Folder const folder;
    auto const picture = pictures().front();
    auto check = [&](Words words, std::string const& must_say) {
        auto const result = run(folder, std::move(words));
        CHECK(result.status == 2);
        CHECK(result.out == "");
        INFO(result.error);
        CHECK(result.error.find(must_say) != std::string::npos);
    };
    check({}, "MODEL is missing");
    check({model}, "PATH is missing");
    check({folder / "none", picture}, "no such model folder");
    check({model, picture, "--beams", "0"}, "--beams");
    check({model, picture, "--beams", "2", "--count", "3"}, "--beams 3");
    check({model, picture, "--top-p", "0.5"}, "--sample");
    check({model, picture, "--sample", "--top-p", "0"}, "--top-p");
    check({model, picture, "--resume"}, "--output");
    // Before the model is looked for.
    check({folder / "none", picture, "--resume", "--output", folder / "o.json"}, "jsonl");
    check({model, picture, "--image-size", "7"}, "BLIP_MODELS");
    check({model, "@" + (folder / "none")}, "no such list");
    check({model, folder.path.string()}, "no pictures found");
    check({model, "--random-model", folder / "m"}, "takes no MODEL");
    check({"--random-model", folder / "m", "--size", "none"}, "no size \"none\"");
    CHECK(run(folder, {"--help"}).status == 0);
}

TEST_CASE("an existing output is kept unless asked otherwise", "[golden]") {
    Folder const folder;
    auto const output = folder / "o.csv";
    Words const words{model, pictures()[0], "--output", output};
    CHECK(run(folder, words).status == 0);
    auto const first = read(output);
    CHECK(first.starts_with("path,"));
    auto const again = run(folder, words);
    CHECK(again.status == 2);
    CHECK(again.error.find("--resume") != std::string::npos);
    CHECK(read(output) == first);
    CHECK(run(folder, words + Words{"--force"}).status == 0);
    CHECK(read(output) == first);
}

TEST_CASE("a killed run is continued to the same bytes, samples included", "[golden]") {
    Folder const folder;
    auto all = pictures();
    all.insert(all.begin() + 2, folder / "none.jpg");
    auto const output = folder / "o.jsonl", page = folder / "o.html";
    Words const words =
        Words{model} + all + Words{"--sample", "--seed",   "5",    "--count", "2", "--batch",
                                   "3",        "--output", output, "--html",  page};
    CHECK(run(folder, words).status == 1);
    auto const whole = read(output), whole_page = read(page);
    auto const rest = words + Words{"--resume"};
    for (std::size_t part = 0; part <= 6; ++part) {
        std::ofstream(output, std::ios::binary) << whole.substr(0, whole.size() * part / 6);
        std::ofstream(page, std::ios::binary)
            << whole_page.substr(0, whole_page.size() * ((part * 5) % 7) / 6);
        CHECK(run(folder, rest).status == 1);
        CHECK(read(output) == whole);
        CHECK(read(page) == whole_page);
    }
    auto const other = run(folder, Words{model, all[1], "--output", output, "--resume"});
    CHECK(other.status == 2);
    CHECK(other.error.find("other options") != std::string::npos);
    CHECK(other.error.find("--seed was 5 and is 0") != std::string::npos);
    CHECK(read(output) == whole);
}

TEST_CASE("a run is continued with its own options and pictures only", "[golden]") {
    Folder const folder;
    auto const all = pictures();
    auto const output = folder / "o.csv";
    Words const words{model, all[0], "--output", output, "--beams", "2"};
    CHECK(run(folder, words).status == 0);
    auto const whole = read(output);
    auto refuse = [&](Words const& changed, std::string const& must_say) {
        auto const result = run(folder, changed + Words{"--resume"});
        CHECK(result.status == 2);
        INFO(result.error);
        CHECK(result.error.find(must_say) != std::string::npos);
        CHECK(read(output) == whole);
    };
    refuse({model, all[1], "--output", output, "--beams", "2"}, "another picture");
    refuse({model, all[0], "--output", output, "--beams", "3"}, "--beams was 2 and is 3");
    refuse({model, all[0], "--output", output}, "--beams was 2 and is not given");
    refuse(words + Words{"--prompt", "a"}, "--prompt was not given and is \"a\"");
    refuse(words + Words{"--exif-orientation"}, "--exif-orientation was false and is true");
    // What changes no result may differ, and pictures may be added.
    auto longer = words + Words{"--resume", "--batch", "2", "--threads", "1"};
    longer.insert(longer.begin() + 2, all[1]);
    CHECK(run(folder, longer).status == 0);
    CHECK(read(output).starts_with(whole));
    CHECK(lines_of(read(output)).size() == 3);
    std::ofstream(output, std::ios::binary) << whole;
    fs::remove(output + ".options");
    refuse(words, "nothing tells which options");
}

TEST_CASE("every picture has a sidecar of its own, and no text is replaced unasked", "[golden]") {
    Folder const folder;
    for (auto const* name : {"a.jpg", "a.PNG", "b.jpg", "c"})
        fs::copy_file(photos + "/rocket.jpg", folder / name);
    fs::create_directory(folder / "b");
    std::ofstream(folder / "b.txt") << "mine";
    Words const words{model, folder.path.string(), folder / "c", "--sidecar"};
    auto const result = run(folder, words);
    CHECK(result.status == 1);
    CHECK(lines_of(result.out).size() == 4);
    REQUIRE(lines_of(result.error).size() == 1);
    CHECK(result.error.find((folder / "b.txt") + ": exists already and is kept") !=
          std::string::npos);
    CHECK(read(folder / "b.txt") == "mine");
    CHECK(!fs::exists(folder / "a.txt"));
    auto const caption = read(folder / "c.txt");
    CHECK(!caption.empty());
    CHECK(read(folder / "a.jpg.txt") == caption);
    CHECK(read(folder / "a.PNG.txt") == caption);
    CHECK(run(folder, words + Words{"--force"}).status == 0);
    CHECK(read(folder / "b.txt") == caption);
    auto const same =
        run(folder, {model, folder / "c", "--sidecar", "--force", "--output", folder / "c.txt"});
    CHECK(same.status == 1);
    CHECK(read(folder / "c.txt") == (folder / "c") + "\t" + caption);
}

TEST_CASE("sidecars are written beside pictures and kept by --resume", "[golden]") {
    Folder const folder;
    for (auto const* name : {"a.jpg", "b.jpg"})
        fs::copy_file(photos + "/rocket.jpg", folder / name);
    Words const words{model, folder.path.string(), "--sidecar"};
    auto const result = run(folder, words);
    CHECK(result.status == 0);
    auto const caption = read(folder / "a.txt");
    CHECK(lines_of(result.out)[0] == (folder / "a.jpg") + "\t" + lines_of(caption)[0]);
    std::ofstream(folder / "a.txt") << "mine";
    fs::remove(folder / "b.txt");
    auto const resumed = run(folder, words + Words{"--resume"});
    CHECK(resumed.status == 0);
    CHECK(lines_of(resumed.out).size() == 1);
    CHECK(read(folder / "a.txt") == "mine");
    CHECK(read(folder / "b.txt") == caption);
}

TEST_CASE("results stream out, and an interrupt ends the run in order", "[golden]") {
    Folder const folder;
    auto const all = pictures();
    for (auto const* format : {"text", "jsonl"}) {
        Caption program(folder, {model, "-", "--batch", "1", "--format", format});
        for (std::size_t i = 0; i < 3; ++i) {
            program.type(all[i] + "\n");
            program.await_lines(i + 1);
        }
        CHECK(program.end(SIGINT) == 130);
        CHECK(lines_of(program.out()).size() == 3);
        CHECK(program.error().find("interrupted after 3 pictures") != std::string::npos);
        CHECK(program.error().find("--output") != std::string::npos);
    }
    auto const output = folder / "o.txt";
    {
        Caption program(folder, {model, "-", "--batch", "1", "--output", output});
        program.type(all[0] + "\n" + all[1] + "\n");
        for (int i = 0; i < 3000 && lines_of(read(output)).size() < 2; ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        CHECK(program.end(SIGINT) == 130);
        CHECK(program.error().find("--resume") != std::string::npos);
    }
    CHECK(run(folder, Words{model} + all + Words{"--output", output, "--resume"}).status == 0);
    CHECK(read(output) == run(folder, Words{model} + all).out);
}

#endif
