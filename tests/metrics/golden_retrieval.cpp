#include <support/catch.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/metrics/recall.hpp>
#include <blip/metrics/retrieval_scores.hpp>
#include <blip/model/golden_cases.hpp>
#include <support/golden.hpp>

#include <xtensor/xview.hpp>

#if BLIP_HAS_GOLDEN_RETRIEVAL_EVAL
namespace {

using namespace blip;
using blip::test::GoldenTensors, blip::test::relative_difference, blip::test::score_difference;

Pixels pictures(std::vector<float> const& all, std::size_t size, std::size_t first,
                std::size_t count) {
    std::size_t const each = 3 * size * size;
    Pixels pixels(Pixels::shape_type{count, 3, size, size});
    std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(first * each), count * each,
                pixels.data());
    return pixels;
}

template <class T, class B>
void check_retrieval(double tolerance) {
    using C = config::golden_retrieval_eval;
    std::string const name = "retrieval_eval";
    auto const folder = ModelFolder::open(test::golden_file(name, "."));
    MatchingModel<C, B> const model(LoadedModel<MatchingNetwork<C, B>>::load(folder, {}));
    GoldenTensors const inputs(name, "inputs.safetensors");
    GoldenTensors const expected(name, "expected.safetensors");
    auto const image = inputs.floats("image");
    auto const size = static_cast<std::size_t>(C::vision::image);
    auto const ids = inputs.integers("text_ids");
    auto const mask = inputs.integers("attention_mask");
    auto const shape = inputs["text_ids"].shape;
    TokenBatch const texts{{ids.begin(), ids.end()},
                           {mask.begin(), mask.end()},
                           static_cast<int>(shape[0]),
                           static_cast<int>(shape[1])};

    // The strings give the same ids, but for padding.
    auto const json = test::golden_json(name);
    auto const strings = json["texts"].get<std::vector<std::string>>();
    auto const tokenized = model.tokenizer().encode_batch(
        strings, {.padding = Padding::max_length, .max_length = texts.length});
    CHECK(tokenized.ids == texts.ids);
    CHECK(tokenized.mask == texts.mask);

    int runs = 0;
    for (auto const& run : test::golden_json(name, "results.json")) {
        auto const title = run["name"].get<std::string>();
        if (!expected.has(title + ".score_i2t"))
            continue; // clips
        INFO(title);
        ++runs;
        auto const which = run["texts"].get<std::vector<int>>();
        auto const k = run["k_test"].get<std::size_t>();
        std::vector<std::size_t> image_of_text;
        for (std::size_t text = 0; text < which.size(); ++text)
            image_of_text.push_back(run["text_to_image"][std::to_string(text)].get<std::size_t>());
        auto const images = static_cast<std::size_t>(expected[title + ".cosine"].shape[0]);
        auto const scores = retrieval_scores<T>(model, images,
                                                [&](std::size_t first, std::size_t count) {
                                                    return pictures(image, size, first, count);
                                                },
                                                texts.select(which), {.texts = k, .images = k});
        CHECK(relative_difference(scores.cosine, expected[title + ".cosine"].values) < tolerance);
        CHECK(score_difference(scores.image_to_text, expected[title + ".score_i2t"].values) <
              tolerance);
        CHECK(score_difference(scores.text_to_image, expected[title + ".score_t2i"].values) <
              tolerance);
        auto const found =
            retrieval_recall(scores.image_to_text, scores.text_to_image, image_of_text);
        auto const metric = [&](char const* key) {
            return Approx(run["metrics"][key].get<double>()).epsilon(1e-12);
        };
        CHECK(found.texts.at_1 == metric("txt_r1"));
        CHECK(found.texts.at_5 == metric("txt_r5"));
        CHECK(found.texts.at_10 == metric("txt_r10"));
        CHECK(found.texts.mean == metric("txt_r_mean"));
        CHECK(found.pictures.at_1 == metric("img_r1"));
        CHECK(found.pictures.at_5 == metric("img_r5"));
        CHECK(found.pictures.at_10 == metric("img_r10"));
        CHECK(found.pictures.mean == metric("img_r_mean"));
        CHECK(found.mean == metric("r_mean"));
        // The candidates, best cosine first.
        auto const best = [k](std::vector<T> const& line) {
            TopEntries<T> entries(k);
            entries.offer(line);
            std::vector<std::size_t> found_items;
            for (auto const& entry : entries.sorted())
                found_items.push_back(static_cast<std::size_t>(entry.index));
            return found_items;
        };
        for (std::size_t i = 0; i < images; ++i) {
            auto const row = xt::view(scores.cosine, i, xt::all());
            CHECK(best({row.begin(), row.end()}) ==
                  run["top_texts_per_image"][i].get<std::vector<std::size_t>>());
        }
        for (std::size_t t = 0; t < which.size(); ++t) {
            auto const column = xt::view(scores.cosine, xt::all(), t);
            CHECK(best({column.begin(), column.end()}) ==
                  run["top_images_per_text"][t].get<std::vector<std::size_t>>());
        }
    }
    CHECK(runs > 0);
}

} // namespace

TEST_CASE("retrieval scores and recalls agree with the authors' evaluation", "[golden]") {
    SECTION("Reference<double>") {
        check_retrieval<double, Reference<double>>(1e-9);
    }
    SECTION("Cpu<float>") {
        check_retrieval<float, Cpu<float>>(1e-4);
    }
}
#endif
