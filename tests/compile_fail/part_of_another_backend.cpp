// expect: of_one_backend
// max-lines: 25
#include <tuple>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/core/weights.hpp>
#include <blip/layers/layer_norm.hpp>

using B = blip::Reference<float>;

#ifdef BLIP_CORRECT
using Other = B;
#else
using Other = blip::Cpu<float>;
#endif

struct Mixed {
    using backend = B;
    blip::Weight<B, 8, 8> weight;
    blip::LayerNorm<8, Other> norm;

    static constexpr auto fields() {
        return std::tuple{blip::Field{"weight", &Mixed::weight}, blip::Field{"norm", &Mixed::norm}};
    }
};

void make(B::Engine& engine) {
    blip::Weights<Mixed> weights(engine); // error
}
