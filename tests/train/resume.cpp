#include <support/catch.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/core/random.hpp>
#include <blip/io/write_file.hpp>
#include <blip/layers/mlp.hpp>
#include <blip/train/adamw.hpp>
#include <blip/train/checkpoint_folder.hpp>
#include <blip/train/clip.hpp>
#include <blip/train/exponential_average.hpp>
#include <blip/train/loss_log.hpp>
#include <blip/train/schedule.hpp>
#include <io/files.hpp>
#include <support/random_weights.hpp>

using namespace blip;

namespace {

using B = Cpu<float>;
using Network = Mlp<64, 128, B>;
constexpr std::int64_t end = 400;

/// A training whose gradient is a function of step and weights, resumed from the folder's last
/// checkpoint. Writes the final weights and their average to "final". Pauses between steps, as a
/// real one computes, so that it can be killed anywhere.
void train(std::filesystem::path const& folder, std::chrono::microseconds pause) {
    B::Engine engine(1);
    Weights<Network> weights(engine), gradient(engine);
    test::randomize(weights, engine, {1, 0});
    AdamW<Network> optimizer(engine, {}, decay_matrices_only);
    ExponentialAverage<Network> average(engine, weights, 0.9);
    LossLog log(folder / "log.csv", {"norm", "rate"}, 7);
    std::int64_t step = 0;
    TrainingState<B> state(engine);
    add_weights(state, "model", weights);
    add_optimizer(state, optimizer);
    add_parts(state, "average", average);
    add_parts(state, "log", log);
    state.add("step", step);
    CheckpointFolder checkpoints(folder / "checkpoints", 2);
    checkpoints.restore_latest(state, [](std::string const&) { throw Error("damaged"); });
    log.start(step);
    WarmupCosine const schedule{.peak = 1e-2, .warmup_steps = 10, .steps = end};
    while (step < end) {
        test::randomize(gradient, engine, {2, static_cast<std::uint64_t>(step)});
        B::add(engine, gradient.data(), weights.data(), gradient.data(), gradient.size());
        double const norm = clip_gradient(engine, gradient, 1.0);
        optimizer.step(engine, weights, gradient, schedule(step));
        average.update(engine, weights);
        double const rate = schedule(step);
        ++step;
        log.add(step, std::vector{norm, rate});
        if (step % 5 == 0)
            checkpoints.save(step, state);
        std::this_thread::sleep_for(pause);
    }
    log.flush(step);
    std::vector<OutputTensor> tensors;
    auto const add = [&](char const* name, Weights<Network>& w) {
        tensors.push_back(output_tensor<float>(
            name, {w.size()},
            std::span<float const>(w.data(), static_cast<std::size_t>(w.size()))));
    };
    add("weights", weights);
    add("average", average.weights());
    write_safetensors(folder / "final", std::move(tensors));
}

} // namespace

TEST_CASE("a training killed twenty times ends with the bits of one that ran through") {
    test::TemporaryFolder whole, killed;
    train(whole.path(), {});
    constexpr int kills = 20;
    for (int round = 0; round <= kills; ++round) {
        auto const child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            try {
                train(killed.path(),
                      round < kills ? std::chrono::milliseconds(1) : std::chrono::milliseconds(0));
                // The last round ends by itself, an earlier one waits to be killed.
                if (round < kills)
                    pause();
                _exit(0);
            } catch (...) {
                _exit(1);
            }
        }
        if (round < kills) {
            // At most twelve steps a round: all rounds together do not get to the end.
            auto const wait = random_bits({5, 0}, static_cast<std::uint64_t>(round)) % 12'000;
            std::this_thread::sleep_for(std::chrono::microseconds(wait));
            kill(child, SIGKILL);
        }
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
        CHECK(std::filesystem::exists(killed / "final") == (round == kills));
        if (round < kills)
            REQUIRE(WIFSIGNALED(status));
        else
            REQUIRE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    }
    for (auto const* file : {"final", "log.csv"})
        CHECK(test::content_of(killed / file) == test::content_of(whole / file));
    CHECK(CheckpointFolder(killed / "checkpoints").steps() ==
          std::vector<std::int64_t>{end - 5, end});
}
