#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/core/random.hpp>
#include <blip/models/loaded_model.hpp>
#include <blip/vision/preprocess.hpp>

namespace blip::bench {

namespace fs = std::filesystem;
using nlohmann::json;
using B = Cpu<float>;

struct Arguments {
    fs::path models;
    fs::path photos;
    std::vector<std::string> measures;
    std::size_t threads = 2;
    int calls = 0;
    fs::path once;
};

/// One measure, ready to be timed.
struct Work {
    std::function<void()> call;
    int items = 1;
    int calls = 8;
    json detail = json::object();
};

/// Measures by name, made ready one at a time.
using Measures = std::vector<std::pair<std::string, std::function<Work(Arguments const&)>>>;

/// Pictures, captions and training.
Measures caption_measures();
/// The other variants.
Measures variant_measures();

/// What a user's program does: loads, captions one photo, prints.
void caption_once(Arguments const& a);

inline std::vector<fs::path> list_photos(fs::path const& folder) {
    std::vector<fs::path> found;
    for (auto const& entry : fs::directory_iterator(folder))
        if (auto const suffix = entry.path().extension(); suffix == ".jpg" || suffix == ".jpeg")
            found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    if (found.empty())
        throw FileError(join(folder.string(), ": no .jpg files here"));
    return found;
}

/// Normally distributed pictures [count, 3, size, size].
inline Pixels make_pixels(std::size_t count, std::size_t size) {
    Pixels pixels(Pixels::shape_type{count, 3, size, size});
    RandomKey const key{7, 0};
    for (std::size_t i = 0; i < pixels.size(); i += 2) {
        double const radius = std::sqrt(-2 * std::log(1 - random_uniform(key, i)));
        double const angle = 2 * std::numbers::pi * random_uniform(key, i + 1);
        pixels.data()[i] = static_cast<float>(radius * std::cos(angle));
        pixels.data()[i + 1] = static_cast<float>(radius * std::sin(angle));
    }
    return pixels;
}

/// A model type with the weights of a folder.
template <class Model>
Model load_model(Arguments const& a, char const* folder) {
    return Model::load(a.models / folder, {.engine = B::Engine(a.threads)});
}

} // namespace blip::bench
