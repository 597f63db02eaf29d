#include <support/catch.hpp>

#include <tuple>

#include <blip/layers/linear.hpp>
#include <support/check_layer.hpp>

// A check that never fails proves nothing: each layer here breaks one rule of the contract.

namespace {

using namespace blip;

enum class Flaw {
    none,
    forgets_bias,    // the gradient of the bias is missing
    assigns,         // backward assigns to the gradient
    scales_input,    // dx is off by a factor of 1 + 1e-9
    changes_input,   // forward overwrites x
    changes_dy,      // backward overwrites dy
    reads_garbage,   // forward reads memory that it did not write
    depends_on_keep, // another result with Keep::nothing
};

template <class B, Flaw F>
struct Flawed {
    using backend = B;
    using Grad = Flawed<typename B::gradient, F>;
    using X = Tokens<4, B>;
    Linear<4, 4, B> inner;

    static constexpr auto fields() { return std::tuple{Field{"inner", &Flawed::inner}}; }

    struct Cache {
        typename Linear<4, 4, B>::Cache inner;
    };

    X forward(X x, Cache& cache, Context<B>& ctx) const {
        auto const* garbage = ctx.take(1);
        auto y = inner.forward(x, cache.inner, ctx);
        if (F == Flaw::changes_input)
            x.data[0] = typename B::scalar(7);
        if (F == Flaw::reads_garbage)
            y.data[0] += *garbage;
        if (F == Flaw::depends_on_keep && ctx.keep == Keep::nothing)
            y.data[0] += typename B::scalar(1e-15);
        return y;
    }

    X backward(X dy, Cache const& cache, Grad& grad, Context<B>& ctx) const {
        auto bias = grad.inner.bias.data[0];
        if (F == Flaw::assigns)
            B::zero(ctx.engine, grad.inner.weight.data, 16);
        auto dx = inner.backward(dy, cache.inner, grad.inner, ctx);
        if (F == Flaw::forgets_bias)
            grad.inner.bias.data[0] = bias;
        if (F == Flaw::scales_input)
            dx.data[0] *= typename B::scalar(1 + 1e-9);
        if (F == Flaw::changes_dy)
            dy.data[0] = typename B::scalar(7);
        return dx;
    }
};

template <Flaw F>
struct Bind {
    template <class B>
    using type = Flawed<B, F>;
};

template <Flaw F>
test::ContractReport measure() {
    return test::measure_contract<Bind<F>::template type>(
        {2 * 3 * 4}, {.batch = 2, .length = 3}, test::default_settings,
        [](auto const& layer, auto& cache, auto& ctx, auto const& x) {
            return layer.forward({x[0], 2, 3}, cache, ctx);
        },
        [](auto const& layer, auto dy, auto const& cache, auto& grad, auto& ctx, auto const&) {
            return std::vector{layer.backward(dy, cache, grad, ctx).data};
        });
}

bool passes(test::ContractReport const& r) {
    return r.adjoint < 1e-12 && r.dual_result < 1e-12 && r.twice < 1e-12 && r.input_kept &&
           r.cotangent_kept && r.arena_reusable && r.keep_irrelevant && r.has_slope;
}

} // namespace

TEST_CASE("the contract's check accepts a layer that keeps it") {
    CHECK(passes(measure<Flaw::none>()));
}

TEST_CASE("the contract's check finds every broken rule") {
    CHECK(measure<Flaw::forgets_bias>().adjoint > 1e-6);
    CHECK(measure<Flaw::assigns>().adjoint > 1e-6);
    CHECK(measure<Flaw::assigns>().twice > 1e-6);
    CHECK(measure<Flaw::scales_input>().adjoint > 1e-12);
    CHECK_FALSE(measure<Flaw::changes_input>().input_kept);
    CHECK_FALSE(measure<Flaw::changes_dy>().cotangent_kept);
    CHECK_FALSE(measure<Flaw::reads_garbage>().arena_reusable);
    CHECK_FALSE(measure<Flaw::depends_on_keep>().keep_irrelevant);
}
