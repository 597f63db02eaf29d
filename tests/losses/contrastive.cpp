#include <support/catch.hpp>

#include <string>
#include <tuple>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/layers/unit_rows.hpp>
#include <blip/losses/contrastive.hpp>
#include <blip/losses/feature_queue.hpp>
#include <blip/model/golden_shapes.hpp>
#include <support/check_layer.hpp>
#include <support/network.hpp>

using namespace blip;

namespace {

/// Raw projections to the loss, as a layer whose result is the loss of every row.
template <int Width, class B>
struct RawLoss {
    using backend = B;
    using Grad = RawLoss<Width, typename B::gradient>;
    using Loss = ContrastiveLoss<Width, B>;
    using Unit = UnitRows<Width, B>;

    Parameter<B, 1> temperature;

    static constexpr auto fields() {
        return std::tuple{Field{"temperature", &RawLoss::temperature}};
    }

    struct Cache {
        typename Unit::Cache image, text;
        typename Loss::Cache loss;
    };

    struct Inputs {
        typename B::scalar *image, *text; ///< [batch, Width]
        ContrastiveKeys<Width, B> keys;
        ContrastiveTargets<B> targets;
    };

    Tokens<1, B> forward(Inputs const& in, Cache& cache, Context<B>& ctx) const {
        int const batch = in.keys.batch.image.batch;
        FeaturePair<Width, B> const online{Unit{}.forward({in.image, batch, 1}, cache.image, ctx),
                                           Unit{}.forward({in.text, batch, 1}, cache.text, ctx)};
        Loss::forward(online, in.keys, in.targets, temperature, cache.loss, ctx);
        return {cache.loss.losses, 2 * batch, 1};
    }

    FeaturePair<Width, B> backward(Cache const& cache, Grad& grad, Context<B>& ctx) const {
        typename Unit::Grad none;
        auto const d = Loss::backward(cache.loss, temperature, grad.temperature, ctx);
        return {Unit{}.backward(d.image, cache.image, none, ctx),
                Unit{}.backward(d.text, cache.text, none, ctx)};
    }
};

constexpr int width = 5, batch = 4, queue = 7;

template <class B>
using Tested = RawLoss<width, B>;

/// Keys that take no part in the derivative: the same numbers on every backend, unit or not.
template <class B>
typename Tested<B>::Inputs inputs(auto const& x, double alpha, Context<B>& ctx) {
    auto const constant = [&](std::ptrdiff_t count, std::uint64_t stream) {
        auto const values = test::random_values(count, {31, stream});
        auto* data = ctx.take(count);
        B::upload(ctx.engine, data, values.data(), count);
        return data;
    };
    static constexpr std::int64_t ids[] = {7, 8, 7, 1'000'000'000'000};
    static constexpr std::int64_t queue_ids[] = {8, unknown_picture, 7, 7, 3, 1'000'000'000'000, 9};
    ContrastiveKeys<width, B> const keys{
        {{constant(batch * width, 1), batch, 1}, {constant(batch * width, 2), batch, 1}},
        {constant(width * queue, 3), width, queue, queue},
        {constant(width * queue, 4), width, queue, queue}};
    // Targets have no derivative, not even by the temperature.
    auto* const temperature = ctx.take(1);
    double const fixed = 0.3;
    B::upload(ctx.engine, temperature, &fixed, 1);
    return {x[0], x[1], keys,
            ContrastiveLoss<width, B>::targets(keys, equal_pictures<B>(ids, queue_ids, ctx), alpha,
                                               {temperature}, ctx)};
}

void check(double alpha) {
    test::check_contract<Tested>(
        {batch * width, batch * width}, {.cotangent = test::Cotangent::ones},
        test::default_settings,
        [alpha]<class B>(Tested<B> const& layer, auto& cache, Context<B>& ctx, auto const& x) {
            return layer.forward(inputs<B>(x, alpha, ctx), cache, ctx);
        },
        []<class B>(Tested<B> const& layer, auto, auto const& cache, auto& grad, Context<B>& ctx,
                    auto const&) {
            auto const d = layer.backward(cache, grad, ctx);
            return std::vector{d.image.data, d.text.data};
        });
}

/// The fixture's formulas at its own width.
template <int Width, class B>
void check_golden(std::string const& name, nlohmann::json const& json, double tolerance) {
    test::GoldenTensors const in("losses", "inputs.safetensors");
    test::GoldenTensors const expected("losses", "expected.safetensors");
    test::Bench<B> bench;
    auto& ctx = bench.context;
    Weights<RawLoss<Width, B>> weights(bench.engine);
    double const temperature = json["temp"].get<double>();
    B::upload(bench.engine, weights->temperature.data, &temperature, 1);

    int const count = static_cast<int>(in["raw_image"].shape[0]);
    int const columns = static_cast<int>(in["image_queue"].shape[1]);
    auto const unit = [&](std::string const& raw) {
        typename UnitRows<Width, B>::Cache cache;
        return UnitRows<Width, B>{}.forward({bench.put(in[raw].values), count, 1}, cache, ctx);
    };
    auto const columns_of = [&](std::string const& queued) {
        return Matrix<B>{bench.put(in[queued].values), Width, columns, columns};
    };
    auto const positives =
        json["positives"] == "diagonal"
            ? own_texts<B>(count, columns, ctx)
            : equal_pictures<B>(in.integers("idx"), in.integers("idx_queue"), ctx);
    ContrastiveKeys<Width, B> const keys{{unit("raw_image_m"), unit("raw_text_m")},
                                         columns_of("image_queue"),
                                         columns_of("text_queue")};
    auto const targets = ContrastiveLoss<Width, B>::targets(
        keys, positives, json["alpha"].get<double>(), weights->temperature, ctx);
    typename RawLoss<Width, B>::Inputs const inputs{
        bench.put(in["raw_image"].values), bench.put(in["raw_text"].values), keys, targets};
    typename RawLoss<Width, B>::Cache cache;
    weights->forward(inputs, cache, ctx);
    CHECK(ContrastiveLoss<Width, B>::total(cache.loss, ctx) ==
          Approx(expected[name + ".loss"].values[0]).epsilon(tolerance));
    auto const compare = [&](std::string const& what, auto const* data, std::ptrdiff_t size) {
        INFO(name << "." << what);
        CHECK(test::relative_difference(bench.get(data, size), expected[name + "." + what].values) <
              tolerance);
    };
    std::ptrdiff_t const size = std::ptrdiff_t{count} * (count + columns);
    compare("sim_i2t", cache.loss.image_to_text.scores.data, size);
    compare("sim_t2i", cache.loss.text_to_image.scores.data, size);
    compare("targets_i2t", targets.image_to_text.data, size);
    compare("targets_t2i", targets.text_to_image.data, size);
    Weights<typename RawLoss<Width, B>::Grad> gradient(bench.engine);
    auto const d = weights->backward(cache, *gradient, ctx);
    compare("grad_raw_image", d.image.data, count * Width);
    compare("grad_raw_text", d.text.data, count * Width);
    compare("grad_temp", gradient->temperature.data, 1);
}

} // namespace

TEST_CASE("the share of the soft targets rises in a straight line and stays") {
    // Steps 1 to 3 of the recorded pre-training: two epochs of 4 batches up to 0.4.
    CHECK(ramped_alpha(0.4, 1, 8) == Approx(0.05));
    CHECK(ramped_alpha(0.4, 2, 8) == Approx(0.1));
    CHECK(ramped_alpha(0.4, 3, 8) == Approx(0.15));
    CHECK(ramped_alpha(0.4, 0, 8) == 0);
    CHECK(ramped_alpha(0.4, 7, 8) < 0.4);
    CHECK(ramped_alpha(0.4, 8, 8) == 0.4);
    CHECK(ramped_alpha(0.4, 1000000, 8) == 0.4);
    CHECK(ramped_alpha(0.4, 0, 0) == 0.4);
}

TEST_CASE("the contrastive loss's gradient is its derivative, the temperature's included") {
    check(0);
    check(0.4);
    check(1);
}

TEST_CASE("the contrastive loss agrees with the authors' formulas", "[golden]") {
    constexpr int width_of_cases = test::golden_losses_width;
    auto const json = test::golden_json("losses");
    REQUIRE(test::GoldenTensors("losses", "inputs.safetensors")["raw_image"].shape[1] ==
            width_of_cases);
    int cases = 0;
    for (auto const& [name, values] : json.items()) {
        if (!values.is_object() || !values.contains("positives"))
            continue;
        ++cases;
        check_golden<width_of_cases, Reference<double>>(name, values, 1e-10);
        check_golden<width_of_cases, Cpu<float>>(name, values, 1e-4);
    }
    CHECK(cases > 0);
}

TEST_CASE("without a queue and with one sample the contrastive loss is zero") {
    using B = Reference<double>;
    test::Bench<B> bench;
    Weights<Tested<B>> weights(bench.engine);
    weights->temperature.data[0] = 0.07;
    auto const one = [&](std::uint64_t stream) {
        return bench.put(test::random_values(width, {9, stream}));
    };
    ContrastiveKeys<width, B> const keys{{{one(3), 1, 1}, {one(4), 1, 1}}, {}, {}};
    typename Tested<B>::Inputs const inputs{
        one(1), one(2), keys,
        ContrastiveLoss<width, B>::targets(keys, own_texts<B>(1, 0, bench.context), 0.4,
                                           weights->temperature, bench.context)};
    typename Tested<B>::Cache cache;
    weights->forward(inputs, cache, bench.context);
    CHECK(ContrastiveLoss<width, B>::total(cache.loss, bench.context) == 0);
    Weights<Tested<B>> gradient(bench.engine);
    auto const d = weights->backward(cache, *gradient, bench.context);
    for (int i = 0; i < width; ++i)
        CHECK(std::abs(d.image.data[i]) < 1e-14);
}

TEST_CASE("contrastive inputs that cannot be are refused") {
    using B = Reference<double>;
    using Loss = ContrastiveLoss<width, B>;
    test::Bench<B> bench;
    auto* const data = bench.put(test::random_values(batch * width, {1, 0}));
    auto const rows = [&](int count) { return Tokens<width, B>{data, count, 1}; };
    Parameter<B, 1> const temperature{data};
    auto const run = [&](int images, int texts, int keys, double alpha) {
        Loss::Cache cache;
        ContrastiveKeys<width, B> const momentum{{rows(keys), rows(keys)}, {}, {}};
        auto const targets = Loss::targets(momentum, own_texts<B>(4, 0, bench.context), alpha,
                                           temperature, bench.context);
        Loss::forward({rows(images), rows(texts)}, momentum, targets, temperature, cache,
                      bench.context);
    };
    CHECK_NOTHROW(run(3, 3, 3, 0.4));
    CHECK_THROWS_WITH(run(3, 2, 3, 0.4),
                      "contrastive loss: 3 pictures and 2 texts against 3 momentum features; "
                      "expected equal numbers");
    CHECK_THROWS_AS(run(3, 3, 2, 0.4), ArgumentError);
    CHECK_THROWS_AS(run(0, 0, 0, 0.4), ArgumentError);
    CHECK_THROWS_AS(run(3, 3, 3, 1.5), ArgumentError);
    CHECK_THROWS_AS(run(3, 3, 3, std::nan("")), ArgumentError);
    std::vector<std::int64_t> const ids{1, unknown_picture};
    CHECK_THROWS_AS(equal_pictures<B>(ids, {}, bench.context), ArgumentError);
}
