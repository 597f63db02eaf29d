// Answers a question about a picture: minimal_answer MODEL PICTURE QUESTION [ANSWER...]
// With answers to choose from, the best of them is printed.

#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/models/question_answerer.hpp>
#include <blip/vision/read_image.hpp>

using Answerer = blip::QuestionAnswerer<blip::config::base<480>, blip::Cpu<float>>;

int main(int count, char** arguments) {
    if (count < 4) {
        std::cerr << "usage: minimal_answer MODEL PICTURE QUESTION [ANSWER...]\n";
        return 2;
    }
    try {
        auto const answerer = Answerer::load(arguments[1]);
        auto const image = blip::read_image(arguments[2]);
        std::vector<std::string> const choices(arguments + 4, arguments + count);
        if (choices.empty())
            std::cout << answerer.answer(image, arguments[3]).front().text << '\n';
        else
            std::cout
                << answerer.rank(image, arguments[3], answerer.answer_list(choices)).front().text
                << '\n';
    } catch (std::exception const& error) {
        std::cerr << error.what() << '\n';
        return 2;
    }
}
