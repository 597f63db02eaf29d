#include "model_choice.hpp"

#include <cstdio>
#include <string>

namespace support {

blip::ModelFolder open_model(std::string const& path) {
    return blip::ModelFolder::open(path);
}

void print_warnings(std::string const& program, std::string const& path, AnyModel const& model) {
    for (auto const& warning : model.warnings())
        std::fprintf(stderr, "%s: %s: %s\n", program.c_str(), path.c_str(), warning.c_str());
}

} // namespace support
