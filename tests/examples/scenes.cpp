#include "support/catch.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "../../examples/scenes/draw.hpp"

using namespace scenes;

namespace {

bool shows_held_out_pair(Scene const& scene) {
    return std::ranges::any_of(scene.objects,
                               [](Object const& o) { return is_held_out(o.color, o.shape); });
}

} // namespace

TEST_CASE("Training and the test of scenes never show a held-out pair, the other test always",
          "[examples]") {
    std::set<std::pair<int, int>> held_out, shown;
    for (int color = 0; color < 8; ++color)
        for (int shape = 0; shape < 6; ++shape)
            if (is_held_out(color, shape))
                held_out.insert({color, shape});
    CHECK(held_out.size() == 8);
    for (std::uint64_t i = 0; i < 5000; ++i) {
        auto const train = draw_scene(1, Split::train, i);
        REQUIRE_FALSE(shows_held_out_pair(train));
        REQUIRE_FALSE(shows_held_out_pair(draw_scene(1, Split::scenes, i)));
        REQUIRE(shows_held_out_pair(draw_scene(1, Split::combinations, i)));
        for (auto const& object : train.objects)
            shown.insert({object.color, object.shape});
    }
    CHECK(shown.size() == 40); // every other pair is learnt
    // Each color and each shape is seen in training with others.
    for (auto const& [color, shape] : held_out) {
        CHECK(std::ranges::any_of(shown, [c = color](auto const& p) { return p.first == c; }));
        CHECK(std::ranges::any_of(shown, [s = shape](auto const& p) { return p.second == s; }));
    }
}

TEST_CASE("A scene is a function of seed, split and number", "[examples]") {
    auto const words = [](std::uint64_t seed, Split split, std::uint64_t number) {
        return draw_scene(seed, split, number).captions().front();
    };
    std::set<std::string> different;
    for (std::uint64_t i = 0; i < 300; ++i) {
        CHECK(words(1, Split::train, i) == words(1, Split::train, i));
        different.insert(words(1, Split::train, i));
    }
    CHECK(different.size() > 150);
    int same = 0;
    for (std::uint64_t i = 0; i < 300; ++i)
        same += words(1, Split::train, i) == words(1, Split::scenes, i) ? 1 : 0;
    CHECK(same < 30);
}

TEST_CASE("Captions and answers are true of what is drawn", "[examples]") {
    for (std::uint64_t i = 0; i < 2000; ++i) {
        auto const scene = draw_scene(3, Split::train, i);
        INFO(scene.captions().front());
        auto const& first = scene.objects.front();
        auto const& last = scene.objects.back();
        if (scene.kind == Kind::relation) {
            REQUIRE(scene.captions().size() == 2);
            std::array const holds{first.x<last.x, first.x> last.x,
                                   first.y<last.y, first.y> last.y};
            CHECK(holds[static_cast<std::size_t>(scene.relation)]);
            CHECK(scene.captions()[0].find(relations[static_cast<std::size_t>(scene.relation)]) !=
                  std::string::npos);
            CHECK(
                scene.captions()[1].find(relations[static_cast<std::size_t>(scene.relation ^ 1)]) !=
                std::string::npos);
        } else if (scene.kind == Kind::several) {
            CHECK(scene.captions()[0].starts_with(numbers[scene.objects.size() - 1]));
            CHECK(scene.objects.size() >= 2);
        } else {
            CHECK((first.x < 0.4) == (scene.place == 1 || scene.place == 3));
            CHECK((first.y > 0.6) == (scene.place == 3 || scene.place == 4));
        }
        Draws draws({5, i});
        auto const questions = scene.questions(draws);
        CHECK(!questions.empty());
        for (auto const& [text, answer] : questions) {
            INFO(text << ' ' << answer);
            if (text.starts_with("is there any ")) {
                bool const there = std::ranges::any_of(scene.objects, [&t = text](auto const& o) {
                    return t.find(colors[static_cast<std::size_t>(o.color)]) != std::string::npos;
                });
                CHECK(answer == (there ? "yes" : "no"));
            }
            if (text.starts_with("how many"))
                CHECK(answer == numbers[scene.objects.size() - 1]);
        }
    }
}

TEST_CASE("Objects are where the scene says, and in its colors", "[examples]") {
    for (std::uint64_t i = 0; i < 100; ++i) {
        auto const scene = draw_scene(4, Split::train, i);
        auto const image = draw(scene, 48);
        REQUIRE(blip::image_size(image) == blip::ImageSize{48, 48});
        for (auto const& object : scene.objects) {
            auto const row = static_cast<std::size_t>(object.y * 48);
            auto const column = static_cast<std::size_t>(object.x * 48);
            auto const& paint = scenes::detail::paint[static_cast<std::size_t>(object.color)];
            for (std::size_t channel = 0; channel < 3; ++channel)
                CHECK(std::abs(image(row, column, channel) - 255 * paint[channel]) < 2);
        }
    }
}
