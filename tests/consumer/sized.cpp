// Uses what blip_model_config() and blip_add_models() wrote: keys left out have their defaults.
#include <blip/model/built_in.hpp>
#include <blip/model/consumer_model.hpp>

#include <type_traits>

#include "consumer.hpp"

using Model = blip::config::consumer_model;
static_assert(Model::vision::image == 96 && Model::vision::patch == 16);
static_assert(Model::vision::width == 64 && Model::vision::heads == 4 && Model::vision::hidden == 3072);
static_assert(Model::text::width == 64 && Model::text::heads == 8 && Model::text::positions == 512);
static_assert(Model::text::encoder_width == 64 && Model::projection == 256);
static_assert(std::is_same_v<blip::config::built_in_models, blip::config::ModelList<>>);

int main() {
    return use_blip();
}
