#include <support/catch.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/metrics/recall.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/models/video_retriever.hpp>
#include <support/golden.hpp>

#if BLIP_HAS_GOLDEN_RETRIEVAL_EVAL

namespace {

using namespace blip;
using blip::test::relative_difference, blip::test::score_difference;

template <class B>
void check_clips(double tolerance) {
    using C = config::golden_retrieval_eval;
    std::string const name = "retrieval_eval";
    auto const retriever =
        VideoRetriever<C, B>::load(test::golden_file(name, "weights.pth"), {}, 0);
    test::GoldenTensors const inputs(name, "inputs.safetensors");
    test::GoldenTensors const expected(name, "expected.safetensors");
    auto const shape = inputs["clips"].shape;
    auto const each = static_cast<std::size_t>(shape[1]);
    auto const side = static_cast<std::size_t>(shape[3]);
    Pixels frames(Pixels::shape_type{static_cast<std::size_t>(shape[0]) * each, 3, side, side});
    auto const values = inputs.floats("clips");
    REQUIRE(values.size() == frames.size());
    std::copy(values.begin(), values.end(), frames.begin());
    auto const clips = retriever.encode(frames, each);
    std::size_t runs = 0;
    for (auto const& run : test::golden_json(name, "results.json")) {
        auto const prefix = run["name"].get<std::string>();
        if (!expected.has(prefix + ".score_t2v"))
            continue;
        INFO(prefix);
        ++runs;
        auto const texts = run["texts"].get<std::vector<std::string>>();
        auto const scores = retriever.scores(clips, texts, run["k_test"].get<std::size_t>());
        CHECK(relative_difference(scores.cosine, expected[prefix + ".cosine"].values) < tolerance);
        CHECK(score_difference(scores.clip_to_text, expected[prefix + ".score_v2t"].values) <
              tolerance);
        CHECK(score_difference(scores.text_to_clip, expected[prefix + ".score_t2v"].values) <
              tolerance);
        // Clip i belongs to text i.
        RelevantItems same;
        for (std::size_t i = 0; i < texts.size(); ++i)
            same.push_back({i});
        auto const metric = [&](char const* key) {
            return Approx(run["metrics"][key].get<double>()).epsilon(1e-12);
        };
        auto const of_text = recall(scores.clip_to_text, same);
        auto const of_clip = recall(scores.text_to_clip, same);
        CHECK(of_text.at_1 == metric("txt_r1"));
        CHECK(of_text.at_5 == metric("txt_r5"));
        CHECK(of_text.at_10 == metric("txt_r10"));
        CHECK(of_text.mean == metric("txt_r_mean"));
        CHECK(of_clip.at_1 == metric("vid_r1"));
        CHECK(of_clip.at_5 == metric("vid_r5"));
        CHECK(of_clip.at_10 == metric("vid_r10"));
        CHECK(of_clip.mean == metric("vid_r_mean"));
        CHECK(of_clip.median_rank == metric("vid_mdR"));
        CHECK((of_text.mean + of_clip.mean) / 2 == metric("r_mean"));
        // The texts as the evaluation feeds them.
        auto const ids = inputs.integers("clip_text_ids");
        auto const mask = inputs.integers("clip_attention_mask");
        auto const length = static_cast<int>(inputs["clip_text_ids"].shape[1]);
        auto const batch = retriever.tokenizer().encode_batch(
            texts, {.padding = Padding::max_length, .max_length = length});
        auto const first = with_first(batch, retriever.shared()->special().enc);
        CHECK((std::ranges::equal(batch.ids, ids) || std::ranges::equal(first.ids, ids)));
        CHECK(std::ranges::equal(batch.mask, mask));
    }
    CHECK(runs > 0);
}

} // namespace

TEST_CASE("clips are scored as in the authors' release", "[golden]") {
    check_clips<Reference<double>>(1e-9);
    check_clips<Cpu<float>>(1e-4);
}

#endif
