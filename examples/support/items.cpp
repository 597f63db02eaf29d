#include <algorithm>
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
#include <utility>
#include <vector>

#include <blip/io/list_text.hpp>

#include "inputs.hpp"
#include "list_items.hpp"

namespace support {

namespace {

class PictureItems final : public ItemSource {
public:
    PictureItems(std::vector<std::string> arguments, Subfolders subfolders)
        : arguments_(std::move(arguments)), subfolders_(subfolders),
          inputs_(arguments_, subfolders) {}

    std::optional<Item> next() override {
        auto input = inputs_.next();
        if (!input)
            return std::nullopt;
        return Item{.index = input->index,
                    .paths = {input->path.string()},
                    .texts = {},
                    .error = std::move(input->error)};
    }
    std::optional<std::uint64_t> count(std::stop_token stop) const override {
        return count_inputs(arguments_, subfolders_, stop);
    }

private:
    std::vector<std::string> arguments_;
    Subfolders subfolders_;
    Inputs inputs_;
};

/// The letters of a stream and the number of the line they stand in.
class StreamCursor {
public:
    explicit StreamCursor(std::istream& stream) : stream_(stream) {}

    int peek() { return stream_.peek(); }
    int take() {
        int const letter = stream_.get();
        line_ += letter == '\n' ? 1 : 0;
        return letter;
    }
    std::size_t line() const { return line_; }

private:
    std::istream& stream_;
    std::size_t line_ = 1;
};

/// The entries of a stream one after another, none but the present one in memory: JSON objects a
/// line, an array of them, or CSV with a first line of names. Which of these it is shows in the
/// first character.
class RowReader {
public:
    RowReader(std::istream& stream, std::string name) : cursor_(stream), name_(std::move(name)) {
        detail::skip_mark(stream, name_);
        blip::skip_json_space(cursor_);
        at_ = cursor_.line();
        int const first = cursor_.peek();
        if (first == '[')
            array_.emplace(cursor_);
        else if (first != '{' && first != std::istream::traits_type::eof())
            read_columns();
        if (array_)
            at_ = 0;
    }
    RowReader(RowReader const&) = delete;
    RowReader& operator=(RowReader const&) = delete;

    /// Where the last row stands, "pairs.csv line 3".
    std::string place() const { return blip::join(name_, array_ ? " entry " : " line ", at_); }

    /// The next row; none after the last. Throws FormatError where it is none; the one after it may
    /// be read then.
    std::optional<ListRow> next() {
        if (ended_)
            return std::nullopt;
        if (array_) {
            ++at_;
            auto const text = read_element();
            if (!text)
                return std::nullopt;
            return row(nlohmann::json::parse(*text, nullptr, false));
        }
        while (cursor_.peek() == '\n' || cursor_.peek() == '\r')
            cursor_.take();
        if (columns_.empty())
            blip::skip_json_space(cursor_);
        at_ = cursor_.line();
        if (cursor_.peek() == std::istream::traits_type::eof())
            return std::nullopt;
        if (columns_.empty())
            return row(nlohmann::json::parse(read_json_line(), nullptr, false));
        auto const cells = read_cells();
        if (cells.size() != columns_.size())
            throw blip::FormatError(
                blip::join(cells.size(), " fields where the first line names ", columns_.size()));
        nlohmann::json fields;
        for (std::size_t i = 0; i < cells.size(); ++i)
            fields[columns_[i]] = cells[i];
        return ListRow(std::move(fields));
    }

private:
    static constexpr std::size_t longest_row = std::size_t{1} << 20;

    static ListRow row(nlohmann::json value) {
        if (!value.is_object())
            throw blip::FormatError("not a JSON object, {\"...\": ...}");
        return ListRow(std::move(value));
    }

    void check(std::size_t size) const {
        if (size > longest_row)
            throw blip::LimitError(blip::join(place(), ": longer than ", longest_row,
                                              " bytes. Is a quote or a bracket missing?"));
    }

    /// None after the last. Where brackets and commas go wrong, nothing more is read.
    std::optional<std::string> read_element() {
        std::string text;
        ended_ = true;
        auto const sink = [&](char letter) {
            text += letter;
            check(text.size());
        };
        if (!array_->next(sink))
            return std::nullopt;
        ended_ = false;
        return text;
    }

    std::string read_json_line() {
        std::string line;
        for (int letter = cursor_.take();
             letter != std::istream::traits_type::eof() && letter != '\n';
             letter = cursor_.take()) {
            line.push_back(static_cast<char>(letter));
            check(line.size());
        }
        return line;
    }

    void read_columns() {
        try {
            columns_ = read_cells();
        } catch (blip::FormatError const& error) {
            throw blip::FormatError(place() + ": " + error.what());
        }
    }

    std::vector<std::string> read_cells() {
        std::vector<std::string> cells;
        if (!blip::take_csv_row(cursor_, ',', cells, [this](std::size_t size) { check(size); }))
            throw blip::FormatError("a quote is never closed");
        return cells;
    }

    StreamCursor cursor_;
    std::string name_;
    std::optional<blip::JsonArrayReader<StreamCursor>> array_;
    std::vector<std::string> columns_;
    bool ended_ = false;
    std::size_t at_ = 1;
};

class ListItems final : public ItemSource {
public:
    ListItems(std::string const& path, std::filesystem::path root, MakeItem make, Item broken)
        : path_(path), root_(std::move(root)), make_(std::move(make)), broken_(std::move(broken)) {
        if (path != "-") {
            file_.open(path, std::ios::binary);
            std::error_code ignored;
            if (!file_ || std::filesystem::is_directory(path, ignored))
                throw blip::FileError(blip::join(
                    path, ": no such list; expected JSON objects a line, a JSON array of objects, "
                          "or CSV with a line of names"));
        }
        rows_.emplace(path == "-" ? std::cin : file_, path == "-" ? "standard input" : path);
    }

    std::optional<Item> next() override {
        Item item;
        try {
            auto const row = rows_->next();
            if (!row)
                return std::nullopt;
            item = make_(*row);
            if (!root_.empty())
                for (auto& name : item.paths)
                    name = (root_ / name).string();
        } catch (blip::LimitError const&) {
            throw;
        } catch (blip::FormatError const& error) {
            item = broken_;
            item.paths.front() = rows_->place();
            item.error = rows_->place() + ": " + error.what();
        }
        item.index = index_++;
        return item;
    }

    std::optional<std::uint64_t> count(std::stop_token stop) const override {
        std::error_code failure;
        if (path_ == "-" || !std::filesystem::is_regular_file(path_, failure))
            return std::nullopt;
        std::ifstream file(path_, std::ios::binary);
        RowReader rows(file, path_);
        for (std::uint64_t count = 0;; ++count) {
            if (stop.stop_requested())
                return std::nullopt;
            try {
                if (!rows.next())
                    return count;
            } catch (blip::FormatError const&) {
                // A broken row is an item too.
            }
        }
    }

private:
    std::string path_;
    std::filesystem::path root_;
    MakeItem make_;
    Item broken_;
    std::ifstream file_;
    std::optional<RowReader> rows_;
    std::uint64_t index_ = 0;
};

} // namespace

std::unique_ptr<ItemSource> picture_items(std::vector<std::string> arguments,
                                          Subfolders subfolders) {
    return std::make_unique<PictureItems>(std::move(arguments), subfolders);
}

std::unique_ptr<ItemSource> list_items(std::string const& path, std::filesystem::path root,
                                       MakeItem make, Item broken) {
    return std::make_unique<ListItems>(path, std::move(root), std::move(make), std::move(broken));
}

std::vector<std::string> read_texts(std::string const& path) {
    std::ifstream file(path, std::ios::binary);
    std::error_code ignored;
    if (!file || std::filesystem::is_directory(path, ignored))
        throw blip::FileError(
            blip::join(path, ": no such list; expected a text file with one text a line"));
    constexpr std::size_t most_bytes = std::size_t{1} << 30;
    std::vector<std::string> texts;
    std::size_t bytes = 0;
    detail::skip_mark(file, path);
    while (auto line = detail::read_line(file, path)) {
        bytes += line->size();
        if (bytes > most_bytes)
            throw blip::LimitError(blip::join(path, ": more than ", most_bytes, " bytes of texts"));
        if (!line->empty())
            texts.push_back(std::move(*line));
    }
    if (texts.empty())
        throw blip::FormatError(blip::join(path, ": is empty; expected one text a line"));
    return texts;
}

} // namespace support
