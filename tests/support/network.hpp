#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <blip/core/context.hpp>
#include <blip/core/weights.hpp>
#include <blip/io/checkpoint_names.hpp>
#include <blip/layers/text_embedding.hpp>
#include <support/golden.hpp>

namespace blip::test {

/// An engine and an arena for one test, and transfers between them and host vectors.
template <class B>
struct Bench {
    using scalar = typename B::scalar;
    typename B::Engine engine{};
    Arena<B> arena{};
    Context<B> context{engine, arena};

    template <class T>
    scalar* put(std::vector<T> const& values) {
        auto* data = context.take(std::ssize(values));
        B::upload(engine, data, values.data(), std::ssize(values));
        return data;
    }
    int* put_ids(std::vector<std::int64_t> const& values) {
        std::vector<int> const ids(values.begin(), values.end());
        auto* data = arena.template take<int>(std::ssize(ids));
        B::upload(engine, data, ids.data(), std::ssize(ids));
        return data;
    }
    unsigned char* put_mask(std::vector<std::int64_t> const& values) {
        std::vector<unsigned char> const mask(values.begin(), values.end());
        auto* data = arena.template take<unsigned char>(std::ssize(mask));
        B::upload(engine, data, static_cast<unsigned char const*>(mask.data()), std::ssize(mask));
        return data;
    }
    std::vector<double> get(scalar const* data, std::ptrdiff_t count) {
        std::vector<double> values(static_cast<std::size_t>(count));
        B::download(engine, values.data(), data, count);
        return values;
    }
    template <int Width>
    std::vector<double> get(Tokens<Width, B> x) {
        return get(static_cast<scalar const*>(x.data), x.size());
    }

    /// Ids [batch, length] with positions 0, 1, ... and a padding mask (empty: none).
    TextInput<B> text(std::vector<std::int64_t> const& ids, std::vector<std::int64_t> const& mask,
                      std::int64_t batch) {
        auto const length = static_cast<std::int64_t>(ids.size()) / batch;
        std::vector<std::int64_t> positions;
        for (std::size_t i = 0; i < ids.size(); ++i)
            positions.push_back(static_cast<std::int64_t>(i) % length);
        return {put_ids(ids), put_ids(positions), mask.empty() ? nullptr : put_mask(mask),
                static_cast<int>(batch), static_cast<int>(length)};
    }
};

/// Queries' and keys' gradients so much smaller than those of the values with which they are one
/// parameter that of their digits, sums of cancelled terms as large as the values', little more
/// than rounding is left. What is asked of them is said here, case by case; whatever is larger, and
/// every parameter that is not fused, has to meet the full tolerance.
struct TinyGradients {
    double below = 0; ///< largest entry over the fused parameter's largest: smaller ones are tiny
    double relative = 0; ///< how far a tiny tensor may be off relative to its own largest entry,
    double rounding = 0; ///< or how far relative to the fused parameter's largest;
    double cosine = -2;  ///< and in either case how well its direction must agree,
    double noise = 0;    ///< but where it is below this share of the fused parameter's largest
    double noise_cosine = -2; ///< only as well as this
};

/// What a comparison of gradients found.
struct GradientComparison {
    double off = 0;                   ///< largest deviation of a tensor that is not tiny
    std::string worst{};              ///< that tensor
    std::vector<std::string> tiny;    ///< tensors to which less than the tolerance applied
    std::vector<std::string> wrong;   ///< tiny ones that miss even that, with how far they are off
    std::vector<std::string> unasked; ///< expected tensors that belong to no parameter
    std::size_t compared = 0;         ///< tensors of all parameters
};

/// The cosine of the angle between two lists of numbers of equal length; 1 where one is zero.
inline double direction_cosine(std::span<double const> a, std::span<double const> b) {
    double product = 0, left = 0, right = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        product += a[i] * b[i];
        left += a[i] * a[i];
        right += b[i] * b[i];
    }
    return left > 0 && right > 0 ? product / std::sqrt(left * right) : 1;
}

/// Compares the gradient of every parameter with the expected tensor `prefix` + name, relative to
/// that tensor's largest entry, and finds out which expected tensors no parameter asked for.
/// Tensors that are zero but for rounding noise are compared with zero, relative to the largest
/// gradient of all. Parameters without an expected tensor must be zero.
template <class GradientWeights, class Bench, class Names>
GradientComparison compare_gradients(GradientWeights& gradient, Bench& bench,
                                     GoldenTensors const& expected, std::string const& prefix,
                                     Names const& names, TinyGradients const& allowed) {
    using Network = std::remove_cvref_t<decltype(*gradient)>;
    GradientComparison result;
    double largest = 0;
    for (auto const& name : expected.names())
        if (name.starts_with(prefix))
            for (double v : expected[name].values)
                largest = std::max(largest, std::abs(v));
    std::set<std::string> asked;
    for (auto const& parameter : list_parameters(*gradient)) {
        auto const ours = bench.get(parameter.data, parameter.size);
        auto const parts = names(parameter.path);
        auto const part_size = ours.size() / parts.size();
        double fused = 0;
        for (auto const& part : parts)
            if (expected.has(prefix + part))
                for (double v : expected[prefix + part].values)
                    fused = std::max(fused, std::abs(v));
        for (std::size_t i = 0; i < parts.size(); ++i) {
            std::span const slice(ours.data() + i * part_size, part_size);
            asked.insert(prefix + parts[i]);
            for (auto const& other : tied_names_of<Network>(parts[i]))
                asked.insert(prefix + other);
            ++result.compared;
            double here = 0;
            double most = 0;
            std::vector<double> wanted(part_size, 0.0);
            if (expected.has(prefix + parts[i]))
                wanted = expected[prefix + parts[i]].values;
            for (double v : wanted)
                most = std::max(most, std::abs(v));
            if (most < 1e-12 * largest) {
                for (double v : slice)
                    here = std::max(here, std::abs(v) / largest);
            } else {
                here = relative_difference(slice, std::span<double const>(wanted));
                if (most < allowed.below * fused) {
                    result.tiny.push_back(parts[i]);
                    double const wanted_cosine =
                        most < allowed.noise * fused ? allowed.noise_cosine : allowed.cosine;
                    double const cosine = here < HUGE_VAL ? direction_cosine(slice, wanted) : -2;
                    if (!((here <= allowed.relative || here * most <= allowed.rounding * fused) &&
                          cosine > wanted_cosine))
                        result.wrong.push_back(join(parts[i], ": off by ", here, " of ", most,
                                                    " beside ", fused, ", cosine ", cosine));
                    continue;
                }
            }
            if (!(here <= result.off)) {
                result.off = here;
                result.worst = parts[i];
            }
        }
    }
    for (auto const& name : expected.names())
        if (name.starts_with(prefix) && !asked.contains(name))
            result.unasked.push_back(name);
    return result;
}

/// The largest deviation of any gradient where none is tiny; infinite when an expected tensor was
/// compared with nothing.
template <class GradientWeights, class Bench, class Names>
double gradient_difference(GradientWeights& gradient, Bench& bench, GoldenTensors const& expected,
                           std::string const& prefix, Names const& names, std::string& worst) {
    auto const found = compare_gradients(gradient, bench, expected, prefix, names, {});
    worst = found.unasked.empty() ? found.worst : found.unasked.front() + " (no parameter's)";
    return found.unasked.empty() ? found.off : HUGE_VAL;
}

} // namespace blip::test
