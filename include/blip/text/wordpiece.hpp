#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/text/unicode.hpp>
#include <blip/text/vocabulary.hpp>
#include <blip/text/words.hpp>

namespace blip {

/// How a tokenizer cuts text. The defaults are bert-base-uncased's.
struct WordpieceOptions {
    Normalization normalization{};
    int max_word_characters = 100;   ///< a longer word is one [UNK]
    std::string continuation = "##"; ///< prefix of pieces that continue a word
};

enum class Padding { longest, max_length };

/// How a batch of texts becomes a rectangle: right-padded with [PAD] to the longest text or to
/// `max_length`, cut to `max_length` where that is given.
struct BatchOptions {
    Padding padding = Padding::longest;
    std::optional<int> max_length{};
};

/// Rectangular token ids with their mask, both [batch, length], row after row.
struct TokenBatch {
    std::vector<int> ids;
    std::vector<unsigned char> mask; ///< 1 for tokens, 0 for padding
    int batch = 0;
    int length = 0;

    std::span<int const> row(int item) const {
        return std::span(ids).subspan(static_cast<std::size_t>(item) *
                                          static_cast<std::size_t>(length),
                                      static_cast<std::size_t>(length));
    }

    /// Tokens of a text, padding left out.
    int tokens(int item) const {
        auto const* const first =
            mask.data() + static_cast<std::ptrdiff_t>(item) * static_cast<std::ptrdiff_t>(length);
        return static_cast<int>(std::count(first, first + length, static_cast<unsigned char>(1)));
    }

    /// Texts `first` to `first + count - 1`, every column kept.
    TokenBatch items(int first, int count) const {
        auto const from = static_cast<std::ptrdiff_t>(first) * length;
        auto const to = from + static_cast<std::ptrdiff_t>(count) * length;
        return {{ids.begin() + from, ids.begin() + to},
                {mask.begin() + from, mask.begin() + to},
                count,
                length};
    }

    /// The texts of these numbers, without columns that would pad all of them.
    TokenBatch select(std::span<int const> items) const {
        TokenBatch some;
        some.batch = static_cast<int>(items.size());
        for (int const item : items)
            some.length = std::max(some.length, tokens(item));
        for (int const item : items) {
            auto const from = static_cast<std::ptrdiff_t>(item) * length;
            some.ids.insert(some.ids.end(), ids.begin() + from, ids.begin() + from + some.length);
            some.mask.insert(some.mask.end(), mask.begin() + from,
                             mask.begin() + from + some.length);
        }
        return some;
    }
};

enum class SpecialTokens { skip, keep };

/// BERT's WordPiece tokenizer: text to ids of a Vocabulary and back. Const use is thread-safe.
class Tokenizer {
public:
    explicit Tokenizer(Vocabulary vocabulary, WordpieceOptions options = {})
        : vocabulary_(std::move(vocabulary)), options_(std::move(options)) {
        if (options_.max_word_characters < 1)
            throw ArgumentError(join("max_word_characters is ", options_.max_word_characters,
                                     "; a word has at least 1 character"));
        for (AddedToken const& token : vocabulary_.literals())
            starts_literal_[static_cast<unsigned char>(token.text.front())] = true;
    }

    Vocabulary const& vocabulary() const { return vocabulary_; }

    /// For ids that come from a model's configuration: see Vocabulary::override_special_ids.
    void override_special_ids(SpecialIdOverrides const& ids) {
        vocabulary_.override_special_ids(ids);
    }

    WordpieceOptions const& options() const { return options_; }

    /// Ids of `text` between [CLS] and [SEP]. With `max_length` L the first L - 2 pieces are kept.
    /// Special tokens spelled out in the text keep their id. Throws TextError for invalid UTF-8 and
    /// ArgumentError for a `max_length` below 2.
    std::vector<int> encode(std::string_view text,
                            std::optional<int> max_length = std::nullopt) const {
        require_room(max_length);
        std::vector<int> ids;
        ids.reserve(text.size() / 3 + 4);
        append_encoded(ids, text, max_length);
        return ids;
    }

    /// Ids and mask of `texts`, [texts.size(), length]. Every text gets [CLS] and [SEP]. Throws
    /// TextError for invalid UTF-8 (naming the text), ArgumentError for a `max_length` below 2, or
    /// none where the padding needs it.
    TokenBatch encode_batch(std::span<std::string const> texts, BatchOptions options = {}) const {
        require_room(options.max_length);
        if (options.padding == Padding::max_length && !options.max_length)
            throw ArgumentError(
                "Padding::max_length needs BatchOptions::max_length, which is not set");
        std::vector<int> flat;
        std::vector<std::size_t> ends;
        ends.reserve(texts.size());
        std::size_t longest = 0;
        for (std::string const& text : texts) {
            auto const first = flat.size();
            try {
                append_encoded(flat, text, options.max_length);
            } catch (TextError const& error) {
                throw TextError(
                    join("text ", ends.size(), " of ", texts.size(), ": ", error.what()));
            }
            ends.push_back(flat.size());
            longest = std::max(longest, flat.size() - first);
        }
        if (options.padding == Padding::max_length)
            longest = static_cast<std::size_t>(*options.max_length);
        constexpr std::size_t most = std::numeric_limits<int>::max();
        if (longest > most || texts.size() > most)
            throw ArgumentError(join("the batch of ", texts.size(), " texts of up to ", longest,
                                     " tokens is too large"));
        TokenBatch out;
        out.batch = static_cast<int>(texts.size());
        out.length = static_cast<int>(longest);
        out.ids.assign(texts.size() * longest, vocabulary_.special().pad);
        out.mask.assign(texts.size() * longest, 0);
        for (std::size_t item = 0, first = 0; item < ends.size(); first = ends[item++]) {
            auto const count = static_cast<std::ptrdiff_t>(ends[item] - first);
            auto const at = static_cast<std::ptrdiff_t>(item * longest);
            std::copy_n(flat.begin() + static_cast<std::ptrdiff_t>(first), count,
                        out.ids.begin() + at);
            std::fill_n(out.mask.begin() + at, count, static_cast<unsigned char>(1));
        }
        return out;
    }

    /// Text of `ids`: pieces joined, continuations glued, the spaces before . ? ! , and English
    /// contractions removed as transformers does. [UNK], [DEC] and [ENC] are special tokens too.
    /// Throws ArgumentError for an id outside the vocabulary.
    std::string decode(std::span<int const> ids,
                       SpecialTokens special = SpecialTokens::skip) const {
        std::string text;
        bool first = true;
        for (int const id : ids) {
            std::string const& piece = vocabulary_.piece(id);
            if (special == SpecialTokens::skip && vocabulary_.is_special(id))
                continue;
            if (!first)
                text.push_back(' ');
            first = false;
            text += piece;
        }
        replace_all(text, " " + options_.continuation, "");
        strip(text);
        using Replacement = std::pair<std::string_view, std::string_view>;
        static constexpr std::array<Replacement, 10> clean_up{{{" .", "."},
                                                               {" ?", "?"},
                                                               {" !", "!"},
                                                               {" ,", ","},
                                                               {" ' ", "'"},
                                                               {" n't", "n't"},
                                                               {" 'm", "'m"},
                                                               {" 's", "'s"},
                                                               {" 've", "'ve"},
                                                               {" 're", "'re"}}};
        for (auto const& [from, to] : clean_up)
            replace_all(text, from, to);
        return text;
    }

private:
    static void require_room(std::optional<int> max_length) {
        if (max_length && *max_length < 2)
            throw ArgumentError(
                join("max_length is ", *max_length, "; [CLS] and [SEP] alone take 2 tokens"));
    }

    void append_encoded(std::vector<int>& ids, std::string_view text,
                        std::optional<int> max_length) const {
        auto const start = ids.size();
        ids.push_back(vocabulary_.special().cls);
        std::string scratch;
        std::size_t begin = 0;
        for (std::size_t i = 0; i < text.size();) {
            AddedToken const* const literal = literal_at(text, i);
            if (literal == nullptr) {
                ++i;
                continue;
            }
            append_plain(ids, text.substr(begin, i - begin), begin, scratch);
            ids.push_back(literal->id);
            i += literal->text.size();
            begin = i;
        }
        append_plain(ids, text.substr(begin), begin, scratch);
        if (max_length)
            ids.resize(std::min(ids.size(), start + static_cast<std::size_t>(*max_length) - 1));
        ids.push_back(vocabulary_.special().sep);
    }

    AddedToken const* literal_at(std::string_view text, std::size_t at) const {
        if (!starts_literal_[static_cast<unsigned char>(text[at])])
            return nullptr;
        for (AddedToken const& token : vocabulary_.literals())
            if (text.substr(at).starts_with(token.text))
                return &token;
        return nullptr;
    }

    void append_plain(std::vector<int>& ids, std::string_view text, std::size_t offset,
                      std::string& scratch) const {
        try {
            for_each_word(text, options_.normalization,
                          [&](std::string_view word) { append_word(ids, word, scratch); });
        } catch (TextError const& error) {
            if (offset == 0)
                throw;
            throw TextError(join("in the part that starts at byte ", offset, ": ", error.what()));
        }
    }

    /// Greedy longest match from the left. The prefix of a continuation is written over the bytes
    /// before it, which are matched already: a look-up copies nothing.
    void append_word(std::vector<int>& ids, std::string_view word, std::string& scratch) const {
        if (too_long(word)) {
            ids.push_back(vocabulary_.special().unk);
            return;
        }
        std::string_view const prefix = options_.continuation;
        scratch.assign(prefix);
        scratch += word;
        auto const first_id = ids.size();
        for (std::size_t start = prefix.size(); start < scratch.size();) {
            std::size_t from = start;
            if (start > prefix.size()) {
                from -= prefix.size();
                std::ranges::copy(prefix, scratch.begin() + static_cast<std::ptrdiff_t>(from));
            }
            std::size_t end = scratch.size();
            std::optional<int> id;
            while (end > start) {
                id = vocabulary_.find(std::string_view(scratch).substr(from, end - from));
                if (id)
                    break;
                do
                    --end;
                while (end > start && (static_cast<unsigned char>(scratch[end]) & 0xc0u) == 0x80);
            }
            if (!id) {
                ids.resize(first_id);
                ids.push_back(vocabulary_.special().unk);
                return;
            }
            ids.push_back(*id);
            start = end;
        }
    }

    bool too_long(std::string_view word) const {
        auto const limit = static_cast<std::size_t>(options_.max_word_characters);
        if (word.size() <= limit)
            return false;
        auto const characters = std::ranges::count_if(
            word, [](char c) { return (static_cast<unsigned char>(c) & 0xc0u) != 0x80; });
        return static_cast<std::size_t>(characters) > limit;
    }

    static void replace_all(std::string& text, std::string_view from, std::string_view to) {
        auto found = text.find(from);
        if (found == text.npos)
            return;
        std::string out;
        out.reserve(text.size());
        std::size_t begin = 0;
        for (; found != text.npos; found = text.find(from, begin)) {
            out.append(text, begin, found - begin).append(to);
            begin = found + from.size();
        }
        out.append(text, begin);
        text = std::move(out);
    }

    static void strip(std::string& text) {
        auto const decoded = to_code_points(text);
        std::u32string_view points = decoded;
        while (!points.empty() && is_space(points.front()))
            points.remove_prefix(1);
        while (!points.empty() && is_space(points.back()))
            points.remove_suffix(1);
        if (points.size() != decoded.size())
            text = to_utf8(points);
    }

    Vocabulary vocabulary_;
    WordpieceOptions options_;
    std::array<bool, 256> starts_literal_{};
};

} // namespace blip
