#pragma once

#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <blip/config/generation.hpp>
#include <blip/io/json.hpp>
#include <blip/io/model_config.hpp>
#include <blip/io/task.hpp>

namespace blip {

namespace detail {

/// Keys of generation_config.json that change what is generated and that this library has not.
inline constexpr std::array unknown_generation_keys{"begin_suppress_tokens",
                                                    "bad_words_ids",
                                                    "constraints",
                                                    "diversity_penalty",
                                                    "encoder_no_repeat_ngram_size",
                                                    "encoder_repetition_penalty",
                                                    "epsilon_cutoff",
                                                    "eta_cutoff",
                                                    "exponential_decay_length_penalty",
                                                    "force_words_ids",
                                                    "forced_bos_token_id",
                                                    "forced_eos_token_id",
                                                    "guidance_scale",
                                                    "min_new_tokens",
                                                    "min_p",
                                                    "num_beam_groups",
                                                    "num_return_sequences",
                                                    "penalty_alpha",
                                                    "sequence_bias",
                                                    "stop_strings",
                                                    "suppress_tokens",
                                                    "top_h",
                                                    "typical_p"};

/// Whether a value of one of these keys leaves generation as it is.
inline bool is_neutral(std::string const& key, nlohmann::json const& value) {
    bool const counts = key == "num_beam_groups" || key == "num_return_sequences" ||
                        key == "encoder_repetition_penalty" || key == "typical_p" ||
                        key == "guidance_scale";
    if (value.is_number())
        return value.get<double>() == (counts ? 1.0 : 0.0);
    return value.is_null() || value == false ||
           ((value.is_array() || value.is_object()) && value.empty());
}

} // namespace detail

/// What a generation_config.json asks for. Keys that this library cannot follow are named in
/// `warnings`. Throws FormatError and ConfigError that name the key.
inline GenerationDefaults read_generation(JsonDocument const& json,
                                          std::vector<std::string>& warnings) {
    auto refuse = [&json](char const* key, auto value, std::string const& expected) {
        throw ConfigError(
            join(json.where(), ": \"", key, "\" is ", value, ", expected ", expected));
    };
    auto integer = [&](char const* key, int least) -> std::optional<int> {
        if (!json.has(key))
            return std::nullopt;
        int const value = json.required<int>(key);
        if (value < least)
            refuse(key, value, join(least, " or more"));
        return value;
    };
    auto positive = [&](char const* key, double most) -> std::optional<double> {
        if (!json.has(key))
            return std::nullopt;
        auto const value = json.required<double>(key);
        if (!(value > 0 && value <= most) || !std::isfinite(value))
            refuse(key, value,
                   most == 1 ? "more than 0 and at most 1" : "a finite number more than 0");
        return value;
    };
    constexpr double any = std::numeric_limits<double>::max();
    GenerationDefaults g{.beams = integer("num_beams", 1),
                         .max_length = integer("max_length", 1),
                         .max_new_tokens = integer("max_new_tokens", 1),
                         .min_length = integer("min_length", 0),
                         .no_repeat_ngram = integer("no_repeat_ngram_size", 0),
                         .repetition_penalty = positive("repetition_penalty", any),
                         .temperature = positive("temperature", any),
                         .top_p = positive("top_p", 1),
                         .top_k = integer("top_k", 0)};
    if (json.has("length_penalty"))
        g.length_penalty = json.required<double>("length_penalty");
    if (json.has("do_sample"))
        g.sample = json.required<bool>("do_sample");
    if (json.has("early_stopping")) {
        if (json.required<nlohmann::json>("early_stopping") == "never")
            g.early_stopping = EarlyStopping::never;
        else
            g.early_stopping = json.required<bool>("early_stopping") ? EarlyStopping::when_filled
                                                                     : EarlyStopping::off;
    }
    if (g.sample.value_or(false) && g.beams.value_or(1) > 1)
        warnings.emplace_back(
            "generation_config.json asks for samples within a beam search, which is "
            "not supported; texts are drawn without one");
    for (std::string const key : detail::unknown_generation_keys) {
        auto const found = json.root().find(key);
        if (found != json.root().end() && !detail::is_neutral(key, *found))
            warnings.push_back(join("generation_config.json asks for \"", key,
                                    "\", which is not supported and has no effect"));
    }
    return g;
}

/// The keys of generation_config.json that `read_generation` reads back as `g`.
inline nlohmann::ordered_json generation_json(GenerationDefaults const& g) {
    nlohmann::ordered_json json = nlohmann::ordered_json::object();
    auto put = [&json](char const* key, auto const& value) {
        if (value)
            json[key] = *value;
    };
    put("num_beams", g.beams);
    put("max_length", g.max_length);
    put("max_new_tokens", g.max_new_tokens);
    put("min_length", g.min_length);
    put("no_repeat_ngram_size", g.no_repeat_ngram);
    put("repetition_penalty", g.repetition_penalty);
    put("length_penalty", g.length_penalty);
    if (g.early_stopping == EarlyStopping::never)
        json["early_stopping"] = "never";
    else if (g.early_stopping)
        json["early_stopping"] = *g.early_stopping == EarlyStopping::when_filled;
    put("do_sample", g.sample);
    put("temperature", g.temperature);
    put("top_k", g.top_k);
    put("top_p", g.top_p);
    return json;
}

/// What is generated where a caller says nothing. The authors' release has defaults of its own,
/// whatever lies beside the weights: 3 beams, captions of 5 to 20 tokens and answers of 1 to 10. A
/// model that follows the port takes those of `file`.
inline GenerationDefaults generation_defaults(Task task, Compatibility compatibility,
                                              GenerationDefaults const& file) {
    if (compatibility != Compatibility::salesforce)
        return file;
    if (task == Task::question_answering)
        return {.beams = 3, .max_length = 10, .min_length = 1};
    return {.beams = 3, .max_length = 20, .min_length = 5};
}

} // namespace blip
