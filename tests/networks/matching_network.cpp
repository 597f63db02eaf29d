#include <support/catch.hpp>

#include <blip/backend/reference/reference.hpp>
#include <blip/config/presets.hpp>
#include <blip/networks/matching_network.hpp>

TEST_CASE("the matching network has the published numbers of parameters") {
    using B = blip::Reference<float>;
    CHECK(blip::count_parameters<blip::MatchingNetwork<blip::config::base<384>, B>>() ==
          223'744'258);
    CHECK(blip::count_parameters<blip::MatchingNetwork<blip::config::large<384>, B>>() ==
          446'128'642);
}
