#include <support/catch.hpp>

#include <blip/networks/text_decoder.hpp>
#include <support/check_layer.hpp>
#include <support/tiny_configs.hpp>

using namespace blip;

template <class B>
using Stored = TextDecoder<test::tiny_text<0>, B>;
template <class B>
using Again = TextDecoder<test::tiny_text<1>, B>;

namespace {

constexpr unsigned char state_mask[] = {1, 1, 0, 1, 0, 1};

template <template <class> class Tested>
void check(Mode mode, auto settings) {
    auto const text = []<class B>(Context<B>&) {
        return TextInput<B>{test::tiny_ids, test::tiny_positions, test::tiny_mask, 2, 4};
    };
    test::check_contract<Tested>(
        {2 * 3 * 8}, {.mode = mode}, settings,
        [=]<class B>(Tested<B> const& layer, auto& cache, Context<B>& ctx, auto const& x) {
            return layer.forward(text(ctx), {{x[0], 2, 3}, state_mask}, cache, ctx);
        },
        []<class B>(Tested<B> const& layer, auto dy, auto const& cache, auto& grad, Context<B>& ctx,
                    auto const& x) {
            auto const gradient = ctx.template tokens<8>(2, 3);
            B::zero(ctx.engine, gradient.data, gradient.size());
            layer.backward(dy, cache, grad, {{x[0], 2, 3}, state_mask, gradient}, ctx);
            return std::vector{gradient.data};
        });
}

} // namespace

TEST_CASE("the text decoder keeps the contract, the word table it shares with its head included") {
    check<Stored>(Mode::evaluate, test::default_settings);
    check<Again>(Mode::train, test::drop_everywhere);
}

TEST_CASE("the decoder's word table is one parameter") {
    using Decoder = Stored<Reference<float>>;
    int tables = 0;
    Decoder decoder;
    for (auto const& p : list_parameters(decoder)) {
        if (p.size == 11 * 6) {
            CHECK(p.path == "body.embedding.words");
            ++tables;
        }
    }
    CHECK(tables == 1);
}
