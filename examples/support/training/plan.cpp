#include "plan.hpp"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <limits>
#include <numeric>
#include <string_view>
#include <type_traits>
#include <utility>

#include <blip/core/error.hpp>

#include "../arguments.hpp"

namespace support {

namespace {

/// Letters to change, add or take away to get from one word to the other.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t before = row[0]++;
        for (std::size_t j = 0; j < b.size(); ++j)
            before = std::exchange(row[j + 1], std::min({row[j] + 1, row[j + 1] + 1,
                                                         before + (a[i] == b[j] ? 0 : 1)}));
    }
    return row.back();
}

std::string nearest_key(TrainingPlan const& plan, std::string const& key) {
    std::string best = "data";
    auto const offer = [&](std::string const& name) {
        if (distance(name, key) < distance(best, key))
            best = name;
    };
    offer("validation");
    TrainingPlan::for_each_value(plan,
                                 [&](char const* name, auto const&, char const*) { offer(name); });
    return best;
}

std::vector<DataPart> parts_of(nlohmann::json const& value, std::string const& key,
                               std::filesystem::path const& file) {
    auto const wrong = [&](std::string const& found) {
        return blip::FormatError(blip::join(
            file.string(), ": \"", key, "\" must be a path, or a list of paths or of objects with ",
            "\"path\", \"pictures\" and \"weight\"; found ", found));
    };
    // Paths in a config file are relative to it, as pictures are to their list.
    auto const beside = [&](std::string const& path) {
        return (file.parent_path() / path).string();
    };
    std::vector<DataPart> parts;
    auto const add = [&](nlohmann::json const& one) {
        if (one.is_string()) {
            parts.push_back({.path = beside(one.get<std::string>()), .pictures = {}});
            return;
        }
        if (!one.is_object() || !one.contains("path") || !one["path"].is_string())
            throw wrong(one.dump());
        DataPart part{.path = beside(one["path"].get<std::string>()), .pictures = {}};
        for (auto const& [name, given] : one.items()) {
            if (name == "path")
                continue;
            if (name == "pictures" && given.is_string())
                part.pictures = beside(given.get<std::string>());
            else if (name == "weight" && given.is_number() && given.get<double>() > 0)
                part.weight = given.get<double>();
            else
                throw wrong(blip::join("\"", name, "\": ", given.dump()));
        }
        parts.push_back(std::move(part));
    };
    if (value.is_array())
        for (auto const& one : value)
            add(one);
    else
        add(value);
    return parts;
}

/// A run's record must mean the same from every folder.
std::string absolute(std::string const& path) {
    return path.empty() ? path : std::filesystem::absolute(path).string();
}

nlohmann::ordered_json json_of(std::vector<DataPart> const& parts) {
    auto list = nlohmann::ordered_json::array();
    for (auto const& part : parts) {
        nlohmann::ordered_json one{{"path", absolute(part.path)}};
        if (!part.pictures.empty())
            one["pictures"] = absolute(part.pictures);
        if (part.weight)
            one["weight"] = *part.weight;
        list.push_back(std::move(one));
    }
    return list;
}

template <class T>
bool fits(nlohmann::json const& value) {
    if constexpr (std::is_same_v<T, bool>)
        return value.is_boolean();
    else if constexpr (std::is_integral_v<T>)
        return value.is_number_integer() &&
               (value.is_number_unsigned() ? std::in_range<T>(value.template get<std::uint64_t>())
                                           : std::in_range<T>(value.template get<std::int64_t>()));
    else if constexpr (std::is_floating_point_v<T>)
        return value.is_number();
    else
        return value.is_string();
}

} // namespace

void TrainingPlan::read(std::filesystem::path const& file) {
    std::ifstream in(file, std::ios::binary);
    if (!in)
        throw blip::FileError(blip::join(file.string(), ": cannot be opened"));
    auto const json = nlohmann::json::parse(in, nullptr, false, true);
    if (!json.is_object())
        throw blip::FormatError(
            blip::join(file.string(), ": expected a JSON object such as {\"batch\": 16}"));
    for (auto const& [key, value] : json.items()) {
        if (key == "data" || key == "validation") {
            (key == "data" ? data : validation) = parts_of(value, key, file);
            continue;
        }
        // What a run's own record says beside the values.
        if (key == "model")
            continue;
        if (key == "scratch") {
            scratch = scratch || value == true;
            continue;
        }
        if (key == "task") {
            if (value != task)
                throw blip::FormatError(blip::join(file.string(),
                                                   ": the plan of another program: "
                                                   "\"task\" is ",
                                                   value.dump(), ", expected \"", task, '"'));
            continue;
        }
        bool known = false;
        for_each_value(
            *this, [&, &key = key, &value = value](std::string const& name, auto& to, char const*) {
                if (name != key)
                    return;
                known = true;
                using T = std::remove_reference_t<decltype(to)>;
                if (!fits<T>(value))
                    throw blip::FormatError(blip::join(
                        file.string(), ": \"", key, "\" is ", value.dump(), ", expected ",
                        nlohmann::json(to).type_name(), " such as ", nlohmann::json(to).dump()));
                to = value.template get<T>();
            });
        if (!known)
            throw blip::FormatError(blip::join(file.string(), ": no value is called \"", key,
                                               "\"; did you mean \"", nearest_key(*this, key),
                                               "\"?"));
    }
}

nlohmann::ordered_json TrainingPlan::json() const {
    nlohmann::ordered_json json{{"task", task},
                                {"model", absolute(model)},
                                {"scratch", scratch},
                                {"data", json_of(data)},
                                {"validation", json_of(validation)}};
    for_each_value(*this,
                   [&](char const* name, auto const& value, char const*) { json[name] = value; });
    return json;
}

void TrainingPlan::check() const {
    auto const require = [](bool holds, auto const&... words) {
        if (!holds)
            throw UsageError(blip::join(words...));
    };
    require(!data.empty(), "no training data; name some with --data or in the config file");
    require(batch > 0 && accumulate > 0, "--batch and --accumulate must be at least 1");
    require(std::int64_t(batch) * accumulate <= std::numeric_limits<int>::max(), "--batch ", batch,
            " times --accumulate ", accumulate, " is more than can be counted");
    require(steps >= 0 && (steps > 0 || epochs > 0), "--steps or --epochs must be above 0");
    auto const schedules = {"cosine by epoch", "warm-up cosine", "warm-up decay", "constant"};
    require(std::ranges::find(schedules, schedule) != schedules.end(), "--schedule is \"", schedule,
            "\", expected cosine by epoch, warm-up cosine, warm-up decay or constant");
    require(learning_rate > 0 && least_rate >= 0 && least_rate <= learning_rate,
            "--learning-rate must be above 0, --least-rate between 0 and it");
    require(warmup_steps >= 0 && warmup_rate >= 0, "--warmup-steps and --warmup-rate: below 0");
    require(decay > 0 && decay <= 1, "--decay must be above 0 and at most 1");
    require(task != "pretraining" || prompt == own_prompt || prompt.empty(),
            "--prompt: pre-training learns captions without one");
    require(clip >= 0, "--clip is below 0");
    require(weight_decay >= 0, "--weight-decay is below 0");
    auto const require_share = [&](char const* name, double value) {
        require(value >= 0 && value < 1, name, " is ", value, ", expected 0 or more and below 1");
    };
    require_share("--average", average);
    require_share("--beta1", beta1);
    require_share("--beta2", beta2);
    require_share("--word-dropout", word_dropout);
    require(alpha >= 0 && alpha <= 1, "--alpha is ", alpha, ", expected between 0 and 1");
    require(momentum >= 0 && momentum <= 1, "--momentum is ", momentum,
            ", expected between 0 and 1");
    for (auto const& [name, value] : std::initializer_list<std::pair<char const*, double>>{
             {"--dropout", dropout}, {"--drop-path", drop_path}, {"--smoothing", smoothing}})
        require(value == -1 || (value >= 0 && value < 1), name, " is ", value,
                ", expected -1, or 0 or more and below 1");
    for (auto const& [name, value] : std::initializer_list<std::pair<char const*, std::int64_t>>{
             {"--text-length", text_length},
             {"--validate-every", validate_every},
             {"--validation-items", validation_items},
             {"--recall-among", recall_among},
             {"--rerank", rerank},
             {"--patience", patience},
             {"--checkpoint-every", checkpoint_every},
             {"--max-broken", max_broken},
             {"--workers", workers},
             {"--threads", threads}})
        require(value >= 0, name, " is ", value, ", expected 0 or more");
    require(log_every > 0, "--log-every must be at least 1");
    require(spread > 0 && position_spread > 0, "--spread and --position-spread must be above 0");
    require(alpha_epochs >= 0, "--alpha-epochs is below 0");
    require(crop_least > 0 && crop_least <= 1, "--crop-least must be above 0 and at most 1");
    require(max_words > 0, "--max-words must be at least 1");
    require(beams > 0 && keep > 0, "--beams and --keep must be at least 1");
    require(export_type == "float32" || export_type == "float16", "--export-type is \"",
            export_type, "\", expected float32 or float16");
    require(patience == 0 || !validation.empty(),
            "--patience needs --validation: nothing would tell what is better");
}

} // namespace support
