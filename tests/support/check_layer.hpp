#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

#include <blip/backend/reference/reference.hpp>
#include <blip/core/layer.hpp>
#include <blip/core/weights.hpp>
#include <support/catch.hpp>
#include <support/random_weights.hpp>

/// The contract of docs/writing-a-layer.md as a program: one call checks a layer.
namespace blip::test {

/// What the result is multiplied with. A loss hands back the gradient of the sum of its rows.
enum class Cotangent { random, ones };

struct CheckOptions {
    int batch = 2;
    int length = 5;
    Mode mode = Mode::evaluate;
    Cotangent cotangent = Cotangent::random;
    double scale = 0.5; ///< weights are uniform in [-scale, scale)
    std::uint64_t seed = 1;
};

/// Leaves a layer's epsilons and probabilities as they are.
inline constexpr auto default_settings = [](auto&) {};

/// How well a layer keeps the contract.
struct ContractReport {
    double adjoint = 0;          ///< |<u, Jv> - <Jᵀu, v>| over the larger of the two
    double dual_result = 0;      ///< result on doubles against result on duals
    double twice = 0;            ///< gradient of two calls against twice that of one
    bool input_kept = true;      ///< forward and backward left the inputs unchanged
    bool cotangent_kept = true;  ///< backward left dy unchanged
    bool arena_reusable = true;  ///< the same bits from an arena full of stale numbers
    bool keep_irrelevant = true; ///< the same bits with Keep::nothing
    bool has_slope = false;      ///< the result depends on what was varied
};

namespace detail {

using Real = Reference<double>;
using Slope = Reference<Dual>;

inline bool same_bits(std::vector<double> const& a, std::vector<double> const& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

inline double largest(std::vector<double> const& values) {
    double most = 0;
    for (double value : values)
        most = std::isnan(value) ? HUGE_VAL : std::max(most, std::abs(value));
    return most;
}

/// Largest difference over the largest expected value.
inline double deviation(std::vector<double> a, std::vector<double> const& expected) {
    if (a.size() != expected.size())
        return HUGE_VAL;
    for (std::size_t i = 0; i < a.size(); ++i)
        a[i] -= expected[i];
    double const scale = largest(expected);
    return scale > 0 ? largest(a) / scale : largest(a);
}

inline double inner(std::vector<double> const& a, std::vector<double> const& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        sum += a[i] * b[i];
    return sum;
}

/// Leaves NaN everywhere a later call could read what it did not write.
inline void fill_with_nan(Arena<Real>& arena) {
    Scope scope(arena);
    constexpr std::ptrdiff_t bytes = std::ptrdiff_t{1} << 22;
    std::memset(arena.take<std::byte>(bytes), 0xFF, bytes);
}

} // namespace detail

/// Measures the contract. `settings(layer)` sets epsilons and probabilities. `input_sizes`: how
/// many numbers each differentiable input has, x first. With `x` the pointers to the inputs,
///
///     forward(layer, cache, ctx, x)                  gives a view with `data` and `size()`,
///     backward(layer, dy, cache, grad, ctx, x)       gives the pointers to their gradients.
template <template <class> class Tested>
ContractReport measure_contract(std::vector<std::ptrdiff_t> const& input_sizes,
                                CheckOptions const& options, auto settings, auto forward,
                                auto backward) {
    using detail::Real, detail::Slope;
    static_assert(Layer<Tested<Real>>);
    ContractReport report;
    auto const key = [&](std::uint64_t part) { return split({options.seed, 0}, part); };

    std::vector<std::vector<double>> inputs, directions;
    for (std::size_t i = 0; i < input_sizes.size(); ++i) {
        inputs.push_back(random_values(input_sizes[i], key(100 + i)));
        directions.push_back(random_values(input_sizes[i], key(200 + i)));
    }
    auto const count = count_parameters<Tested<Real>>();
    auto const values = random_values(count, key(1), options.scale);
    auto const direction = random_values(count, key(2));
    auto const noise = random_values(count, key(3));

    // <u, Jv>: one forward on dual numbers.
    std::vector<double> dual_values, slopes;
    {
        Slope::Engine engine;
        Weights<Tested<Slope>> weights(engine);
        settings(*weights);
        std::size_t i = 0;
        for (auto const& p : list_parameters(*weights))
            for (std::ptrdiff_t j = 0; j < p.size; ++j, ++i)
                p.data[j] = {values[i], direction[i]};
        std::vector<std::vector<Dual>> duals(inputs.size());
        std::vector<Dual*> x;
        for (i = 0; i < inputs.size(); ++i) {
            for (std::size_t j = 0; j < inputs[i].size(); ++j)
                duals[i].push_back({inputs[i][j], directions[i][j]});
            x.push_back(duals[i].data());
        }
        Arena<Slope> arena;
        Context<Slope> ctx{engine, arena, Keep::everything, options.mode, key(4)};
        typename Tested<Slope>::Cache cache;
        auto const y = forward(std::as_const(*weights), cache, ctx, std::as_const(x));
        for (std::ptrdiff_t j = 0; j < y.size(); ++j) {
            dual_values.push_back(y.data[j].value);
            slopes.push_back(y.data[j].slope);
        }
    }
    report.has_slope = detail::largest(slopes) > 0;

    Real::Engine engine;
    Weights<Tested<Real>> weights(engine);
    settings(*weights);
    set_parameters(weights, engine, values);
    auto kept = inputs;
    std::vector<double*> x;
    for (auto& input : kept)
        x.push_back(input.data());
    auto const u = options.cotangent == Cotangent::ones ? std::vector<double>(slopes.size(), 1.0)
                                                        : random_values(std::ssize(slopes), key(5));
    Arena<Real> arena;

    struct Result {
        std::vector<double> y;
        std::vector<std::vector<double>> dx;
    };
    // One forward and one backward from the same stream of random numbers every time.
    auto const run = [&](Weights<typename Tested<Real>::Grad>& grad) {
        Scope scope(arena);
        Context<Real> ctx{engine, arena, Keep::everything, options.mode, key(4)};
        typename Tested<Real>::Cache cache;
        auto const y = forward(std::as_const(*weights), cache, ctx, std::as_const(x));
        Result result{{y.data, y.data + y.size()}, {}};
        auto cotangent = u;
        auto dy = y;
        dy.data = cotangent.data();
        std::vector<double*> const dx = backward(std::as_const(*weights), std::as_const(dy), cache,
                                                 *grad, ctx, std::as_const(x));
        for (std::size_t i = 0; i < dx.size(); ++i)
            result.dx.emplace_back(dx[i], dx[i] + input_sizes[i]);
        report.cotangent_kept = report.cotangent_kept && detail::same_bits(cotangent, u);
        return result;
    };

    Weights<typename Tested<Real>::Grad> grad(engine);
    set_parameters(grad, engine, noise);
    Result const first = run(grad);
    auto gradient = parameter_values(grad, engine);
    for (std::size_t i = 0; i < gradient.size(); ++i)
        gradient[i] -= noise[i];
    report.dual_result = detail::deviation(first.y, dual_values);
    double const forward_side = detail::inner(u, slopes);
    double backward_side = detail::inner(gradient, direction);
    for (std::size_t i = 0; i < first.dx.size(); ++i)
        backward_side += detail::inner(first.dx[i], directions[i]);
    report.adjoint = std::abs(forward_side - backward_side) /
                     std::max(std::abs(forward_side), std::abs(backward_side));

    Weights<typename Tested<Real>::Grad> once(engine);
    run(once);
    auto doubled = parameter_values(once, engine);
    detail::fill_with_nan(arena);
    Weights<typename Tested<Real>::Grad> again(engine);
    Result const second = run(again);
    report.arena_reusable = detail::same_bits(second.y, first.y) &&
                            detail::same_bits(parameter_values(again, engine), doubled);
    for (std::size_t i = 0; i < first.dx.size(); ++i)
        report.arena_reusable =
            report.arena_reusable && detail::same_bits(second.dx[i], first.dx[i]);
    run(again);
    for (double& value : doubled)
        value *= 2;
    report.twice = detail::deviation(parameter_values(again, engine), doubled);

    detail::fill_with_nan(arena);
    Context<Real> ctx{engine, arena, Keep::nothing, options.mode, key(4)};
    typename Tested<Real>::Cache unused;
    auto const y = forward(std::as_const(*weights), unused, ctx, std::as_const(x));
    report.keep_irrelevant = detail::same_bits({y.data, y.data + y.size()}, first.y);
    for (std::size_t i = 0; i < inputs.size(); ++i)
        report.input_kept = report.input_kept && detail::same_bits(kept[i], inputs[i]);
    report.input_kept =
        report.input_kept && detail::same_bits(parameter_values(weights, engine), values);
    return report;
}

/// Fails the running test where a layer breaks the contract.
template <template <class> class Tested>
void check_contract(std::vector<std::ptrdiff_t> const& input_sizes, CheckOptions options,
                    auto settings, auto forward, auto backward) {
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
        options.seed += seed;
        INFO("seed " << options.seed);
        auto const report =
            measure_contract<Tested>(input_sizes, options, settings, forward, backward);
        CHECK(report.has_slope);
        CHECK(report.adjoint < 1e-12);
        CHECK(report.dual_result < 1e-12);
        CHECK(report.twice < 1e-12);
        CHECK(report.input_kept);
        CHECK(report.cotangent_kept);
        CHECK(report.arena_reusable);
        CHECK(report.keep_irrelevant);
    }
}

/// The contract of a layer from Tokens<In> to tokens; `extra` are arguments that are not
/// differentiated (masks), passed to forward and backward alike.
template <int In, template <class> class Tested>
void check_layer(CheckOptions const& options, auto settings, auto const&... extra) {
    auto const tokens = [&]<class B>(Context<B>&, auto const& x) {
        return Tokens<In, B>{x[0], options.batch, options.length};
    };
    check_contract<Tested>(
        {std::ptrdiff_t{options.batch} * options.length * In}, options, settings,
        [&](auto const& layer, auto& cache, auto& ctx, auto const& x) {
            return layer.forward(tokens(ctx, x), cache, ctx, extra...);
        },
        [&](auto const& layer, auto dy, auto const& cache, auto& grad, auto& ctx, auto const&) {
            return std::vector{layer.backward(dy, cache, grad, ctx, extra...).data};
        });
}

template <int In, template <class> class Tested>
void check_layer(CheckOptions const& options = {}) {
    check_layer<In, Tested>(options, default_settings);
}

} // namespace blip::test
