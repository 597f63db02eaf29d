#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <blip/core/error.hpp>
#include <blip/io/write_file.hpp>

namespace blip {

/// One regular file in a tar archive.
struct TarMember {
    std::string name{};
    std::uint64_t offset = 0; ///< of its bytes in the archive
    std::uint64_t size = 0;
};

/// How much of the machine an archive may claim.
struct TarLimits {
    std::uint64_t members = std::uint64_t{1} << 28;
    std::size_t name_bytes = 4096;
    std::size_t extension_bytes = std::size_t{1} << 20; ///< of one pax or GNU header
};

namespace detail {

inline constexpr std::size_t tar_block = 512;

/// Bytes of the fields of a tar header (POSIX.1-1988 "ustar").
struct TarField {
    std::size_t offset, size;
};
inline constexpr TarField tar_name{0, 100}, tar_mode{100, 8}, tar_user{108, 8}, tar_group{116, 8},
    tar_size{124, 12}, tar_time{136, 12}, tar_checksum{148, 8}, tar_type{156, 1}, tar_magic{257, 8},
    tar_prefix{345, 155};

/// The sum of a header's bytes, its checksum field as if it were spaces.
inline std::uint32_t tar_sum(std::string_view header) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < header.size(); ++i) {
        bool const is_sum = i >= tar_checksum.offset && i < tar_checksum.offset + tar_checksum.size;
        sum += is_sum ? ' ' : static_cast<unsigned char>(header[i]);
    }
    return sum;
}

/// Goes through the headers of an archive once, from its beginning to its end.
class TarWalk {
public:
    TarWalk(std::string_view archive, std::string name, TarLimits const& limits)
        : archive_(archive), name_(std::move(name)), limits_(limits) {}

    /// The next regular file; none after the last.
    std::optional<TarMember> next() {
        std::string long_name;
        std::optional<std::uint64_t> long_size;
        for (;;) {
            if (archive_.size() - at_ < tar_block)
                damaged("it ends without the two empty blocks of an archive's end. It is "
                        "truncated; get a complete copy");
            auto const header = archive_.substr(at_, tar_block);
            if (is_zero(header)) {
                if (!long_name.empty() || long_size)
                    damaged("it ends after the name of a file that is not there");
                check_end();
                return std::nullopt;
            }
            check_sum(header);
            if (++headers_ > limits_.members)
                throw LimitError(join(name_, ": more than ", limits_.members, " entries"));
            char const type = header[tar_type.offset];
            std::uint64_t size = has_no_content(type) ? 0 : number(header, tar_size);
            if (long_size && !is_extension(type) && !has_no_content(type))
                size = *long_size;
            auto const begin = at_ + tar_block;
            if (size > archive_.size() - begin)
                damaged(join("an entry of ", size, " bytes, but only ", archive_.size() - begin,
                             " follow. It is truncated; get a complete copy"));
            auto const padded = (size + tar_block - 1) / tar_block * tar_block;
            auto const header_at = at_;
            at_ = begin + static_cast<std::size_t>(
                              std::min<std::uint64_t>(padded, archive_.size() - begin));
            if (is_extension(type)) {
                read_extension(type, extension(begin, size, header_at), long_name, long_size);
                continue;
            }
            if (type == 'S')
                damaged("a sparse file, which is not supported; pack it without --sparse");
            auto name = long_name.empty() ? short_name(header) : std::move(long_name);
            long_name.clear();
            long_size.reset();
            bool const is_file = type == '0' || type == '\0' || type == '7';
            if (!is_file || name.ends_with('/'))
                continue;
            if (name.empty() || name.size() > limits_.name_bytes)
                damaged(join("a name of ", name.size(), " bytes"));
            return TarMember{std::move(name), begin, size};
        }
    }

private:
    [[noreturn]] void damaged(std::string const& why) const {
        throw FormatError(join(name_, ": not a usable tar archive, at byte ", at_, ": ", why, "."));
    }

    static bool is_zero(std::string_view block) {
        return block.find_first_not_of('\0') == std::string_view::npos;
    }
    static bool is_extension(char type) {
        return type == 'x' || type == 'g' || type == 'L' || type == 'K';
    }
    /// Links, devices, folders and pipes, whatever their size field says.
    static bool has_no_content(char type) { return type >= '1' && type <= '6'; }

    /// Nothing may follow the end but empty blocks: a second archive would be lost.
    void check_end() const {
        if (archive_.size() - at_ < 2 * tar_block)
            damaged("only one empty block at its end, expected two. It is truncated; get a "
                    "complete copy");
        if (!is_zero(archive_.substr(at_)))
            damaged("something follows the archive's end. Were archives joined? Name them one by "
                    "one");
    }

    void check_sum(std::string_view header) const {
        if (octal(header, tar_checksum) == tar_sum(header))
            return;
        if (at_ == 0) {
            for (std::string_view const magic :
                 {"\x1F\x8B", "BZh", "\x28\xB5\x2F\xFD", "\xFD\x37\x7A"})
                if (header.starts_with(magic))
                    damaged("it is compressed; decompress it first (pictures do not get smaller)");
            damaged("it does not begin with a tar header");
        }
        damaged("a header whose checksum is wrong. It is damaged; get a good copy");
    }

    /// Octal digits with spaces around them up to a NUL; none for anything else.
    static std::optional<std::uint64_t> octal(std::string_view header, TarField field) {
        auto text = header.substr(field.offset, field.size);
        text = text.substr(0, text.find('\0'));
        auto const first = std::min(text.find_first_not_of(' '), text.size());
        auto const last = text.find_last_not_of(' ') + 1;
        std::uint64_t value = 0;
        for (std::size_t i = first; i < last; ++i) {
            if (text[i] < '0' || text[i] > '7')
                return std::nullopt;
            value = value << 3 | static_cast<std::uint64_t>(text[i] - '0');
        }
        return value;
    }

    /// Octal digits, or GNU's number in 256ths with the first bit set.
    std::uint64_t number(std::string_view header, TarField field) const {
        auto const text = header.substr(field.offset, field.size);
        if ((static_cast<unsigned char>(text[0]) & 0x80) == 0) {
            if (auto const value = octal(header, field))
                return *value;
            damaged("a number with other than octal digits");
        }
        if (static_cast<unsigned char>(text[0]) != 0x80)
            damaged("a negative number, or one beyond 2^64");
        std::uint64_t value = 0;
        for (char const digit : text.substr(1)) {
            if (value >> 56 != 0)
                damaged("a number beyond 2^64");
            value = value << 8 | static_cast<unsigned char>(digit);
        }
        return value;
    }

    static std::string field_text(std::string_view header, TarField field) {
        auto const text = header.substr(field.offset, field.size);
        return std::string(text.substr(0, text.find('\0')));
    }

    static std::string short_name(std::string_view header) {
        auto name = field_text(header, tar_name);
        // GNU's older format ("ustar  ") keeps times where POSIX has the prefix.
        bool const is_posix = header.substr(tar_magic.offset, 6) == std::string_view("ustar\0", 6);
        auto const prefix = is_posix ? field_text(header, tar_prefix) : std::string{};
        return prefix.empty() ? name : prefix + "/" + name;
    }

    std::string_view extension(std::size_t begin, std::uint64_t size, std::size_t header_at) {
        if (size > limits_.extension_bytes) {
            at_ = header_at;
            throw LimitError(join(name_, ": at byte ", at_, ": a name or extension of ", size,
                                  " bytes, the limit is ", limits_.extension_bytes));
        }
        return archive_.substr(begin, static_cast<std::size_t>(size));
    }

    void read_extension(char type, std::string_view content, std::string& name,
                        std::optional<std::uint64_t>& size) const {
        if (type == 'L')
            name = std::string(content.substr(0, content.find('\0')));
        // Of pax records, "LENGTH key=value\n", only those of the next entry name a file.
        while (type == 'x' && !content.empty()) {
            std::size_t length = 0;
            auto const digits =
                std::from_chars(content.data(), content.data() + content.size(), length);
            auto const used = static_cast<std::size_t>(digits.ptr - content.data());
            bool const whole = digits.ec == std::errc() && length <= content.size() &&
                               length > used + 1 && content[used] == ' ' &&
                               content[length - 1] == '\n';
            if (!whole)
                damaged("an extended header that is no list of records");
            auto const record = content.substr(used + 1, length - used - 2);
            auto const equals = record.find('=');
            if (equals == std::string_view::npos)
                damaged("an extended header with a record without \"=\"");
            auto const key = record.substr(0, equals), value = record.substr(equals + 1);
            if (key == "path") {
                name = std::string(value.substr(0, value.find('\0')));
            } else if (key == "size") {
                std::uint64_t bytes = 0;
                auto const end = value.data() + value.size();
                auto const parsed = std::from_chars(value.data(), end, bytes);
                if (parsed.ec != std::errc() || parsed.ptr != end)
                    damaged("an extended header whose size is no number");
                size = bytes;
            } else if (key.starts_with("GNU.sparse")) {
                damaged("a sparse file, which is not supported; pack it without --sparse");
            }
            content = content.substr(length);
        }
    }

    std::string_view archive_;
    std::string name_;
    TarLimits limits_;
    std::size_t at_ = 0;
    std::uint64_t headers_ = 0;
};

} // namespace detail

/// Calls `visit(TarMember)` for every regular file of an uncompressed tar archive, in order: ustar,
/// GNU long names and pax paths. Only headers are read, each checked before its size is used.
/// Folders and links are passed over. `name` begins messages.
/// Throws FormatError for what is damaged, truncated, compressed or joined; LimitError.
template <class Visit>
void read_tar(std::span<std::byte const> archive, std::string const& name, Visit&& visit,
              TarLimits const& limits = {}) {
    detail::TarWalk walk({reinterpret_cast<char const*>(archive.data()), archive.size()}, name,
                         limits);
    while (auto member = walk.next())
        visit(std::move(*member));
}

/// Writes a tar archive (ustar, pax for long names) that appears whole or not at all. The same
/// members give the same bytes: times and owners are 0.
class TarWriter {
public:
    /// Throws FileError when the folder is missing or not writable.
    explicit TarWriter(std::filesystem::path path) : writer_(std::move(path)) {}

    /// Throws ArgumentError for an empty name, one with a NUL or more than 8 GiB; FileError.
    void add(std::string const& name, std::span<std::byte const> content) {
        if (name.empty() || name.find('\0') != std::string::npos || name.ends_with('/') ||
            content.size() > largest)
            throw ArgumentError(join("TarWriter: \"", name, "\" with ", content.size(),
                                     " bytes; expected a file's name and at most ", largest));
        std::string short_name = name, prefix;
        if (name.size() > detail::tar_name.size && !split_name(short_name, prefix)) {
            auto const record = pax_record("path", name);
            write_header("PaxHeaders/" + name.substr(0, 50), {}, record.size(), 'x');
            write_padded(std::as_bytes(std::span(record)));
            short_name = name.substr(name.size() - detail::tar_name.size);
        }
        write_header(short_name, prefix, content.size(), '0');
        write_padded(content);
    }

    void add(std::string const& name, std::string_view content) {
        add(name, std::as_bytes(std::span(content)));
    }

    /// Bytes written so far.
    std::size_t size() const { return writer_.size(); }

    /// Ends the archive and makes it appear. Call once. Throws FileError.
    void commit() {
        std::array<std::byte, 2 * detail::tar_block> const end{};
        writer_.write(end);
        writer_.commit();
    }

private:
    static constexpr std::uint64_t largest = (std::uint64_t{1} << 33) - 1; // 11 octal digits

    /// Moves folders of a long name into the header's prefix; false: it does not fit.
    static bool split_name(std::string& name, std::string& prefix) {
        auto const slash = name.find('/', name.size() - detail::tar_name.size - 1);
        if (slash == std::string::npos || slash == 0 || slash > detail::tar_prefix.size)
            return false;
        prefix = name.substr(0, slash);
        name.erase(0, slash + 1);
        return true;
    }

    /// "LENGTH key=value\n", where LENGTH counts its own digits.
    static std::string pax_record(std::string const& key, std::string const& value) {
        std::size_t const rest = key.size() + value.size() + 3;
        std::size_t length = rest + 1;
        while (length != rest + std::to_string(length).size())
            ++length;
        return join(length, " ", key, "=", value, "\n");
    }

    void write_header(std::string const& name, std::string const& prefix, std::uint64_t size,
                      char type) {
        std::string header(detail::tar_block, '\0');
        auto const put = [&](detail::TarField field, std::string_view text) {
            std::copy_n(text.data(), std::min(text.size(), field.size),
                        header.data() + field.offset);
        };
        auto const octal = [](std::uint64_t value, std::size_t digits) {
            std::string text(digits, '0');
            for (; digits > 0; value >>= 3)
                text[--digits] = static_cast<char>('0' + (value & 7));
            return text;
        };
        put(detail::tar_name, name);
        put(detail::tar_mode, "0000644");
        put(detail::tar_user, "0000000");
        put(detail::tar_group, "0000000");
        put(detail::tar_size, octal(size, 11));
        put(detail::tar_time, octal(0, 11));
        put(detail::tar_type, {&type, 1});
        put(detail::tar_magic, {"ustar\00000", 8});
        put(detail::tar_prefix, prefix);
        put(detail::tar_checksum, octal(detail::tar_sum(header), 6));
        header[detail::tar_checksum.offset + 7] = ' ';
        writer_.write(header);
    }

    void write_padded(std::span<std::byte const> content) {
        static constexpr std::array<std::byte, detail::tar_block> zeros{};
        writer_.write(content);
        auto const over = content.size() % detail::tar_block;
        if (over != 0)
            writer_.write(std::span(zeros).first(detail::tar_block - over));
    }

    FileWriter writer_;
};

} // namespace blip
