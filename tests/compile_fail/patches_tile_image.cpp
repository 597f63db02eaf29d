// expect: patches_tile_image
// max-lines: 25
#include <blip/backend/reference/reference.hpp>
#include <blip/config/presets.hpp>
#include <blip/networks/vision_encoder.hpp>

#ifdef BLIP_CORRECT
constexpr int image = 384;
#else
constexpr int image = 390;
#endif

blip::VisionEncoder<blip::config::vit_base<image>, blip::Reference<float>> encoder; // error
