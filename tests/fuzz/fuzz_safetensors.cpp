#include <blip/io/safetensors.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    try {
        auto const content = blip::read_safetensors(std::as_bytes(std::span(data, size)), "input");
        for (auto const& tensor : content.tensors) {
            tensor.values<double>();
            tensor.direct<float>();
        }
    } catch (blip::Error const&) {
    }
    return 0;
}
