// Finds the pictures that fit a text best: minimal_retrieve MODEL TEXT PICTURE...

#include <exception>
#include <iostream>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/models/retriever.hpp>
#include <blip/vision/read_image.hpp>

using Retriever = blip::Retriever<blip::config::base<384>, blip::Cpu<float>>;

int main(int count, char** arguments) {
    if (count < 4) {
        std::cerr << "usage: minimal_retrieve MODEL TEXT PICTURE...\n";
        return 2;
    }
    try {
        auto const retriever = Retriever::load(arguments[1]);
        auto index = retriever.make_index(); // index.save(file) keeps it
        for (int i = 3; i < count; ++i)
            retriever.add(index, blip::read_image(arguments[i]), arguments[i]);
        auto hits = retriever.query(index, arguments[2], 5);
        hits = retriever.rerank(arguments[2], hits, [](blip::Hit const& hit) {
            return blip::read_image(hit.label); // the match head looks at the candidates again
        });
        for (auto const& hit : hits)
            std::cout << hit.score << "  cosine " << hit.cosine << "  " << hit.label << '\n';
    } catch (std::exception const& error) {
        std::cerr << error.what() << '\n';
        return 2;
    }
}
