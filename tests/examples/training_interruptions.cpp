#include "support/catch.hpp"

#if defined(BLIP_FINETUNE_CAPTION_PROGRAM) && __has_include(<sys/wait.h>)

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <random>
#include <string>
#include <thread>

#include <sys/resource.h>

#include "training_runs.hpp"

// Training programs that are killed, interrupted, or find the disk full.

namespace {

using namespace training_test;

/// One training that is run whole once, and once in pieces.
struct Training {
    std::string program;
    Words words; ///< all of its command line but the output
    Scenes const& scenes;

    Words command(std::string const& output, Words const& more = {}) const {
        return words + Words{"-o", scenes.folder / output} + more;
    }
    Result run(std::string const& output, Words const& more = {}) const {
        return program_test::run(program, scenes.folder, command(output, more));
    }
    fs::path path(std::string const& output) const { return scenes.folder / output; }

    /// How many steps lie safely on disk.
    long done(std::string const& output) const {
        long last = 0;
        std::error_code ignored;
        for (auto const& entry : fs::directory_iterator(path(output) / "checkpoints", ignored))
            if (auto const name = entry.path().filename().string();
                name.starts_with("step-") && name.ends_with(".safetensors"))
                last = std::max(last, std::stol(name.substr(5)));
        return last;
    }
    void await_step(std::string const& output, long step) const {
        for (int i = 0; i < 6000 && done(output) < step; ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    /// Weights, moments, teachers, queues, counters: all that the last checkpoint holds.
    std::string end(std::string const& output) const {
        char name[32];
        std::snprintf(name, sizeof name, "step-%08ld.safetensors", done(output));
        return read(path(output) / "checkpoints" / name);
    }
    /// The rows of the log, but for the columns of seconds.
    Words log(std::string const& output) const {
        Words rows;
        for (auto line : lines_of(read(path(output) / "log.csv"))) {
            for (int i = 0; i < 2; ++i)
                line.erase(line.rfind(','));
            rows.push_back(line);
        }
        return rows;
    }
};

/// Kills a training that often, at any moment, and checks that it ends as the whole one did.
void check_kills(Training const& training, int count, std::size_t rows) {
    auto const whole = training.run("whole");
    INFO(whole.error);
    REQUIRE(whole.status == 0);

    // As if it had been killed before its plan was written.
    fs::create_directories(training.path("killed") / "checkpoints");
    std::mt19937 random(7);
    int amid_steps = 0;
    for (int kills = 0; kills < count; ++kills) {
        Program program(training.program, training.scenes.folder,
                        training.command("killed", {"--resume"}));
        // Every fourth dies while it starts, the others after some steps, in whatever they do then.
        long const before = training.done("killed");
        training.await_step("killed", kills % 4 == 0 ? before : before + 1 + kills % 3);
        auto const patience = std::uniform_int_distribution(0, 30)(random);
        std::this_thread::sleep_for(std::chrono::milliseconds(patience));
        int const status = program.end(SIGKILL);
        INFO("kill " << kills << ", " << program.error());
        REQUIRE(status == -1);
        amid_steps += training.done("killed") > before ? 1 : 0;
    }
    CHECK(amid_steps >= count / 2);
    auto const rest = training.run("killed", {"--resume"});
    INFO(rest.error);
    REQUIRE(rest.status == 0);
    CHECK(training.end("whole").size() > 1000000);
    CHECK(training.end("killed") == training.end("whole"));
    CHECK(training.log("killed").size() == rows);
    CHECK(training.log("killed") == training.log("whole"));
    for (auto const& entry : fs::recursive_directory_iterator(training.path("killed"))) {
        INFO(entry.path());
        CHECK(entry.path().string().find("partial") == std::string::npos);
    }
}

std::string weights(Training const& training, std::string const& output) {
    return read(training.path(output) / "last/model.safetensors");
}

/// Files of the child end at one megabyte, as on a disk that is full.
void fill_disk() {
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit const limit{1 << 20, 1 << 20};
    ::setrlimit(RLIMIT_FSIZE, &limit);
}

} // namespace

TEST_CASE("Killed at any moment and resumed, training ends with the same bits",
          "[examples][training]") {
    Scenes const scenes;
    Training const training{
        BLIP_FINETUNE_CAPTION_PROGRAM,
        Words{sizes, "--data", scenes.train} + without(quick, "--log-every", "--accumulate") +
            Words{"--steps", "120", "--checkpoint-every", "1", "--threads", "1", "--log-every", "3",
                  "--accumulate", "2", "--validation", scenes.test, "--validate-every", "25"},
        scenes};
    check_kills(training, 20, 41);
    CHECK(weights(training, "killed") == weights(training, "whole"));
}

TEST_CASE("Killed pre-training goes on with its teacher and its queues", "[examples][training]") {
    Scenes const scenes;
    Training const training{
        BLIP_PRETRAIN_PROGRAM,
        Words{momentum_sizes, "--data", scenes.train} + quick +
            Words{"--steps", "24", "--checkpoint-every", "1", "--text-length", "16"},
        scenes};
    check_kills(training, 6, 25);
}

TEST_CASE("An interrupted training makes up for the validation that it left out",
          "[examples][training]") {
    Scenes const scenes;
    Training const training{BLIP_FINETUNE_CAPTION_PROGRAM,
                            Words{sizes, "--data", scenes.train} + quick +
                                Words{"--steps", "12", "--checkpoint-every", "4", "--validation",
                                      scenes.test, "--validate-every", "1"},
                            scenes};
    auto const whole = training.run("whole");
    INFO(whole.error);
    REQUIRE(whole.status == 0);

    std::string said;
    {
        Program program(training.program, scenes.folder, training.command("cut"));
        training.await_step("cut", 4);
        CHECK(program.end(SIGINT) == 130);
        said = program.error();
    }
    CHECK(said.find("interrupted after step ") != std::string::npos);
    auto const rest = training.run("cut", {"--resume"});
    said += rest.error;
    INFO(said);
    REQUIRE(rest.status == 0);
    for (int step = 1; step <= 12; ++step) {
        INFO(step);
        CHECK(said.find("step " + std::to_string(step) + ": validation") != std::string::npos);
    }
    // The curves of validation, too, are those of the training that nobody interrupted.
    CHECK(training.end("cut") == training.end("whole"));
    CHECK(weights(training, "cut") == weights(training, "whole"));
}

TEST_CASE("A validation that is interrupted at the very end is not forgotten",
          "[examples][training]") {
    Scenes const scenes;
    Training const training{BLIP_FINETUNE_CAPTION_PROGRAM,
                            Words{sizes, "--data", scenes.train} +
                                without(quick, "--beams", "--log-every") +
                                Words{"--steps", "4", "--checkpoint-every", "1", "--validate-every",
                                      "4", "--beams", "5", "--log-every", "1", "--threads", "1"} +
                                // Long enough to be interrupted.
                                Words{"--validation", scenes.train, scenes.train, scenes.train,
                                      scenes.train, scenes.train},
                            scenes};
    auto const whole = training.run("whole");
    INFO(whole.error);
    REQUIRE(whole.status == 0);
    {
        Program program(training.program, scenes.folder, training.command("cut"));
        training.await_step("cut", 3);
        std::this_thread::sleep_for(std::chrono::milliseconds(250));
        CHECK(program.end(SIGINT) == 130);
        INFO(program.error());
        CHECK(program.error().find("run the same command with --resume") != std::string::npos);
        CHECK(program.error().find("validation words") == std::string::npos);
    }
    CHECK(training.done("cut") >= 3); // a slow machine was not yet at the validation
    auto const rest = training.run("cut", {"--resume"});
    INFO(rest.error);
    REQUIRE(rest.status == 0);
    CHECK(rest.error.find("step 4: validation words") != std::string::npos);
    CHECK(training.end("cut") == training.end("whole"));
    CHECK(read(training.path("cut") / "best/model.safetensors") == weights(training, "cut"));
    auto const again = training.run("cut", {"--resume"});
    CHECK(again.status == 0);
    CHECK(again.error.find("validation words") == std::string::npos);
}

TEST_CASE("A damaged checkpoint is passed over for the one before", "[examples][training]") {
    Scenes const scenes;
    Training const training{
        BLIP_FINETUNE_CAPTION_PROGRAM,
        Words{sizes, "--data", scenes.train} + quick +
            Words{"--steps", "8", "--checkpoint-every", "2", "--average", "0.9", "--keep", "3"},
        scenes};
    auto const whole = training.run("whole");
    INFO(whole.error);
    REQUIRE(whole.status == 0);
    auto const end = training.end("whole");
    auto const model = weights(training, "whole");
    auto const checkpoints = training.path("whole") / "checkpoints";
    // Of three, the last is cut short and in the one before a bit is wrong.
    fs::resize_file(checkpoints / "step-00000008.safetensors", end.size() / 2);
    auto bytes = read(checkpoints / "step-00000006.safetensors");
    bytes[bytes.size() / 3] ^= 16;
    std::ofstream(checkpoints / "step-00000006.safetensors", std::ios::binary) << bytes;
    auto const rest = training.run("whole", {"--resume"});
    INFO(rest.error);
    REQUIRE(rest.status == 0);
    for (std::string const step : {"00000008", "00000006"})
        CHECK(rest.error.find("passed over: " +
                              (checkpoints / ("step-" + step + ".safetensors")).string()) !=
              std::string::npos);
    CHECK(rest.error.find("goes on from step 4") != std::string::npos);
    CHECK(training.end("whole") == end);
    CHECK(weights(training, "whole") == model);
}

TEST_CASE("A full disk ends training with its last checkpoint whole", "[examples][training]") {
    Scenes const scenes;
    Training const training{BLIP_FINETUNE_CAPTION_PROGRAM,
                            Words{sizes, "--data", scenes.train} + quick +
                                Words{"--steps", "40", "--checkpoint-every", "2"},
                            scenes};
    auto const whole = training.run("whole");
    INFO(whole.error);
    REQUIRE(whole.status == 0);
    {
        Program program(training.program, scenes.folder, training.command("full"));
        training.await_step("full", 4);
        program.end(SIGKILL);
    }
    long const before = training.done("full");
    REQUIRE(before >= 4);
    REQUIRE(before < 40);
    auto const kept = training.end("full");
    {
        Program program(training.program, scenes.folder, training.command("full", {"--resume"}),
                        fill_disk);
        CHECK(program.wait() == 2);
        INFO(program.error());
        CHECK(program.error().find("File too large") != std::string::npos);
        CHECK(program.error().find("--resume") != std::string::npos);
    }
    CHECK(training.done("full") == before);
    CHECK(training.end("full") == kept);
    auto const rest = training.run("full", {"--resume"});
    INFO(rest.error);
    REQUIRE(rest.status == 0);
    CHECK(training.end("full") == training.end("whole"));
    CHECK(weights(training, "full") == weights(training, "whole"));
}

#endif
