// The whole captioner on the CUDA backend: it compiles and links for each architecture, and where
// there is a device its loss, gradients and captions are compared with Reference<double>.
#include <type_traits>
#include <vector>

#include "tiny_model.hpp"

namespace {

using namespace blip;

struct tiny {
    struct vision {
        static constexpr int image = 24, patch = 8, width = 32, depth = 2, heads = 4, hidden = 48;
        static constexpr int recompute = 1;
    };
    struct text {
        static constexpr int vocabulary = 40, positions = 32, width = 24, depth = 2, heads = 3;
        static constexpr int hidden = 40, encoder_width = 32, recompute = 0;
    };
};

template <class B>
test::ModelResults results() {
    using Model = Captioner<tiny, B>;
    using Network = typename Model::Network;
    typename B::Engine engine;
    Weights<Network> weights(engine);
    test::fill_with_noise(weights, engine);
    auto const pixels = test::noise_of(2, tiny::vision::image);
    test::ModelResults all;
    auto& numbers = all.numbers;
    {
        Arena<B> arena;
        Context<B> ctx{engine, arena};
        auto* images = ctx.take(static_cast<std::ptrdiff_t>(pixels.size()));
        B::upload(engine, images, pixels.data(), static_cast<std::ptrdiff_t>(pixels.size()));
        std::vector<int> const ids{38, 5, 6, 7, 9, 3, 38, 5, 8, 10, 3, 0};
        std::vector<int> const positions{0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5};
        std::vector<unsigned char> const mask{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0};
        auto labels = ids;
        labels[0] = labels[6] = labels[11] = ignored_target;
        auto* device_ids = arena.template take<int>(12);
        auto* device_positions = arena.template take<int>(12);
        auto* device_mask = arena.template take<unsigned char>(12);
        B::upload(engine, device_ids, ids.data(), 12);
        B::upload(engine, device_positions, positions.data(), 12);
        B::upload(engine, device_mask, mask.data(), 12);
        typename Network::Cache cache;
        numbers.push_back(weights->loss({images, 2},
                                        {device_ids, device_positions, device_mask, 2, 6}, labels,
                                        {}, cache, ctx));
        Weights<typename Network::Grad> gradient(engine);
        weights->backward(cache, *gradient, ctx);
        test::append_gradient(numbers, gradient, engine);
    }
    Model const captioner(std::move(weights), {}, test::forty_words(), {.size = 24}, engine);
    CaptionOptions options;
    options.max_length = 14;
    for (int beams : {1, 3}) {
        options.beams = beams;
        for (auto const& captions : captioner.generate(pixels, options))
            all.ids.insert(all.ids.end(), captions.front().ids.begin(), captions.front().ids.end());
    }
    return all;
}

} // namespace

int main() {
    return test::compare_with_reference(
        "the captioner is", []<class B>(std::type_identity<B>) { return results<B>(); });
}
