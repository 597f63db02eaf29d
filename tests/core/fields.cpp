#include <support/catch.hpp>

#include <algorithm>
#include <array>
#include <string>
#include <tuple>
#include <vector>

#include <blip/backend/reference/reference.hpp>
#include <blip/config/presets.hpp>
#include <blip/core/layer.hpp>
#include <blip/networks/captioner_network.hpp>

using namespace blip;
using B = Reference<float>;

namespace {

struct Complete {
    Weight<B, 2, 3> weight;
    Parameter<B, 2> bias;
    double epsilon = 1;
    long padding = -1;
    static constexpr auto fields() {
        return std::tuple{Field{"weight", &Complete::weight}, Field{"bias", &Complete::bias},
                          Field{"epsilon", &Complete::epsilon},
                          Field{"padding", &Complete::padding}};
    }
};

struct Forgetful {
    Weight<B, 2, 3> weight;
    Parameter<B, 2> bias;
    static constexpr auto fields() { return std::tuple{Field{"weight", &Forgetful::weight}}; }
};

/// Sizes add up, yet `b` is missing.
struct Twice {
    Parameter<B, 2> a, b;
    static constexpr auto fields() {
        return std::tuple{Field{"a", &Twice::a}, Field{"b", &Twice::a}};
    }
};

struct Nested {
    using backend = B;
    Complete first;
    std::array<Complete, 2> more;
    static constexpr auto fields() {
        return std::tuple{Field{"first", &Nested::first}, Field{"more", &Nested::more}};
    }
};

struct NestedForgetful {
    std::array<Forgetful, 2> parts;
    static constexpr auto fields() { return std::tuple{Field{"parts", &NestedForgetful::parts}}; }
};

/// Parts that lie flat in the tree, with an array numbered from 5.
struct Flat {
    using backend = B;
    Complete first;
    std::array<Complete, 2> more;
    static constexpr auto fields() {
        return std::tuple{Field{"", &Flat::first}, Field{"more", &Flat::more, 5}};
    }
};

struct Unlisted {
    Parameter<B, 2> bias;
};

static_assert(lists_every_member<Complete> && lists_every_member<Nested>);
static_assert(!lists_every_member<Forgetful> && !lists_every_member<NestedForgetful>);
static_assert(!lists_every_member<Twice>);
static_assert(!lists_every_member<Unlisted> && !HasFields<Unlisted>);
static_assert(!Layer<Complete> && Layer<Linear<2, 3, B>>);

} // namespace

TEST_CASE("parameters and settings are listed in order, under their paths") {
    Nested nested;
    std::vector<std::string> parameters, settings;
    for (auto const& parameter : list_parameters(nested))
        parameters.push_back(parameter.path);
    for (auto const& setting : list_settings(nested)) {
        settings.push_back(setting.path());
        setting.set(7);
    }
    CHECK(parameters == std::vector<std::string>{"first.weight", "first.bias", "more.0.weight",
                                                 "more.0.bias", "more.1.weight", "more.1.bias"});
    CHECK(settings == std::vector<std::string>{"first.epsilon", "first.padding", "more.0.epsilon",
                                               "more.0.padding", "more.1.epsilon",
                                               "more.1.padding"});
    CHECK((nested.first.epsilon == 7 && nested.more[1].epsilon == 7));
    CHECK((nested.first.padding == 7 && nested.more[1].padding == 7));
    CHECK(count_parameters<Nested>() == 3 * (6 + 2));
    Nested const& fixed = nested;
    for (auto const& setting : list_settings(fixed))
        CHECK(setting.value() == 7);
    // What is constant stays so.
    auto const can_set = [](auto setting) {
        return requires {
            setting.set(1);
        };
    };
    CHECK(can_set(list_settings(nested).front()));
    CHECK(!can_set(list_settings(fixed).front()));
}

TEST_CASE("parameters know their shapes, weights their layout") {
    CHECK(Parameter<B, 1, 5, 2>::size == 10);
    CHECK(Parameter<B, 1, 5, 2>::shape == std::array{1, 5, 2});
    Weight<B, 3, 2> const weight{nullptr, Layout::panels};
    auto const view = weight.view();
    CHECK((view.out == 3 && view.in == 2 && view.layout == Layout::panels));
    CHECK((is_weight<Weight<B, 3, 2>> && is_parameter<Weight<B, 3, 2>>));
    CHECK((!is_weight<Parameter<B, 3>> && is_parameter<Parameter<B, 3>> && !is_parameter<float>));
}

TEST_CASE("the published captioners have the published numbers of parameters") {
    CHECK(count_parameters<CaptionerNetwork<config::caption_base, B>>() == 223'971'644);
    CHECK(count_parameters<CaptionerNetwork<config::caption_large, B>>() == 446'290'492);
}

TEST_CASE("paths of a captioner") {
    CaptionerNetwork<config::caption_base, B> network;
    std::vector<std::string> paths;
    for (auto const& parameter : list_parameters(network))
        paths.push_back(parameter.path);
    CHECK(paths.front() == "vision.embedding.projection.weight");
    CHECK(paths.back() == "decoder.head.bias");
    CHECK(std::count(paths.begin(), paths.end(), "vision.stack.blocks.11.attention.norm.scale") ==
          1);
    CHECK(std::count(paths.begin(), paths.end(),
                     "decoder.body.stack.blocks.0.cross.branch.key_value.weight") == 1);
}

TEST_CASE("a member without a name lies flat in the tree, and entries count from any number") {
    Flat flat;
    std::vector<std::string> paths;
    for (auto const& parameter : list_parameters(flat))
        paths.push_back(parameter.path);
    CHECK(paths == std::vector<std::string>{"weight", "bias", "more.5.weight", "more.5.bias",
                                            "more.6.weight", "more.6.bias"});
}
