#include "run.hpp"

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/vision/read_image.hpp>

#include "html_report.hpp"
#include "job.hpp"

namespace support {

namespace {

blip::Image read_turned(std::string const& path, bool upright) {
    return blip::read_image(
        path, {.orientation = upright ? blip::Orientation::upright : blip::Orientation::as_stored});
}

} // namespace

void read_pictures(Work& work, PictureOptions const& options) {
    auto const floats = blip::preprocessed_size(options.preprocess);
    std::vector<float> pixels(floats * work.item.paths.size());
    for (std::size_t i = 0; i < work.item.paths.size(); ++i) {
        auto image = read_turned(work.item.paths[i], options.upright);
        work.sizes.push_back(blip::image_size(image));
        if (options.thumbnails)
            for (auto const address = thumbnail(image); auto& record : work.records)
                record.pictures.push_back(address);
        blip::preprocess(image, options.preprocess, std::span(pixels).subspan(i * floats, floats));
        if (options.keep_images)
            work.images.push_back(std::move(image));
    }
    work.pixels = std::move(pixels);
}

blip::Pixels gather_pixels(std::span<Work* const> batch, std::size_t side, int only) {
    std::size_t const one = 3 * side * side;
    std::size_t floats = 0;
    for (auto const* work : batch)
        floats += only < 0 ? work->pixels.size() : one;
    blip::Pixels pixels(blip::Pixels::shape_type{floats / one, 3, side, side});
    float* to = pixels.data();
    for (auto const* work : batch) {
        std::span<float const> from(work->pixels);
        if (only >= 0)
            from = from.subspan(static_cast<std::size_t>(only) * one, one);
        to = std::copy(from.begin(), from.end(), to);
    }
    return pixels;
}

std::string thumbnail_of(blip::Image const& image) {
    return thumbnail(image);
}

std::string thumbnail_of(std::string const& path, bool upright) {
    try {
        return thumbnail(read_turned(path, upright));
    } catch (blip::Error const&) {
        return {};
    }
}

int run_job(Job& job, ItemSource& items, CommonArguments const& a, Schema const& schema,
            RecordedOptions const& recorded, RunOptions options, PageLayout layout) {
    std::vector<OutputTarget> targets;
    if (options.records)
        targets.push_back({a.output, make_format(a.format_name(), schema)});
    if (!a.html.empty())
        targets.push_back({a.html, std::make_unique<HtmlFormat>(schema, layout)});
    auto const existing = a.resume  ? WhenExisting::resume
                          : a.force ? WhenExisting::replace
                                    : WhenExisting::refuse;
    Outputs outputs(std::move(targets), existing, recorded, items,
                    [&job](Item const& item) { return job.keys(item); });
    options.batch = a.batch;
    options.threads = a.threads;
    return Run(std::move(options), job, items, outputs).run();
}

} // namespace support
