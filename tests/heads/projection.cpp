#include <support/catch.hpp>

#include <blip/heads/projection.hpp>
#include <support/check_layer.hpp>

using namespace blip;

namespace {

/// The head with the projection it borrows.
template <class B>
struct Whole {
    using backend = B;
    using Grad = Whole<typename B::gradient>;
    using Head = ProjectedFeatures<6, 5, B>;
    using Cache = typename Head::Cache;

    Linear<6, 5, B> projection;

    static constexpr auto fields() { return std::tuple{Field{"projection", &Whole::projection}}; }

    Tokens<5, B> forward(Tokens<6, B> x, Cache& cache, Context<B>& ctx) const {
        return Head::forward(x, projection, cache, ctx);
    }
    Tokens<6, B> backward(Tokens<5, B> dy, Cache const& cache, Grad& grad, Context<B>& ctx) const {
        auto const dx = ctx.template tokens<6>(2, 5);
        B::zero(ctx.engine, dx.data, dx.size());
        Head::backward(dy, projection, cache, grad.projection, dx, ctx);
        return dx;
    }
};

} // namespace

TEST_CASE("projected features keep the contract") {
    test::check_layer<6, Whole>();
}
