#include <support/catch.hpp>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/train/loss_log.hpp>
#include <blip/train/training_state.hpp>
#include <io/files.hpp>

using namespace blip;
using test::content_of;

namespace {

std::vector<double> losses(std::int64_t step) {
    return {1 / static_cast<double>(step), static_cast<double>(step)};
}

} // namespace

TEST_CASE("a loss log writes the means of every window") {
    test::TemporaryFolder folder;
    LossLog log(folder / "log.csv", {"itc", "rate"}, 2);
    log.start(0);
    CHECK(!log.add(1, std::vector{3.0, 0.5}));
    CHECK(log.add(2, std::vector{4.0, 0.25}) == std::vector{3.5, 0.375});
    CHECK(!log.flush(2));
    CHECK(!log.add(3, std::vector{1e-12, -1.0 / 3}));
    CHECK(log.flush(3) == std::vector{1e-12, -1.0 / 3});
    log.add(4, std::vector{std::nan(""), 0.0});
    CHECK(content_of(folder / "log.csv") ==
          "step,itc,rate\n2,3.5,0.375\n3,1e-12,-0.333333333\n4,nan,0\n");
}

TEST_CASE("a resumed training writes the log of one that was never stopped") {
    test::TemporaryFolder folder;
    constexpr std::int64_t end = 40;
    {
        LossLog log(folder / "whole.csv", {"a", "b"}, 6);
        for (std::int64_t step = 1; step <= end; ++step)
            log.add(step, losses(step));
    }
    for (std::int64_t const saved : {1, 6, 17, 30})
        for (std::int64_t const stopped : {saved, saved + 3, saved + 9}) {
            INFO("saved at " << saved << ", stopped at " << stopped);
            auto const path = folder / "resumed.csv";
            {
                LossLog log(path, {"a", "b"}, 6);
                Cpu<float>::Engine engine(1);
                TrainingState<Cpu<float>> state(engine);
                add_parts(state, "log", log);
                log.start(0);
                for (std::int64_t step = 1; step <= stopped; ++step) {
                    log.add(step, losses(step));
                    if (step == saved)
                        state.save(folder / "state");
                }
                // A row that was being written when the program ended.
                std::ofstream(path, std::ios::app) << saved / 6 * 6;
            }
            LossLog log(path, {"a", "b"}, 6);
            Cpu<float>::Engine engine(1);
            TrainingState<Cpu<float>> state(engine);
            add_parts(state, "log", log);
            state.restore(folder / "state");
            log.start(saved);
            for (std::int64_t step = saved + 1; step <= end; ++step)
                log.add(step, losses(step));
            CHECK(content_of(path) == content_of(folder / "whole.csv"));
        }
}

TEST_CASE("a loss log refuses a file of other columns and values of another number") {
    test::TemporaryFolder folder;
    CHECK_THROWS_AS(LossLog(folder / "log", {"a"}, 0), ArgumentError);
    CHECK_THROWS_AS(LossLog(folder / "log", {"a,b"}), ArgumentError);
    CHECK_THROWS_AS(LossLog(folder / "log", {}), ArgumentError);
    LossLog log(folder / "log", {"a"});
    CHECK_THROWS_AS(log.add(1, losses(1)), ArgumentError);
    write_file(folder / "log", "step,b\n1,2\n");
    CHECK_THROWS_AS(log.start(1), FormatError);
    CHECK(content_of(folder / "log") == "step,b\n1,2\n");
    log.start(0);
    CHECK(content_of(folder / "log") == "step,a\n");
    CHECK_THROWS_AS(LossLog(folder / "missing" / "log", {"a"}).start(0), FileError);
}
