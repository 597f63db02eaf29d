#include "support/catch.hpp"

#if defined(BLIP_EXPORT_MODEL_PROGRAM) && __has_include(<sys/wait.h>)

#include <string>
#include <utility>

#include <blip/model/golden_cases.hpp>
#include <support/program.hpp>

namespace {

using namespace program_test;

std::string const scenes = std::string(BLIP_SOURCE_DIR) + "/examples/scenes/model";

Result export_model(Folder const& folder, Words words) {
    return run(BLIP_EXPORT_MODEL_PROGRAM, folder, std::move(words));
}

/// What a captioner says of the photographs.
std::string captions(Folder const& folder, std::string const& model) {
    auto const result =
        run(BLIP_CAPTION_PROGRAM, folder, Words{model, "--beams", "1"} + pictures());
    INFO(result.error);
    REQUIRE(result.status == 0);
    return result.out;
}

} // namespace

TEST_CASE("An exported model says what the model says", "[examples]") {
    Folder const folder;
    auto const expected = captions(folder, scenes);
    for (std::string const name : {"model.pth", "model.safetensors", "port"}) {
        auto const whole = folder / ("as-" + name);
        fs::create_directories(whole);
        auto const output = name == "port" ? whole : (fs::path(whole) / name).string();
        auto const result = export_model(folder, {scenes, output, "--force"});
        INFO(result.error);
        REQUIRE(result.status == 0);
        CHECK(result.out == "");
        if (name != "port") // sizes and words are not in such a file
            for (char const* beside : {"config.json", "vocab.txt", "preprocessor_config.json"})
                fs::copy_file(fs::path(scenes) / beside, fs::path(whole) / beside);
        CHECK(captions(folder, whole) == expected);
    }
    auto const half = export_model(folder, {scenes, folder / "half", "--type", "float16"});
    REQUIRE(half.status == 0);
    CHECK(fs::file_size(fs::path(folder / "half") / "model.safetensors") * 3 / 2 <
          fs::file_size(fs::path(folder / "as-port") / "model.safetensors"));
    CHECK(captions(folder, folder / "half") == expected); // it was float16 before

    auto const twice = export_model(folder, {scenes, folder / "half"});
    CHECK(twice.status == 2);
    CHECK(twice.error.find("exists; --force replaces it") != std::string::npos);
    auto const itself = export_model(folder, {folder / "half", folder / "half", "--force"});
    CHECK(itself.status == 2);
    CHECK(itself.error.find("is where MODEL itself lies") != std::string::npos);
    auto const part = export_model(folder, {scenes, folder / "part", "--part", "matcher"});
    CHECK(part.status == 2);
    CHECK(part.error.find("only one of pre-training has parts") != std::string::npos);
    CHECK(!fs::exists(folder / "part"));
}

#if BLIP_HAS_GOLDEN_VQA && BLIP_HAS_GOLDEN_NLVR && BLIP_HAS_GOLDEN_ITM

TEST_CASE("Every kind of model is exported", "[examples][golden]") {
    Folder const folder;
    std::string const golden = BLIP_GOLDEN_DIR;
    for (std::string const name : {"vqa", "nlvr", "itm"}) {
        INFO(name);
        auto const first = folder / (name + ".pth");
        auto const from = golden + "/" + name + "/weights.pth";
        auto const result = export_model(folder, {from, first});
        INFO(result.error);
        CHECK(result.status == 0);
        CHECK(fs::file_size(first) > 10000);
    }
}

#endif

#endif
