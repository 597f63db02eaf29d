#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <blip/core/random.hpp>

/// A small world of coloured shapes whose pictures have exact captions: every scene is a function
/// of (seed, number), and what is true of it is known.
namespace scenes {

inline constexpr std::array<std::string_view, 8> colors{"red",  "orange", "yellow", "green",
                                                        "blue", "purple", "white",  "black"};
inline constexpr std::array<std::string_view, 6> shapes{"circle", "square", "triangle",
                                                        "star",   "cross",  "diamond"};
inline constexpr std::array<std::string_view, 2> sizes{"small", "large"};
inline constexpr std::array<std::string_view, 4> relations{"left of", "right of", "above", "below"};
inline constexpr std::array<std::string_view, 4> numbers{"one", "two", "three", "four"};
inline constexpr std::array<std::string_view, 5> places{"center", "top left", "top right",
                                                        "bottom left", "bottom right"};

/// Draws one thing after another from a stream of random numbers.
class Draws {
public:
    explicit Draws(blip::RandomKey key) : key_(key) {}

    double uniform() { return blip::random_uniform(key_, next_++); }
    double between(double least, double most) { return least + (most - least) * uniform(); }
    /// 0 to `count` - 1.
    int below(int count) { return static_cast<int>(uniform() * count); }

private:
    blip::RandomKey key_;
    std::uint64_t next_ = 0;
};

struct Object {
    int color = 0, shape = 0, size = 0;
    double x = 0, y = 0; ///< center, in units of the picture's side
    double turn = 0;     ///< in radians, so small that a square is no diamond

    /// "large red circle", with `plural` "large red circles".
    std::string name(bool plural = false) const {
        std::string text(sizes[static_cast<std::size_t>(size)]);
        text += ' ';
        text += colors[static_cast<std::size_t>(color)];
        text += ' ';
        text += shapes[static_cast<std::size_t>(shape)];
        if (plural)
            text += shape == 4 ? "es" : "s"; // crosses
        return text;
    }
};

/// Pairs of color and shape that no training scene shows: one of every color, and every shape at
/// least once. A model that names them has learned colors and shapes, not pairs.
inline bool is_held_out(int color, int shape) {
    return (color * 5 + 2) % 6 == shape;
}

struct Question {
    std::string text, answer;
};

enum class Kind {
    single,   ///< one object in one of five places
    relation, ///< two objects side by side or one above the other
    several   ///< two to four equal objects
};

/// Which scenes are drawn.
enum class Split {
    train,       ///< no held-out pair of color and shape
    scenes,      ///< the same pairs, other scenes
    combinations ///< every scene shows a held-out pair
};

struct Scene {
    Kind kind = Kind::single;
    std::vector<Object> objects;
    int place = 0;         ///< of a single object
    int relation = 0;      ///< of the first object to the second
    double background = 0; ///< grey, 0 to 1

    /// Every caption that is right, the usual one first.
    std::vector<std::string> captions() const {
        auto const& first = objects.front();
        auto const word = [](auto const& words, std::size_t i) { return std::string(words[i]); };
        switch (kind) {
        case Kind::single:
            return {"a " + first.name() + " in the " +
                    word(places, static_cast<std::size_t>(place))};
        case Kind::relation: {
            auto const& second = objects.back();
            auto const say = [&](Object const& a, int how, Object const& b) {
                return "a " + a.name() + ' ' + word(relations, static_cast<std::size_t>(how)) +
                       " a " + b.name();
            };
            return {say(first, relation, second), say(second, relation ^ 1, first)};
        }
        case Kind::several:
            return {word(numbers, objects.size() - 1) + ' ' + first.name(true)};
        }
        return {};
    }

    /// Questions with their answers, one of each kind that makes sense.
    std::vector<Question> questions(Draws& draws) const;
};

namespace detail {

enum class Pairs { training, held_out, any };

inline Object draw_object(Pairs pairs, Draws& draws) {
    Object object;
    do {
        object.color = draws.below(8);
        object.shape = draws.below(6);
    } while (pairs != Pairs::any &&
             is_held_out(object.color, object.shape) != (pairs == Pairs::held_out));
    object.size = draws.below(2);
    object.turn = draws.between(-0.15, 0.15);
    return object;
}

inline void put(Object& object, double x, double y, double spread, Draws& draws) {
    object.x = x + draws.between(-spread, spread);
    object.y = y + draws.between(-spread, spread);
}

} // namespace detail

/// Scene `number` of a split; the splits draw from streams of their own.
inline Scene draw_scene(std::uint64_t seed, Split split, std::uint64_t number) {
    Draws draws(blip::split({seed, static_cast<std::uint64_t>(split) + 1}, number));
    Scene scene;
    scene.background = draws.between(0.4, 0.6);
    double const choice = draws.uniform();
    scene.kind = choice < 0.3 ? Kind::single : choice < 0.75 ? Kind::relation : Kind::several;
    bool const combinations = split == Split::combinations;
    auto object = detail::draw_object(
        combinations ? detail::Pairs::held_out : detail::Pairs::training, draws);
    switch (scene.kind) {
    case Kind::single: {
        scene.place = draws.below(5);
        double const x = scene.place == 0 ? 0.5 : scene.place % 2 == 1 ? 0.24 : 0.76;
        double const y = scene.place == 0 ? 0.5 : scene.place <= 2 ? 0.24 : 0.76;
        detail::put(object, x, y, 0.03, draws);
        scene.objects = {object};
        break;
    }
    case Kind::relation: {
        auto const pairs = combinations ? detail::Pairs::any : detail::Pairs::training;
        auto other = detail::draw_object(pairs, draws);
        while (other.color == object.color && other.shape == object.shape)
            other = detail::draw_object(pairs, draws);
        scene.relation = draws.below(4);
        bool const across = scene.relation < 2; // left of, right of
        bool const before = scene.relation % 2 == 0;
        double const near = before ? 0.25 : 0.75, far = 1 - near;
        double const along = draws.between(0.35, 0.65), beside = draws.between(0.35, 0.65);
        detail::put(object, across ? near : along, across ? along : near, 0.02, draws);
        detail::put(other, across ? far : beside, across ? beside : far, 0.02, draws);
        scene.objects = {object, other};
        break;
    }
    case Kind::several: {
        int const count = 2 + draws.below(3);
        std::array<int, 4> corner{0, 1, 2, 3};
        for (int i = 0; i < count; ++i) {
            std::swap(corner[static_cast<std::size_t>(i)],
                      corner[static_cast<std::size_t>(i + draws.below(4 - i))]);
            int const at = corner[static_cast<std::size_t>(i)];
            object.turn = draws.between(-0.15, 0.15);
            detail::put(object, at % 2 == 0 ? 0.26 : 0.74, at < 2 ? 0.26 : 0.74, 0.02, draws);
            scene.objects.push_back(object);
        }
        break;
    }
    }
    return scene;
}

inline std::vector<Question> Scene::questions(Draws& draws) const {
    auto const& object =
        objects[static_cast<std::size_t>(kind == Kind::relation ? draws.below(2) : 0)];
    auto const color = std::string(colors[static_cast<std::size_t>(object.color)]);
    auto const shape = std::string(shapes[static_cast<std::size_t>(object.shape)]);
    bool const alone = kind != Kind::relation;
    bool const other_shape = alone || objects[0].shape != objects[1].shape;
    bool const other_color = alone || objects[0].color != objects[1].color;
    std::vector<Question> all;
    if (kind == Kind::several)
        all.push_back({"how many objects are there?", std::string(numbers[objects.size() - 1])});
    if (other_shape)
        all.push_back({"what color is the " + shape + "?", color});
    if (other_color)
        all.push_back({"what shape is the " + color + " object?", shape});
    if (other_shape)
        all.push_back({"is the " + shape + " small or large?",
                       std::string(sizes[static_cast<std::size_t>(object.size)])});
    if (kind == Kind::single)
        all.push_back(
            {"where is the " + shape + "?", std::string(places[static_cast<std::size_t>(place)])});
    if (kind == Kind::relation && other_shape) {
        bool const asked_right = draws.below(2) == 1;
        int const how = asked_right ? relation : relation ^ 1;
        all.push_back({"is the " + std::string(shapes[static_cast<std::size_t>(objects[0].shape)]) +
                           ' ' + std::string(relations[static_cast<std::size_t>(how)]) + " the " +
                           std::string(shapes[static_cast<std::size_t>(objects[1].shape)]) + "?",
                       asked_right ? "yes" : "no"});
    }
    bool const there = draws.below(2) == 1;
    int asked = object.color;
    if (!there) {
        auto const shown = [&](int c) {
            for (auto const& o : objects)
                if (o.color == c)
                    return true;
            return false;
        };
        while (shown(asked))
            asked = draws.below(8);
    }
    all.push_back(
        {"is there any " + std::string(colors[static_cast<std::size_t>(asked)]) + " object?",
         there ? "yes" : "no"});
    return all;
}

} // namespace scenes
