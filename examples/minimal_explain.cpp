// Shows what a text draws on in a picture: minimal_explain MODEL PICTURE TEXT MAP.png

#include <exception>
#include <iostream>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/models/heat_map.hpp>
#include <blip/vision/heat_map.hpp>
#include <blip/vision/read_image.hpp>
#include <blip/vision/write_image.hpp>

using Matcher = blip::Matcher<blip::config::base<384>, blip::Cpu<float>>;

int main(int count, char** arguments) {
    if (count != 5) {
        std::cerr << "usage: minimal_explain MODEL PICTURE TEXT MAP.png\n";
        return 2;
    }
    try {
        auto const matcher = Matcher::load(arguments[1]);
        auto const image = blip::read_image(arguments[2]);
        auto const map = blip::heat_map(matcher, image, arguments[3]);
        blip::write_image(arguments[4], blip::overlay(image, map.words));
        std::cout << "probability " << map.match.probability << '\n';
    } catch (std::exception const& error) {
        std::cerr << error.what() << '\n';
        return 2;
    }
}
