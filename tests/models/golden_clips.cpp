#include <support/catch.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/models/video_retriever.hpp>
#include <support/golden.hpp>

#if BLIP_HAS_GOLDEN_RETRIEVAL_EVAL

namespace {

using namespace blip;
using blip::test::relative_difference;

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
        CHECK(relative_difference(scores.clip_to_text, expected[prefix + ".score_v2t"].values) <
              tolerance);
        CHECK(relative_difference(scores.text_to_clip, expected[prefix + ".score_t2v"].values) <
              tolerance);
    }
    CHECK(runs > 0);
}

} // namespace

TEST_CASE("clips are scored as in the authors' release", "[golden]") {
    check_clips<Reference<double>>(1e-9);
    check_clips<Cpu<float>>(1e-4);
}

#endif
