#include <support/catch.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <blip/core/random.hpp>
#include <blip/train/loader.hpp>
#include <io/files.hpp>

using namespace blip;

namespace {

/// Takes a random while, so that threads overtake each other.
void dawdle(std::uint64_t number) {
    std::this_thread::sleep_for(std::chrono::microseconds(random_bits({3, 3}, number) % 300));
}

/// Samples that are their number; every seventh is broken at its first attempt.
std::uint64_t numbered(std::uint64_t number, std::uint64_t attempt) {
    dawdle(number);
    if (number % 7 == 3 && attempt == 0)
        throw FormatError(join("picture ", number, " is broken"));
    return number * 10 + attempt;
}

std::vector<std::uint64_t> samples(LoaderOptions options, int steps,
                                   std::vector<std::string>* told = nullptr) {
    if (told != nullptr)
        options.on_broken = [told](BrokenSample const& broken) { told->push_back(broken.message); };
    Loader<std::uint64_t> loader(numbered, std::move(options));
    std::vector<std::uint64_t> all;
    for (int step = 0; step < steps; ++step) {
        auto const batch = loader.next();
        all.insert(all.end(), batch.begin(), batch.end());
    }
    return all;
}

} // namespace

TEST_CASE("any number of threads gives the same samples") {
    std::vector<std::string> told;
    auto const alone = samples({.threads = 0, .batch = 5, .max_broken = 100}, 20, &told);
    REQUIRE(alone.size() == 100);
    CHECK(alone[2] == 20);
    CHECK(alone[3] == 31);
    CHECK(told.size() == 14);
    CHECK(told.front() == "picture 3 is broken");
    for (std::size_t threads : {1, 2, 5})
        for (std::size_t ahead : {0, 1, 3}) {
            std::vector<std::string> reported;
            CHECK(samples({.threads = threads, .batch = 5, .ahead = ahead, .max_broken = 100}, 20,
                          &reported) == alone);
            CHECK(reported == told);
        }
}

TEST_CASE("a run resumed at a step goes on with the same samples") {
    auto const whole = samples({.threads = 2, .batch = 4, .max_broken = 100}, 12);
    auto const rest = samples({.threads = 2, .batch = 4, .first_step = 5, .max_broken = 100}, 7);
    CHECK(std::vector(whole.begin() + 20, whole.end()) == rest);
}

TEST_CASE("samples are prepared ahead, but not further") {
    std::atomic<int> prepared = 0;
    Loader<int> loader([&](auto, auto) { return ++prepared; },
                       {.threads = 2, .batch = 3, .ahead = 2});
    auto const reaches = [&](int wanted) {
        for (int i = 0; i < 2000 && prepared < wanted; ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        return prepared == wanted;
    };
    CHECK(reaches(6));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK(prepared == 6);
    CHECK(loader.next().size() == 3);
    CHECK(reaches(9));
}

TEST_CASE("a loader destroyed in the middle does not hang") {
    for (int i = 0; i < 50; ++i) {
        Loader<std::uint64_t> loader(numbered, {.threads = 3, .batch = 2, .max_broken = 100});
        if (i % 2 == 1)
            loader.next();
    }
}

TEST_CASE("more broken samples than allowed end the run with their names") {
    for (std::size_t threads : {0, 3}) {
        Loader<std::uint64_t> loader(numbered, {.threads = threads, .batch = 5, .max_broken = 2});
        CHECK_NOTHROW(loader.next()); // 3
        CHECK_NOTHROW(loader.next()); // none
        CHECK(loader.broken() == 1);
        CHECK_NOTHROW(loader.next()); // 10
        auto const message = test::message_of<LimitError>([&] {
            loader.next(); // 17
        });
        CHECK(test::contains(message, "3 samples are broken, more than the 2"));
        CHECK(test::contains(message, "picture 3 is broken"));
        CHECK(test::contains(message, "picture 17 is broken"));
        // It stays over.
        CHECK(test::message_of<LimitError>([&] { loader.next(); }) == message);
    }
}

TEST_CASE("the same broken sample counts once") {
    // A set of three of which one is broken, met again and again.
    auto const prepare = [](std::uint64_t number, std::uint64_t attempt) {
        auto const index = random_bits({1, number}, attempt) % 3;
        if (index == 1)
            throw FormatError("picture 1 is broken");
        return index;
    };
    int told = 0;
    Loader<std::uint32_t> loader(
        prepare, {.threads = 2, .batch = 10, .max_broken = 1, .on_broken = [&](auto&) { ++told; }});
    for (int step = 0; step < 50; ++step)
        for (auto const index : loader.next())
            CHECK(index != 1);
    CHECK(told == 1);
    CHECK(loader.broken() == 1);
}

TEST_CASE("nothing but broken samples ends, too") {
    Loader<int> same([](auto, auto) -> int { throw FormatError("broken"); },
                     {.threads = 1, .batch = 1, .max_broken = 5});
    CHECK(test::contains(test::message_of<LimitError>([&] { same.next(); }), "in a row"));
    Loader<int> different(
        [](auto number, auto attempt) -> int { throw FormatError(join(number, " ", attempt)); },
        {.threads = 1, .batch = 1, .max_broken = 5});
    CHECK(test::contains(test::message_of<LimitError>([&] { different.next(); }),
                         "6 samples are broken"));
}

TEST_CASE("what is no broken sample reaches the caller at its place") {
    for (std::size_t threads : {0, 2}) {
        Loader<int> loader(
            [](std::uint64_t number, auto) {
                if (number == 6)
                    throw std::logic_error("a mistake");
                return 1;
            },
            {.threads = threads, .batch = 3, .max_broken = 100});
        CHECK_NOTHROW(loader.next());
        CHECK_NOTHROW(loader.next());
        CHECK_THROWS_AS(loader.next(), std::logic_error);
        CHECK_THROWS_AS(loader.next(), std::logic_error);
    }
}

TEST_CASE("the time waited is known and options are checked") {
    Loader<int> slow(
        [](auto, auto) {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            return 1;
        },
        {.threads = 1, .batch = 1});
    slow.next();
    CHECK(slow.seconds_waited() > 0.005);
    CHECK(slow.seconds_waited() < 5);
    CHECK_THROWS_AS(Loader<int>([](auto, auto) { return 1; }, {.batch = 0}), ArgumentError);
    CHECK_THROWS_AS(Loader<int>(nullptr, {}), ArgumentError);
    CHECK_THROWS_AS(
        Loader<int>([](auto, auto) { return 1; }, {.batch = 2, .first_step = UINT64_MAX}),
        ArgumentError);
}
