#pragma once

#include <blip/core/error.hpp>
#include <blip/io/tensor_view.hpp>

#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace blip {

/// One file inside a zip archive.
struct ZipEntry {
    enum class Method { stored, deflated };

    std::string name;
    Method method = Method::stored;
    std::span<std::byte const> stored; ///< as it lies in the archive
    std::uint64_t size = 0;            ///< in bytes, uncompressed
    std::uint32_t checksum = 0;        ///< CRC-32 of the uncompressed bytes
};

/// The table of contents of a zip archive (with ZIP64) whose bytes are in memory, checked
/// completely: every entry lies inside the archive, none overlap, no name occurs twice, and the
/// central directory agrees with what stands before each entry.
class ZipArchive {
public:
    /// `file` begins every message. Throws FormatError for what is no such archive, and for
    /// encrypted entries and compression methods other than stored and deflated.
    ZipArchive(std::span<std::byte const> bytes, std::string file)
        : bytes_(bytes), file_(std::move(file)) {
        read_directory(find_directory());
    }

    std::vector<ZipEntry> const& entries() const { return entries_; }

    /// The entry of that name, or null.
    ZipEntry const* find(std::string_view name) const {
        auto const found = index_.find(std::string(name));
        return found == index_.end() ? nullptr : &entries_[found->second];
    }

    /// The uncompressed bytes of a deflated entry. Throws LimitError when they are more than
    /// `limit`, FormatError when they cannot be restored or their checksum differs.
    std::vector<std::byte> inflate(ZipEntry const& entry, std::uint64_t limit) const;

    /// Throws FormatError when the stored bytes of `entry` do not have its checksum.
    void verify(ZipEntry const& entry) const {
        if (entry.method == ZipEntry::Method::stored)
            compare_checksum(entry, entry.stored);
    }

private:
    struct Directory {
        std::uint64_t begin = 0;
        std::uint64_t size = 0;
        std::uint64_t count = 0;
    };

    template <class T>
    T number(std::uint64_t at) const {
        return detail::load_unaligned<T>(bytes_.data() + at);
    }

    bool within(std::uint64_t begin, std::uint64_t size) const {
        return begin <= bytes_.size() && size <= bytes_.size() - begin;
    }

    template <class... Parts>
    [[noreturn]] void fail(Parts const&... parts) const {
        throw FormatError(join(file_, ": damaged zip archive: ", parts...));
    }

    Directory find_directory() const {
        constexpr std::uint64_t end_record = 22;
        if (bytes_.size() < end_record)
            fail("only ", bytes_.size(), " bytes");
        std::uint64_t const last = bytes_.size() - end_record;
        std::uint64_t const first = last > 0xFFFF ? last - 0xFFFF : 0;
        for (std::uint64_t at = last + 1; at-- > first;) {
            if (number<std::uint32_t>(at) != 0x06054B50u ||
                number<std::uint16_t>(at + 20) != bytes_.size() - at - end_record)
                continue;
            Directory directory{.begin = number<std::uint32_t>(at + 16),
                                .size = number<std::uint32_t>(at + 12),
                                .count = number<std::uint16_t>(at + 10)};
            if (number<std::uint16_t>(at + 4) != 0 || number<std::uint16_t>(at + 6) != 0)
                return wide_directory(at, directory);
            if (directory.begin == 0xFFFFFFFFu || directory.size == 0xFFFFFFFFu ||
                directory.count == 0xFFFFu)
                return wide_directory(at, directory);
            return checked(directory, at);
        }
        fail("its end is missing; the file may be incomplete");
    }

    Directory wide_directory(std::uint64_t end_record, Directory const& narrow) const {
        if (end_record < 20 || number<std::uint32_t>(end_record - 20) != 0x07064B50u)
            return checked(narrow, end_record);
        auto const at = number<std::uint64_t>(end_record - 12);
        if (!within(at, 56) || at > end_record - 20 || number<std::uint32_t>(at) != 0x06064B50u)
            fail("the ZIP64 end record is not where it should be");
        return checked({.begin = number<std::uint64_t>(at + 48),
                        .size = number<std::uint64_t>(at + 40),
                        .count = number<std::uint64_t>(at + 32)},
                       at);
    }

    Directory checked(Directory const& directory, std::uint64_t end) const {
        if (directory.begin > end || directory.size > end - directory.begin)
            fail("its directory at ", directory.begin, " of ", directory.size,
                 " bytes leaves the file");
        if (directory.count > directory.size / 46)
            fail("a directory of ", directory.size, " bytes cannot list ", directory.count,
                 " files");
        return directory;
    }

    void read_directory(Directory const& directory) {
        std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
        std::uint64_t at = directory.begin;
        std::uint64_t const end = directory.begin + directory.size;
        for (std::uint64_t i = 0; i < directory.count; ++i) {
            if (end - at < 46 || number<std::uint32_t>(at) != 0x02014B50u)
                fail("entry ", i, " of its directory is missing");
            std::uint64_t const name_size = number<std::uint16_t>(at + 28);
            std::uint64_t const extra_size = number<std::uint16_t>(at + 30);
            std::uint64_t const comment_size = number<std::uint16_t>(at + 32);
            std::uint64_t const header_size = 46 + name_size + extra_size + comment_size;
            if (header_size > end - at)
                fail("entry ", i, " leaves its directory");
            ranges.push_back(add_entry(at, name_size, extra_size, directory.begin));
            at += header_size;
        }
        std::sort(ranges.begin(), ranges.end());
        for (std::size_t i = 1; i < ranges.size(); ++i)
            if (ranges[i].first < ranges[i - 1].second)
                fail("two of its files overlap at byte ", ranges[i].first);
    }

    std::pair<std::uint64_t, std::uint64_t> add_entry(std::uint64_t at, std::uint64_t name_size,
                                                      std::uint64_t extra_size,
                                                      std::uint64_t directory_begin) {
        ZipEntry entry;
        entry.name = text(at + 46, name_size);
        entry.checksum = number<std::uint32_t>(at + 16);
        std::uint64_t compressed = number<std::uint32_t>(at + 20);
        entry.size = number<std::uint32_t>(at + 24);
        std::uint64_t header = number<std::uint32_t>(at + 42);
        widen(at + 46 + name_size, extra_size, {&entry.size, &compressed, &header});

        auto const flags = number<std::uint16_t>(at + 8);
        auto const method = number<std::uint16_t>(at + 10);
        if ((flags & 1u) != 0)
            throw FormatError(join(file_, ": \"", entry.name, "\" is encrypted"));
        if (method != 0 && method != 8)
            throw FormatError(join(file_, ": \"", entry.name, "\" is compressed by method ", method,
                                   ", known are 0 (stored) and 8 (deflated)"));
        entry.method = method == 0 ? ZipEntry::Method::stored : ZipEntry::Method::deflated;
        if (method == 0 && compressed != entry.size)
            fail("\"", entry.name, "\" is stored but has two sizes, ", compressed, " and ",
                 entry.size);
        if (header > directory_begin || directory_begin - header < 30 ||
            number<std::uint32_t>(header) != 0x04034B50u)
            fail("\"", entry.name, "\" is not at byte ", header);
        std::uint64_t const local_name = number<std::uint16_t>(header + 26);
        std::uint64_t const data = header + 30 + local_name + number<std::uint16_t>(header + 28);
        if (data > directory_begin || compressed > directory_begin - data)
            fail("\"", entry.name, "\" of ", compressed, " bytes leaves the file");
        if (text(header + 30, local_name) != entry.name ||
            number<std::uint16_t>(header + 8) != method)
            fail("\"", entry.name, "\" is described differently at byte ", header);
        entry.stored =
            bytes_.subspan(static_cast<std::size_t>(data), static_cast<std::size_t>(compressed));
        if (!index_.emplace(entry.name, entries_.size()).second)
            fail("\"", entry.name, "\" occurs twice");
        entries_.push_back(std::move(entry));
        return {header, data + compressed};
    }

    /// Replaces fields that say "see the ZIP64 block" by what stands there, in this order.
    void widen(std::uint64_t at, std::uint64_t size,
               std::initializer_list<std::uint64_t*> fields) const {
        std::uint64_t const end = at + size;
        while (end - at >= 4) {
            auto const kind = number<std::uint16_t>(at);
            std::uint64_t const length = number<std::uint16_t>(at + 2);
            at += 4;
            if (length > end - at)
                return;
            if (kind != 1) {
                at += length;
                continue;
            }
            std::uint64_t const block_end = at + length;
            for (std::uint64_t* const field : fields) {
                if (*field != 0xFFFFFFFFu)
                    continue;
                if (block_end - at < 8)
                    fail("a ZIP64 block is too short");
                *field = number<std::uint64_t>(at);
                at += 8;
            }
            return;
        }
    }

    std::string text(std::uint64_t at, std::uint64_t size) const {
        return {reinterpret_cast<char const*>(bytes_.data()) + at, static_cast<std::size_t>(size)};
    }

    void compare_checksum(ZipEntry const& entry, std::span<std::byte const> content) const {
        auto const found =
            ::crc32_z(0, reinterpret_cast<Bytef const*>(content.data()), content.size());
        if (found != entry.checksum)
            fail("the checksum of \"", entry.name, "\" is ", found, ", expected ", entry.checksum);
    }

    std::span<std::byte const> bytes_;
    std::string file_;
    std::vector<ZipEntry> entries_;
    std::unordered_map<std::string, std::size_t> index_;
};

inline std::vector<std::byte> ZipArchive::inflate(ZipEntry const& entry,
                                                  std::uint64_t limit) const {
    constexpr std::uint64_t best_ratio = 1032;
    if (entry.size > limit)
        throw LimitError(join(file_, ": \"", entry.name, "\" of ", entry.size,
                              " bytes is compressed; at most ", limit,
                              " bytes are unpacked. Save the file again with torch.save"));
    if (entry.size / best_ratio > entry.stored.size())
        fail("\"", entry.name, "\" of ", entry.stored.size(), " bytes cannot hold ", entry.size);
    std::vector<std::byte> content(static_cast<std::size_t>(entry.size));
    ::z_stream stream{};
    if (::inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        throw LimitError(join(file_, ": no memory to unpack \"", entry.name, "\""));
    std::span<std::byte const> in = entry.stored;
    std::span<std::byte> out = content;
    // One byte beyond the announced size shows data that is longer than announced.
    Bytef beyond = 0;
    int state = Z_OK;
    constexpr std::size_t piece = std::numeric_limits<uInt>::max();
    while (state == Z_OK) {
        auto const in_size = std::min(in.size(), piece);
        auto const out_size = out.empty() ? std::size_t{1} : std::min(out.size(), piece);
        stream.next_in = const_cast<Bytef*>(reinterpret_cast<Bytef const*>(in.data()));
        stream.avail_in = static_cast<uInt>(in_size);
        stream.next_out = out.empty() ? &beyond : reinterpret_cast<Bytef*>(out.data());
        stream.avail_out = static_cast<uInt>(out_size);
        state = ::inflate(&stream, Z_NO_FLUSH);
        in = in.subspan(in_size - stream.avail_in);
        auto const produced = out_size - stream.avail_out;
        if (out.empty() && produced != 0)
            state = Z_DATA_ERROR;
        else
            out = out.subspan(produced);
    }
    ::inflateEnd(&stream);
    if (state != Z_STREAM_END || !out.empty())
        fail("\"", entry.name, "\" cannot be unpacked");
    compare_checksum(entry, content);
    return content;
}

} // namespace blip
