#pragma once

#include <blip/io/json.hpp>
#include <blip/io/tensor_file.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace blip::test {

/// A small tensor of a fixture, row-major, every element type widened to double.
struct GoldenTensor {
    std::vector<std::int64_t> shape;
    std::vector<double> values;
};

/// Path of a file of a golden case.
inline std::filesystem::path golden_file(std::string_view name_of_case, std::string_view name) {
    return std::filesystem::path(BLIP_GOLDEN_DIR) / name_of_case / name;
}

/// A JSON file of a golden case, "case.json" mostly.
inline nlohmann::json golden_json(std::string_view name_of_case,
                                  std::string_view name = "case.json") {
    auto const path = golden_file(name_of_case, name);
    MappedFile const file(path);
    return parse_json({reinterpret_cast<char const*>(file.bytes().data()), file.bytes().size()},
                      path.string());
}

/// A golden case together with the sizes that its config.json was compiled to.
template <class C>
struct GoldenCase {
    std::string name;
};

/// check(GoldenCase) for one case after another of a list in which a missing case is left out.
template <class... C, class Check>
void for_each_case(std::tuple<GoldenCase<C>...> const& cases, Check const& check) {
    std::apply([&check](auto const&... each) { (check(each), ...); }, cases);
}

/// The tensors of one file of a golden case.
class GoldenTensors {
public:
    GoldenTensors(std::string_view name_of_case, std::string_view name)
        : file_(TensorFile::open(golden_file(name_of_case, name))) {}

    bool has(std::string_view name) const { return file_.find(name) != nullptr; }
    TensorFile const& file() const { return file_; }

    std::vector<std::string> names() const {
        std::vector<std::string> result;
        for (auto const& tensor : file_.tensors())
            result.push_back(tensor.name);
        return result;
    }

    /// Throws CheckpointError when the fixture lacks the tensor.
    GoldenTensor operator[](std::string_view name) const {
        auto const& view = file_.at(name);
        return {view.shape, view.values<double>()};
    }

    /// For ids, masks and other integers, exact beyond 2^53.
    std::vector<std::int64_t> integers(std::string_view name) const {
        return file_.at(name).values<std::int64_t>();
    }

    std::vector<float> floats(std::string_view name) const {
        return file_.at(name).values<float>();
    }

private:
    TensorFile file_;
};

/// Largest absolute difference over the largest absolute expected value; infinite when sizes differ
/// or a difference is not a number. An expectation of zeros everywhere gives the plain difference.
template <class Actual, class Expected>
double relative_difference(Actual const& actual, Expected const& expected) {
    if (std::size(actual) != std::size(expected))
        return HUGE_VAL;
    double scale = 0;
    double difference = 0;
    auto a = std::begin(actual);
    for (auto const& wanted : expected) {
        double const off = std::abs(static_cast<double>(*a++) - static_cast<double>(wanted));
        if (std::isnan(off))
            return HUGE_VAL;
        difference = std::max(difference, off);
        scale = std::max(scale, std::abs(static_cast<double>(wanted)));
    }
    return scale > 0 ? difference / scale : difference;
}

/// What the authors' evaluation leaves in a score matrix where the match head was not asked.
inline constexpr double unscored = -100;

/// `relative_difference` of the entries of two score matrices that are scores; infinite unless the
/// same entries are `unscored` in both. On their own, because scores near 1 beside that filler
/// would be compared a hundred times too loosely.
template <class Actual, class Expected>
double score_difference(Actual const& actual, Expected const& expected) {
    if (std::size(actual) != std::size(expected))
        return HUGE_VAL;
    std::vector<double> ours, theirs;
    auto a = std::begin(actual);
    for (auto const& wanted : expected) {
        double const score = static_cast<double>(*a++);
        if ((score == unscored) != (wanted == unscored))
            return HUGE_VAL;
        if (score != unscored) {
            ours.push_back(score);
            theirs.push_back(static_cast<double>(wanted));
        }
    }
    return relative_difference(ours, theirs);
}

} // namespace blip::test
