// expect: Reference<double>
// expect: Reference<float>
// max-lines: 25
#include <blip/backend/reference/reference.hpp>
#include <blip/layers/layer_norm.hpp>

#ifdef BLIP_CORRECT
using Other = blip::Reference<float>;
#else
using Other = blip::Reference<double>;
#endif
using Layer = blip::LayerNorm<8, blip::Reference<float>>;

void apply(Layer const& layer, blip::Tokens<8, Other> x,
           blip::Context<blip::Reference<float>>& ctx) {
    Layer::Cache cache;
    layer.forward(x, cache, ctx); // error
}
