#include <blip/vision/read_image.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

/// libFuzzer target: any bytes give an image or an Error.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    try {
        blip::decode_image(std::as_bytes(std::span(data, size)),
                           {.orientation = blip::Orientation::upright, .max_pixels = 1'000'000});
    } catch (blip::Error const&) {
        return 0;
    }
    return 0;
}
