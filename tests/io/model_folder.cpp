#include <blip/io/model_folder.hpp>
#include <blip/io/write_safetensors.hpp>

#include <filesystem>
#include <string>

#include "io/files.hpp"
#include "support/catch.hpp"

using namespace blip;
using namespace blip::test;

namespace {

namespace fs = std::filesystem;

/// The least that `ModelFolder::open` takes for a Hugging Face folder.
void write_model(TemporaryFolder const& folder) {
    std::vector<float> const one{1};
    write_safetensors(folder / "model.safetensors",
                      {output_tensor<float>("vision_model.embeddings.class_embedding", {1}, one)});
    write_file(folder / "config.json", "{}");
}

/// Says of any other exception that it is not ours.
std::string refusal(fs::path const& path) {
    try {
        ModelFolder::open(path);
    } catch (Error const& error) {
        return error.what();
    } catch (std::exception const& error) {
        return std::string("not a blip::Error: ") + error.what();
    }
    return "opened";
}

Preprocess with(std::string const& preprocessor) {
    TemporaryFolder const folder;
    write_model(folder);
    write_file(folder / "preprocessor_config.json", preprocessor);
    return ModelFolder::open(folder.path()).preprocess;
}

std::string refused(std::string const& preprocessor) {
    return message_of<Error>([&] { with(preprocessor); });
}

} // namespace

TEST_CASE("steps of preprocessing that a folder switches off are left out or refused") {
    auto const plain = with("{}");
    CHECK(plain.size == 384);
    CHECK(plain.mean == Preprocess{}.mean);
    auto const raw = with(R"({"do_normalize": false, "image_mean": [0.1, 0.2, 0.3]})");
    CHECK(raw.mean == std::array<float, 3>{0, 0, 0});
    CHECK(raw.std == std::array<float, 3>{1, 1, 1});
    CHECK(raw.rescale == Preprocess{}.rescale);
    CHECK(with(R"({"do_rescale": false, "rescale_factor": 0.5})").rescale == 1);
    CHECK(with(R"({"do_rescale": true, "rescale_factor": 0.5})").rescale == 0.5);
    CHECK(contains(refused(R"({"do_resize": false})"), "\"do_resize\" is false"));
    CHECK(contains(refused(R"({"do_convert_rgb": false})"), "\"do_convert_rgb\" is false"));
    CHECK(contains(refused(R"({"do_center_crop": true})"), "\"do_center_crop\" is true"));
    CHECK(contains(refused(R"({"do_resize": "no"})"), "do_resize"));
    CHECK(contains(refused(R"({"resample": 2})"), "bicubic"));
    CHECK(contains(refused(R"({"image_std": [1, 0, 1]})"), "image_std"));
    CHECK(with(R"({"do_pad": null, "do_resize": true, "do_center_crop": false})").size == 384);
}

TEST_CASE("the size of pictures is read, and must be a square") {
    CHECK(with(R"({"size": {"height": 224, "width": 224}})").size == 224);
    CHECK(with(R"({"size": 96})").size == 96);
    CHECK(contains(refused(R"({"size": {"height": 224, "width": 384}})"), "224 x 384"));
    CHECK(contains(refused(R"({"size": {"shortest_edge": 384}})"), "size.height"));
    CHECK(contains(refused(R"({"size": 0})"), "\"size\" is 0"));
    CHECK(contains(refused(R"({"size": "large"})"), "size"));
}

TEST_CASE("files and folders that cannot be used are errors with a name") {
    TemporaryFolder const folder;
    CHECK(contains(refusal(folder / "none"), "no such model folder"));
    CHECK(contains(refusal(folder.path()), "found 0 .pth files"));
    CHECK(contains(refusal(folder / std::string(5000, 'x')), "cannot be examined"));
    write_model(folder);
    CHECK(refusal(folder.path()) == "opened");

    SECTION("a link to nothing") {
        fs::remove(folder / "model.safetensors");
        fs::create_symlink("blobs/123", folder / "model.safetensors");
        auto const message = refusal(folder.path());
        INFO(message);
        CHECK(contains(message, "model.safetensors: is a link to blobs/123, which does not exist"));
    }
    SECTION("a small file that is a link to nothing") {
        fs::create_symlink("elsewhere", folder / "preprocessor_config.json");
        CHECK(contains(refusal(folder.path()), "preprocessor_config.json: is a link to elsewhere"));
    }
    SECTION("links in a circle") {
        fs::remove(folder / "config.json");
        fs::create_symlink("config.json", folder / "config.json");
        CHECK(contains(refusal(folder.path()), "config.json: cannot be examined"));
        CHECK(contains(refusal(folder / "config.json"), "config.json: cannot be examined"));
    }
    SECTION("a folder in the place of a file") {
        fs::remove(folder / "model.safetensors");
        fs::create_directory(folder / "model.safetensors");
        CHECK(contains(refusal(folder.path()), "expected model.safetensors"));
    }
    SECTION("a folder without permissions") {
        for (auto const rights : {fs::perms::none, fs::perms::owner_read, fs::perms::owner_exec}) {
            fs::permissions(folder.path(), rights);
            auto const message = refusal(folder.path());
            fs::permissions(folder.path(), fs::perms::owner_all);
            INFO(message);
            // The system's administrator may do everything, others only with the right to enter.
            bool const readable = message == "opened";
            CHECK((readable || contains(message, "cannot be examined")));
        }
        fs::remove(folder / "model.safetensors");
        fs::permissions(folder.path(), fs::perms::owner_exec);
        auto const message = refusal(folder.path());
        fs::permissions(folder.path(), fs::perms::owner_all);
        CHECK((contains(message, "cannot be listed") || contains(message, "found 0 .pth files")));
    }
}
