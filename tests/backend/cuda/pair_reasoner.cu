// The whole pair reasoner on the CUDA backend: it compiles and links for each architecture, and
// where there is a device its loss, gradients and logits are compared with Reference<double>.
#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <blip/cuda.cuh>

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

Tokenizer words() {
    std::string pieces = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nphoto\nof\n";
    for (int i = 8; i < 38; ++i)
        pieces += "word" + std::to_string(i) + "\n";
    return Tokenizer(parse_vocabulary(pieces));
}

Pixels pictures(std::size_t count) {
    Pixels pixels(Pixels::shape_type{count, 3, 24, 24});
    for (std::size_t i = 0; i < pixels.size(); ++i)
        pixels.data()[i] = static_cast<float>(random_uniform({1, count}, i) * 4 - 2);
    return pixels;
}

/// Loss, gradients, logits.
template <class B>
std::vector<double> results() {
    using Model = PairReasoner<tiny, B>;
    using Network = typename Model::Network;
    typename B::Engine engine;
    Weights<Network> weights(engine);
    std::uint64_t number = 0;
    for_each_parameter(*weights, [&](std::string const& path, auto& p) {
        using P = std::remove_cvref_t<decltype(p)>;
        std::vector<float> values(static_cast<std::size_t>(P::size));
        for (std::size_t i = 0; i < values.size(); ++i) {
            double const u = random_uniform({7, number}, i) - 0.5;
            values[i] = static_cast<float>(path.ends_with("scale") ? 1 + 0.2 * u : 0.6 * u);
        }
        ++number;
        B::upload(engine, p.data, static_cast<float const*>(values.data()), P::size);
    });
    std::vector<std::string> const sentences{"a photo of word9 word10", "word12"};
    std::vector<double> numbers;
    {
        Arena<B> arena;
        Context<B> ctx{engine, arena};
        auto const pixels = pictures(4);
        auto const size = static_cast<std::ptrdiff_t>(pixels.size());
        auto* images = ctx.take(size);
        B::upload(engine, images, pixels.data(), size);
        auto const text =
            upload_text<tiny::text>(with_first(words().encode_batch(sentences), 39), ctx);
        std::vector<int> const labels{1, 0};
        typename Network::Cache cache;
        numbers.push_back(weights->loss({images, 4}, text, labels, cache, ctx));
        Weights<typename Network::Grad> gradient(engine);
        weights->backward(cache, *gradient, ctx);
        for_each_parameter(*gradient, [&](std::string const&, auto& p) {
            std::vector<double> part(
                static_cast<std::size_t>(std::remove_cvref_t<decltype(p)>::size));
            B::download(engine, part.data(), static_cast<typename B::scalar const*>(p.data),
                        std::ssize(part));
            numbers.insert(numbers.end(), part.begin(), part.end());
        });
    }
    Model const reasoner(std::move(weights), {}, words(), {.size = 24}, engine);
    for (auto const& judgement : reasoner.predict(pictures(2), pictures(2), sentences))
        numbers.insert(numbers.end(), judgement.logits.begin(), judgement.logits.end());
    return numbers;
}

} // namespace

int main() try {
    if (cuda::device_count() == 0) {
        std::printf("no CUDA device: the pair reasoner is compiled and linked, but not run\n");
        return 77;
    }
    auto const expected = results<Reference<double>>();
    auto const found = results<Cuda<float>>();
    double most = 0, difference = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        most = std::max(most, std::abs(expected[i]));
        difference = std::max(difference, std::abs(expected[i] - found[i]));
    }
    std::printf("largest difference %g of %g\n", difference, most);
    return difference < 1e-4 * most ? 0 : 1;
} catch (std::exception const& error) {
    std::printf("failed: %s\n", error.what());
    return 1;
}
