// Describes pictures in words: caption MODEL PATH...

#include <CLI/CLI.hpp>

#include "support/caption_arguments.hpp"
#include "support/caption_job.hpp"
#include "support/caption_model.hpp"
#include "support/interrupt.hpp"
#include "support/random_model.hpp"

namespace {

int caption(support::CaptionArguments const& arguments) {
    using namespace support;
    auto const model = load_model<CaptionModel, CaptionModels, CaptionTypes>("caption", arguments);
    CaptionJob job(arguments, *model);
    auto const items = picture_items(arguments.paths, arguments.subfolders());
    return run_job(
        job, *items, arguments, caption_schema(arguments.captions()), arguments.recorded(),
        {.program = "caption", .resumable = !arguments.output.empty() || arguments.sidecar});
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
            return support::write_random_model<support::CaptionModels, support::CaptionTypes>(
                arguments, 384, arguments.options.seed);
        support::catch_interrupts();
        return caption(arguments);
    });
}
