// expect: lists_every_member
// max-lines: 25
#include <tuple>

#include <blip/backend/reference/reference.hpp>
#include <blip/core/weights.hpp>

using B = blip::Reference<float>;

struct Forgetful {
    using backend = B;
    blip::Weight<B, 8, 8> weight;
    blip::Parameter<B, 8> bias;

#ifdef BLIP_CORRECT
    static constexpr auto fields() {
        return std::tuple{blip::Field{"weight", &Forgetful::weight},
                          blip::Field{"bias", &Forgetful::bias}};
    }
#else
    static constexpr auto fields() {
        return std::tuple{blip::Field{"weight", &Forgetful::weight}};
    }
#endif
};

void make(B::Engine& engine) {
    blip::Weights<Forgetful> weights(engine); // error
}
