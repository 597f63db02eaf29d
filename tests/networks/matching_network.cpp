#include <support/catch.hpp>

#include <blip/backend/reference/reference.hpp>
#include <blip/config/presets.hpp>
#include <blip/networks/matching_network.hpp>
#include <support/check_layer.hpp>
#include <support/tiny_configs.hpp>

TEST_CASE("the matching network has the published numbers of parameters") {
    using B = blip::Reference<float>;
    CHECK(blip::count_parameters<blip::MatchingNetwork<blip::config::base<384>, B>>() ==
          223'744'258);
    CHECK(blip::count_parameters<blip::MatchingNetwork<blip::config::large<384>, B>>() ==
          446'128'642);
}

namespace {

using namespace blip;

struct tiny : test::tiny<0, 0> {
    static constexpr int projection = 5;
};

template <class B>
TextInput<B> texts(Context<B>& ctx) {
    auto* const ids = ctx.arena.template take<int>(8);
    auto* const places = ctx.arena.template take<int>(8);
    auto* const mask = ctx.arena.template take<unsigned char>(8);
    B::upload(ctx.engine, ids, test::tiny_ids, 8);
    B::upload(ctx.engine, places, test::tiny_positions, 8);
    B::upload(ctx.engine, mask, test::tiny_mask, 8);
    return {ids, places, mask, 2, 4};
}

constexpr int tokens = 3, width = tiny::vision::width;

/// The network as three layers; each leaves the weights of the others alone.
template <class B>
struct Whole {
    using backend = B;
    using Network = MatchingNetwork<tiny, B>;
    using Grad = Whole<typename B::gradient>;
    struct Cache {
        typename Network::Matching::Cache match;
        typename Network::ImageProjected::Cache image;
        typename Network::TextProjected::Cache text;
    };
    Network network;
    static constexpr auto fields() { return std::tuple{Field{"network", &Whole::network}}; }
};

/// `pictures` [pictures, tokens, width] are looked at by two texts.
void check_match(int pictures) {
    test::check_contract<Whole>(
        {pictures * tokens * width}, {}, test::default_settings,
        [&]<class B>(Whole<B> const& layer, auto& cache, Context<B>& ctx, auto const& x) {
            return layer.network.match(texts(ctx), {{x[0], pictures, tokens}}, cache.match, ctx);
        },
        [&]<class B>(Whole<B> const& layer, auto dy, auto const& cache, auto& grad, Context<B>& ctx,
                     auto const& x) {
            auto const gradient = ctx.template tokens<width>(pictures, tokens);
            B::zero(ctx.engine, gradient.data, gradient.size());
            layer.network.match_backward(dy, {{x[0], pictures, tokens}, nullptr, gradient},
                                         cache.match, grad.network, ctx);
            return std::vector{gradient.data};
        });
}

} // namespace

TEST_CASE("match logits keep the contract, for one picture and for a picture a text") {
    check_match(1);
    check_match(2);
}

TEST_CASE("features of pictures keep the contract") {
    test::check_contract<Whole>(
        {2 * tokens * width}, {}, test::default_settings,
        []<class B>(Whole<B> const& layer, auto& cache, Context<B>& ctx, auto const& x) {
            return layer.network.image_features({x[0], 2, tokens}, cache.image, ctx);
        },
        []<class B>(Whole<B> const& layer, auto dy, auto const& cache, auto& grad, Context<B>& ctx,
                    auto const&) {
            auto const gradient = ctx.template tokens<width>(2, tokens);
            B::zero(ctx.engine, gradient.data, gradient.size());
            layer.network.image_features_backward(dy, cache.image, grad.network, gradient, ctx);
            return std::vector{gradient.data};
        });
}

TEST_CASE("features of texts keep the contract") {
    test::check_contract<Whole>(
        {}, {}, test::default_settings,
        []<class B>(Whole<B> const& layer, auto& cache, Context<B>& ctx, auto const&) {
            return layer.network.text_features(texts(ctx), cache.text, ctx);
        },
        []<class B>(Whole<B> const& layer, auto dy, auto const& cache, auto& grad, Context<B>& ctx,
                    auto const&) {
            layer.network.text_features_backward(dy, cache.text, grad.network, ctx);
            return std::vector<typename B::scalar*>{};
        });
}
