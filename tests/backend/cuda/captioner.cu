// The whole captioner on the CUDA backend: it compiles and links for each architecture, and where
// there is a device its loss, gradients and captions are compared with Reference<double>.
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
        static constexpr int vocabulary = 40, positions = 32, width = 24, depth = 2, heads = 3;
        static constexpr int hidden = 40, encoder_width = 32, recompute = 0;
    };
};

Tokenizer words() {
    std::string pieces = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nphoto\nof\n";
    for (int i = 8; i < 38; ++i)
        pieces += "word" + std::to_string(i) + "\n";
    return Tokenizer(parse_vocabulary(pieces));
}

Pixels pictures() {
    Pixels pixels(Pixels::shape_type{2, 3, 24, 24});
    for (std::size_t i = 0; i < pixels.size(); ++i)
        pixels.data()[i] = static_cast<float>(random_uniform({1, 2}, i) * 4 - 2);
    return pixels;
}

/// Everything that is compared: loss and gradients, and the ids of greedy and beam search.
struct Results {
    std::vector<double> numbers;
    std::vector<int> ids;
};

template <class B>
Results results() {
    using Model = Captioner<tiny, B>;
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

    Results all;
    auto& numbers = all.numbers;
    {
        Arena<B> arena;
        Context<B> ctx{engine, arena};
        auto const pixels = pictures();
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
        double norm = 0;
        for_each_parameter(*gradient, [&](std::string const&, auto& p) {
            std::vector<double> part(
                static_cast<std::size_t>(std::remove_cvref_t<decltype(p)>::size));
            B::download(engine, part.data(), static_cast<typename B::scalar const*>(p.data),
                        std::ssize(part));
            for (double v : part)
                norm += v * v;
            numbers.insert(numbers.end(), part.begin(), part.end());
        });
        std::printf("loss %.9f, gradient norm %.9f\n", numbers.front(), std::sqrt(norm));
    }
    Model const captioner(std::move(weights), {}, words(), {.size = 24}, engine);
    CaptionOptions options;
    options.max_length = 14;
    for (int beams : {1, 3}) {
        options.beams = beams;
        for (auto const& captions : captioner.generate(pictures(), options))
            all.ids.insert(all.ids.end(), captions.front().ids.begin(), captions.front().ids.end());
    }
    return all;
}

} // namespace

int main() try {
    if (cuda::device_count() == 0) {
        std::printf("no CUDA device: the captioner is compiled and linked, but not run\n");
        return 77;
    }
    auto const expected = results<Reference<double>>();
    auto const found = results<Cuda<float>>();
    // Loss and gradients against the largest of them, ids exactly.
    double most = 0, difference = 0;
    for (std::size_t i = 0; i < expected.numbers.size(); ++i) {
        most = std::max(most, std::abs(expected.numbers[i]));
        difference = std::max(difference, std::abs(expected.numbers[i] - found.numbers[i]));
    }
    bool const same_ids = expected.ids == found.ids;
    std::printf("largest difference %g of %g, ids %s\n", difference, most,
                same_ids ? "equal" : "differ");
    return same_ids && difference < 1e-4 * most ? 0 : 1;
} catch (std::exception const& error) {
    std::printf("failed: %s\n", error.what());
    return 1;
}
