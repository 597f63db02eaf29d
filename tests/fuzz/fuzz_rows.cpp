#include <blip/io/row_file_writer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace {

using namespace blip;

void read(std::span<std::byte const> bytes) {
    try {
        RowFileView const view(bytes, "input");
        std::size_t sum = 0;
        for (auto const& segment : view.segments()) {
            for (std::size_t row = 0; row < segment.rows(); ++row)
                for (char const c : segment.label(row))
                    sum += static_cast<unsigned char>(c);
            sum += segment.is_whole() ? 1 : 0;
        }
        static_cast<void>(std::to_string(sum));
    } catch (Error const&) {
    }
}

/// Writes the checksum of bytes [begin, end) at `place`, where all of it is there.
void seal(std::vector<std::byte>& bytes, std::uint64_t begin, std::uint64_t end,
          std::uint64_t place) {
    if (begin <= end && end <= bytes.size() && place + 4 <= bytes.size())
        detail::put_row_field(bytes, place,
                              detail::row_checksum(std::span(bytes).subspan(begin, end - begin)));
}

/// Makes all checksums right, so that what they guard is reached.
std::vector<std::byte> sealed(std::span<std::byte const> input) {
    std::vector<std::byte> bytes(input.begin(), input.end());
    if (bytes.size() < detail::row_data_begin)
        return bytes;
    seal(bytes, 0, 52, 52);
    for (auto const place : detail::row_commit_places)
        seal(bytes, place, place + 36, place + 36);
    auto const row_bytes =
        std::min<std::uint64_t>(detail::row_field<std::uint64_t>(bytes, 24) % 4096 *
                                    (detail::row_field<std::uint64_t>(bytes, 32) % 4096) *
                                    (detail::row_field<std::uint32_t>(bytes, 16) == 1 ? 2 : 4),
                                bytes.size());
    for (std::uint64_t at = detail::row_data_begin; at + 64 <= bytes.size();) {
        auto const rows =
            std::min<std::uint64_t>(detail::row_field<std::uint64_t>(bytes, at), bytes.size());
        auto const labels =
            std::min<std::uint64_t>(detail::row_field<std::uint64_t>(bytes, at + 8), bytes.size());
        auto const table = detail::to_line(at + 64 + rows * row_bytes);
        seal(bytes, table, table + 8 * rows + labels, at + 20);
        seal(bytes, at, at + 60, at + 60);
        at = detail::to_line(table + 8 * rows + labels);
    }
    return bytes;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const input = std::as_bytes(std::span(data, size));
    read(input);
    read(sealed(input));
    return 0;
}
