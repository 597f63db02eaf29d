// Describes one picture: minimal_caption MODEL PICTURE

#include <exception>
#include <iostream>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/models/captioner.hpp>
#include <blip/vision/read_image.hpp>

using Captioner = blip::Captioner<blip::config::caption_base, blip::Cpu<float>>;

int main(int count, char** arguments) {
    if (count != 3) {
        std::cerr << "usage: minimal_caption MODEL PICTURE\n";
        return 2;
    }
    try {
        auto const captioner = Captioner::load(arguments[1]);
        auto const image = blip::read_image(arguments[2]);
        auto const captions = captioner.generate(image);
        std::cout << captions.front().text << '\n';
    } catch (std::exception const& error) {
        std::cerr << error.what() << '\n';
        return 2;
    }
}
