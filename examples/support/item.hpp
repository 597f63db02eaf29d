#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace support {

/// Whether the folders within a folder are searched too.
enum class Subfolders { skip, enter };

/// One thing to work on.
struct Item {
    std::uint64_t index = 0;          ///< its number within the whole run, from 0
    std::vector<std::string> paths{}; ///< its pictures: one, or two to be compared, or a video
    std::vector<std::string> texts{}; ///< its own questions or sentences; empty: those of all items
    std::string error{};              ///< set where it cannot be worked on
    std::size_t done = 0;             ///< how many of its records an earlier run has written
};

/// Where items come from. Memory does not depend on how many there are.
class ItemSource {
public:
    virtual ~ItemSource() = default;
    /// The next item; none after the last. Throws FileError, FormatError, LimitError for a list
    /// that cannot be used.
    virtual std::optional<Item> next() = 0;
    /// How many items there are; none when that cannot be told without using them up, or when asked
    /// to stop. May be called by another thread.
    virtual std::optional<std::uint64_t> count(std::stop_token stop) const = 0;
};

/// The pictures that arguments name, an item each. Throws FileError when a list does not exist.
std::unique_ptr<ItemSource> picture_items(std::vector<std::string> arguments,
                                          Subfolders subfolders);

} // namespace support
