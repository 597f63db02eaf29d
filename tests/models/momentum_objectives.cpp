#include <support/catch.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/models/extract.hpp>
#include <blip/models/pretrainer.hpp>
#include <blip/models/retrieval_objective.hpp>
#include <blip/train/adamw.hpp>
#include <io/files.hpp>
#include <support/objective.hpp>
#include <support/tiny_models.hpp>

namespace {

using namespace blip;
using test::outcome;

struct C : test::tiny_model {
    static constexpr int queue = 12;
};
using Trainer = Pretrainer<C, Cpu<float>>;
using Retrieving = RetrievalObjective<C, Cpu<float>>;

using test::dropping;
using test::fresh;

ObjectiveOptions<Cpu<float>> plain() {
    ObjectiveOptions<Cpu<float>> options;
    options.dropout = 0;
    options.seed = 5;
    return options;
}

std::vector<std::string> const words{"word8 word9", "word10",   "a word11 of word12",
                                     "word13",      "word14 a", "word15 word16"};

/// Pictures and captions `first` to `first + count - 1` of a few.
template <class Batch = CaptionBatch>
Batch some(std::size_t first, std::size_t count) {
    Batch batch;
    batch.pixels = items_of(test::noise(words.size()), first, count);
    batch.captions = {words.begin() + static_cast<std::ptrdiff_t>(first),
                      words.begin() + static_cast<std::ptrdiff_t>(first + count)};
    if constexpr (requires { batch.ids; })
        for (std::size_t i = first; i < first + count; ++i)
            batch.ids.push_back(static_cast<std::int64_t>(i));
    return batch;
}

/// All that training changes: a step's outcome, teacher, queue.
template <class Objective>
std::vector<double> everything(Objective& objective) {
    auto all = test::gradient_values(objective);
    for (auto const& more :
         {test::parameter_values(objective.weights(), objective.engine()),
          test::parameter_values(objective.state().teacher.weights(), objective.engine())})
        all.insert(all.end(), more.begin(), more.end());
    auto const& queue = objective.state().queue;
    for (auto const part : {queue.image(), queue.text()})
        all.insert(all.end(), part.data, part.data + queue.size);
    for (auto const id : queue.ids())
        all.push_back(static_cast<double>(id));
    all.push_back(queue.pointer());
    return all;
}

/// A step in parts is the mean of steps of each part that see the same queue, as on as many
/// devices. Parts of two pictures have but one choice of negatives, and the first part draws what
/// it would draw alone.
template <class Objective>
void check_parts(std::vector<typename Objective::Batch> const& parts) {
    auto whole = fresh<Objective>(plain());
    auto const found = outcome(whole, std::span<typename Objective::Batch const>(parts));
    std::vector<double> wanted(found.size());
    int pictures = 0, column = 0;
    for (auto const& part : parts)
        pictures += static_cast<int>(part.captions.size());
    for (auto const& part : parts) {
        auto alone = fresh<Objective>(plain());
        auto const mine = outcome(alone, std::span(&part, 1));
        int const count = static_cast<int>(part.captions.size());
        for (std::size_t i = 0; i < mine.size(); ++i)
            wanted[i] += mine[i] * count / pictures;
        auto const& from = alone.state().queue;
        auto const& to = whole.state().queue;
        for (int c = 0; c < count; ++c) {
            CHECK(to.ids()[static_cast<std::size_t>(column + c)] ==
                  from.ids()[static_cast<std::size_t>(c)]);
            for (int row = 0; row < C::projection; ++row) {
                CHECK(to.image().data[row * C::queue + column + c] ==
                      from.image().data[row * C::queue + c]);
                CHECK(to.text().data[row * C::queue + column + c] ==
                      from.text().data[row * C::queue + c]);
            }
        }
        column += count;
        CHECK(test::parameter_values(alone.state().teacher.weights(), alone.engine()) ==
              test::parameter_values(whole.state().teacher.weights(), whole.engine()));
    }
    CHECK(whole.state().queue.pointer() == column % C::queue);
    CHECK(whole.steps() == 1);
    CHECK(test::relative_difference(found, wanted) < 1e-5);
}

} // namespace

TEST_CASE("a step of pre-training in parts is one on as many devices") {
    check_parts<Trainer>({some(0, 2), some(2, 2)});
    check_parts<Trainer>({some(0, 4), some(4, 2)});
}

TEST_CASE("a step of retrieval in parts is one on as many devices") {
    check_parts<Retrieving>({some<RetrievalBatch>(0, 4), some<RetrievalBatch>(4, 2)});
}

TEST_CASE("steps in parts that cannot be are refused before anything changes") {
    auto trainer = fresh<Trainer>(plain());
    auto const before = everything(trainer);
    auto const refused = [&](std::vector<CaptionBatch> const& parts, std::string const& why,
                             StepOptions const& options = {}) {
        CHECK(test::message_of([&] {
                  trainer.step(std::span<CaptionBatch const>(parts), options);
              }).find(why) != std::string::npos);
        CHECK(everything(trainer) == before);
        CHECK(trainer.steps() == 0);
    };
    refused({}, "no batch");
    refused({some(0, 2), some(2, 3)}, "must be a multiple of the number of pictures");
    refused({some(0, 3), some(3, 1)}, "at least two different pictures");
    refused({some(0, 2), some(2, 2)}, "for a step of one",
            {.negatives = Negatives{{1, 0}, {1, 0}}});
    auto odd = some(2, 2);
    odd.captions.pop_back();
    refused({some(0, 2), odd}, "2 pictures, 1 captions");
}

TEST_CASE("recomputed blocks give pre-training the same bits for less memory") {
    std::vector<CaptionBatch> const parts{some(0, 2), some(2, 2)};
    auto const run = [&]<class Config>(std::type_identity<Config>) {
        auto trainer = fresh<Pretrainer<Config, Cpu<float>>>(dropping());
        auto all = outcome(trainer, std::span<CaptionBatch const>(parts));
        auto const more = everything(trainer);
        all.insert(all.end(), more.begin(), more.end());
        return std::pair{all, trainer.peak_bytes()};
    };
    auto const [kept, memory] = run(std::type_identity<C>{});
    auto const [again, less] = run(std::type_identity<config::recomputed<C>>{});
    CHECK(kept == again);
    CHECK(less < memory);
}

TEST_CASE("pre-training in parts gives the same bits with any number of threads") {
    auto const run = [](std::size_t threads) {
        auto options = dropping();
        options.engine = Cpu<float>::Engine(threads);
        auto trainer = fresh<Trainer>(options);
        std::vector<CaptionBatch> const parts{some(0, 4), some(4, 2)};
        trainer.step(std::span<CaptionBatch const>(parts));
        return everything(trainer);
    };
    CHECK(run(1) == run(3));
}

TEST_CASE("pre-training goes on from weights and states as if it had not stopped") {
    auto trainer = fresh<Trainer>(dropping());
    trainer.step(some(0, 4));
    auto const weights = test::parameter_values(trainer.weights(), trainer.engine());
    std::map<std::string, std::vector<float>> columns;
    std::map<std::string, std::vector<std::int64_t>> integers;
    struct Save {
        std::map<std::string, std::vector<float>>& columns;
        std::map<std::string, std::vector<std::int64_t>>& integers;
        void operator()(std::string const& name, float* data, std::ptrdiff_t count) const {
            CHECK(columns.emplace(name, std::vector<float>(data, data + count)).second);
        }
        void operator()(std::string const& name, std::vector<std::int64_t>& values) const {
            CHECK(integers.emplace(name, values).second);
        }
    };
    struct Restore {
        std::map<std::string, std::vector<float>>& columns;
        std::map<std::string, std::vector<std::int64_t>>& integers;
        void operator()(std::string const& name, float* data, std::ptrdiff_t count) const {
            REQUIRE(std::ssize(columns.at(name)) == count);
            std::copy_n(columns.at(name).begin(), count, data);
        }
        void operator()(std::string const& name, std::vector<std::int64_t>& values) const {
            values = integers.at(name);
        }
    };
    trainer.for_each_state(Save{columns, integers});
    CHECK(columns.size() == 3);
    CHECK(integers.size() == 2);
    trainer.step(some(1, 4));

    auto options = dropping();
    options.fresh_seed = 77; // other weights and teacher, which are replaced
    auto resumed = fresh<Trainer>(options);
    test::set_parameters(resumed.weights(), resumed.engine(), weights);
    resumed.for_each_state(Restore{columns, integers});
    resumed.resume_at(1);
    resumed.step(some(1, 4));
    CHECK(everything(resumed) == everything(trainer));

    for (auto const& bad : {std::vector<std::int64_t>{C::queue}, {-1}, {}, {0, 0}}) {
        integers["queue.pointer"] = bad;
        resumed.for_each_state(Restore{columns, integers});
        CHECK_THROWS_AS(resumed.resume_at(1), ArgumentError);
    }
    integers["queue.pointer"] = {0};
    integers["queue.ids"].pop_back();
    resumed.for_each_state(Restore{columns, integers});
    CHECK_THROWS_AS(resumed.resume_at(1), ArgumentError);
}

TEST_CASE("what pre-training learnt can be asked as captioner and matcher") {
    auto trainer = fresh<Trainer>(plain());
    auto const untaught = extract_matcher(trainer);
    AdamW<Trainer::Network> optimizer(trainer.engine());
    auto const batch = some(0, 6);
    for (int i = 0; i < 250; ++i) {
        trainer.step(batch, {.alpha = 0});
        optimizer.step(trainer.engine(), trainer.weights(), trainer.gradient(), 3e-3);
    }
    auto const captioner = extract_captioner(trainer);
    auto const captions = captioner.generate(batch.pixels, {.prompt = "", .min_length = 0});
    for (std::size_t i = 0; i < captions.size(); ++i)
        CHECK(captions[i].front().text == batch.captions[i]);
    auto const matcher = extract_matcher(trainer);
    CHECK(matcher.settings().compatibility == Compatibility::strict);
    auto const cosines = matcher.cosines(batch.pixels, batch.captions);
    for (std::size_t i = 0; i < words.size(); ++i) {
        auto const matches = matcher.match_texts(items_of(batch.pixels, i, 1), batch.captions);
        for (std::size_t j = 0; j < words.size(); ++j) {
            CHECK((matches[j].probability > 0.5) == (i == j));
            if (i != j)
                CHECK(cosines(i, i) > cosines(i, j));
        }
    }
    // The folder of the whole is one of a captioner too.
    test::TemporaryFolder const folder;
    trainer.save(folder / "whole");
    auto const loaded =
        std::remove_const_t<decltype(captioner)>::load(folder / "whole", {.layout = Layout::rows});
    CHECK(test::parameter_values(loaded.weights(), trainer.engine()) ==
          test::parameter_values(captioner.weights(), trainer.engine()));
    auto const whole = LoadedModel<Trainer::Network>::load(ModelFolder::open(folder / "whole"),
                                                           {.layout = Layout::rows});
    CHECK(whole->report.fresh.empty());
    CHECK(test::parameter_values(whole->weights, trainer.engine()) ==
          test::parameter_values(trainer.weights(), trainer.engine()));
    trainer.save(folder / "half", {.floating_type = DataType::f16});
    CHECK_NOTHROW(std::remove_const_t<decltype(captioner)>::load(folder / "half"));
    // Later steps do not reach what was extracted.
    CHECK(test::parameter_values(untaught.weights(), trainer.engine()) ==
          test::parameter_values(extract_matcher(fresh<Trainer>(plain())).weights(),
                                 trainer.engine()));
}

TEST_CASE("a matcher extracted from retrieval has the trained weights") {
    auto objective = fresh<Retrieving>(plain());
    auto const matcher = extract_matcher(objective);
    auto const mine = test::parameter_values(matcher.weights(), objective.engine());
    auto const trained = test::parameter_values(objective.weights(), objective.engine());
    // The temperature comes last.
    REQUIRE(mine.size() + 1 == trained.size());
    CHECK(std::equal(mine.begin(), mine.end(), trained.begin()));
}
