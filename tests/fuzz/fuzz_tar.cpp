#include <blip/train/shard_source.hpp>
#include <blip/train/tar.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

namespace {

void read(std::string_view archive) {
    try {
        blip::read_tar(std::as_bytes(std::span(archive)), "input",
                       [&](blip::TarMember const& member) {
                           if (member.offset > archive.size() ||
                               member.size > archive.size() - member.offset || member.name.empty())
                               std::abort();
                           blip::detail::part_kind(member.name);
                       },
                       {.members = 1000, .name_bytes = 1000, .extension_bytes = 10'000});
    } catch (blip::Error const&) {
    }
}

/// Makes the checksum of every block right, so that what it guards is reached.
std::string sealed(std::string archive) {
    using blip::detail::tar_block, blip::detail::tar_checksum;
    for (std::size_t at = 0; at + tar_block <= archive.size(); at += tar_block) {
        std::string_view const block(archive.data() + at, tar_block);
        if (std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; }))
            continue;
        auto sum = blip::detail::tar_sum(block);
        auto* const field = archive.data() + at + tar_checksum.offset;
        field[6] = '\0';
        for (std::size_t digit = 6; digit-- > 0; sum /= 8)
            field[digit] = static_cast<char>('0' + sum % 8);
    }
    return archive;
}

} // namespace

/// libFuzzer target: any bytes give members that lie within them, or an Error.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    std::string const archive(reinterpret_cast<char const*>(data), size);
    read(archive);
    read(sealed(archive));
    return 0;
}
