// Describes pictures in words: caption MODEL PATH...

#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>

#include "support/arguments.hpp"
#include "support/caption_arguments.hpp"
#include "support/caption_model.hpp"
#include "support/caption_run.hpp"
#include "support/interrupt.hpp"
#include "support/random_model.hpp"

namespace {

int write_random(support::CaptionArguments const& arguments) {
    support::write_random_model(arguments.random_model,
                                {.size = arguments.size,
                                 .image_size = arguments.image_size.value_or(384),
                                 .seed = arguments.options.seed});
    return support::success;
}

int caption(support::CaptionArguments const& arguments) {
    auto const model =
        support::load_caption_model(arguments.model, {.image_size = arguments.image_size,
                                                      .compatibility = arguments.compatibility,
                                                      .threads = arguments.threads});
    for (auto const& warning : model->warnings())
        std::fprintf(stderr, "caption: %s: %s\n", arguments.model.c_str(), warning.c_str());
    return support::CaptionRun(arguments, *model).run();
}

} // namespace

int main(int count, char** values) {
    support::CaptionArguments arguments;
    CLI::App app("Describes pictures in words.", "caption");
    support::add_caption_options(app, arguments);
    if (auto const* status = support::parse_arguments(app, count, values))
        return *status;
    return support::run_program("caption", [&] {
        arguments.check();
        if (!arguments.random_model.empty())
            return write_random(arguments);
        support::catch_interrupts();
        return caption(arguments);
    });
}
