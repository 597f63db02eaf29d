// The whole pair reasoner on the CUDA backend: it compiles and links for each architecture, and
// where there is a device its loss, gradients and logits are compared with Reference<double>.
#include <string>
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
        static constexpr int vocabulary = 40, positions = 32, width = 24, depth = 3, heads = 3;
        static constexpr int hidden = 40, encoder_width = 32, recompute = 1;
    };
    static constexpr int merge_from = 1;
};

/// Loss, gradients, logits.
template <class B>
test::ModelResults results() {
    using Model = PairReasoner<tiny, B>;
    using Network = typename Model::Network;
    typename B::Engine engine;
    Weights<Network> weights(engine);
    test::fill_with_noise(weights, engine);
    std::vector<std::string> const sentences{"a photo of word9 word10", "word12"};
    test::ModelResults all;
    auto& numbers = all.numbers;
    {
        Arena<B> arena;
        Context<B> ctx{engine, arena};
        auto const pixels = test::noise_of(4, tiny::vision::image);
        auto const size = static_cast<std::ptrdiff_t>(pixels.size());
        auto* images = ctx.take(size);
        B::upload(engine, images, pixels.data(), size);
        auto const text = upload_text<tiny::text>(
            with_first(test::forty_words().encode_batch(sentences), 39), ctx);
        std::vector<int> const labels{1, 0};
        typename Network::Cache cache;
        numbers.push_back(weights->loss({images, 4}, text, labels, cache, ctx));
        Weights<typename Network::Grad> gradient(engine);
        weights->backward(cache, *gradient, ctx);
        test::append_gradient(numbers, gradient, engine);
    }
    Model const reasoner(std::move(weights), {}, test::forty_words(), {.size = 24}, engine);
    auto const pixels = test::noise_of(2, tiny::vision::image);
    for (auto const& judgement : reasoner.predict(pixels, pixels, sentences))
        numbers.insert(numbers.end(), judgement.logits.begin(), judgement.logits.end());
    return all;
}

} // namespace

int main() {
    return test::compare_with_reference(
        "the pair reasoner is", []<class B>(std::type_identity<B>) { return results<B>(); });
}
