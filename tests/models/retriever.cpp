#include <support/catch.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/models/retriever.hpp>
#include <io/files.hpp>
#include <support/random_weights.hpp>

#include <algorithm>
#include <ranges>

namespace {

using namespace blip;
using blip::test::contains, blip::test::message_of, blip::test::TemporaryFolder;

struct tiny {
    struct vision {
        static constexpr int image = 24, patch = 8, width = 32, depth = 2, heads = 4, hidden = 48;
        static constexpr int recompute = 0;
    };
    struct text {
        static constexpr int vocabulary = 40, positions = 40, width = 24, depth = 2, heads = 3,
                             hidden = 40;
        static constexpr int encoder_width = 32, recompute = 0;
    };
    static constexpr int projection = 20;
};

using B = Cpu<float>;
using Model = Retriever<tiny, B>;
using Network = MatchingNetwork<tiny, B>;

Model random_model(std::size_t threads = 2, std::uint64_t seed = 7) {
    B::Engine engine(threads);
    Weights<Network> weights(engine);
    test::fill_with_noise(weights, engine, seed);
    std::string pieces = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nphoto\nof\n";
    for (int i = 8; i < 38; ++i)
        pieces += "word" + std::to_string(i) + "\n";
    return Model(std::make_shared<LoadedModel<Network>>(
        std::move(weights), ModelSettings{}, Tokenizer(parse_vocabulary(pieces)),
        Preprocess{.size = Model::image_size}, engine));
}

Image picture(std::size_t number) {
    Image image(Image::shape_type{30 + number, 20 + 2 * number, 3});
    for (std::size_t i = 0; i < image.size(); ++i)
        image.data()[i] = static_cast<std::uint8_t>(random_uniform({9, number}, i) * 256);
    return image;
}

std::string label(std::size_t number) {
    return "folder/picture " + std::to_string(number) + ".jpg";
}

/// Pictures that are made only when they are asked for, and counted.
auto pictures(std::size_t first, std::size_t count, std::size_t* made = nullptr) {
    return std::views::iota(first, first + count) |
           std::views::transform([made](std::size_t number) {
               if (made)
                   ++*made;
               return LabelledImage{picture(number), label(number)};
           });
}

std::vector<std::string> sentences() {
    return {"a photo of word9", "word10 word11 word12 word13 a", "word20", "photo word30 of word8",
            "a a a of of word37 word36 word35 word34 word33 word32"};
}

void check_same(std::vector<Hit> const& a, std::vector<Hit> const& b) {
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
        CHECK(a[i].row == b[i].row);
        CHECK(a[i].label == b[i].label);
        CHECK(a[i].cosine == b[i].cosine);
        CHECK(a[i].match == b[i].match);
        CHECK(a[i].score == b[i].score);
    }
}

} // namespace

TEST_CASE("an index does not depend on batches, threads, and how it is kept") {
    TemporaryFolder const folder;
    auto const model = random_model();
    auto index = model.make_index();
    model.add(index, pictures(0, 11), 4);
    CHECK(index.size() == 11);
    auto const texts = sentences();
    auto const expected = model.query(index, texts, 6);
    for (auto const& hits : expected) {
        REQUIRE(hits.size() == 6);
        CHECK(std::is_sorted(hits.begin(), hits.end(),
                             [](Hit const& a, Hit const& b) { return a.score > b.score; }));
        for (auto const& hit : hits) {
            CHECK(hit.label == label(static_cast<std::size_t>(hit.row)));
            CHECK(!hit.match);
        }
    }
    auto const check = [&](Model const& with, VectorIndex const& other) {
        auto const found = with.query(other, texts, 6);
        for (std::size_t i = 0; i < texts.size(); ++i)
            check_same(found[i], expected[i]);
    };
    index.save(folder / "index");
    check(model, model.open_index(folder / "index"));
    check(model, model.load_index(folder / "index"));
    for (std::size_t const batch : {1, 3, 11, 64}) {
        auto other = model.make_index();
        model.add(other, pictures(0, 11), batch);
        check(model, other);
    }
    for (std::size_t const threads : {1, 3}) {
        auto const another = random_model(threads);
        auto other = another.make_index();
        another.add(other, pictures(0, 5));
        for (std::size_t i = 5; i < 11; ++i)
            another.add(other, picture(i), label(i));
        check(another, other);
        check(another, another.open_index(folder / "index"));
    }
    {
        RowFileWriter writer(folder / "streamed", model.vector_layout());
        model.add(writer, pictures(0, 7), 2);
    }
    {
        RowFileWriter writer(folder / "streamed", model.vector_layout());
        model.add(writer, pictures(7, 4), 3);
    }
    check(model, model.open_index(folder / "streamed"));
}

TEST_CASE("pictures are read only when their turn comes") {
    auto const model = random_model();
    std::size_t made = 0;
    struct Counting {
        VectorIndex index;
        std::size_t const& made;
        std::vector<std::size_t> made_at_append{};
        RowLayout layout() const { return index.layout(); }
        std::size_t size() const { return index.size(); }
        void append(std::span<float const> v, std::span<std::string const> l) {
            made_at_append.push_back(made);
            index.append(v, l);
        }
    } sink{model.make_index(), made};
    model.add(sink, pictures(0, 7, &made), 3);
    CHECK(sink.made_at_append == std::vector<std::size_t>{3, 6, 7});
}

TEST_CASE("texts do not depend on their order and batch") {
    auto const model = random_model();
    auto index = model.make_index();
    model.add(index, pictures(0, 9));
    auto texts = sentences();
    auto const together = model.query(index, texts, 9);
    for (std::size_t i = 0; i < texts.size(); ++i)
        check_same(model.query(index, texts[i], 9), together[i]);
    std::ranges::reverse(texts);
    auto const reversed = model.query(index, texts, 9);
    for (std::size_t i = 0; i < texts.size(); ++i)
        check_same(reversed[texts.size() - 1 - i], together[i]);
}

TEST_CASE("ranking again gives the same from stored states and from the pictures") {
    TemporaryFolder const folder;
    auto const model = random_model();
    auto index = model.make_index();
    {
        StateWriter states(folder / "states", model.state_layout(DataType::f32));
        StateWriter halves(folder / "halves", model.state_layout());
        model.add(index, pictures(0, 8), 3, &states);
        auto second = model.make_index();
        model.add(second, pictures(0, 8), 5, &halves);
    }
    auto const states = model.open_states(folder / "states");
    CHECK(states.size() == 8);
    auto const load = [](Hit const& hit) { return picture(static_cast<std::size_t>(hit.row)); };
    for (auto const& text : sentences()) {
        auto const hits = model.query(index, text, 5);
        auto const ranked = model.rerank(text, hits, states);
        for (std::size_t const batch : {1, 2, 5, 100}) {
            check_same(model.rerank(text, hits, states, batch), ranked);
            check_same(model.rerank(text, hits, load, batch), ranked);
        }
        auto reversed = hits;
        std::ranges::reverse(reversed);
        check_same(model.rerank(text, reversed, states), ranked);
        CHECK(std::is_sorted(ranked.begin(), ranked.end(),
                             [](Hit const& a, Hit const& b) { return a.score > b.score; }));
        for (auto const& hit : ranked)
            CHECK(hit.score == *hit.match + hit.cosine);
        auto const approximate = model.rerank(text, hits, model.open_states(folder / "halves"));
        for (auto const& hit : approximate)
            for (auto const& exact : ranked)
                if (exact.row == hit.row)
                    CHECK(*hit.match == Approx(*exact.match).margin(5e-3));
    }
    CHECK(model.rerank("a", {}, states).empty());
}

TEST_CASE("a picture finds texts, and ranks them again") {
    auto const model = random_model();
    auto const texts = sentences();
    auto index = model.make_index(RowKind::text_vectors);
    model.add_texts(index, texts, 2);
    auto const hits = model.query(index, picture(3), 4);
    REQUIRE(hits.size() == 4);
    CHECK(hits[0].label == texts[static_cast<std::size_t>(hits[0].row)]);
    auto const ranked = model.rerank(picture(3), hits);
    for (auto const& hit : ranked)
        check_same(model.rerank(picture(3), {hit}), {hit});
    // A pair has one score, whichever side asks.
    auto pictures_index = model.make_index();
    model.add(pictures_index, pictures(0, 5));
    auto const load = [](Hit const& hit) { return picture(static_cast<std::size_t>(hit.row)); };
    for (auto const& hit : ranked) {
        auto const other = model.rerank(hit.label, model.query(pictures_index, hit.label, 5), load);
        auto const same = std::ranges::find(other, 3, &Hit::row);
        REQUIRE(same != other.end());
        CHECK(*same->match == *hit.match);
        CHECK(same->cosine == hit.cosine);
    }
    // Texts among texts, pictures among pictures.
    CHECK(model.query(index, texts[2], 1).front().row == 2);
    auto const itself = model.query(pictures_index, picture(4), 1).front();
    CHECK(itself.row == 4);
    CHECK(itself.cosine == Approx(1));
}

TEST_CASE("stored states and index stay together when a program is killed between the two") {
    TemporaryFolder const folder;
    auto const model = random_model();
    {
        RowFileWriter index(folder / "index", model.vector_layout());
        StateWriter states(folder / "states", model.state_layout());
        model.add(index, pictures(0, 4), 2, &states);
        // Killed after the states of the next batch, before their vectors.
        auto other = model.make_index();
        std::vector<float> const lost(2 * Model::tokens * Model::width);
        states.append(lost, std::vector<std::string>{label(4), label(5)});
        CHECK(states.size() == 6);
    }
    {
        RowFileWriter index(folder / "index", model.vector_layout());
        StateWriter states(folder / "states", model.state_layout());
        model.add(index, pictures(4, 3), 2, &states);
        CHECK(states.size() == 7);
    }
    auto const index = model.open_index(folder / "index");
    auto const states = model.open_states(folder / "states");
    CHECK(index.size() == 7);
    auto const hits = model.query(index, "a photo", 7);
    CHECK(model.rerank("a photo", hits, states).size() == 7);

    // Fewer states than rows, and more than one append too many, are a mistake: nothing is dropped.
    auto two = model.make_index();
    model.add(two, pictures(0, 2));
    StateWriter fewer(folder / "fewer", model.state_layout());
    CHECK_THROWS_AS(model.add(two, pictures(2, 2), 2, &fewer), ArgumentError);
    CHECK(two.size() == 2);
    StateWriter all(folder / "states", model.state_layout());
    CHECK_THROWS_AS(model.add(two, pictures(2, 2), 2, &all), ArgumentError);
    CHECK(two.size() == 2);
    CHECK(all.size() == 7);
    // States of other pictures are noticed.
    auto renamed = model.make_index();
    for (std::size_t i = 0; i < 7; ++i)
        model.add(renamed, picture(i), "elsewhere");
    CHECK(contains(
        message_of<ArgumentError>([&] { model.rerank("a", model.query(renamed, "a", 2), states); }),
        "in the index elsewhere"));
}

TEST_CASE("an index of another model is an error that says so") {
    TemporaryFolder const folder;
    auto const model = random_model();
    auto index = model.make_index();
    {
        StateWriter states(folder / "states", model.state_layout());
        model.add(index, pictures(0, 2), 2, &states);
    }
    index.save(folder / "index");
    CHECK(random_model(1).fingerprint() == model.fingerprint());
    auto const other = random_model(2, 8);
    CHECK(other.fingerprint() != model.fingerprint());
    auto const says = [](auto const& action) {
        return contains(message_of<CheckpointError>(action), "was made by another model");
    };
    CHECK(says([&] { other.open_index(folder / "index"); }));
    CHECK(says([&] { other.load_index(folder / "index"); }));
    CHECK(says([&] { other.open_states(folder / "states"); }));
    CHECK(says([&] { other.query(index, "a", 1); }));
    CHECK(says([&] { other.add(index, pictures(2, 1)); }));
    CHECK_THROWS_AS(RowFileWriter(folder / "index", other.vector_layout()), ArgumentError);

    auto texts = model.make_index(RowKind::text_vectors);
    CHECK_THROWS_AS(model.add(texts, pictures(0, 1)), ArgumentError);
    CHECK_THROWS_AS(model.add_texts(index, sentences()), ArgumentError);
    CHECK_THROWS_AS(model.add_pixels(index, Pixels(Pixels::shape_type{1, 3, 24, 25}), {"a"}),
                    ArgumentError);
    CHECK_THROWS_AS(model.add_pixels(index, Pixels(Pixels::shape_type{2, 3, 24, 24}), {"a"}),
                    ArgumentError);
    CHECK(index.size() == 2);
}
