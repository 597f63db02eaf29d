// expect: Mlp<
// expect: 16
// expect: 32
// max-lines: 25
#include <blip/backend/reference/reference.hpp>
#include <blip/layers/mlp.hpp>

#ifdef BLIP_CORRECT
constexpr int hidden = 16;
#else
constexpr int hidden = 32;
#endif
using B = blip::Reference<float>;

void apply(blip::Mlp<8, 16, B> const& layer, blip::Tokens<8, B> dy,
           blip::Mlp<8, 16, B>::Cache& cache, blip::Mlp<8, hidden, B>::Grad& grad,
           blip::Context<B>& ctx) {
    layer.backward(dy, cache, grad, ctx); // error
}
