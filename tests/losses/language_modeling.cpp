#include <support/catch.hpp>

#include <cmath>
#include <string>

#include <blip/backend/reference/reference.hpp>
#include <blip/losses/language_modeling.hpp>
#include <blip/model/golden_shapes.hpp>
#include <support/golden.hpp>
#include <support/random_weights.hpp>

namespace {

using namespace blip;
using R = Reference<double>;

struct Outcome {
    double total = 0;
    std::vector<double> items, gradient;
};

template <int Vocabulary>
Outcome loss(std::vector<double> logits, std::vector<int> const& labels, int batch,
             LanguageModelingOptions options, std::vector<double> const& weights = {}) {
    R::Engine engine;
    Arena<R> arena;
    Context<R> ctx{engine, arena};
    LanguageModelingLoss<R> const criterion{options};
    LanguageModelingLoss<R>::Cache cache;
    int const length = static_cast<int>(labels.size()) / batch;
    criterion.forward(Tokens<Vocabulary, R>{logits.data(), batch, length}, labels, weights, cache,
                      ctx);
    auto const d = criterion.backward<Vocabulary>(cache);
    CHECK((d.batch == batch && d.length == length));
    return {
        criterion.total(cache, ctx), criterion.per_item(cache, ctx), {d.data, d.data + d.size()}};
}

template <int Vocabulary>
void check_golden(std::string const& folder, SmoothingRule rule) {
    test::GoldenTensors const inputs(folder, "inputs.safetensors");
    test::GoldenTensors const expected(folder, "expected.safetensors");
    auto const logits = inputs["lm_logits"];
    REQUIRE(logits.shape[2] == Vocabulary);
    auto const wide = inputs.integers("lm_labels");
    std::vector<int> const labels(wide.begin(), wide.end());
    int const batch = static_cast<int>(logits.shape[0]);
    auto const run = [&](LanguageModelingOptions options, std::vector<double> const& weights) {
        return loss<Vocabulary>(logits.values, labels, batch, options, weights);
    };
    std::vector<double> ramp;
    for (int b = 0; b < batch; ++b)
        ramp.push_back((b + 1.0) / batch);
    int found = 0;
    for (auto const& name : expected.names()) {
        bool const mean = name.starts_with("lm_mean_eps");
        if ((!mean && !name.starts_with("lm_none_eps")) || name.ends_with(".grad"))
            continue;
        INFO(folder << " " << name);
        ++found;
        double const smoothing = std::stod(name.substr(std::string("lm_mean_eps").size())) / 100;
        LanguageModelingOptions const options{
            smoothing, mean ? Reduction::mean : Reduction::sum_per_item, rule};
        auto const plain = run(options, {});
        auto const weighted = mean ? plain : run(options, ramp);
        CHECK(test::relative_difference(mean ? std::vector{plain.total} : plain.items,
                                        expected[name].values) < 1e-10);
        CHECK(test::relative_difference(weighted.gradient, expected[name + ".grad"].values) <
              1e-10);
    }
    CHECK(found > 0);
}

std::vector<int> const labels{4, 1, 2, ignored_target, 0, ignored_target, ignored_target, 3};
constexpr int skipped = ignored_target;

} // namespace

TEST_CASE("language-modeling loss as PyTorch 1.12 computes it", "[golden]") {
    check_golden<test::golden_losses_vocabulary>("losses", SmoothingRule::ignore_padding);
}

TEST_CASE("language-modeling loss as PyTorch 1.10 computes it", "[golden]") {
    check_golden<test::golden_losses_torch_1_10_0_vocabulary>("losses_torch_1_10_0",
                                                              SmoothingRule::torch_1_10);
}

TEST_CASE("uniform logits cost log V whatever the smoothing") {
    std::vector<double> const logits(2 * 4 * 5, 0.25);
    for (double smoothing : {0.0, 0.1, 1.0})
        CHECK(loss<5>(logits, labels, 2, {.smoothing = smoothing}).total ==
              Approx(std::log(5.0)).epsilon(1e-14));
}

TEST_CASE("the logits at a position predict the label of the next one") {
    // One supervised position: label 2 at position 2, predicted by the logits at position 1.
    auto const logits = test::random_values(4 * 3, {1, 0}, 3);
    double sum = 0;
    for (int v = 0; v < 3; ++v)
        sum += std::exp(logits[static_cast<std::size_t>(3 + v)]);
    auto const one = loss<3>(logits, {skipped, skipped, 2, skipped}, 1, {.smoothing = 0});
    CHECK(one.total == Approx(std::log(sum) - logits[5]).epsilon(1e-14));
    for (std::size_t i = 0; i < 12; ++i)
        CHECK((one.gradient[i] != 0) == (i / 3 == 1));
    // The label of position 0 predicts nothing.
    CHECK(loss<3>(logits, {1, skipped, 2, skipped}, 1, {.smoothing = 0}).total == one.total);
}

TEST_CASE("the mean is the sum over the supervised positions divided by their number") {
    auto const logits = test::random_values(2 * 4 * 5, {2, 0}, 2);
    auto const mean = loss<5>(logits, labels, 2, {});
    auto const sums = loss<5>(logits, labels, 2, {.reduction = Reduction::sum_per_item});
    // Supervised: positions 1 and 2 of the first item, 3 of the second.
    CHECK(mean.total == Approx((sums.items[0] + sums.items[1]) / 3).epsilon(1e-14));
    auto const weighted =
        loss<5>(logits, labels, 2, {.reduction = Reduction::sum_per_item}, {2, -0.5});
    CHECK(weighted.items[0] == Approx(2 * sums.items[0]).epsilon(1e-14));
    CHECK(weighted.items[1] == Approx(-0.5 * sums.items[1]).epsilon(1e-14));
    CHECK(weighted.total == Approx(weighted.items[0] + weighted.items[1]).epsilon(1e-14));
    for (std::size_t i = 0; i < logits.size(); ++i)
        CHECK(weighted.gradient[i] == Approx(sums.gradient[i] * (i < 20 ? 2 : -0.5)));
}

TEST_CASE("PyTorch 1.10 smooths over ignored positions too") {
    auto const logits = test::random_values(2 * 4 * 5, {3, 0}, 2);
    auto const old = SmoothingRule::torch_1_10;
    CHECK(loss<5>(logits, labels, 2, {.smoothing = 0, .rule = old}).total ==
          Approx(loss<5>(logits, labels, 2, {.smoothing = 0}).total).epsilon(1e-14));
    // With ε = 1 only the uniform part is left: the mean over all 6 predicting positions.
    double wanted = 0;
    for (std::size_t r : {0u, 1u, 2u, 4u, 5u, 6u}) {
        double sum = 0, total = 0;
        for (std::size_t v = 0; v < 5; ++v) {
            sum += std::exp(logits[r * 5 + v]);
            total += logits[r * 5 + v];
        }
        wanted += (std::log(sum) - total / 5) / 6;
    }
    CHECK(loss<5>(logits, labels, 2, {.smoothing = 1, .rule = old}).total ==
          Approx(wanted).epsilon(1e-13));
}

TEST_CASE("the loss's gradient is its derivative") {
    auto logits = test::random_values(2 * 4 * 5, {4, 0}, 2);
    for (auto rule : {SmoothingRule::ignore_padding, SmoothingRule::torch_1_10})
        for (auto reduction : {Reduction::mean, Reduction::sum_per_item}) {
            LanguageModelingOptions const options{0.1, reduction, rule};
            std::vector<double> const weights{0.5, 3};
            auto const exact = loss<5>(logits, labels, 2, options, weights).gradient;
            auto const direction = test::random_values(40, {5, 0});
            double slope = 0, step = 1e-5;
            auto ahead = logits, behind = logits;
            for (std::size_t i = 0; i < 40; ++i) {
                slope += exact[i] * direction[i];
                ahead[i] += step * direction[i];
                behind[i] -= step * direction[i];
            }
            double const measured = (loss<5>(ahead, labels, 2, options, weights).total -
                                     loss<5>(behind, labels, 2, options, weights).total) /
                                    (2 * step);
            CHECK(measured == Approx(slope).epsilon(1e-8));
        }
}

TEST_CASE("logits of any size do not overflow") {
    auto const huge = loss<2>({1e4, -1e4, 0, 0}, {skipped, 1}, 1, {.smoothing = 0});
    CHECK(huge.total == Approx(2e4));
    CHECK(huge.gradient == std::vector<double>{1, -1, 0, 0});
}

TEST_CASE("labels that cannot be are refused") {
    std::vector<double> const logits(2 * 4 * 5);
    auto const with = [&](std::vector<int> const& l, int batch) {
        return loss<5>(logits, l, batch, {});
    };
    CHECK_THROWS_AS(with({0, 5, 0, 0, 0, 0, 0, 0}, 2), ArgumentError);
    CHECK_THROWS_AS(with({0, -1, 0, 0, 0, 0, 0, 0}, 2), ArgumentError);
    CHECK_THROWS_AS(with(std::vector<int>(8, skipped), 2), ArgumentError);
    std::vector<double> all(logits);
    R::Engine engine;
    Arena<R> arena;
    Context<R> ctx{engine, arena};
    LanguageModelingLoss<R>::Cache cache;
    std::vector<int> const seven(7);
    CHECK_THROWS_WITH(
        LanguageModelingLoss<R>{}.forward(Tokens<5, R>{all.data(), 2, 4}, seven, {}, cache, ctx),
        "language-modeling loss: expected 8 labels, found 7");
    std::vector<int> const eight(8);
    std::vector<double> const one_weight(1);
    CHECK_THROWS_AS(LanguageModelingLoss<R>{{.reduction = Reduction::sum_per_item}}.forward(
                        Tokens<5, R>{all.data(), 2, 4}, eight, one_weight, cache, ctx),
                    ArgumentError);
    // Sums have a value, 0, where nothing is supervised.
    auto const none =
        loss<5>(logits, std::vector<int>(8, skipped), 2, {.reduction = Reduction::sum_per_item});
    CHECK(none.items == std::vector<double>{0, 0});
}
