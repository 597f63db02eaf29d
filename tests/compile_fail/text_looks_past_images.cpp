// expect: text_looks_at_images
// max-lines: 25
#include <blip/backend/reference/reference.hpp>
#include <blip/config/presets.hpp>
#include <blip/networks/captioner_network.hpp>

struct mismatched {
    using vision = blip::config::vit_large<384>;
#ifdef BLIP_CORRECT
    using text = blip::config::bert_base<1024>;
#else
    using text = blip::config::bert_base<768>;
#endif
};

blip::CaptionerNetwork<mismatched, blip::Reference<float>> network; // error
