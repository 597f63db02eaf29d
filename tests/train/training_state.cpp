#include <support/catch.hpp>

#include <cstdint>
#include <fstream>
#include <string>
#include <tuple>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/io/tensor_file.hpp>
#include <blip/io/write_file.hpp>
#include <blip/layers/mlp.hpp>
#include <blip/train/adamw.hpp>
#include <blip/train/training_state.hpp>
#include <io/files.hpp>
#include <support/random_weights.hpp>

using namespace blip;
using test::contains;
using test::message_of;

namespace {

template <class B, int Width = 11>
using Net = Mlp<Width, 23, B>;

/// A training whose every part is a function of `seed`.
template <class B, int Width = 11>
struct Training {
    using Network = Net<B, Width>;
    typename B::Engine engine{};
    Weights<Network> weights{engine};
    AdamW<Network> optimizer{engine};
    std::vector<std::int64_t> ids = std::vector<std::int64_t>(5);
    std::vector<double> history{};
    std::int64_t step = 0;
    std::string options{};
    TrainingState<B> state{engine};

    explicit Training(std::uint64_t seed = 0) {
        set(seed);
        add_weights(state, "model", weights);
        add_optimizer(state, optimizer);
        state.add("ids", ids);
        state.add("history", history, Length::any);
        state.add("step", step);
        state.add("options", options);
    }

    void set(std::uint64_t seed) {
        test::randomize(weights, engine, {seed, 0});
        test::randomize(optimizer.first_moment(), engine, {seed, 1});
        test::randomize(optimizer.second_moment(), engine, {seed, 2});
        optimizer.resume_at(static_cast<std::int64_t>(seed));
        step = static_cast<std::int64_t>(seed);
        for (std::size_t i = 0; i < ids.size(); ++i)
            ids[i] = static_cast<std::int64_t>(seed * 10 + i) << 40;
        history.assign(seed % 7, 1 / 3.0);
        options = join("{\"seed\": ", seed, "}");
    }

    auto values() {
        return std::tuple{test::parameter_values(weights, engine),
                          test::parameter_values(optimizer.first_moment(), engine),
                          test::parameter_values(optimizer.second_moment(), engine),
                          optimizer.steps(),
                          ids,
                          history,
                          step,
                          options};
    }
};

template <class B>
void check_round_trip() {
    test::TemporaryFolder folder;
    Training<B> saved(6), restored(1);
    saved.state.save(folder / "state.safetensors");
    restored.state.restore(folder / "state.safetensors");
    CHECK(restored.values() == saved.values());
    saved.set(2);
    saved.state.save(folder / "state.safetensors");
    restored.state.restore(folder / "state.safetensors");
    CHECK(restored.values() == saved.values());
    Training<B> empty(7); // a list that never held anything
    CHECK(empty.history.data() == nullptr);
    empty.state.save(folder / "state.safetensors");
    restored.state.restore(folder / "state.safetensors");
    CHECK(restored.values() == empty.values());
}

/// What goes wrong with `content` as the state of a training, of which nothing may change.
template <class Failure>
std::string damage(test::TemporaryFolder const& folder, std::string const& content) {
    write_file(folder / "damaged", content);
    Training<Cpu<float>> training(3);
    auto const before = training.values();
    auto const message = message_of<Failure>([&] { training.state.restore(folder / "damaged"); });
    CHECK(training.values() == before);
    return message;
}

} // namespace

TEST_CASE("a training state comes back as it was written, to the bit") {
    check_round_trip<Cpu<float>>();
    check_round_trip<Reference<double>>();
}

TEST_CASE("numbers of weights larger than a piece come back") {
    using B = Cpu<float>;
    using Network = Linear<700, 900, B>;
    test::TemporaryFolder folder;
    B::Engine engine(2);
    Weights<Network> saved(engine), restored(engine);
    test::randomize(saved, engine, {1, 0});
    TrainingState<B> out(engine), in(engine);
    add_weights(out, "model", saved);
    add_weights(in, "model", restored);
    out.save(folder / "state");
    in.restore(folder / "state");
    CHECK(test::parameter_values(restored, engine) == test::parameter_values(saved, engine));
}

TEST_CASE("a training state is a safetensors file that says where parameters lie") {
    test::TemporaryFolder folder;
    Training<Cpu<float>> training(4);
    training.state.save(folder / "state.safetensors");
    auto const file = TensorFile::open(folder / "state.safetensors");
    auto const model = file.at("model").values<float>();
    CHECK(file.at("step").values<std::int64_t>() == std::vector<std::int64_t>{4});
    auto const layout = nlohmann::json::parse(file.metadata().at("model.layout"));
    std::size_t parameters = 0;
    for (auto const& parameter : list_parameters(*training.weights)) {
        auto const& place = layout.at(parameter.path);
        auto const offset = place["offset"].get<std::size_t>();
        CHECK(model[offset] == parameter.data[0]);
        CHECK(place["shape"].size() == parameter.shape.size());
        ++parameters;
    }
    CHECK(layout.size() == parameters);
}

TEST_CASE("a truncated state is refused whatever is missing") {
    test::TemporaryFolder folder;
    Training<Cpu<float>> training(4);
    training.state.save(folder / "state");
    auto const content = test::content_of(folder / "state");
    for (std::size_t size = 0; size < content.size(); size += size < 64 ? 1 : 97)
        REQUIRE(!damage<FormatError>(folder, content.substr(0, size)).empty());
    for (std::size_t missing = 1; missing < 16; ++missing)
        REQUIRE(!damage<FormatError>(folder, content.substr(0, content.size() - missing)).empty());
    CHECK(!damage<FormatError>(folder, content + '\0').empty());
}

TEST_CASE("a state with one flipped bit is refused wherever it is") {
    test::TemporaryFolder folder;
    Training<Cpu<float>> training(4);
    training.state.save(folder / "state");
    auto const content = test::content_of(folder / "state");
    std::uint64_t length = 0;
    std::memcpy(&length, content.data(), 8);
    std::vector<std::size_t> places; // length, header, numbers of every kind, checksum
    for (std::size_t i = 0; i < 8 + length; ++i)
        places.push_back(i);
    for (std::size_t i = 8 + length; i < content.size(); i += 41)
        places.push_back(i);
    for (std::size_t i = 1; i <= 16; ++i)
        places.push_back(content.size() - i);
    for (std::size_t const place : places) {
        INFO("byte " << place);
        auto flipped = content;
        flipped[place] = static_cast<char>(flipped[place] ^ (1 << place % 8));
        bool damaged = false;
        try {
            damaged = !damage<FormatError>(folder, flipped).empty();
        } catch (LimitError const&) {
            damaged = true; // a header of billions of bytes
        }
        REQUIRE(damaged);
    }
}

TEST_CASE("a whole state of another training is refused with what differs") {
    using B = Cpu<float>;
    test::TemporaryFolder folder;
    Training<B> training(4);
    training.state.save(folder / "state");
    auto const refuse = [&](auto& other) {
        return message_of<CheckpointError>([&] { other.state.restore(folder / "state"); });
    };
    Training<B, 12> wider;
    CHECK(contains(refuse(wider), "\"model\" is of another network: parameter down.bias"));
    Training<Reference<double>> precise;
    CHECK(contains(refuse(precise), "\"model\" holds float32, expected float64"));
    Training<B> longer;
    longer.ids.resize(6);
    CHECK(contains(refuse(longer), "\"ids\" has shape [5], expected [6]"));
    Training<B> more;
    std::int64_t epoch = 7;
    more.state.add("epoch", epoch);
    CHECK(contains(refuse(more), "it has no \"epoch\""));
    CHECK(epoch == 7);
    TrainingState<B> fewer(training.engine);
    add_weights(fewer, "model", training.weights);
    CHECK(contains(message_of<CheckpointError>([&] { fewer.restore(folder / "state"); }),
                   "it has \"ids\", which this training does not"));
}

TEST_CASE("a training state refuses names given twice, reserved ones and packed weights") {
    Training<Cpu<float>> training;
    CHECK_THROWS_AS(training.state.add("ids", training.ids), ArgumentError);
    CHECK_THROWS_AS(training.state.add("checksum", training.ids), ArgumentError);
    CHECK_THROWS_AS(training.state.add("", training.ids), ArgumentError);
    Weights<Net<Cpu<float>>> packed(training.engine, Layout::panels);
    CHECK_THROWS_AS(add_weights(training.state, "packed", packed), ArgumentError);
    test::TemporaryFolder folder;
    CHECK_THROWS_AS(training.state.restore(folder / "missing"), FileError);
    CHECK_THROWS_AS(training.state.save(folder / "missing" / "state"), FileError);
}
