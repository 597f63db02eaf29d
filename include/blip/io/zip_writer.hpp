#pragma once

#include <blip/io/write_file.hpp>

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace blip::detail {

/// Writes a zip archive of uncompressed entries as torch.save lays it out: data begins at multiples
/// of 64, and ZIP64 records appear only where 32 bits do not suffice.
class ZipWriter {
public:
    explicit ZipWriter(FileWriter& file) : file_(file) {}

    /// Starts an entry of exactly `size` bytes.
    void begin(std::string name, std::uint64_t size) {
        Entry entry{.name = std::move(name), .size = size, .header = file_.size()};
        Record wide;
        if (is_wide(size))
            wide.number<2>(1).number<2>(16).number<8>(size).number<8>(size);
        auto const before_padding = entry.header + 30 + entry.name.size() + wide.text().size() + 4;
        auto const padding = (64 - before_padding % 64) % 64;
        Record record;
        record.number<4>(0x04034B50u).number<2>(is_wide(size) ? 45 : 20).number<2>(flags);
        record.number<2>(0).number<2>(0).number<2>(first_of_1980).number<4>(0);
        record.number<4>(clipped(size)).number<4>(clipped(size));
        record.number<2>(entry.name.size()).number<2>(wide.text().size() + 4 + padding);
        record.raw(entry.name).raw(wide.text());
        record.raw("FB").number<2>(padding).raw(std::string(padding, 'Z'));
        file_.write(record.text());
        entries_.push_back(std::move(entry));
    }

    void write(std::span<std::byte const> bytes) {
        auto& entry = entries_.back();
        entry.checksum = static_cast<std::uint32_t>(
            ::crc32_z(entry.checksum, reinterpret_cast<Bytef const*>(bytes.data()), bytes.size()));
        file_.write(bytes);
    }

    /// Ends an entry.
    void end() {
        auto const& entry = entries_.back();
        Record record;
        record.number<4>(0x08074B50u).number<4>(entry.checksum);
        if (is_wide(entry.size))
            record.number<8>(entry.size).number<8>(entry.size);
        else
            record.number<4>(entry.size).number<4>(entry.size);
        file_.write(record.text());
    }

    /// Writes the directory; nothing may follow.
    void finish() {
        std::uint64_t const begin = file_.size();
        for (auto const& entry : entries_)
            file_.write(directory_entry(entry).text());
        std::uint64_t const end = file_.size();
        std::uint64_t const count = entries_.size();
        bool const wide = is_wide(end) || count >= 0xFFFFu;
        Record record;
        if (wide) {
            record.number<4>(0x06064B50u).number<8>(44).number<2>(45).number<2>(45).number<4>(0);
            record.number<4>(0).number<8>(count).number<8>(count).number<8>(end - begin);
            record.number<8>(begin);
            record.number<4>(0x07064B50u).number<4>(0).number<8>(end).number<4>(1);
        }
        auto const short_count = count < 0xFFFFu ? count : 0xFFFFu;
        record.number<4>(0x06054B50u).number<2>(0).number<2>(0).number<2>(short_count);
        record.number<2>(short_count).number<4>(clipped(end - begin)).number<4>(clipped(begin));
        record.number<2>(0);
        file_.write(record.text());
    }

private:
    struct Entry {
        std::string name;
        std::uint64_t size = 0;
        std::uint64_t header = 0;
        std::uint32_t checksum = 0;
    };

    class Record {
    public:
        template <int Bytes>
        Record& number(std::uint64_t value) {
            for (int i = 0; i < Bytes; ++i)
                text_ += static_cast<char>(value >> (8 * i) & 0xFF);
            return *this;
        }
        Record& raw(std::string_view bytes) {
            text_ += bytes;
            return *this;
        }
        std::string const& text() const { return text_; }

    private:
        std::string text_;
    };

    /// UTF-8 names; the checksum follows the data.
    static constexpr std::uint64_t flags = 0x0808;
    static constexpr std::uint64_t first_of_1980 = 0x21;

    static bool is_wide(std::uint64_t value) { return value >= 0xFFFFFFFFu; }
    static std::uint64_t clipped(std::uint64_t value) {
        return is_wide(value) ? 0xFFFFFFFFu : value;
    }

    static Record directory_entry(Entry const& entry) {
        Record numbers;
        if (is_wide(entry.size))
            numbers.number<8>(entry.size).number<8>(entry.size);
        if (is_wide(entry.header))
            numbers.number<8>(entry.header);
        Record wide;
        if (!numbers.text().empty())
            wide.number<2>(1).number<2>(numbers.text().size()).raw(numbers.text());
        std::uint64_t const version = wide.text().empty() ? 20 : 45;
        Record record;
        record.number<4>(0x02014B50u).number<2>(version).number<2>(version).number<2>(flags);
        record.number<2>(0).number<2>(0).number<2>(first_of_1980).number<4>(entry.checksum);
        record.number<4>(clipped(entry.size)).number<4>(clipped(entry.size));
        record.number<2>(entry.name.size()).number<2>(wide.text().size()).number<2>(0);
        record.number<2>(0).number<2>(0).number<4>(0).number<4>(clipped(entry.header));
        record.raw(entry.name).raw(wide.text());
        return record;
    }

    FileWriter& file_;
    std::vector<Entry> entries_;
};

} // namespace blip::detail
