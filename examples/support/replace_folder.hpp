#pragma once

#include <filesystem>

namespace support {

/// Makes the folder `to`, in place of one that is there, by write(path): the whole of it appears or
/// nothing. Throws what `write` throws, and std::filesystem::filesystem_error.
template <class Write>
void replace_folder(std::filesystem::path const& to, Write const& write) {
    auto const partial = std::filesystem::path(to).concat("-partial");
    std::filesystem::remove_all(partial);
    write(partial);
    std::filesystem::remove_all(to);
    std::filesystem::rename(partial, to);
}

} // namespace support
