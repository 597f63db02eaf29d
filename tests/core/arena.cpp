#include <support/catch.hpp>

#include <cstdint>
#include <cstring>
#include <vector>

#include <blip/backend/reference/reference.hpp>
#include <blip/core/context.hpp>

using namespace blip;
using B = Reference<float>;

TEST_CASE("an arena hands out aligned memory that does not overlap") {
    Arena<B> arena(256);
    std::vector<char*> taken;
    for (int bytes : {1, 64, 65, 300, 7, 0, 5000}) {
        auto* data = arena.take<char>(bytes);
        CHECK(reinterpret_cast<std::uintptr_t>(data) % 64 == 0);
        std::memset(data, static_cast<int>(taken.size()), static_cast<std::size_t>(bytes));
        taken.push_back(data);
    }
    CHECK((taken[0][0] == 0 && taken[1][63] == 1 && taken[2][64] == 2 && taken[3][299] == 3));
    CHECK((taken[4][6] == 4 && taken[6][4999] == 6));
}

TEST_CASE("released memory is taken again, and growing stops") {
    Arena<B> arena(1024);
    auto const start = arena.mark();
    auto* first = arena.take<float>(10);
    auto* second = arena.take<float>(1000);
    std::size_t const reserved = arena.reserved_bytes(), peak = arena.peak_bytes();
    CHECK(reserved >= 4064);
    for (int i = 0; i < 10; ++i) {
        arena.release(start);
        CHECK(arena.take<float>(10) == first);
        CHECK(arena.take<float>(1000) == second);
    }
    CHECK((arena.reserved_bytes() == reserved && arena.peak_bytes() == peak));
    arena.clear();
    CHECK(arena.reserved_bytes() == 0);
    CHECK(arena.take<float>(3) != nullptr);
}

TEST_CASE("memory taken before a mark survives its release and later growth") {
    Arena<B> arena(256);
    auto* kept = arena.take<int>(4);
    kept[3] = 42;
    for (int i = 0; i < 20; ++i) {
        Scope scope(arena);
        arena.take<int>(1000 * i);
    }
    CHECK(kept[3] == 42);
}

TEST_CASE("scopes nest") {
    Arena<B> arena;
    arena.take<float>(16);
    auto const outer_mark = arena.mark();
    {
        Scope outer(arena);
        arena.take<float>(16);
        auto const inner_mark = arena.mark();
        {
            Scope inner(arena);
            arena.take<float>(64);
        }
        CHECK(arena.mark().used == inner_mark.used);
    }
    CHECK(arena.mark().used == outer_mark.used);
}

#ifndef NDEBUG
TEST_CASE("debug builds overwrite what is released") {
    Arena<B> arena;
    float* late = nullptr;
    {
        Scope scope(arena);
        late = arena.take<float>(4);
        late[0] = 1;
    }
    CHECK(late[0] != late[0]);
}
#endif

TEST_CASE("a context hands out tokens and keys") {
    B::Engine engine;
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto const x = ctx.tokens<3>(2, 5);
    CHECK((x.data != nullptr && x.batch == 2 && x.length == 5));
    auto const a = ctx.next_key(), b = ctx.next_key();
    CHECK((a.stream != b.stream && ctx.draws == 2));
    ctx.draws = 0;
    CHECK(ctx.next_key().stream == a.stream);
    CHECK((ctx.keep == Keep::everything && ctx.mode == Mode::evaluate));
}
