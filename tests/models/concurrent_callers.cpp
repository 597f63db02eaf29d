#include <support/catch.hpp>

#include <thread>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/models/captioner.hpp>
#include <support/tiny_models.hpp>

using namespace blip;
using namespace blip::test;

namespace {

using Fast = Captioner<tiny_model, Cpu<float>>;

} // namespace

TEST_CASE("many threads may call one captioner") {
    auto const captioner = random_model<Fast>();
    auto const all = noise(6);
    std::vector<std::vector<Caption>> expected(6), found(6);
    CaptionOptions const options{.beams = 3, .max_length = 12};
    for (std::size_t i = 0; i < 6; ++i)
        expected[i] = captioner.generate(some_of(all, i), options).front();
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < 6; ++i)
        threads.emplace_back(
            [&, i] { found[i] = captioner.generate(some_of(all, i), options).front(); });
    for (auto& thread : threads)
        thread.join();
    for (std::size_t i = 0; i < 6; ++i)
        check_same_texts(found[i], expected[i]);
}

TEST_CASE("threads that share a captioner may want different things of it") {
    auto const captioner = random_model<Fast>(Cpu<float>::Engine(2));
    auto const all = noise(4);
    std::vector<CaptionOptions> const options{
        {.beams = 1, .max_length = 14},
        {.beams = 3, .results = 2, .max_length = 10},
        {.results = 3, .sample = true, .max_length = 12, .seed = 5}};
    std::vector<std::vector<std::vector<Caption>>> found(options.size());
    std::vector<xt::xtensor<float, 3>> states(2);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < options.size(); ++i)
        threads.emplace_back([&, i] { found[i] = captioner.generate(all, options[i]); });
    for (auto& result : states)
        threads.emplace_back([&] { result = captioner.encode(all); });
    for (auto& thread : threads)
        thread.join();
    for (std::size_t i = 0; i < options.size(); ++i) {
        auto const expected = captioner.generate(all, options[i]);
        for (std::size_t k = 0; k < expected.size(); ++k)
            check_same_texts(found[i][k], expected[k]);
    }
    CHECK((states[0] == states[1]));
    CHECK((states[0] == captioner.encode(all)));
}
