#pragma once

#include <cctype>
#include <filesystem>
#include <string>
#include <system_error>

#include "inputs.hpp"

namespace support {

namespace detail {

/// Whether a picture that differs in its ending only stands beside this one.
inline bool has_twin(std::filesystem::path const& picture) {
    auto const stands_beside = [&picture](std::string const& ending) {
        std::error_code ignored;
        auto other = picture;
        other.replace_extension(ending);
        return other != picture && std::filesystem::is_regular_file(other, ignored) &&
               !std::filesystem::equivalent(picture, other, ignored);
    };
    for (std::string ending : picture_endings) {
        auto capital = ending, capitals = ending;
        for (char& letter : capitals)
            letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
        capital[1] = capitals[1];
        if (stands_beside(ending) || stands_beside(capital) || stands_beside(capitals))
            return true;
    }
    return stands_beside("");
}

} // namespace detail

/// The text file beside a picture: photo.txt for photo.jpg; photo.jpg.txt where a photo.png stands
/// beside it, so that every picture has its own.
inline std::filesystem::path sidecar_of(std::filesystem::path picture) {
    if (picture.extension() == ".txt" || detail::has_twin(picture))
        return picture += ".txt";
    return picture.replace_extension(".txt");
}

} // namespace support
