// Draws pictures of coloured shapes with captions and questions: scenes FOLDER

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <blip/core/ordered_pipeline.hpp>
#include <blip/io/write_file.hpp>
#include <blip/train/tar.hpp>
#include <blip/vision/write_image.hpp>

#include "scenes/draw.hpp"
#include "support/arguments.hpp"

namespace {

struct Arguments {
    std::string folder;
    std::uint64_t train = 60000, test = 1000, seed = 1;
    std::size_t side = 48;
};

std::string name_of(std::uint64_t number) {
    char text[32];
    std::snprintf(text, sizeof text, "%06llu", static_cast<unsigned long long>(number));
    return text;
}

/// What a list says about a scene: every right caption, one question and its answer.
nlohmann::ordered_json describe(scenes::Scene const& scene, std::uint64_t seed,
                                std::uint64_t number) {
    scenes::Draws draws(blip::split({seed, 9}, number));
    auto const questions = scene.questions(draws);
    auto const& asked =
        questions[static_cast<std::size_t>(draws.below(static_cast<int>(questions.size())))];
    return {{"caption", scene.captions()}, {"question", asked.text}, {"answer", asked.answer}};
}

/// A scene as a shard holds it.
struct Drawn {
    std::vector<std::byte> picture;
    std::string text;
};

Drawn draw_one(Arguments const& a, std::uint64_t number) {
    auto const scene = scenes::draw_scene(a.seed, scenes::Split::train, number);
    return {blip::encode_image(scenes::draw(scene, a.side), blip::ImageFormat::png),
            describe(scene, a.seed, number).dump()};
}

void write_shards(Arguments const& a) {
    constexpr std::uint64_t shard = 10000;
    std::filesystem::create_directories(std::filesystem::path(a.folder) / "train");
    for (std::uint64_t first = 0; first < a.train; first += shard) {
        auto const path =
            std::filesystem::path(a.folder) / "train" / ("scenes-" + name_of(first) + ".tar");
        blip::TarWriter tar(path);
        // A scene is a function of its number: threads draw, and the order stays.
        blip::OrderedPipeline<std::uint64_t, Drawn> drawing(
            [i = first, end = std::min(a.train, first + shard)]() mutable {
                return i < end ? std::optional(i++) : std::nullopt;
            },
            [&a](std::uint64_t i) { return draw_one(a, i); },
            {.threads = std::max(1u, std::thread::hardware_concurrency()), .capacity = 256});
        for (std::uint64_t i = first; auto const drawn = drawing.next(); ++i) {
            tar.add(name_of(i) + ".png", drawn->picture);
            tar.add(name_of(i) + ".json", drawn->text);
        }
        tar.commit();
    }
}

void write_list(Arguments const& a, scenes::Split split, std::string const& name) {
    auto const folder = std::filesystem::path(a.folder) / name;
    std::filesystem::create_directories(folder);
    auto list = nlohmann::ordered_json::array();
    for (std::uint64_t i = 0; i < a.test; ++i) {
        auto const scene = scenes::draw_scene(a.seed, split, i);
        auto const picture = name_of(i) + ".png";
        blip::write_image(folder / picture, scenes::draw(scene, a.side));
        auto element = describe(scene, a.seed, i);
        element["image"] = name + "/" + picture;
        list.push_back(std::move(element));
    }
    blip::write_file(std::filesystem::path(a.folder) / (name + ".json"), list.dump(1) + "\n");
}

} // namespace

int main(int count, char** values) {
    Arguments a;
    CLI::App app("Draws pictures of coloured shapes with captions and questions, to train on.",
                 "scenes");
    app.add_option("FOLDER", a.folder,
                   "Where they go: shards in train, lists test_scenes.json and "
                   "test_combinations.json with their pictures")
        ->required();
    app.add_option("--train", a.train, "Scenes to learn from")->capture_default_str();
    app.add_option("--test", a.test, "Scenes of either test")->capture_default_str();
    app.add_option("--seed", a.seed, "Other scenes")->capture_default_str();
    app.add_option("--side", a.side, "Pixels of a picture's side")
        ->capture_default_str()
        ->check(CLI::Range(16, 1024));
    app.footer("test_scenes shows pairs of color and shape that training shows too, "
               "test_combinations only pairs that it\nnever shows together.\n\n"
               "Example:\n  scenes build/scenes");
    if (auto const* status = support::parse_arguments(app, count, values))
        return *status;
    return support::run_program("scenes", [&] {
        write_shards(a);
        write_list(a, scenes::Split::scenes, "test_scenes");
        write_list(a, scenes::Split::combinations, "test_combinations");
        return support::success;
    });
}
