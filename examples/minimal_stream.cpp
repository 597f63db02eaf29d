// Continues a prompt in several ways, token by token: minimal_stream MODEL PICTURE PROMPT

#include <exception>
#include <iostream>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/models/captioner.hpp>
#include <blip/vision/read_image.hpp>

using Captioner = blip::Captioner<blip::config::caption_base, blip::Cpu<float>>;

int main(int count, char** arguments) {
    if (count != 4) {
        std::cerr << "usage: minimal_stream MODEL PICTURE PROMPT\n";
        return 2;
    }
    try {
        auto const captioner = Captioner::load(arguments[1]);
        blip::CaptionOptions options{.prompt = arguments[3], .results = 3, .sample = true};
        options.watch.on_token = [&](blip::GeneratedToken const& token) {
            auto const text = captioner.tokenizer().decode(token.ids);
            std::cout << "  " << token.sequence << ": " << text << std::endl;
            return blip::Control::go_on;
        };
        for (auto const& caption : captioner.generate(blip::read_image(arguments[2]), options))
            std::cout << caption.text << "  (log p = " << caption.log_probability << ")\n";
    } catch (std::exception const& error) {
        std::cerr << error.what() << '\n';
        return 2;
    }
}
