// expect: heads_divide_width
// max-lines: 25
#include <blip/backend/reference/reference.hpp>
#include <blip/config/presets.hpp>
#include <blip/networks/vision_encoder.hpp>

struct ten_heads : blip::config::vit_base<384> {
#ifdef BLIP_CORRECT
    static constexpr int heads = 12;
#else
    static constexpr int heads = 10;
#endif
};

blip::VisionEncoder<ten_heads, blip::Reference<float>> encoder; // error
