#include "support/catch.hpp"

#include <string>
#include <type_traits>

#include <blip/config/presets.hpp>
#include <blip/config/sizes.hpp>
#include <blip/models/dispatch.hpp>

namespace {

using namespace blip;

template <class List = config::caption_models>
int image_size_of(ModelFolder const& folder, std::optional<int> image_size = {}) {
    auto const size = []<class C>(std::type_identity<C>) { return int{C::vision::image}; };
    return visit_config<List>(folder, size, image_size);
}

std::string message_of(ModelFolder const& folder, std::optional<int> image_size = {}) {
    try {
        image_size_of(folder, image_size);
    } catch (ConfigError const& error) {
        return error.what();
    }
    return "";
}

} // namespace

TEST_CASE("a checkpoint meets the configuration with its sizes") {
    ModelFolder folder;
    folder.folder = "somewhere";
    folder.sizes = sizes_of<config::caption_large>();
    CHECK(image_size_of(folder) == 384);
    CHECK(image_size_of(folder, 224) == 224);
    auto const name = visit_config(
        folder, []<class C>(std::type_identity<C>) { return std::string(C::name); }, 224);
    CHECK(name == "large");
    CHECK_THROWS_AS(image_size_of<config::ModelList<config::caption_base>>(folder), ConfigError);
    CHECK_THROWS_AS(image_size_of<config::ModelList<>>(folder), ConfigError);
}

TEST_CASE("a size that was not compiled in is named, with the remedy") {
    ModelFolder folder;
    folder.folder = "/somewhere";
    folder.sizes = sizes_of<config::caption_base>();
    CHECK(message_of(folder, 400).find("at that image size: image 400") != std::string::npos);
    CHECK(message_of(folder, 400).find("at image size 384 or 224 or 480, to which positions") !=
          std::string::npos);
    folder.sizes.text.vocabulary = 777;
    auto const message = message_of(folder);
    CHECK(message.find("at image size") == std::string::npos);
    CHECK(message.find("vocabulary 777") != std::string::npos);
    CHECK(message.find("-DBLIP_MODELS=\"/somewhere\"") != std::string::npos);
    for (auto const* known : {"base: image 384", "large: image 384", "base: image 480"})
        CHECK(message.find(known) != std::string::npos);
}
