// Says how well texts fit a clip: minimal_video MODEL CLIP TEXT...
// A clip is a folder of frames, an animated GIF or WebP, or a video file in a build with libav.

#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/models/video_retriever.hpp>
#include <blip/vision/frames.hpp>

using Retriever = blip::VideoRetriever<blip::config::base<384>, blip::Cpu<float>>;

int main(int count, char** arguments) {
    if (count < 4) {
        std::cerr << "usage: minimal_video MODEL CLIP TEXT...\n";
        return 2;
    }
    try {
        auto const retriever = Retriever::load(arguments[1]);
        auto const clip = retriever.encode(blip::read_frames(arguments[2])); // 8 frames of it
        std::vector<std::string> const texts(arguments + 3, arguments + count);
        auto const matches = retriever.match(clip, texts);
        for (std::size_t i = 0; i < texts.size(); ++i)
            std::cout << matches[i].probability << "  cosine " << *matches[i].cosine << "  "
                      << texts[i] << '\n';
    } catch (std::exception const& error) {
        std::cerr << error.what() << '\n';
        return 2;
    }
}
