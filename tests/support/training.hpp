#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include <blip/io/load_weights.hpp>
#include <blip/io/model_config.hpp>
#include <blip/io/model_folder.hpp>
#include <blip/io/vocabulary_files.hpp>
#include <blip/networks/alignment.hpp>
#include <blip/text/wordpiece.hpp>
#include <blip/train/adamw.hpp>
#include <support/network.hpp>

/// Comparing trained weights with a fixture's state after a step.
namespace blip::test {

/// How far `actual` may be off: relative to the tensor's largest entry, and, for float32, a share
/// of entries by what an optimizer step on a gradient of noise may move them.
struct StateTolerance {
    double relative = 1e-9;
    double loose_share = 0;       ///< of all entries of the network
    double loose_bound = 0;       ///< absolute
    bool skip_key_biases = false; ///< their gradients are noise
};

/// Whether rows of a fused query, key, value bias (or of a key bias alone) belong to the key.
inline bool is_key_bias(std::string const& name, std::size_t entry, std::size_t count) {
    if (name.ends_with(".key.bias"))
        return true;
    return name.ends_with("attn.qkv.bias") && entry / (count / 3) == 1;
}

/// Compares every parameter of `weights` with the tensors `prefix` + name; tensors that the fixture
/// holds under another name (tied ones) are looked up under their first. Gives the largest relative
/// difference among entries that are not let off, and how large a share was.
struct StateDifference {
    double relative = 0;
    double loose_share = 0;
    double loose_most = 0;
    std::string worst;
    std::vector<std::string> wholly_loose; ///< tensors more than half of which was let off
    int compared = 0;
};

template <class Network, class Bench, class Names>
StateDifference state_difference(Weights<Network> const& weights, Bench& bench,
                                 GoldenTensors const& expected, std::string const& prefix,
                                 Names const& names, StateTolerance const& tolerance) {
    StateDifference result;
    std::ptrdiff_t loose = 0, all = 0;
    for (auto const& parameter : list_parameters(*weights)) {
        auto const ours = bench.get(parameter.data, parameter.size);
        auto const parts = names(parameter.path);
        auto const size = ours.size() / parts.size();
        for (std::size_t i = 0; i < parts.size(); ++i) {
            auto const wanted = expected[prefix + parts[i]].values;
            if (wanted.size() != size) {
                result.relative = HUGE_VAL;
                result.worst = parts[i] + " (size)";
                break;
            }
            double scale = 0;
            for (double const v : wanted)
                scale = std::max(scale, std::abs(v));
            std::ptrdiff_t here = 0; // let off in this tensor
            for (std::size_t j = 0; j < size; ++j) {
                if (tolerance.skip_key_biases && is_key_bias(parts[i], j, size))
                    continue;
                ++all;
                double const off = std::abs(ours[i * size + j] - wanted[j]);
                if (!(off <= tolerance.relative * scale) && off <= tolerance.loose_bound) {
                    ++loose;
                    ++here;
                    result.loose_most = std::max(result.loose_most, off);
                    continue;
                }
                double const relative = scale > 0 ? off / scale : off;
                if (!(relative <= result.relative)) {
                    result.relative = relative;
                    result.worst = parts[i];
                }
            }
            if (2 * here > static_cast<std::ptrdiff_t>(size) && here > 0)
                result.wholly_loose.push_back(parts[i]);
            ++result.compared;
        }
    }
    result.loose_share =
        static_cast<double>(loose) / static_cast<double>(std::max<std::ptrdiff_t>(1, all));
    return result;
}

/// A fixture's ids and mask as a batch of texts.
inline TokenBatch golden_text(GoldenTensors const& inputs, std::string const& step) {
    auto const ids = inputs.integers(step + ".text_ids");
    auto const mask = inputs.integers(step + ".attention_mask");
    auto const batch = inputs[step + ".text_ids"].shape[0];
    return {{ids.begin(), ids.end()},
            {mask.begin(), mask.end()},
            static_cast<int>(batch),
            static_cast<int>(static_cast<std::int64_t>(ids.size()) / batch)};
}

/// The negatives that a fixture recorded.
inline Negatives golden_negatives(GoldenTensors const& inputs, std::string const& step) {
    auto const image = inputs.integers(step + ".negative_image_for_text");
    auto const text = inputs.integers(step + ".negative_text_for_image");
    return {{image.begin(), image.end()}, {text.begin(), text.end()}};
}

/// What a training case allows.
struct TrainingTolerance {
    double relative = 1e-9; ///< losses, outputs, gradients, queues
    StateTolerance first_step{}, third_step{};
};

inline TrainingTolerance exact_training() {
    return {};
}

/// AdamW's first steps are the gradient's sign times the rate: where a gradient is rounding noise,
/// float32 may be off by twice the rate a step (the fixtures' README).
inline TrainingTolerance float_training(std::string const& name_of_case) {
    double const rate = golden_json(name_of_case)["optimizer"]["lr"].get<double>();
    return {1e-4, {1e-4, 1e-3, 2 * rate, true}, {1e-4, 1e-3, 6 * rate, true}};
}

/// One step of a training case, as its loss sees it.
template <class Network>
struct TrainingRun {
    using B = typename Network::backend;

    Bench<B>& bench;
    GoldenTensors const& expected;
    TrainingTolerance const& tolerance;
    ModelSettings const& settings;
    std::size_t number; ///< of the step, from 1
    std::string step;   ///< "step1"
    typename Network::Images images;
    TokenBatch text;
    MomentumState<Network>& state;
    AlignmentOptions options;
    typename Network::Cache cache{};

    void scalar(double ours, std::string const& what) const {
        INFO(what);
        CHECK(ours == Approx(expected[step + "." + what].values[0]).epsilon(tolerance.relative));
    }
    void same(std::vector<double> const& ours, std::string const& what) const {
        INFO(what);
        CHECK(relative_difference(ours, expected[step + "." + what].values) < tolerance.relative);
    }
    /// Unit vectors against the projections that they are the directions of.
    void same_direction(std::vector<double> const& ours, std::string const& what) const {
        INFO(what);
        auto const tensor = expected[step + "." + what];
        auto wanted = tensor.values;
        auto const width = static_cast<std::size_t>(tensor.shape.back());
        for (std::size_t row = 0; row < wanted.size(); row += width) {
            double square = 0;
            for (std::size_t i = row; i < row + width; ++i)
                square += wanted[i] * wanted[i];
            for (std::size_t i = row; i < row + width; ++i)
                wanted[i] /= std::sqrt(square);
        }
        CHECK(relative_difference(ours, wanted) < tolerance.relative);
    }
};

/// The recorded ids of a step are what its captions give, padded as in training.
inline void check_captions(nlohmann::json const& captions, GoldenTensors const& inputs,
                           std::string const& step, Tokenizer const& tokenizer) {
    auto const recorded = golden_text(inputs, step);
    auto const batch =
        tokenizer.encode_batch(captions.get<std::vector<std::string>>(),
                               {.padding = Padding::max_length, .max_length = recorded.length});
    CHECK(batch.ids == recorded.ids);
    CHECK(batch.mask == recorded.mask);
}

/// Runs the recorded optimizer steps of a case and compares losses, outputs, negatives' weights,
/// gradients of every parameter, and the state afterwards: parameters, momentum parameters, queues,
/// ids, pointer. `loss(network, run)` computes and compares the losses.
template <class Network>
void check_training(std::string const& name_of_case, TrainingTolerance const& tolerance,
                    std::string const& pointer_name, auto const& loss) {
    using B = typename Network::backend;
    Bench<B> bench;
    auto& engine = bench.engine;
    auto const online = [](std::string const& path) {
        return checkpoint_names(path, Naming::original);
    };
    auto const teacher = [](std::string const& path) {
        return checkpoint_names("teacher." + path, Naming::original);
    };
    GoldenTensors const inputs(name_of_case, "inputs.safetensors");
    GoldenTensors const expected(name_of_case, "expected.safetensors");
    auto const json = golden_json(name_of_case);
    auto const file = TensorFile::open(golden_file(name_of_case, "weights.pth"));
    auto const settings =
        read_settings(JsonDocument::open(golden_file(name_of_case, "config.json")));

    auto const tokenizer = load_tokenizer(ModelFolder::open(golden_file(name_of_case, "")));

    Weights<Network> weights(engine);
    load_weights(weights, engine, file);
    apply_settings(*weights, settings);
    MomentumState<Network> state(engine, weights, {1, 0});
    load_weights(state.teacher.weights(), engine, file, teacher);
    for (auto const& [tensor, queue] : {std::pair{"image_queue", state.queue.image()},
                                        std::pair{"text_queue", state.queue.text()}}) {
        auto const values = file.at(tensor).template values<double>();
        B::upload(engine, queue.data, values.data(), std::ssize(values));
    }
    bool const has_ids = file.find("idx_queue");
    std::vector<std::int64_t> ids(state.queue.ids().begin(), state.queue.ids().end());
    if (has_ids)
        ids = file.at("idx_queue").template values<std::int64_t>();
    state.queue.restore(ids, file.at(pointer_name).template values<std::int64_t>()[0]);

    auto const& rule = json["optimizer"];
    AdamW<Network> optimizer(engine, {.beta1 = rule["betas"][0].get<double>(),
                                      .beta2 = rule["betas"][1].get<double>(),
                                      .epsilon = rule["eps"].get<double>(),
                                      .weight_decay = rule["weight_decay"].get<double>()});
    std::size_t number = 0;
    for (auto const& recorded : json["steps"]) {
        auto const step = "step" + std::to_string(++number);
        INFO(step);
        Scope scope(bench.arena);
        if (has_ids)
            ids = inputs.integers(step + ".idx");
        else
            ids.clear();
        state.begin_step(engine, weights, json["momentum"].get<double>());
        check_captions(recorded["captions"], inputs, step, tokenizer);
        auto const image = inputs[step + ".image"];
        TrainingRun<Network> run{bench,
                                 expected,
                                 tolerance,
                                 settings,
                                 number,
                                 step,
                                 {bench.put(image.values), static_cast<int>(image.shape[0])},
                                 golden_text(inputs, step),
                                 state,
                                 {.alpha = recorded["alpha"].get<double>(),
                                  .ids = ids,
                                  .negatives = golden_negatives(inputs, step)}};
        loss(*weights, run);
        auto const& aligned = run.cache.alignment;
        run.same(bench.get(aligned.match_logits), "output.itm_head");
        // The teacher's are of its weights after this step's update, not before.
        auto const& [teacher_image, teacher_text] = aligned.contrastive.keys.batch;
        run.same_direction(bench.get(aligned.online.image), "output.vision_proj");
        run.same_direction(bench.get(aligned.online.text), "output.text_proj");
        run.same_direction(bench.get(teacher_image), "output.vision_proj_m");
        run.same_direction(bench.get(teacher_text), "output.text_proj_m");
        run.same(aligned.text_weights, "weights_i2t");
        run.same(aligned.image_weights, "weights_t2i");

        Weights<typename Network::Grad> gradient(engine);
        weights->backward(run.cache, *gradient, bench.context);
        if (expected.has(step + ".grad.temp")) {
            std::string worst;
            double const off =
                gradient_difference(gradient, bench, expected, step + ".grad.", online, worst);
            INFO("worst gradient: " << worst);
            CHECK(off < tolerance.relative);
        }
        state.queue.enqueue(engine, aligned.contrastive.keys.batch, ids);
        optimizer.step(engine, weights, gradient, rule["lr"].get<double>());

        std::string const prefix = step + ".state.";
        if (!expected.has(prefix + "temp"))
            continue;
        auto const& allowed = number == 1 ? tolerance.first_step : tolerance.third_step;
        auto const compare = [&](auto const& ours, auto const& names) {
            auto const off = state_difference(ours, bench, expected, prefix, names, allowed);
            INFO("worst parameter: " << off.worst << ", let off: " << off.loose_share << " up to "
                                     << off.loose_most);
            CHECK(off.relative <= allowed.relative);
            CHECK(off.loose_share <= allowed.loose_share);
            CHECK(off.wholly_loose == std::vector<std::string>{});
            CHECK(off.compared > 0);
        };
        compare(weights, online);
        compare(state.teacher.weights(), teacher);
        auto const queue = [&](Matrix<B> ours, char const* name) {
            run.same(bench.get(ours.data, state.queue.size), std::string("state.") + name);
        };
        queue(state.queue.image(), "image_queue");
        queue(state.queue.text(), "text_queue");
        if (has_ids)
            CHECK(std::ranges::equal(state.queue.ids(), expected.integers(prefix + "idx_queue")));
        CHECK(state.queue.pointer() == expected.integers(prefix + pointer_name)[0]);
    }
    CHECK(number > 0);
}

} // namespace blip::test
