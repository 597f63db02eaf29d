// expect: Tokens<
// expect: 3072
// expect: 1024
// max-lines: 25
#include <blip/backend/reference/reference.hpp>
#include <blip/layers/linear.hpp>

#ifdef BLIP_CORRECT
constexpr int width = 1024;
#else
constexpr int width = 3072;
#endif
using B = blip::Reference<float>;

void apply(blip::Linear<1024, 8, B> const& layer, blip::Tokens<width, B> x, blip::Context<B>& ctx) {
    blip::Linear<1024, 8, B>::Cache cache;
    layer.forward(x, cache, ctx); // error
}
