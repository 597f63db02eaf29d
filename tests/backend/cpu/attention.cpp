#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>

#include "backend/cpu/numbers.hpp"
#include "support/catch.hpp"

using namespace blip;
using blip::test::doubles;
using blip::test::largest_difference;
using blip::test::numbers;

namespace {

using Host = Cpu<float>;
using Exact = Reference<double>;

/// One attention with rows wider than its heads, as fused projections lay them out.
struct Problem {
    AttentionShape shape;
    std::ptrdiff_t width, stride;
    std::vector<float> q, k, v, dout;

    explicit Problem(AttentionShape s)
        : shape(s), width(std::ptrdiff_t{s.heads} * s.head_width), stride(width + 3),
          q(numbers(count(s.queries), 1)), k(numbers(count(s.keys), 2)),
          v(numbers(count(s.keys), 3)), dout(numbers(count(s.queries), 4)) {
        for (float& value : q)
            value *= 3;
    }
    std::size_t count(int rows) const {
        return static_cast<std::size_t>(shape.items * rows * stride);
    }
    template <class B, class T>
    HeadRows<B> rows(std::vector<T>& x, int length) const {
        return {x.data(), length * stride, stride};
    }
};

template <class B>
struct Outcome {
    using T = typename B::scalar;
    std::vector<T> out, lse, dq, dk, dv, p;
};

template <class B>
Outcome<B> run(typename B::Engine& engine, Problem const& problem) {
    using T = typename B::scalar;
    AttentionShape const& s = problem.shape;
    std::vector<T> q(problem.q.begin(), problem.q.end()), k(problem.k.begin(), problem.k.end()),
        v(problem.v.begin(), problem.v.end()), g(problem.dout.begin(), problem.dout.end());
    Outcome<B> o;
    o.out.assign(q.size(), T(5));
    o.dq.assign(q.size(), T(5));
    o.dk.assign(k.size(), T(5));
    o.dv.assign(k.size(), T(5));
    auto const scores = static_cast<std::size_t>(s.items) * static_cast<std::size_t>(s.heads) *
                        static_cast<std::size_t>(s.queries);
    o.lse.resize(scores);
    o.p.resize(scores * static_cast<std::size_t>(s.keys));
    auto const qr = problem.rows<B>(q, s.queries);
    auto const kr = problem.rows<B>(k, s.keys);
    auto const vr = problem.rows<B>(v, s.keys);
    auto const out = problem.rows<B>(o.out, s.queries);
    B::attention(engine, s, qr, kr, vr, out, o.lse.data());
    B::attention_backward(engine, s, qr, kr, vr, out, o.lse.data(), problem.rows<B>(g, s.queries),
                          problem.rows<B>(o.dq, s.queries), problem.rows<B>(o.dk, s.keys),
                          problem.rows<B>(o.dv, s.keys));
    B::attention_probabilities(engine, s, qr, kr, o.p.data());
    return o;
}

void check(AttentionShape const& shape) {
    INFO(shape.items << " items, " << shape.heads << " heads of " << shape.head_width << ", "
                     << shape.queries << " queries, " << shape.keys << " keys, dropout "
                     << shape.dropout);
    Problem const problem(shape);
    Exact::Engine plain;
    Host::Engine engine(3), alone(1);
    auto const expected = run<Exact>(plain, problem);
    auto const found = run<Host>(engine, problem);
    REQUIRE(largest_difference(found.out, expected.out) < 2e-6);
    REQUIRE(largest_difference(found.lse, expected.lse) < 2e-6);
    REQUIRE(largest_difference(found.p, expected.p) < 1e-6);
    REQUIRE(largest_difference(found.dq, expected.dq) < 1e-5);
    REQUIRE(largest_difference(found.dk, expected.dk) < 1e-5);
    REQUIRE(largest_difference(found.dv, expected.dv) < 1e-5);
    auto const single = run<Host>(alone, problem);
    REQUIRE(single.out == found.out);
    REQUIRE(single.lse == found.lse);
    REQUIRE(single.dq == found.dq);
    REQUIRE(single.dk == found.dk);
    REQUIRE(single.dv == found.dv);
}

} // namespace

TEST_CASE("Attention and its backward equal plain loops for odd sizes") {
    for (int width : {1, 5, 16, 32, 33, 64, 80})
        for (int queries : {1, 3, 7, 30})
            for (int keys : {1, 2, 31, 33, 70})
                check({.items = 2,
                       .heads = 3,
                       .head_width = width,
                       .queries = queries,
                       .keys = keys});
    check({.items = 1, .heads = 2, .head_width = 64, .queries = 145, .keys = 577});
    check({.items = 1, .heads = 1, .head_width = 64, .queries = 300, .keys = 300});
}

TEST_CASE("Attention obeys causal and key masks, and queries without keys give zeros") {
    for (int queries : {1, 2, 5, 17, 35, 60})
        for (int keys : {1, 5, 17, 35, 64}) {
            auto const count = static_cast<std::size_t>(3 * keys);
            std::vector<unsigned char> mask(count, 1);
            for (std::size_t i = 0; i < count; ++i)
                mask[i] = i < static_cast<std::size_t>(keys) ? 0 : (i * 7) % 3 != 0;
            for (Causal causal : {Causal::no, Causal::yes})
                for (bool masked : {false, true})
                    check({.items = 3,
                           .heads = 2,
                           .head_width = 20,
                           .queries = queries,
                           .keys = keys,
                           .causal = causal,
                           .key_mask = masked ? mask.data() : nullptr});
        }
}

TEST_CASE("Attention drops the probabilities that the random words name") {
    for (int keys : {1, 30, 259, 577})
        check({.items = 2,
               .heads = 2,
               .head_width = 24,
               .queries = 19,
               .keys = keys,
               .dropout = 0.3,
               .key = {11, 12}});
    check({.items = 2,
           .heads = 1,
           .head_width = 64,
           .queries = 35,
           .keys = 35,
           .causal = Causal::yes,
           .dropout = 0.1,
           .key = {1, 2}});
}

TEST_CASE("A query's attention depends neither on other queries nor on masked keys") {
    Problem const all({.items = 1, .heads = 2, .head_width = 64, .queries = 40, .keys = 50});
    Host::Engine engine(2);
    auto const whole = run<Host>(engine, all);
    for (int queries : {1, 3, 6, 7, 20}) {
        Problem part = all;
        part.shape.queries = queries;
        part.q.resize(static_cast<std::size_t>(queries * all.stride));
        part.dout.resize(part.q.size());
        auto const some = run<Host>(engine, part);
        for (std::size_t i = 0; i < some.out.size(); ++i)
            REQUIRE(some.out[i] == whole.out[i]);
    }
    // Ten more keys, hidden, of which nothing is known.
    Problem padded = all;
    padded.shape.keys = 60;
    std::vector<unsigned char> mask(60, 0);
    std::fill(mask.begin(), mask.begin() + 50, static_cast<unsigned char>(1));
    padded.shape.key_mask = mask.data();
    float const unknown = std::numeric_limits<float>::quiet_NaN();
    padded.k.resize(static_cast<std::size_t>(60 * all.stride), unknown);
    padded.v.resize(padded.k.size(), unknown);
    auto const same = run<Host>(engine, padded);
    REQUIRE(same.out == whole.out);
    REQUIRE(same.lse == whole.lse);
    REQUIRE(same.dq == whole.dq);
}

TEST_CASE("Indexed attention reads keys through its tables, for one and for many queries") {
    constexpr int heads = 2, keys = 37, items = 3;
    for (int width : {16, 64, 70}) {
        std::ptrdiff_t const stride = heads * width + 4;
        std::vector<int> const starts{0, 1, 4, 4, 24};
        std::vector<int> const key_items{2, 0, 1, 0};
        std::vector<int> const counts{5, 37, 1, 33};
        std::vector<int> rows(4 * keys);
        for (std::size_t i = 0; i < rows.size(); ++i)
            rows[i] = static_cast<int>((i * 11 + i / keys) % keys);
        auto q = numbers(static_cast<std::size_t>(24 * stride), 1);
        auto k = numbers(static_cast<std::size_t>(items * keys * stride), 2);
        auto v = numbers(k.size(), 3);
        std::vector<float> out(q.size(), 5.0f);
        auto qd = doubles(q), kd = doubles(k), vd = doubles(v), outd = doubles(out);
        for (bool indexed : {true, false})
            for (bool counted : {true, false}) {
                IndexedAttentionShape const shape{.groups = 4,
                                                  .heads = heads,
                                                  .head_width = width,
                                                  .keys = keys,
                                                  .query_starts = starts.data(),
                                                  .key_items = key_items.data(),
                                                  .key_rows = indexed ? rows.data() : nullptr,
                                                  .key_counts = counted ? counts.data() : nullptr};
                Host::Engine engine(2);
                Exact::Engine plain;
                std::ptrdiff_t const item_stride = keys * stride;
                Host::attention_indexed(engine, shape, {q.data(), 0, stride},
                                        {k.data(), item_stride, stride},
                                        {v.data(), item_stride, stride}, {out.data(), 0, stride});
                Exact::attention_indexed(
                    plain, shape, {qd.data(), 0, stride}, {kd.data(), item_stride, stride},
                    {vd.data(), item_stride, stride}, {outd.data(), 0, stride});
                REQUIRE(largest_difference(out, outd) < 2e-6);
            }
    }
}
