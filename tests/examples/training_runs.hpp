#pragma once

#include "support/catch.hpp"

#include <algorithm>
#include <filesystem>
#include <string>

#include <support/program.hpp>

// Runs of the training programs on drawn scenes, small enough for seconds.

namespace training_test {

using namespace program_test;

inline std::string const sizes = std::string(BLIP_SOURCE_DIR) + "/examples/scenes/model";
inline std::string const momentum_sizes =
    std::string(BLIP_SOURCE_DIR) + "/examples/scenes/pretraining";

inline Words const quick{"--scratch",
                         "--batch",
                         "4",
                         "--schedule",
                         "warm-up cosine",
                         "--crop-least",
                         "1",
                         "--no-flip",
                         "--no-rand-augment",
                         "--learning-rate",
                         "1e-3",
                         "--accumulate",
                         "1",
                         "--log-every",
                         "1",
                         "--dropout",
                         "0.1",
                         "--beams",
                         "1",
                         "--prompt",
                         ""};

/// 60 scenes in a shard and 12 of either test.
struct Scenes {
    Folder folder;
    std::string train = folder / "scenes/train";
    std::string test = folder / "scenes/test_scenes.json";

    Scenes() {
        auto const result =
            run(BLIP_SCENES_PROGRAM, folder, {folder / "scenes", "--train", "60", "--test", "12"});
        REQUIRE(result.error == "");
        REQUIRE(result.status == 0);
    }

    Words command(std::string const& model, std::string const& output, Words more) const {
        return Words{model, "--data", train, "-o", folder / output} + quick + more;
    }

    std::string weights(std::string const& output) const {
        return read(fs::path(folder / output) / "last" / "model.safetensors");
    }
};

/// `words` without these options and their values.
inline Words without(Words words, std::string const& first, std::string const& second) {
    for (auto const& option : {first, second})
        if (auto const at = std::find(words.begin(), words.end(), option); at != words.end())
            words.erase(at, at + 2);
    return words;
}

} // namespace training_test
