#include <support/catch.hpp>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/core/random.hpp>
#include <blip/io/write_file.hpp>
#include <blip/layers/linear.hpp>
#include <blip/train/checkpoint_folder.hpp>
#include <io/files.hpp>

using namespace blip;
using test::contains;
using test::message_of;

namespace {

using B = Cpu<float>;
using Steps = std::vector<std::int64_t>;

/// Numbers that all say the step they were written in.
struct Training {
    B::Engine engine{1};
    std::vector<float> numbers;
    std::vector<std::int64_t> ids = std::vector<std::int64_t>(1000);
    TrainingState<B> state{engine};

    explicit Training(std::size_t size = 5000) : numbers(size) {
        state.add("numbers", numbers.data(), std::ssize(numbers));
        state.add("ids", ids);
    }
    void set(std::int64_t step) {
        std::ranges::fill(numbers, static_cast<float>(step));
        std::ranges::fill(ids, step);
    }
    bool is(std::int64_t step) const {
        return std::ranges::count(numbers, static_cast<float>(step)) == std::ssize(numbers) &&
               std::ranges::count(ids, step) == std::ssize(ids);
    }
};

void save(CheckpointFolder& folder, Training& training, std::int64_t step) {
    training.set(step);
    folder.save(step, training.state);
}

std::size_t files_in(std::filesystem::path const& folder) {
    auto const entries = std::filesystem::directory_iterator(folder);
    return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

void flip_last_byte(std::filesystem::path const& path) {
    auto content = test::content_of(path);
    content.back() = static_cast<char>(content.back() ^ 1);
    write_file(path, content);
}

} // namespace

TEST_CASE("a checkpoint folder keeps the last few and restores the last") {
    test::TemporaryFolder place;
    CheckpointFolder folder(place / "run", 2);
    Training training;
    CHECK(!folder.restore_latest(training.state));
    for (std::int64_t const step : {0, 10, 20, 100'000'000})
        save(folder, training, step);
    CHECK(folder.steps() == Steps{20, 100'000'000});
    CHECK(folder.file(20).filename() == "step-00000020.safetensors");
    training.set(-1);
    CHECK(CheckpointFolder(place / "run").restore_latest(training.state) == 100'000'000);
    CHECK(training.is(100'000'000));
    folder.restore(20, training.state);
    CHECK(training.is(20));
    CHECK_THROWS_AS(folder.restore(10, training.state), FileError);
    CHECK_THROWS_AS(CheckpointFolder(place / "run", 0), ArgumentError);
}

TEST_CASE("a pinned checkpoint stays until another is pinned") {
    test::TemporaryFolder place;
    CheckpointFolder folder(place.path(), 1);
    Training training;
    CHECK(!folder.pinned());
    CHECK_THROWS_AS(folder.pin(1), FileError);
    save(folder, training, 1);
    folder.pin(1);
    save(folder, training, 2);
    save(folder, training, 3);
    CHECK(folder.steps() == Steps{1, 3});
    CHECK(CheckpointFolder(place.path()).pinned() == 1);
    folder.pin(3);
    save(folder, training, 4);
    CHECK(folder.steps() == Steps{3, 4});
    write_file(place / "pinned.json", "{\"best\": \"x\"}");
    CHECK_THROWS_AS(folder.pinned(), FormatError);
}

TEST_CASE("a damaged checkpoint is passed over, and deleted by the next save") {
    test::TemporaryFolder place;
    Training training;
    {
        CheckpointFolder folder(place.path(), 3);
        for (std::int64_t const step : {1, 2, 3})
            save(folder, training, step);
    }
    CheckpointFolder folder(place.path(), 2);
    flip_last_byte(folder.file(3));
    std::vector<std::string> reasons;
    CHECK(folder.restore_latest(training.state,
                                [&](std::string const& why) { reasons.push_back(why); }) == 2);
    CHECK(training.is(2));
    REQUIRE(reasons.size() == 1);
    CHECK(contains(reasons[0], "step-00000003.safetensors"));
    CHECK(contains(reasons[0], "damaged"));
    save(folder, training, 2);
    CHECK(folder.steps() == Steps{1, 2});

    write_file(folder.file(1), "");
    flip_last_byte(folder.file(2));
    auto const message =
        message_of<CheckpointError>([&] { folder.restore_latest(training.state); });
    CHECK(contains(message, "none of its 2 checkpoints can be used"));
    CHECK(contains(message, "step-00000001"));
    CHECK(training.is(2));
}

TEST_CASE("a whole checkpoint of another training is no damaged one") {
    test::TemporaryFolder place;
    CheckpointFolder folder(place.path(), 2);
    Training training, other(6000);
    save(folder, training, 1);
    save(folder, training, 2);
    CHECK_THROWS_AS(folder.restore_latest(other.state), CheckpointError);
    CHECK_THROWS_AS(folder.save(1, training.state), ArgumentError);
    folder.remove_after(1);
    CHECK(folder.steps() == Steps{1});
    save(folder, training, 2);
    CHECK(folder.steps() == Steps{1, 2});
}

TEST_CASE("a write that fails leaves the folder as it was") {
    test::TemporaryFolder place;
    CheckpointFolder folder(place.path(), 1);
    Training training(500'000);
    save(folder, training, 1);
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    auto const handler = std::signal(SIGXFSZ, SIG_IGN);
    // Within the header, the numbers, and the last bytes.
    auto const whole = std::filesystem::file_size(folder.file(1));
    for (auto const limit : {std::uintmax_t{100}, whole / 2, whole - 1}) {
        rlimit small = before;
        small.rlim_cur = limit;
        REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
        training.set(2);
        auto const message = message_of<FileError>([&] { folder.save(2, training.state); });
        REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
        CHECK(contains(message, "step-00000002.safetensors"));
        CHECK(files_in(place.path()) == 1);
        CHECK(folder.restore_latest(training.state) == 1);
        CHECK(training.is(1));
    }
    std::signal(SIGXFSZ, handler);
    save(folder, training, 2);
    CHECK(folder.steps() == Steps{2});
}

TEST_CASE("a program killed at any moment leaves its last checkpoint whole") {
    test::TemporaryFolder place;
    std::int64_t step = 0;
    std::int64_t interrupted = 0;
    for (std::uint64_t round = 0; round < 20; ++round) {
        std::array<int, 2> ends{};
        REQUIRE(pipe(ends.data()) == 0);
        auto const child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            // Saves one step after another and tells each that is done, until it is killed.
            try {
                CheckpointFolder folder(place.path(), 2);
                Training training(200'000);
                for (std::int64_t next = step + 1;; ++next) {
                    save(folder, training, next);
                    if (write(ends[1], &next, sizeof next) != sizeof next)
                        _exit(2);
                }
            } catch (...) {
                _exit(1);
            }
        }
        close(ends[1]);
        // Not before the first is done, so that every round gets further.
        std::int64_t told = 0;
        REQUIRE(read(ends[0], &told, sizeof told) == sizeof told);
        std::this_thread::sleep_for(
            std::chrono::microseconds(random_bits({11, 0}, round) % 20'000));
        REQUIRE(kill(child, SIGKILL) == 0);
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE(WIFSIGNALED(status));
        for (std::int64_t more = 0; read(ends[0], &more, sizeof more) == sizeof more;)
            told = more;
        close(ends[0]);

        for (auto const& entry : std::filesystem::directory_iterator(place.path()))
            interrupted += entry.path().extension() == ".partial" ? 1 : 0;
        CheckpointFolder folder(place.path(), 2);
        Training training(200'000);
        auto const restored = folder.restore_latest(
            training.state, [](std::string const& why) { FAIL("damaged: " << why); });
        REQUIRE(restored);
        // The one that it told last, or the one it was about to tell.
        CHECK(*restored - told >= 0);
        CHECK(*restored - told <= 1);
        CHECK(training.is(*restored));
        step = *restored;
    }
    // Most rounds interrupt a write; what they leave is removed by the next one to write.
    CHECK(interrupted > 0);
    CheckpointFolder folder(place.path(), 2);
    Training training(200'000);
    save(folder, training, step + 1);
    CHECK(files_in(place.path()) == 2);
}
