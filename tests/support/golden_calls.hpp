#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <blip/generate/search_rules.hpp>
#include <blip/vision/image.hpp>
#include <support/catch.hpp>
#include <support/golden.hpp>

/// Recorded generation calls of golden cases, as this library's arguments and results.
namespace blip::test {

/// The pictures of a case that `which` lists, normalised.
inline Pixels golden_pictures(std::string const& name, std::string const& tensor,
                              nlohmann::json const& which) {
    GoldenTensors const inputs(name, "inputs.safetensors");
    auto const shape = inputs[tensor].shape;
    auto const values = inputs.floats(tensor);
    auto const side = static_cast<std::size_t>(shape[2]);
    std::size_t const each = 3 * side * side;
    Pixels pixels(Pixels::shape_type{which.size(), 3, side, side});
    for (std::size_t i = 0; i < which.size(); ++i)
        std::copy_n(values.begin() +
                        static_cast<std::ptrdiff_t>(which[i].get<std::size_t>() * each),
                    each, pixels.data() + i * each);
    return pixels;
}

template <class T>
std::optional<T> golden_argument(nlohmann::json const& arguments, char const* key) {
    if (!arguments.contains(key))
        return std::nullopt;
    return arguments[key].get<T>();
}

/// CaptionOptions or AnswerOptions of a recorded call.
template <class Options>
Options golden_options(nlohmann::json const& a) {
    Options o;
    o.beams = golden_argument<int>(a, "num_beams");
    o.max_length = golden_argument<int>(a, "max_length");
    o.max_new_tokens = golden_argument<int>(a, "max_new_tokens");
    o.min_length = golden_argument<int>(a, "min_length");
    o.repetition_penalty = golden_argument<double>(a, "repetition_penalty");
    o.length_penalty = golden_argument<double>(a, "length_penalty");
    o.early_stopping =
        a.value("early_stopping", false) ? EarlyStopping::when_filled : EarlyStopping::off;
    return o;
}

/// `ids` as the reference returns them: filled up to the longest of the batch.
inline std::vector<int> padded(std::vector<int> ids, std::size_t length, int fill) {
    ids.resize(std::max(length, ids.size()), fill);
    return ids;
}

/// Whether backend B has to find the ids of a recorded call: in double always, in float where the
/// reference's own float32 run does too. Where it has not, texts are compared as far as ids agree.
template <class B>
bool decides_ids(nlohmann::json const& call) {
    return std::is_same_v<typename B::scalar, double> ||
           call.value("float32_run_gives_same_ids", true);
}

/// Compares the first text of every item with a call of the authors' release. `decided`: see
/// decides_ids.
template <class Texts>
void check_authors_texts(Texts const& texts, nlohmann::json const& call, int pad, double tolerance,
                         bool decided) {
    REQUIRE(texts.size() == call["ids"].size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
        auto const wanted = call["ids"][i].get<std::vector<int>>();
        auto const ids = padded(texts[i].front().ids, wanted.size(), pad);
        if (!decided && ids != wanted)
            continue;
        CHECK(ids == wanted);
        CHECK(texts[i].front().text == call["text"][i].get<std::string>());
        if (call.contains("score"))
            CHECK(texts[i].front().score ==
                  Approx(call["score"][i].get<double>()).epsilon(tolerance));
    }
}

/// Compares all texts of every item with the finished hypotheses of a call.
template <class Texts>
void check_hypotheses(Texts const& texts, nlohmann::json const& call, double tolerance,
                      bool decided) {
    for (std::size_t i = 0; i < texts.size(); ++i) {
        auto const& list = call["finished_hypotheses"][i];
        REQUIRE(texts[i].size() == list.size());
        for (std::size_t k = 0; k < list.size(); ++k) {
            auto ids = texts[i][k].ids;
            if (texts[i][k].finished)
                ids.pop_back();
            auto const wanted = list[k]["ids"].template get<std::vector<int>>();
            if (!decided && ids != wanted)
                break;
            CHECK(ids == wanted);
            CHECK(texts[i][k].score ==
                  Approx(list[k]["score"].template get<double>()).epsilon(tolerance));
        }
    }
}

/// Compares the first text of every item with a call of transformers, whose beam search fills with
/// [SEP] where the pad id is 0.
template <class Texts>
void check_port_texts(Texts const& texts, nlohmann::json const& call, int beams, int pad, int sep,
                      bool decided) {
    REQUIRE(texts.size() == call["sequences"].size());
    int const fill = beams > 1 && pad == 0 ? sep : pad;
    for (std::size_t i = 0; i < texts.size(); ++i) {
        auto const wanted = call["sequences"][i].get<std::vector<int>>();
        auto const ids = padded(texts[i].front().ids, wanted.size(), fill);
        if (!decided && ids != wanted)
            continue;
        CHECK(ids == wanted);
        CHECK(texts[i].front().text == call["text_skip_special"][i].get<std::string>());
        if (call.contains("sequences_scores_float32"))
            CHECK(texts[i].front().score ==
                  Approx(call["sequences_scores_float32"][i].get<double>()).epsilon(1e-4));
    }
}

} // namespace blip::test
