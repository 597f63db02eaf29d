#include <support/catch.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/io/load_weights.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/networks/decoder_session.hpp>
#include <support/network.hpp>

#if BLIP_HAS_GOLDEN_TEXT

namespace {

using namespace blip;
using blip::test::GoldenTensors, blip::test::relative_difference;
using C = config::golden_text::text;

std::vector<std::string> text_names(std::string const& path) {
    auto names = checkpoint_names("decoder." + path, Naming::original);
    for (auto& name : names)
        name.erase(0, std::string("text_decoder.").size());
    return names;
}

/// Everything the text cases share: weights, inputs, expectations.
template <class B>
struct Case {
    test::Bench<B> bench;
    Context<B>& context = bench.context;
    GoldenTensors inputs{"text", "inputs.safetensors"};
    GoldenTensors expected{"text", "expected.safetensors"};
    Weights<TextDecoder<C, B>> weights{bench.engine};
    std::int64_t batch = inputs["encoder_states"].shape[0];
    EncoderStates<C::encoder_width, B> states;
    double tolerance;

    explicit Case(double tol) : tolerance(tol) {
        load_weights(weights, bench.engine,
                     TensorFile::open(test::golden_file("text", "weights.safetensors")),
                     text_names);
        for (auto const& setting : list_settings(*weights)) {
            if (setting.path().ends_with("epsilon"))
                setting.set(
                    test::golden_json("text", "config.json")["text_config"]["layer_norm_eps"]);
        }
        weights->body.embedding.padding_id =
            test::golden_json("text", "config.json")["text_config"]["pad_token_id"];
        auto const encoder = inputs["encoder_states"];
        auto const length = static_cast<int>(encoder.shape[1]);
        auto const count = static_cast<int>(batch);
        states = {{bench.put(encoder.values), count, length},
                  bench.put_mask(inputs.integers("encoder_mask")),
                  context.template tokens<C::encoder_width>(count, length)};
        B::zero(bench.engine, states.gradient.data, states.gradient.size());
    }

    TextInput<B> text(std::string const& name) {
        return bench.text(inputs.integers(name), inputs.integers("attention_mask"), batch);
    }

    void compare(std::string const& name, std::vector<double> const& values) {
        INFO(name);
        CHECK(relative_difference(values, expected[name].values) < tolerance);
    }

    /// Inputs of every block, the result, and the attention probabilities.
    template <class Cache>
    void compare_blocks(std::string const& mode, Cache const& cache, Tokens<C::width, B> last) {
        for (std::size_t i = 0; i < cache.stack.blocks.size(); ++i) {
            auto const& block = cache.stack.blocks[i];
            auto const& layer = weights->body.stack.blocks[i];
            std::string const number = std::to_string(i);
            compare(mode + ".hidden" + number, bench.get(block.attention.branch.qkv.x));
            compare_probabilities(mode + ".self_attention" + number, [&](auto* p) {
                layer.attention.branch.probabilities(block.attention.branch, context, cache.mask,
                                                     p);
            });
            if (expected.has(mode + ".cross_attention" + number))
                compare_probabilities(mode + ".cross_attention" + number, [&](auto* p) {
                    layer.cross.branch.probabilities(block.cross.branch, context, states, p);
                });
        }
        compare(mode + ".hidden" + std::to_string(C::depth), bench.get(last));
    }

    template <class F>
    void compare_probabilities(std::string const& name, F compute) {
        auto const count = std::ssize(expected[name].values);
        auto* p = context.take(count);
        compute(p);
        compare(name, bench.get(p, count));
    }
};

template <class B>
void check_text(double tolerance) {
    Case<B> c(tolerance);
    typename TextEncoder<C, B>::Cache cache;
    auto const last = c.weights->body.forward(c.text("text_ids"), Causal::no, cache, c.context);
    c.compare_blocks("text", cache, last);
}

template <class B>
void check_multimodal(double tolerance) {
    Case<B> c(tolerance);
    typename TextEncoder<C, B>::Cache cache;
    auto const last =
        c.weights->body.forward(c.text("multimodal_ids"), Causal::no, cache, c.context, c.states);
    c.compare_blocks("multimodal", cache, last);

    Weights<typename TextDecoder<C, B>::Grad> gradient(c.bench.engine);
    Tokens<C::width, B> const cotangent{c.bench.put(c.inputs["multimodal_cotangent"].values),
                                        last.batch, last.length};
    c.weights->body.backward(cotangent, cache, gradient->body, c.context, c.states);
    c.compare("multimodal.grad_encoder_states", c.bench.get(c.states.gradient));
    std::string worst;
    double const off = test::gradient_difference(gradient, c.bench, c.expected, "multimodal.grad.",
                                                 text_names, worst);
    INFO(worst);
    CHECK(off < tolerance);
}

template <class B>
void check_decoder(double tolerance) {
    Case<B> c(tolerance);
    typename TextDecoder<C, B>::Cache cache;
    auto const logits = c.weights->forward(c.text("decoder_ids"), c.states, cache, c.context);
    c.compare("decoder.logits", c.bench.get(logits));
    c.compare_blocks("decoder", cache.body, cache.head.transform.x);
}

/// All tokens but the cached step's go in as prompts, then that one: the scores must be the same.
template <class B>
void check_cached_step(double tolerance) {
    Case<B> c(tolerance);
    auto const cached = c.expected["decoder.cache_key0"].shape[2]; // tokens in the cache afterwards
    auto const ids = c.inputs.integers("decoder_ids");
    auto const length = static_cast<std::int64_t>(ids.size()) / c.batch;
    std::vector<Prompt> prompts;
    std::vector<int> parents, next;
    for (std::int64_t item = 0; item < c.batch; ++item) {
        auto const first = ids.begin() + item * length;
        prompts.push_back(Prompt::plain(std::vector<int>(first, first + cached - 1)));
        parents.push_back(static_cast<int>(item));
        next.push_back(static_cast<int>(first[cached - 1]));
    }
    auto const mask = c.inputs.integers("encoder_mask");
    std::vector<unsigned char> const state_mask(mask.begin(), mask.end());
    DecoderSession<C, B> session(*c.weights, c.states.states, prompts,
                                 static_cast<int>(c.batch * length), c.context, state_mask);
    std::vector<typename DecoderSession<C, B>::scalar> logits(
        static_cast<std::size_t>(c.batch * C::vocabulary));
    session.start(logits);
    session.advance(parents, next, logits);
    c.compare("decoder.cached_logits_token" + std::to_string(cached - 1),
              std::vector<double>(logits.begin(), logits.end()));
}

} // namespace

TEST_CASE("text encoder, mode text, agrees with the reference", "[golden]") {
    SECTION("Reference<double>") {
        check_text<Reference<double>>(1e-9);
    }
    SECTION("Cpu<float>") {
        check_text<Cpu<float>>(1e-4);
    }
}

TEST_CASE("text encoder, mode multimodal, agrees with the reference", "[golden]") {
    SECTION("Reference<double>") {
        check_multimodal<Reference<double>>(1e-9);
    }
    SECTION("Cpu<float>") {
        check_multimodal<Cpu<float>>(1e-4);
    }
}

TEST_CASE("text decoder agrees with the reference", "[golden]") {
    SECTION("Reference<double>") {
        check_decoder<Reference<double>>(1e-9);
    }
    SECTION("Cpu<float>") {
        check_decoder<Cpu<float>>(1e-4);
    }
}

TEST_CASE("a cached decoding step agrees with the reference", "[golden]") {
    SECTION("Reference<double>") {
        check_cached_step<Reference<double>>(1e-9);
    }
    SECTION("Cpu<float>") {
        check_cached_step<Cpu<float>>(1e-4);
    }
}

#endif
