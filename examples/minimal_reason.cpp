// Says whether a sentence is true of two pictures: minimal_reason MODEL LEFT RIGHT SENTENCE

#include <exception>
#include <iostream>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/models/pair_reasoner.hpp>
#include <blip/vision/read_image.hpp>

using Reasoner = blip::PairReasoner<blip::config::nlvr_base, blip::Cpu<float>>;

int main(int count, char** arguments) {
    if (count != 5) {
        std::cerr << "usage: minimal_reason MODEL LEFT RIGHT SENTENCE\n";
        return 2;
    }
    try {
        auto const reasoner = Reasoner::load(arguments[1]);
        auto const judgement = reasoner.predict(blip::read_image(arguments[2]),
                                                blip::read_image(arguments[3]), arguments[4]);
        std::cout << (judgement.is_true() ? "true" : "false") << "  (probability of true "
                  << judgement.probability << ")\n";
    } catch (std::exception const& error) {
        std::cerr << error.what() << '\n';
        return 2;
    }
}
