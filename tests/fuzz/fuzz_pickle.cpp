#include <blip/io/torch_pickle.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace {

constexpr blip::TorchPickleLimits limits{.tree_memory = std::size_t{1} << 24,
                                         .inflated = std::uint64_t{1} << 22,
                                         .flattened = std::size_t{1} << 12};

void read_file(std::span<std::byte const> bytes, blip::Checksums checksums) {
    try {
        auto with_checksums = limits;
        with_checksums.checksums = checksums;
        blip::TorchPickle const file(bytes, "input", with_checksums);
        file.state_dict();
        std::int64_t copied = 0;
        for (auto const& tensor : file.tensors_below(file.root()))
            if ((copied += tensor.element_count()) < (1 << 20))
                tensor.values<double>();
    } catch (blip::Error const&) {
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const bytes = std::as_bytes(std::span(data, size));
    read_file(bytes, blip::Checksums::skip);
    read_file(bytes, blip::Checksums::verify);
    try {
        blip::PickleTree tree;
        blip::PickleReader(bytes, "input", tree, limits.tree_memory).read();
    } catch (blip::Error const&) {
    }
    return 0;
}
