// Says how well texts fit a picture: minimal_match MODEL PICTURE TEXT...

#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/models/matcher.hpp>
#include <blip/vision/read_image.hpp>

using Matcher = blip::Matcher<blip::config::base<384>, blip::Cpu<float>>;

int main(int count, char** arguments) {
    if (count < 4) {
        std::cerr << "usage: minimal_match MODEL PICTURE TEXT...\n";
        return 2;
    }
    try {
        auto const matcher = Matcher::load(arguments[1]);
        auto const image = blip::read_image(arguments[2]);
        std::vector<std::string> const texts(arguments + 3, arguments + count);
        auto const matches = matcher.match_texts(image, texts); // the picture is encoded once
        for (std::size_t i = 0; i < texts.size(); ++i)
            std::cout << matches[i].probability << "  cosine " << *matches[i].cosine << "  "
                      << texts[i] << '\n';
    } catch (std::exception const& error) {
        std::cerr << error.what() << '\n';
        return 2;
    }
}
