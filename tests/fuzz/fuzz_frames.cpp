#include <blip/vision/frames.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

/// libFuzzer target: any bytes give the frames of a clip or an Error.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    try {
        blip::decode_frames(
            std::as_bytes(std::span(data, size)),
            {.wanted = 0,
             .read = {.orientation = blip::Orientation::upright, .max_pixels = 100'000},
             .max_total_bytes = 10'000'000});
    } catch (blip::Error const&) {
        return 0;
    }
    return 0;
}
