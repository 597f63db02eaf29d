#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <istream>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/vision/picture_name.hpp>

#include "item.hpp"

namespace support {

/// One picture to work on.
struct Input {
    std::uint64_t index = 0; ///< its number within the whole run, from 0
    std::filesystem::path path;
    std::string error; ///< set where a folder cannot be listed
};

using blip::has_picture_name, blip::picture_endings;

namespace detail {

enum class EntryKind { picture, folder, other };

/// Hidden files are left out; so are links to folders, which could lead in circles.
inline EntryKind kind_of(std::filesystem::directory_entry const& entry, Subfolders subfolders) {
    std::error_code ignored;
    if (entry.path().filename().native().front() == '.')
        return EntryKind::other;
    if (entry.is_directory(ignored)) {
        bool const enter = subfolders == Subfolders::enter && !entry.is_symlink(ignored);
        return enter ? EntryKind::folder : EntryKind::other;
    }
    return has_picture_name(entry.path()) ? EntryKind::picture : EntryKind::other;
}

/// The next line without its end; none at the end of the stream. Throws LimitError for a line that
/// no path can be.
inline std::optional<std::string> read_line(std::istream& stream, std::string const& name) {
    constexpr std::size_t longest = std::size_t{1} << 16;
    std::string line;
    int letter = stream.get();
    if (letter == std::char_traits<char>::eof())
        return std::nullopt;
    for (; letter != std::char_traits<char>::eof() && letter != '\n'; letter = stream.get()) {
        if (line.size() == longest)
            throw blip::LimitError(blip::join(name, ": a line is longer than ", longest,
                                              " bytes; expected one path a line"));
        line.push_back(static_cast<char>(letter));
    }
    if (!line.empty() && line.back() == '\r')
        line.pop_back();
    return line;
}

/// Passes over a UTF-8 byte order mark at the beginning of a text. Throws FormatError for UTF-16.
inline void skip_mark(std::istream& stream, std::string const& name) {
    constexpr std::array<int, 3> mark{0xEF, 0xBB, 0xBF};
    if (stream.peek() == 0xFF || stream.peek() == 0xFE)
        throw blip::FormatError(
            blip::join(name, ": the text is UTF-16 or not a text. Save it as UTF-8."));
    for (std::size_t taken = 0; taken < mark.size(); ++taken) {
        if (stream.peek() == mark[taken]) {
            stream.get();
            continue;
        }
        stream.clear(stream.rdstate() & ~std::ios::eofbit);
        for (; taken > 0; --taken)
            stream.unget();
        return;
    }
}

inline bool is_list(std::string const& argument) {
    return argument == "-" || argument.starts_with('@');
}

} // namespace detail

/// The pictures (and subfolders) of one folder by name. However many there are, at most `window`
/// names are held: the folder is read again for the ones after those.
class SortedFolder {
public:
    struct Entry {
        std::string name;
        detail::EntryKind kind;
        bool operator<(Entry const& other) const { return name < other.name; }
    };

    SortedFolder(std::filesystem::path folder, Subfolders subfolders,
                 std::size_t window = std::size_t{1} << 16)
        : folder_(std::move(folder)), subfolders_(subfolders), window_(window) {
        fill();
    }

    std::filesystem::path const& path() const { return folder_; }

    /// Throws std::filesystem::filesystem_error when the folder became unreadable.
    std::optional<Entry> next() {
        if (next_ == entries_.size()) {
            if (entries_.size() < window_)
                return std::nullopt;
            fill();
            if (entries_.empty())
                return std::nullopt;
        }
        return entries_[next_++];
    }

private:
    void fill() {
        std::optional<std::string> last;
        if (!entries_.empty())
            last = std::move(entries_.back().name);
        entries_.clear();
        next_ = 0;
        for (auto const& found : std::filesystem::directory_iterator(folder_)) {
            auto const kind = detail::kind_of(found, subfolders_);
            if (kind == detail::EntryKind::other)
                continue;
            Entry entry{found.path().filename().string(), kind};
            if (last && entry.name <= *last)
                continue;
            if (entries_.size() == window_) {
                if (!(entry < entries_.front()))
                    continue;
                std::pop_heap(entries_.begin(), entries_.end());
                entries_.pop_back();
            }
            entries_.push_back(std::move(entry));
            std::push_heap(entries_.begin(), entries_.end());
        }
        std::sort_heap(entries_.begin(), entries_.end());
    }

    std::filesystem::path folder_;
    Subfolders subfolders_;
    std::size_t window_;
    std::vector<Entry> entries_;
    std::size_t next_ = 0;
};

/// The pictures that arguments name, one after another: picture files, folders, `@list` (a file
/// with a path a line) and `-` (such a list from standard input). Memory does not depend on how
/// many there are.
class Inputs {
public:
    /// Throws FileError when a list does not exist.
    explicit Inputs(std::vector<std::string> arguments, Subfolders subfolders = Subfolders::skip)
        : arguments_(std::move(arguments)), subfolders_(subfolders) {
        for (auto const& argument : arguments_) {
            std::error_code ignored;
            if (argument.starts_with('@') &&
                (!std::filesystem::exists(argument.substr(1), ignored) ||
                 std::filesystem::is_directory(argument.substr(1), ignored)))
                throw blip::FileError(blip::join(
                    argument.substr(1), ": no such list; @FILE expects a text file with one path ",
                    "a line (a picture whose name begins with @ is written ./", argument, ")"));
        }
    }

    /// The next picture; none after the last. Throws FileError, LimitError for an unusable list.
    std::optional<Input> next() {
        for (;;) {
            if (auto found = from_list(); !found.empty())
                return number(std::move(found));
            if (!folders_.empty()) {
                if (auto input = from_folder())
                    return input;
                continue;
            }
            if (at_ == arguments_.size())
                return std::nullopt;
            if (auto input = open(arguments_[at_++]))
                return input;
        }
    }

private:
    Input number(std::filesystem::path path, std::string error = {}) {
        return {next_index_++, std::move(path), std::move(error)};
    }

    std::string from_list() {
        while (list_ != nullptr) {
            auto line = detail::read_line(*list_, list_name_);
            if (!line)
                list_ = nullptr;
            else if (!line->empty())
                return *line;
        }
        return {};
    }

    std::optional<Input> from_folder() {
        auto const folder = folders_.back().path();
        try {
            auto entry = folders_.back().next();
            if (!entry) {
                folders_.pop_back();
                return std::nullopt;
            }
            if (entry->kind == detail::EntryKind::folder)
                return enter(folder / entry->name);
            return number(folder / entry->name);
        } catch (std::filesystem::filesystem_error const& error) {
            folders_.pop_back();
            return number(folder, blip::join(folder.string(), ": this folder cannot be listed: ",
                                             error.code().message()));
        }
    }

    std::optional<Input> enter(std::filesystem::path const& folder) {
        try {
            folders_.emplace_back(folder, subfolders_);
            return std::nullopt;
        } catch (std::filesystem::filesystem_error const& error) {
            return number(folder, blip::join(folder.string(), ": this folder cannot be listed: ",
                                             error.code().message()));
        }
    }

    std::optional<Input> open(std::string const& argument) {
        std::error_code ignored;
        if (argument == "-") {
            list_ = &std::cin;
            list_name_ = "standard input";
            detail::skip_mark(*list_, list_name_);
        } else if (argument.starts_with('@')) {
            list_name_ = argument.substr(1);
            file_ = std::ifstream(list_name_, std::ios::binary);
            if (!file_)
                throw blip::FileError(
                    blip::join(list_name_, ": cannot be opened. Check its permissions."));
            list_ = &file_;
            detail::skip_mark(*list_, list_name_);
        } else if (std::filesystem::is_directory(argument, ignored)) {
            return enter(argument);
        } else {
            return number(argument);
        }
        return std::nullopt;
    }

    std::vector<std::string> arguments_;
    Subfolders subfolders_;
    std::size_t at_ = 0;
    std::uint64_t next_index_ = 0;
    std::vector<SortedFolder> folders_;
    std::ifstream file_;
    std::istream* list_ = nullptr;
    std::string list_name_;
};

/// How many pictures `arguments` name; none when that cannot be told without using them up
/// (standard input, pipes), or when asked to stop.
inline std::optional<std::uint64_t> count_inputs(std::vector<std::string> const& arguments,
                                                 Subfolders subfolders, std::stop_token stop) {
    namespace fs = std::filesystem;
    std::uint64_t count = 0;
    std::error_code failure;
    for (auto const& argument : arguments) {
        if (detail::is_list(argument)) {
            if (argument == "-" || !fs::is_regular_file(argument.substr(1), failure))
                return std::nullopt;
            std::ifstream list(argument.substr(1), std::ios::binary);
            detail::skip_mark(list, argument);
            while (auto const line = detail::read_line(list, argument)) {
                count += line->empty() ? 0 : 1;
                if (stop.stop_requested())
                    return std::nullopt;
            }
        } else if (fs::is_directory(argument, failure)) {
            std::vector<fs::path> open{argument};
            while (!open.empty()) {
                auto const folder = std::move(open.back());
                open.pop_back();
                fs::directory_iterator entry(folder, failure);
                count += failure ? 1 : 0;
                for (; !failure && entry != fs::directory_iterator(); entry.increment(failure)) {
                    auto const kind = detail::kind_of(*entry, subfolders);
                    count += kind == detail::EntryKind::picture ? 1 : 0;
                    if (kind == detail::EntryKind::folder)
                        open.push_back(entry->path());
                    if (stop.stop_requested())
                        return std::nullopt;
                }
            }
        } else {
            ++count;
        }
    }
    return count;
}

} // namespace support
