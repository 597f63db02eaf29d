// Pre-training and retrieval training on the CUDA backend: they compile and link for each
// architecture, and where there is a device two optimizer steps are compared with
// Reference<double>.
#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <blip/cuda.cuh>
#include <support/random_weights.hpp>

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
    static constexpr int projection = 16, queue = 12;
};

constexpr int batch = 4, length = 6;

template <class B>
void append(typename B::Engine& engine, typename B::scalar const* data, std::ptrdiff_t count,
            std::vector<double>& numbers) {
    std::vector<double> part(static_cast<std::size_t>(count));
    B::download(engine, part.data(), data, count);
    numbers.insert(numbers.end(), part.begin(), part.end());
}

template <class Model>
void append_all(typename Model::backend::Engine& engine, Weights<Model> const& weights,
                std::vector<double>& numbers) {
    for (auto const& p : list_parameters(*weights)) {
        append<typename Model::backend>(engine, p.data, p.size, numbers);
    }
}

/// Losses and gradients of a step, weights, momentum weights and queue after it.
template <class Network>
std::vector<double> results() {
    using B = typename Network::backend;
    typename B::Engine engine;
    Weights<Network> weights(engine);
    test::fill_with_noise(weights, engine);
    float const temperature = 0.07f;
    B::upload(engine, weights->temperature.data, &temperature, 1);
    MomentumState<Network> state(engine, weights, {3, 0});
    Weights<typename Network::Grad> gradient(engine);
    AdamW<Network> optimizer(engine);
    std::vector<double> numbers;
    for (std::uint64_t step = 0; step < 2; ++step) {
        Arena<B> arena;
        Context<B> ctx{engine, arena};
        TokenBatch text{{}, {}, batch, length};
        for (std::size_t i = 0; i < batch * length; ++i) {
            bool const first = i % length == 0, pad = i % (2 * length) == 2 * length - 1;
            text.ids.push_back(first ? 2 : pad ? 0 : 5 + static_cast<int>(i * (step + 3) % 30));
            text.mask.push_back(pad ? 0 : 1);
        }
        std::vector<float> pixels(batch * 3 * 24 * 24);
        for (std::size_t i = 0; i < pixels.size(); ++i)
            pixels[i] = static_cast<float>(random_uniform({1, step}, i) * 4 - 2);
        auto* images = ctx.take(std::ssize(pixels));
        B::upload(engine, images, static_cast<float const*>(pixels.data()), std::ssize(pixels));
        std::vector<std::int64_t> const ids{7, 7, 8, static_cast<std::int64_t>(step)};
        AlignmentOptions options{.alpha = 0.4, .negatives = Negatives{{2, 3, 0, 1}, {3, 2, 1, 0}}};
        state.begin_step(engine, weights);
        gradient.zero(engine);
        typename Network::Cache cache;
        if constexpr (Network::task == Task::pre_training) {
            options.rule = NegativeRule::momentum;
            auto const losses = weights->loss({images, batch}, text, 39, 38, state, options,
                                              LanguageModelingOptions{}, cache, ctx);
            numbers.insert(numbers.end(),
                           {losses.contrastive, losses.matching, losses.language_modeling});
        } else {
            options.ids = ids;
            auto const losses =
                weights->loss({images, batch}, text, 39, state, options, cache, ctx);
            numbers.insert(numbers.end(), {losses.contrastive, losses.matching});
        }
        weights->backward(cache, *gradient, ctx);
        append_all(engine, gradient, numbers);
        state.queue.enqueue(engine, cache.alignment.contrastive.keys.batch, options.ids);
        // A rate at which AdamW's first steps, signs of gradients, stay below what is compared.
        optimizer.step(engine, weights, gradient, 1e-6);
        append_all(engine, state.teacher.weights(), numbers);
        append<B>(engine, state.queue.image().data, state.queue.size, numbers);
        append_all(engine, weights, numbers);
    }
    return numbers;
}

template <template <class> class Network>
bool agrees(char const* name) {
    auto const expected = results<Network<Reference<double>>>();
    auto const found = results<Network<Cuda<float>>>();
    if (expected.size() != found.size())
        return false;
    double most = 0, difference = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        most = std::max(most, std::abs(expected[i]));
        difference = std::max(difference, std::abs(expected[i] - found[i]));
    }
    std::printf("%s: largest difference %g of %g\n", name, difference, most);
    return difference < 1e-4 * most;
}

template <class B>
using Retrieval = RetrievalNetwork<tiny, B>;
template <class B>
using Pretraining = PretrainingNetwork<tiny, B>;

} // namespace

// Loading, stepping and saving compile as a whole.
template class blip::RetrievalObjective<tiny, Cuda<float>>;
template class blip::Pretrainer<tiny, Cuda<float>>;

int main() try {
    if (cuda::device_count() == 0) {
        std::printf("no CUDA device: the objectives are compiled and linked, but not run\n");
        return 77;
    }
    bool const retrieval = agrees<Retrieval>("retrieval");
    bool const pretraining = agrees<Pretraining>("pre-training");
    return retrieval && pretraining ? 0 : 1;
} catch (std::exception const& error) {
    std::printf("failed: %s\n", error.what());
    return 1;
}
