// expect: depth
// max-lines: 25
#include <blip/backend/reference/reference.hpp>
#include <blip/networks/vision_encoder.hpp>

struct shallow {
    static constexpr int image = 384, patch = 16, width = 768, heads = 12, hidden = 3072;
    static constexpr int recompute = 0;
#ifdef BLIP_CORRECT
    static constexpr int depth = 12;
#endif
};

blip::VisionEncoder<shallow, blip::Reference<float>> encoder; // error
