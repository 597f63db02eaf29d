#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
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

/// Largest deviation of any parameter's gradient from the expected tensors `prefix` + name,
/// relative to that tensor's largest entry. Tensors that are zero but for rounding noise are
/// compared with zero, relative to the largest gradient of all. Parameters without an expected
/// tensor must be zero. Differences below `rounding` times the largest gradient of all are none: to
/// be set to a few epsilons of the backend's numbers where a case has gradients so small that only
/// the rounding of cancelled, far larger terms is left of their digits.
template <class GradientWeights, class Bench, class Names>
double gradient_difference(GradientWeights& gradient, Bench& bench, GoldenTensors const& expected,
                           std::string const& prefix, Names const& names, std::string& worst,
                           double rounding = 0) {
    double largest = 0;
    for (auto const& name : expected.names())
        if (name.starts_with(prefix))
            for (double v : expected[name].values)
                largest = std::max(largest, std::abs(v));
    double difference = 0;
    for_each_parameter(*gradient, [&](std::string const& path, auto& parameter) {
        using P = std::remove_cvref_t<decltype(parameter)>;
        auto const ours = bench.get(parameter.data, P::size);
        auto const parts = names(path);
        auto const part_size = ours.size() / parts.size();
        for (std::size_t i = 0; i < parts.size(); ++i) {
            std::span const slice(ours.data() + i * part_size, part_size);
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
                here = relative_difference(slice, wanted);
                if (here * most <= rounding * largest)
                    here = 0;
            }
            if (!(here <= difference)) {
                difference = here;
                worst = parts[i];
            }
        }
    });
    return difference;
}

} // namespace blip::test
