// The unit whose cost is measured: a full-size captioner's loss and its backward.

#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/networks/captioner_network.hpp>

using B = blip::Cpu<float>;
using Network = blip::CaptionerNetwork<blip::config::caption_base, B>;

double step(Network const& network, Network::Grad& gradient, Network::Images images,
            blip::TextInput<B> const& text, std::vector<int> const& labels, blip::Context<B>& ctx);

double step(Network const& network, Network::Grad& gradient, Network::Images images,
            blip::TextInput<B> const& text, std::vector<int> const& labels, blip::Context<B>& ctx) {
    Network::Cache cache;
    double const loss = network.loss(images, text, labels, {}, cache, ctx);
    network.backward(cache, gradient, ctx);
    return loss;
}
