#include <support/catch.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include <blip/config/presets.hpp>
#include <blip/networks/pair_network.hpp>
#include <support/check_layer.hpp>
#include <support/tiny_configs.hpp>

using namespace blip;

namespace {

constexpr int labels[] = {1, 0};

template <int VisionRecompute, int TextRecompute, int MergeFrom>
struct tiny_pair : test::tiny<VisionRecompute, TextRecompute> {
    static constexpr int merge_from = MergeFrom;
};

/// The network seen as a layer whose result is each pair's share of the loss.
template <class C, class B>
struct PairLosses {
    using backend = B;
    using Network = PairNetwork<C, B>;
    using Grad = PairLosses<C, typename B::gradient>;
    using Cache = typename Network::Cache;

    Network network;

    static constexpr auto fields() { return std::tuple{Field{"network", &PairLosses::network}}; }

    Tokens<1, B> forward(typename B::scalar* images, Cache& cache, Context<B>& ctx) const {
        network.loss({images, 4}, {test::tiny_ids, test::tiny_positions, test::tiny_mask, 2, 4},
                     labels, cache, ctx);
        return {cache.loss.losses, 2, 1};
    }
};

template <class B>
using Stored = PairLosses<tiny_pair<0, 0, 1>, B>;
template <class B>
using Again = PairLosses<tiny_pair<3, 2, 1>, B>;
template <class B>
using OnlyMerging = PairLosses<tiny_pair<0, 0, 0>, B>;
template <class B>
using OnlyAveraging = PairLosses<tiny_pair<0, 0, 2>, B>;

template <template <class> class Tested>
void check(Mode mode, auto settings) {
    static auto const pixels = test::random_values(4 * 108, {77, 0});
    test::check_contract<Tested>(
        {}, {.mode = mode, .cotangent = test::Cotangent::ones}, settings,
        []<class B>(Tested<B> const& layer, auto& cache, Context<B>& ctx, auto const&) {
            auto* images = ctx.take(std::ssize(pixels));
            B::upload(ctx.engine, images, pixels.data(), std::ssize(pixels));
            return layer.forward(images, cache, ctx);
        },
        []<class B>(Tested<B> const& layer, auto, auto& cache, auto& grad, Context<B>& ctx,
                    auto const&) {
            layer.network.backward(cache, grad.network, ctx);
            return std::vector<typename B::scalar*>{};
        });
}

} // namespace

TEST_CASE("the loss of a pair reasoner keeps the contract") {
    check<Stored>(Mode::evaluate, test::default_settings);
    check<Again>(Mode::train, test::drop_everywhere);
    check<OnlyMerging>(Mode::evaluate, test::default_settings);
    check<OnlyAveraging>(Mode::evaluate, test::default_settings);
}

TEST_CASE("only layers from merge_from on have a merge layer") {
    PairNetwork<tiny_pair<0, 0, 1>, Reference<float>> network;
    std::vector<std::string> merges;
    for (auto const& parameter : list_parameters(network)) {
        if (parameter.path.find("merge") != std::string::npos)
            merges.push_back(parameter.path);
    }
    CHECK(merges == std::vector<std::string>{"encoder.stack.blocks.1.cross.branch.merge.weight",
                                             "encoder.stack.blocks.1.cross.branch.merge.bias"});
}

TEST_CASE("the published NLVR2 model has the published number of parameters") {
    CHECK(count_parameters<PairNetwork<config::nlvr_base, Reference<float>>>() == 259372034);
}
