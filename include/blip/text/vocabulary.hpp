#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/text/unicode.hpp>

namespace blip {

/// What a vocabulary file may ask for before it is refused with LimitError.
struct VocabularyLimits {
    std::size_t bytes = std::size_t{16} << 20; ///< size of one file
    int pieces = 1'000'000;                    ///< largest id + 1
};

/// One piece of text with its row in the word embedding table.
struct Piece {
    std::string text;
    int id = 0;
};

/// A piece that is found in text by its literal spelling, before any splitting.
struct AddedToken {
    std::string text;
    int id = 0;
    bool special = true; ///< decoding can skip it
};

/// How a vocabulary spells the tokens with a role.
struct SpecialNames {
    std::string pad = "[PAD]";
    std::string unk = "[UNK]";
    std::string cls = "[CLS]";
    std::string sep = "[SEP]";
    std::string mask = "[MASK]";
    std::string dec = "[DEC]";
    std::string enc = "[ENC]";
};

/// Ids of the tokens with a role. [DEC] starts a text to be generated, [ENC] one that is read
/// together with a picture (arXiv 2201.12086, section 3.1); [SEP] ends both.
struct SpecialIds {
    int pad = 0;
    int unk = 0;
    int cls = 0;
    int sep = 0;
    int mask = 0;
    int dec = 0;
    int enc = 0;
};

/// Ids that a model's configuration prescribes against the vocabulary file.
struct SpecialIdOverrides {
    std::optional<int> pad{}, unk{}, cls{}, sep{}, mask{}, dec{}, enc{};
};

/// Whether [DEC] and [ENC] in a text stand for themselves where the vocabulary does not list them:
/// in the authors' tokenizer they do, in a tokenizer.json without them they are ordinary
/// characters.
enum class UnlistedLiterals { recognised, plain_text };

/// Everything beside the pieces that shapes a vocabulary.
struct VocabularyOptions {
    SpecialNames names{};
    std::vector<AddedToken> added{};
    UnlistedLiterals unlisted = UnlistedLiterals::recognised;
    VocabularyLimits limits{};
};

/// The word pieces of a tokenizer and their ids, in both directions, with the ids of special
/// tokens.
class Vocabulary {
public:
    /// `pieces` in file order. Where one text occurs twice the later id is used, and the earlier
    /// one reads as [UNK]. [PAD], [MASK], [DEC], [ENC] that are not listed get, in this order, the
    /// ids behind the largest one listed. Throws TextError for missing [UNK], [CLS] or [SEP], for
    /// two pieces with one id and for invalid UTF-8, LimitError for ids from `limits.pieces` on.
    explicit Vocabulary(std::vector<Piece> pieces, VocabularyOptions options = {})
        : names_(std::move(options.names)) {
        ids_.reserve(pieces.size() + options.added.size() + 4);
        for (Piece& piece : pieces)
            insert(std::move(piece.text), piece.id, options.limits);
        for (AddedToken& token : options.added) {
            insert(token.text, token.id, options.limits);
            if (token.text.empty())
                throw TextError("an added token of the vocabulary is an empty text");
            literals_.push_back(std::move(token));
        }
        special_.unk = require(names_.unk);
        special_.cls = require(names_.cls);
        special_.sep = require(names_.sep);
        int next = static_cast<int>(pieces_.size());
        auto const find_or_append = [&](std::string const& name, bool always) {
            if (auto const id = find(name))
                return std::pair{*id, true};
            int const id = next++;
            if (always)
                insert(name, id, options.limits);
            return std::pair{id, false};
        };
        special_.pad = find_or_append(names_.pad, true).first;
        special_.mask = find_or_append(names_.mask, true).first;
        auto const [dec, dec_listed] = find_or_append(names_.dec, false);
        auto const [enc, enc_listed] = find_or_append(names_.enc, false);
        special_.dec = dec;
        special_.enc = enc;
        enc_listed_ = enc_listed;
        add_literal(names_.pad, special_.pad);
        add_literal(names_.unk, special_.unk);
        add_literal(names_.cls, special_.cls);
        add_literal(names_.sep, special_.sep);
        add_literal(names_.mask, special_.mask);
        bool const recognised = options.unlisted == UnlistedLiterals::recognised;
        if (dec_listed || recognised)
            add_literal(names_.dec, dec);
        if (enc_listed || recognised)
            add_literal(names_.enc, enc);
        std::ranges::stable_sort(literals_, std::greater{},
                                 [](AddedToken const& token) { return token.text.size(); });
    }

    SpecialIds const& special() const { return special_; }

    /// One more than the largest id: the rows that an embedding table needs.
    int size() const {
        auto const& s = special_;
        return std::max({static_cast<int>(pieces_.size()),
                         std::max({s.pad, s.unk, s.cls, s.sep, s.mask, s.dec, s.enc}) + 1});
    }

    /// The id of a piece exactly as listed, continuation prefix included.
    std::optional<int> find(std::string_view text) const {
        auto const found = ids_.find(text);
        return found == ids_.end() ? std::nullopt : std::optional(found->second);
    }

    /// The piece with this id. The ids of [DEC] and [ENC] need not be listed; an id below size()
    /// that no piece has reads as [UNK]. Throws ArgumentError for any other id.
    std::string const& piece(int id) const {
        if (id == special_.dec)
            return names_.dec;
        if (id == special_.enc)
            return names_.enc;
        if (id < 0 || id >= size())
            throw ArgumentError(join("the token id ", id, " is outside the vocabulary of ", size(),
                                     " pieces; the ids come from another model or tokenizer"));
        auto const index = static_cast<std::size_t>(id);
        return index < pieces_.size() && used_[index] ? pieces_[index] : names_.unk;
    }

    /// Whether decoding with `skip special` leaves this id out; [UNK] and unlisted ids count.
    bool is_special(int id) const {
        auto const& s = special_;
        if (id == s.pad || id == s.unk || id == s.cls || id == s.sep || id == s.mask ||
            id == s.dec || id == s.enc)
            return true;
        if (auto const index = static_cast<std::size_t>(id); index < used_.size() && !used_[index])
            return true;
        return std::ranges::any_of(
            literals_, [&](AddedToken const& token) { return token.special && token.id == id; });
    }

    /// Tokens found in text by their literal spelling, longest first.
    std::vector<AddedToken> const& literals() const { return literals_; }

    /// Replaces ids by those of a model configuration. A new [DEC] moves [ENC] to the id behind it
    /// unless the vocabulary or `ids` names [ENC]. Throws ArgumentError for a negative id.
    void override_special_ids(SpecialIdOverrides const& ids) {
        auto const replace = [&](std::string const& name, int& target, std::optional<int> id) {
            if (!id)
                return;
            if (*id < 0)
                throw ArgumentError(join("the id ", *id, " given for ", name,
                                         " is negative; token ids count from 0"));
            target = *id;
            for (AddedToken& token : literals_)
                if (token.text == name)
                    token.id = *id;
        };
        replace(names_.pad, special_.pad, ids.pad);
        replace(names_.unk, special_.unk, ids.unk);
        replace(names_.cls, special_.cls, ids.cls);
        replace(names_.sep, special_.sep, ids.sep);
        replace(names_.mask, special_.mask, ids.mask);
        replace(names_.dec, special_.dec, ids.dec);
        auto const behind = ids.dec && !enc_listed_ && *ids.dec < max_id
                                ? std::optional(*ids.dec + 1)
                                : std::nullopt;
        replace(names_.enc, special_.enc, ids.enc ? ids.enc : behind);
    }

private:
    static constexpr int max_id = 0x7ffffffe;

    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const {
            return std::hash<std::string_view>{}(text);
        }
    };

    void insert(std::string text, int id, VocabularyLimits const& limits) {
        if (id < 0 || id >= limits.pieces)
            throw LimitError(join("the vocabulary gives a piece the id ", id,
                                  "; accepted are 0 to ", limits.pieces - 1));
        try {
            require_utf8(text);
        } catch (TextError const& error) {
            throw TextError(join("the vocabulary's piece with id ", id, ": ", error.what()));
        }
        auto const index = static_cast<std::size_t>(id);
        if (index >= pieces_.size()) {
            pieces_.resize(index + 1);
            used_.resize(index + 1, 0);
        }
        if (auto const earlier = find(text); earlier && *earlier != id)
            used_[static_cast<std::size_t>(*earlier)] = 0;
        if (used_[index] != 0 && pieces_[index] != text)
            throw TextError(join("the vocabulary gives the id ", id, " to two pieces, \"",
                                 pieces_[index], "\" and \"", text, "\""));
        pieces_[index] = text;
        used_[index] = 1;
        ids_.insert_or_assign(std::move(text), id);
    }

    int require(std::string const& name) const {
        if (auto const id = find(name))
            return *id;
        throw TextError(join("the vocabulary of ", ids_.size(), " pieces has no ", name,
                             "; a BERT vocabulary lists [UNK], [CLS] and [SEP]"));
    }

    void add_literal(std::string const& name, int id) {
        auto const same = [&](AddedToken const& token) { return token.text == name; };
        if (auto const found = std::ranges::find_if(literals_, same); found != literals_.end())
            found->special = true;
        else
            literals_.push_back({name, id, true});
    }

    SpecialNames names_;
    SpecialIds special_;
    bool enc_listed_ = false;
    std::vector<std::string> pieces_;
    std::vector<unsigned char> used_;
    std::unordered_map<std::string, int, Hash, std::equal_to<>> ids_;
    std::vector<AddedToken> literals_;
};

/// The lines of a vocab.txt as pieces, the line number being the id. LF, CR LF and CR end a line,
/// the last line may lack its end, an empty line is a piece without characters. Throws LimitError
/// for a text larger than `limits`.
inline std::vector<Piece> vocabulary_lines(std::string_view text, VocabularyLimits limits = {}) {
    if (text.size() > limits.bytes)
        throw LimitError(
            join("the vocabulary has ", text.size(), " bytes; accepted are up to ", limits.bytes));
    std::vector<Piece> pieces;
    while (!text.empty()) {
        auto const end = text.find_first_of("\r\n");
        if (static_cast<int>(pieces.size()) >= limits.pieces)
            throw LimitError(join("the vocabulary has more than ", limits.pieces,
                                  " lines, the most that are accepted"));
        pieces.push_back({std::string(text.substr(0, end)), static_cast<int>(pieces.size())});
        if (end == text.npos)
            break;
        text.remove_prefix(end + (text.substr(end, 2) == "\r\n" ? 2 : 1));
    }
    return pieces;
}

/// Reads the text of a vocab.txt, one piece per line. Throws what `vocabulary_lines` and
/// `Vocabulary` throw.
inline Vocabulary parse_vocabulary(std::string_view text, VocabularyOptions options = {}) {
    auto pieces = vocabulary_lines(text, options.limits);
    return Vocabulary(std::move(pieces), std::move(options));
}

} // namespace blip
