#include <support/catch.hpp>

#include <cmath>
#include <vector>

#include <blip/backend/reference/reference.hpp>
#include <support/random_weights.hpp>

// Every other backend is compared with this one, so this one is compared with values worked out by
// hand.

namespace {

using namespace blip;
using B = Reference<double>;
using Values = std::vector<double>;

B::Engine engine;

void check(Values const& found, Values const& wanted) {
    REQUIRE(found.size() == wanted.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        INFO("entry " << i);
        CHECK(found[i] == Approx(wanted[i]).epsilon(1e-14).margin(1e-15));
    }
}

} // namespace

TEST_CASE("dual numbers carry exact derivatives") {
    Dual const x{0.7, 1};
    CHECK((x * x * x).slope == Approx(3 * 0.49).epsilon(1e-15));
    CHECK((Dual(2) / x).slope == Approx(-2 / 0.49).epsilon(1e-15));
    CHECK(exp(x).slope == Approx(std::exp(0.7)).epsilon(1e-15));
    CHECK(log(x).slope == Approx(1 / 0.7).epsilon(1e-15));
    CHECK(sqrt(x).slope == Approx(0.5 / std::sqrt(0.7)).epsilon(1e-15));
    CHECK(erf(x).slope == Approx(2 / std::sqrt(std::acos(-1.0)) * std::exp(-0.49)).epsilon(1e-15));
    CHECK(((-x + 1 - x).value == Approx(-0.4) && (-x + 1 - x).slope == -2));
    CHECK((Dual(1, 5) == Dual(1, 6) && Dual(1, 9) < Dual(2, 0)));
}

TEST_CASE("reference: activations") {
    CHECK(B::activate(Activation::gelu, 1) == Approx(0.8413447460685429).epsilon(1e-15));
    CHECK(B::activate(Activation::gelu, -1) == Approx(0.8413447460685429 - 1).epsilon(1e-15));
    CHECK(B::activate(Activation::gelu, 0) == 0);
    CHECK((B::activate(Activation::relu, 2) == 2 && B::activate(Activation::relu, -2) == 0));
    Values const u{1, -3}, dy{2, 5};
    Values du(2);
    // gelu'(x) = Φ(x) + x φ(x), with φ(1) = 0.24197072451914337.
    B::activation_backward(engine, Activation::gelu, u.data(), dy.data(), du.data(), 1);
    CHECK(du[0] == Approx(2 * (0.8413447460685429 + 0.24197072451914337)).epsilon(1e-15));
    B::activation_backward(engine, Activation::relu, u.data(), dy.data(), du.data(), 2);
    check(du, {2, 0});
    B::activation_backward(engine, Activation::none, u.data(), dy.data(), du.data(), 2);
    check(du, dy);
}

TEST_CASE("reference: products over strided rows") {
    // x = [[1, 2], [3, 4]] inside rows of 3; W = [[1, 10], [100, 1000], [0, -1]].
    Values x{1, 2, -7, 3, 4, -7}, w{1, 10, 100, 1000, 0, -1}, bias{0.5, 0, 1};
    WeightView<B> const weight{w.data(), 3, 2};
    Values y(8, -7), u(6);
    B::linear(engine, {x.data(), 2, 2, 3}, weight, bias.data(), Activation::relu,
              {y.data(), 2, 3, 4}, u.data());
    check(u, {21.5, 2100, -1, 43.5, 4300, -3});
    check(y, {21.5, 2100, 0, -7, 43.5, 4300, 0, -7});
    B::linear(engine, {x.data(), 2, 2, 3}, weight, nullptr, Activation::none, {y.data(), 2, 3, 4},
              nullptr);
    check(y, {21, 2100, -2, -7, 43, 4300, -4, -7});

    Values dy{1, 2, 3, 4, 5, 6}, dx(6, -7), dw(6, 1), db(3, 1);
    B::linear_backward_input(engine, {dy.data(), 2, 3, 3}, weight, {dx.data(), 2, 2, 3});
    check(dx, {201, 2007, -7, 504, 5034, -7});
    B::linear_backward_weight(engine, {dy.data(), 2, 3, 3}, {x.data(), 2, 2, 3}, dw.data(),
                              db.data());
    check(dw, {1 + 13, 1 + 18, 1 + 17, 1 + 24, 1 + 21, 1 + 30});
    check(db, {6, 8, 10});
    B::linear_backward_weight(engine, {dy.data(), 2, 3, 3}, {x.data(), 2, 2, 3}, dw.data(),
                              nullptr);
    check(db, {6, 8, 10});
}

TEST_CASE("reference: layer norm and what it keeps") {
    Values x{1, 3, 5, 7}, residual{0, 0, 0, 0}, scale{1, 1, 1, 2}, shift{0, 0, 0, 1};
    Values y(4), sum(4), statistics(2);
    B::layer_norm(engine, {x.data(), 1, 4, 4}, residual.data(), scale.data(), shift.data(), 0,
                  {y.data(), 1, 4, 4}, sum.data(), statistics.data());
    double const r = 1 / std::sqrt(5.0);
    check(y, {-3 * r, -r, r, 6 * r + 1});
    check(sum, x);
    check(statistics, {4, r});
}

TEST_CASE("reference: attention by hand") {
    // One head of width 1 over two keys: p = softmax(q k).
    Values q{1}, k{0, std::log(3.0)}, v{8, 16}, out(1), lse(1);
    AttentionShape shape{.items = 1, .heads = 1, .head_width = 1, .queries = 1, .keys = 2};
    B::attention(engine, shape, {q.data(), 1, 1}, {k.data(), 2, 1}, {v.data(), 2, 1},
                 {out.data(), 1, 1}, lse.data());
    check(out, {8 * 0.25 + 16 * 0.75});
    check(lse, {std::log(4.0)});
    // dv = p dout; ds = p (v - out) dout; dq = Σ ds k; dk = ds q.
    Values dout{2}, dq(1), dk(2), dv(2);
    B::attention_backward(engine, shape, {q.data(), 1, 1}, {k.data(), 2, 1}, {v.data(), 2, 1},
                          {out.data(), 1, 1}, lse.data(), {dout.data(), 1, 1}, {dq.data(), 1, 1},
                          {dk.data(), 2, 1}, {dv.data(), 2, 1});
    check(dv, {0.5, 1.5});
    check(dk, {0.25 * (8 - 14) * 2, 0.75 * (16 - 14) * 2});
    check(dq, {3 * std::log(3.0)});

    unsigned char const first[] = {1, 0}, none[] = {0, 0};
    shape.key_mask = first;
    B::attention(engine, shape, {q.data(), 1, 1}, {k.data(), 2, 1}, {v.data(), 2, 1},
                 {out.data(), 1, 1}, nullptr);
    check(out, {8});
    shape.key_mask = none;
    B::attention(engine, shape, {q.data(), 1, 1}, {k.data(), 2, 1}, {v.data(), 2, 1},
                 {out.data(), 1, 1}, nullptr);
    check(out, {0});
}

TEST_CASE("reference: scores are scaled by the root of the head width, heads lie side by side") {
    // Two heads of width 4; scores 4 s/√4 = 2 s per head.
    Values q(8, 1.0), k{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2}, p(4);
    AttentionShape const shape{.items = 1, .heads = 2, .head_width = 4, .queries = 1, .keys = 2};
    B::attention_probabilities(engine, shape, {q.data(), 8, 8}, {k.data(), 16, 8}, p.data());
    double const a = std::exp(2.0), b = std::exp(4.0);
    check(p, {1 / (1 + a), a / (1 + a), 1 / (1 + b), b / (1 + b)});
}

TEST_CASE("reference: causal queries stand at the end of the keys") {
    Values q{0, 0}, k{0, 0, 0}, p(6);
    AttentionShape const shape{
        .items = 1, .heads = 1, .head_width = 1, .queries = 2, .keys = 3, .causal = Causal::yes};
    B::attention_probabilities(engine, shape, {q.data(), 2, 1}, {k.data(), 3, 1}, p.data());
    check(p, {0.5, 0.5, 0, 1.0 / 3, 1.0 / 3, 1.0 / 3});
}

TEST_CASE("reference: attention dropout zeroes probabilities after the soft-max") {
    int const keys = 64;
    Values q{0}, k(keys, 0.0), v(keys * keys, 0.0), out(keys);
    // Value j is the j-th unit vector: the output is the row of dropped probabilities.
    for (std::size_t j = 0; j < keys; ++j)
        v[j * keys + j] = 1;
    q.assign(keys, 0.0);
    k.assign(keys * keys, 0.0);
    AttentionShape const shape{.items = 1,
                               .heads = 1,
                               .head_width = keys,
                               .queries = 1,
                               .keys = keys,
                               .dropout = 0.25,
                               .key = {5, 6}};
    B::attention(engine, shape, {q.data(), keys, keys}, {k.data(), keys * keys, keys},
                 {v.data(), keys * keys, keys}, {out.data(), keys, keys}, nullptr);
    for (std::size_t j = 0; j < keys; ++j) {
        bool const kept = random_bits({5, 6}, j) >= 0x40000000u;
        CHECK(out[j] == Approx(kept ? 1.0 / keys / 0.75 : 0).epsilon(1e-14));
    }
}

TEST_CASE("reference: indexed attention finds its keys") {
    auto q = test::random_values(3 * 4, {1, 0}), k = test::random_values(2 * 5 * 4, {2, 0});
    auto v = test::random_values(2 * 5 * 4, {3, 0});
    Values out(12), wanted(12);
    // Group 0: query 0 over rows 3, 1 of item 1. Group 1: queries 1, 2 over row 4, 0, 2 of item 0.
    int const starts[] = {0, 1, 3}, items[] = {1, 0}, rows[] = {3, 1, -1, 4, 0, 2},
              counts[] = {2, 3};
    IndexedAttentionShape const indexed{.groups = 2,
                                        .heads = 2,
                                        .head_width = 2,
                                        .keys = 3,
                                        .query_starts = starts,
                                        .key_items = items,
                                        .key_rows = rows,
                                        .key_counts = counts};
    B::attention_indexed(engine, indexed, {q.data(), 0, 4}, {k.data(), 20, 4}, {v.data(), 20, 4},
                         {out.data(), 0, 4});
    auto const gather = [](Values const& from, std::vector<int> const& which) {
        Values picked;
        for (int r : which)
            picked.insert(picked.end(), from.begin() + r * 4, from.begin() + r * 4 + 4);
        return picked;
    };
    auto const dense = [&](std::vector<int> const& which, int first, int queries) {
        auto gk = gather(k, which), gv = gather(v, which);
        AttentionShape const shape{.items = 1,
                                   .heads = 2,
                                   .head_width = 2,
                                   .queries = queries,
                                   .keys = static_cast<int>(which.size())};
        B::attention(engine, shape, {q.data() + first * 4, 0, 4}, {gk.data(), 0, 4},
                     {gv.data(), 0, 4}, {wanted.data() + first * 4, 0, 4}, nullptr);
    };
    dense({8, 6}, 0, 1);
    dense({4, 0, 2}, 1, 2);
    check(out, wanted);
}

TEST_CASE("reference: embedding adds positions, and its backward adds where it looked") {
    int const ids[] = {2, 0, 2}, positions[] = {1, 0, 1};
    Values words{1, 2, 3, 4, 5, 6}, places{10, 20, 30, 40}, y(6);
    B::embed(engine, ids, positions, {words.data(), 3, 2}, places.data(), {y.data(), 3, 2, 2});
    check(y, {35, 46, 11, 22, 35, 46});
    Values dy{1, 2, 3, 4, 5, 6}, dwords(6, 1), dplaces(4, 1);
    B::embed_backward(engine, ids, positions, 0, {dy.data(), 3, 2, 2}, dwords.data(),
                      dplaces.data());
    check(dwords, {1, 1, 1, 1, 7, 9});
    check(dplaces, {4, 5, 7, 9});
}

TEST_CASE("reference: patches hold channel, y, x, one patch row after another") {
    Values image(3 * 4 * 4), rows(48), back(48);
    for (std::size_t i = 0; i < 48; ++i)
        image[i] = static_cast<double>(i);
    B::patches(engine, image.data(), 1, 4, 2, rows.data());
    check({rows.begin(), rows.begin() + 12}, {0, 1, 4, 5, 16, 17, 20, 21, 32, 33, 36, 37});
    check({rows.begin() + 12, rows.begin() + 16}, {2, 3, 6, 7});
    check({rows.begin() + 24, rows.begin() + 28}, {8, 9, 12, 13});
    B::patches_backward(engine, rows.data(), 1, 4, 2, back.data());
    check(back, image);
}

TEST_CASE("reference: prepend puts the first row before every item") {
    Values x{1, 2}, first{10}, positions{100, 200}, y(4);
    B::prepend(engine, x.data(), first.data(), positions.data(), 2, 1, 1, y.data());
    check(y, {110, 201, 110, 202});
    Values dy{1, 2, 3, 4}, dx(2), dfirst{1}, dpositions{1, 1};
    B::prepend_backward(engine, dy.data(), 2, 1, 1, dx.data(), dfirst.data(), dpositions.data());
    check(dx, {2, 4});
    check(dfirst, {5});
    check(dpositions, {5, 7});
}

TEST_CASE("reference: dropout by element and by group") {
    Values x{1, 2, 3, 4, 5, 6, 7, 8}, y(8);
    for (std::ptrdiff_t group : {1, 4}) {
        B::dropout(engine, x.data(), 8, group, 0.5, {3, 4}, y.data());
        for (std::size_t i = 0; i < 8; ++i) {
            auto const unit = i / static_cast<std::size_t>(group);
            CHECK(y[i] == (random_bits({3, 4}, unit) >= 0x80000000u ? 2 * x[i] : 0));
        }
    }
}

TEST_CASE("reference: rows are gathered, scattered, added and scaled") {
    Values x{1, 2, 3, 4, 5, 6}, y(4), z(6, 0);
    int const rows[] = {2, 0};
    B::gather_rows(engine, {x.data(), 3, 2, 2}, rows, {y.data(), 2, 2, 2});
    check(y, {5, 6, 1, 2});
    B::scatter_rows(engine, {y.data(), 2, 2, 2}, rows, {z.data(), 3, 2, 2});
    check(z, {1, 2, 0, 0, 5, 6});
    B::add(engine, x.data(), z.data(), z.data(), 6);
    check(z, {2, 4, 3, 4, 10, 12});
    B::scale(engine, z.data(), 0.5, z.data(), 5);
    check(z, {1, 2, 1.5, 2, 5, 12});
}

TEST_CASE("reference: cross entropy") {
    // Uniform logits cost ln V, whatever the target and the smoothing.
    Values uniform(5, 3.0), losses(1), gradient(5), ones{1};
    int target[] = {2};
    B::cross_entropy(engine, {uniform.data(), 1, 5, 5}, target, ones.data(), ones.data(), 0.1,
                     losses.data(), {gradient.data(), 1, 5, 5});
    check(losses, {std::log(5.0)});
    check(gradient, {0.2 - 0.02, 0.2 - 0.02, 0.2 - 0.92, 0.2 - 0.02, 0.2 - 0.02});
    // Logits ln 1, ln 3: p = 1/4, 3/4. Weights 2 and 4, ε = 0.5.
    Values z{0, std::log(3.0)}, two{2}, four{4};
    target[0] = 1;
    B::cross_entropy(engine, {z.data(), 1, 2, 2}, target, two.data(), four.data(), 0.5,
                     losses.data(), {z.data(), 1, 2, 2});
    double const l0 = std::log(4.0), l1 = std::log(4.0 / 3);
    check(losses, {2 * 0.5 * l1 + 4 * 0.25 * (l0 + l1)});
    // In place of the logits: mass 2·0.5 + 4·0.5 = 3 times p, minus the targets.
    check(z, {0.75 - 1, 2.25 - 1 - 1});
    // A negative target leaves only the uniform part.
    Values w{0, std::log(3.0)};
    target[0] = -1;
    B::cross_entropy(engine, {w.data(), 1, 2, 2}, target, two.data(), four.data(), 0.5,
                     losses.data(), {nullptr, 1, 2, 2});
    check(losses, {4 * 0.25 * (l0 + l1)});
}

TEST_CASE("reference: unit rows") {
    Values x{3, 4, -7, 3e-13, 4e-13, -7}, y(6, -7), norms(2);
    B::normalize_rows(engine, {x.data(), 2, 2, 3}, 1e-12, {y.data(), 2, 2, 3}, norms.data());
    check(y, {0.6, 0.8, -7, 0.3, 0.4, -7});
    check(norms, {5, 1e-12});
    // dy along y changes nothing, dy across it is divided by the norm; below ε the row is scaled.
    Values dy{0.6 + 0.8, 0.8 - 0.6, 0, 1, 2, 0}, dx(6, -7);
    B::normalize_rows_backward(engine, {dy.data(), 2, 2, 3}, {y.data(), 2, 2, 3}, norms.data(),
                               1e-12, {dx.data(), 2, 2, 3});
    check(dx, {0.16, -0.12, -7, 1e12, 2e12, -7});
}

TEST_CASE("reference: division by a learned number") {
    Values const x{1, -2}, divisor{0.5}, dy{3, 5};
    Values y(2), dx(2), ddivisor{1};
    B::divide(engine, x.data(), divisor.data(), y.data(), 2);
    check(y, {2, -4});
    // d(x/τ)/dτ = -x/τ².
    B::divide_backward(engine, dy.data(), y.data(), divisor.data(), dx.data(), ddivisor.data(), 2);
    check(dx, {6, 10});
    check(ddivisor, {1 - (3 * 1 - 5 * 2) / 0.25});
}

TEST_CASE("reference: soft targets and their cross-entropy") {
    // Scores whose soft-max is (1/8, 3/8, 4/8).
    Values scores{0, std::log(3), std::log(4), 5, 5, 5}, targets(6);
    std::vector<int> const ids{7, 9}, key_ids{7, 8, 7};
    B::soft_targets(engine, {scores.data(), 2, 3, 3}, ids.data(), key_ids.data(), 0.4,
                    {targets.data(), 2, 3, 3});
    // Two equal ids share 0.6; the second row has no equal id.
    check(targets, {0.05 + 0.3, 0.15, 0.2 + 0.3, 0.4 / 3, 0.4 / 3, 0.4 / 3});
    Values losses(2), gradient(6);
    B::soft_cross_entropy(engine, {scores.data(), 2, 3, 3}, {targets.data(), 2, 3, 3}, 2,
                          losses.data(), {gradient.data(), 2, 3, 3});
    check(losses, {2 * (0.35 * std::log(8) - 0.15 * std::log(0.375) + 0.5 * std::log(2)),
                   2 * 0.4 * std::log(3)});
    check(gradient, {2 * (0.125 - 0.35), 2 * (0.375 - 0.15), 0, 0, 0, 0});
    Values rows{1, 2, 3, 4, 5, 6}, columns(8, -7);
    B::transpose(engine, {rows.data(), 2, 3, 3}, {columns.data(), 3, 2, 3});
    check(columns, {1, 4, -7, 2, 5, -7, 3, 6});
}

TEST_CASE("reference: averages and AdamW") {
    Values p{1, 2}, m{3, -4};
    B::average(engine, p.data(), 0.75, m.data(), 2);
    check(m, {2.5, -2.5});
    Values const g{2};
    Values first{1}, second{4}, value{10};
    B::adamw(engine,
             {.shrink = 0.5,
              .beta1 = 0.75,
              .beta2 = 0.5,
              .step_size = 3,
              .root_correction = 0.5,
              .epsilon = 1},
             g.data(), first.data(), second.data(), value.data(), 1);
    check(first, {1.25});
    check(second, {4});
    check(value, {5 - 3 * 1.25 / (2 / 0.5 + 1)});
    Values const x{1, -2, 3};
    CHECK(B::sum_of_squares(engine, x.data(), 3) == 14);
    CHECK(B::sum_of_squares(engine, x.data(), 0) == 0);
}
