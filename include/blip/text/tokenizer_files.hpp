#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <blip/core/error.hpp>
#include <blip/text/vocabulary.hpp>
#include <blip/text/wordpiece.hpp>

namespace blip {

/// Contents of the files that describe a tokenizer; an empty text stands for a file that is not
/// there. `tokenizer_json` goes before `vocab_txt`, the others refine either.
struct TokenizerTexts {
    std::string tokenizer_json{};
    std::string vocab_txt{};
    std::string tokenizer_config_json{};
    std::string added_tokens_json{};
    std::string special_tokens_map_json{};
};

namespace detail {

using Json = nlohmann::json;

/// Reads the values of one JSON file; every complaint names the file and the key.
class TokenizerJson {
public:
    TokenizerJson(std::string_view text, std::string file, VocabularyLimits const& limits)
        : file_(std::move(file)) {
        if (text.size() > limits.bytes)
            throw LimitError(
                join(file_, " has ", text.size(), " bytes; accepted are up to ", limits.bytes));
        constexpr int deepest = 64;
        auto const check_depth = [&](int depth, Json::parse_event_t, Json&) {
            if (depth > deepest)
                throw LimitError(join(file_, " nests deeper than ", deepest, " levels"));
            return true;
        };
        try {
            root_ = Json::parse(text, check_depth);
        } catch (Json::exception const& error) {
            throw FormatError(join(file_, " is not valid JSON: ", error.what()));
        }
        if (!root_.is_object())
            fail("", "an object", root_);
    }

    Json const& root() const { return root_; }

    [[noreturn]] void fail(std::string_view key, std::string_view expected,
                           Json const& found) const {
        auto text = found.dump(-1, ' ', true, Json::error_handler_t::replace);
        if (text.size() > 60)
            text = text.substr(0, 60) + "...";
        throw FormatError(
            join(file_, key.empty() ? "" : ": ", key, " should be ", expected, ", found ", text));
    }

    /// The value under `key`, or null where it is missing or JSON's null.
    static Json const* member(Json const& object, char const* key) {
        auto const found = object.find(key);
        return found == object.end() || found->is_null() ? nullptr : &*found;
    }

    std::optional<bool> boolean(Json const& object, char const* key) const {
        Json const* const value = member(object, key);
        if (value == nullptr)
            return std::nullopt;
        if (!value->is_boolean())
            fail(key, "true or false", *value);
        return value->get<bool>();
    }

    std::optional<std::string> string(Json const& object, char const* key) const {
        Json const* const value = member(object, key);
        if (value == nullptr)
            return std::nullopt;
        if (!value->is_string())
            fail(key, "a string", *value);
        return value->get<std::string>();
    }

    /// A token name: a string, or an object with the string under "content".
    std::optional<std::string> name(Json const& object, char const* key) const {
        Json const* const value = member(object, key);
        return value != nullptr && value->is_object() ? string(*value, "content")
                                                      : string(object, key);
    }

    int integer(Json const& value, std::string_view key) const {
        if (!value.is_number_integer())
            fail(key, "an integer", value);
        bool const huge = value.is_number_unsigned() && value.get<std::uint64_t>() > INT32_MAX;
        if (huge || value.get<std::int64_t>() < 0 || value.get<std::int64_t>() > INT32_MAX)
            fail(key, "an id from 0 to 2147483647", value);
        return value.get<int>();
    }

    void require_type(Json const& object, char const* key, std::string_view expected) const {
        Json const* const part = member(object, key);
        if (part == nullptr || !part->is_object() || string(*part, "type") != expected)
            fail(key, join("of type ", expected, ", the only one supported here,"),
                 part == nullptr ? Json() : *part);
    }

private:
    std::string file_;
    Json root_;
};

inline void read_tokenizer_json(TokenizerJson const& file, std::vector<Piece>& pieces,
                                VocabularyOptions& vocabulary, WordpieceOptions& wordpiece) {
    Json const& root = file.root();
    Json const* const model = TokenizerJson::member(root, "model");
    if (model == nullptr || !model->is_object())
        file.fail("model", "an object", model == nullptr ? Json() : *model);
    if (auto const type = file.string(*model, "type"); type && *type != "WordPiece")
        file.fail("model.type", "WordPiece, the only one supported here,", Json(*type));
    Json const* const pieces_object = TokenizerJson::member(*model, "vocab");
    if (pieces_object == nullptr || !pieces_object->is_object())
        file.fail("model.vocab", "an object of pieces with their ids",
                  pieces_object == nullptr ? Json() : *pieces_object);
    for (auto const& [text, id] : pieces_object->items())
        pieces.push_back({text, file.integer(id, "model.vocab[\"" + text + "\"]")});
    if (auto const prefix = file.string(*model, "continuing_subword_prefix"))
        wordpiece.continuation = *prefix;
    if (auto const name = file.string(*model, "unk_token"))
        vocabulary.names.unk = *name;
    if (Json const* const most = TokenizerJson::member(*model, "max_input_chars_per_word"))
        wordpiece.max_word_characters = file.integer(*most, "model.max_input_chars_per_word");

    file.require_type(root, "normalizer", "BertNormalizer");
    file.require_type(root, "pre_tokenizer", "BertPreTokenizer");
    Json const& normalizer = root["normalizer"];
    Normalization& rules = wordpiece.normalization;
    rules.lower_case = file.boolean(normalizer, "lowercase").value_or(rules.lower_case);
    rules.strip_accents = file.boolean(normalizer, "strip_accents");
    rules.clean = file.boolean(normalizer, "clean_text").value_or(rules.clean);
    rules.split_ideographs =
        file.boolean(normalizer, "handle_chinese_chars").value_or(rules.split_ideographs);

    vocabulary.unlisted = UnlistedLiterals::plain_text;
    Json const* const added = TokenizerJson::member(root, "added_tokens");
    if (added == nullptr)
        return;
    if (!added->is_array())
        file.fail("added_tokens", "an array", *added);
    for (Json const& token : *added) {
        auto const content = token.is_object() ? file.string(token, "content") : std::nullopt;
        if (!content || !token.contains("id"))
            file.fail("added_tokens", "an array of objects with id and content", token);
        if (file.boolean(token, "single_word").value_or(false))
            file.fail("added_tokens", "without single_word, which is not supported,", token);
        vocabulary.added.push_back({*content, file.integer(token["id"], "added_tokens"),
                                    file.boolean(token, "special").value_or(false)});
    }
}

/// Names from tokenizer_config.json or special_tokens_map.json. BLIP's [DEC] is the start token;
/// [ENC] has no key of its own and keeps its literal name.
inline void read_names(TokenizerJson const& file, SpecialNames& names) {
    Json const& root = file.root();
    auto const replace = [&](char const* key, std::string& name) {
        if (auto const given = file.name(root, key))
            name = *given;
    };
    replace("pad_token", names.pad);
    replace("unk_token", names.unk);
    replace("cls_token", names.cls);
    replace("sep_token", names.sep);
    replace("mask_token", names.mask);
    replace("bos_token", names.dec);
}

} // namespace detail

/// Builds the tokenizer that the contents of a model folder's tokenizer files describe. Throws
/// FormatError for damaged JSON and for tokenizers other than BERT's WordPiece, TextError and
/// LimitError as `Vocabulary` does, ArgumentError when neither a tokenizer.json nor a vocab.txt is
/// given.
inline Tokenizer parse_tokenizer(TokenizerTexts const& texts, VocabularyLimits limits = {}) {
    VocabularyOptions vocabulary;
    vocabulary.limits = limits;
    WordpieceOptions wordpiece;
    std::vector<Piece> pieces;
    if (!texts.tokenizer_json.empty())
        detail::read_tokenizer_json({texts.tokenizer_json, "tokenizer.json", limits}, pieces,
                                    vocabulary, wordpiece);
    else if (!texts.vocab_txt.empty())
        pieces = vocabulary_lines(texts.vocab_txt, limits);
    else
        throw ArgumentError(
            "a tokenizer needs a tokenizer.json or a vocab.txt; both are missing or "
            "empty");
    if (!texts.added_tokens_json.empty()) {
        detail::TokenizerJson const file(texts.added_tokens_json, "added_tokens.json", limits);
        for (auto const& [text, id] : file.root().items())
            vocabulary.added.push_back({text, file.integer(id, text), false});
    }
    if (!texts.special_tokens_map_json.empty())
        detail::read_names({texts.special_tokens_map_json, "special_tokens_map.json", limits},
                           vocabulary.names);
    if (!texts.tokenizer_config_json.empty()) {
        detail::TokenizerJson const file(texts.tokenizer_config_json, "tokenizer_config.json",
                                         limits);
        detail::read_names(file, vocabulary.names);
        Normalization& rules = wordpiece.normalization;
        rules.lower_case = file.boolean(file.root(), "do_lower_case").value_or(rules.lower_case);
        if (auto const strip = file.boolean(file.root(), "strip_accents"))
            rules.strip_accents = strip;
        rules.split_ideographs =
            file.boolean(file.root(), "tokenize_chinese_chars").value_or(rules.split_ideographs);
    }
    return Tokenizer(Vocabulary(std::move(pieces), std::move(vocabulary)), std::move(wordpiece));
}

/// Reads the tokenizer of a model folder (tokenizer.json or vocab.txt, refined by
/// tokenizer_config.json, added_tokens.json and special_tokens_map.json), or one tokenizer.json or
/// vocab.txt. Throws FileError for a file that cannot be read, else as `parse_tokenizer`.
inline Tokenizer read_tokenizer(std::filesystem::path const& path, VocabularyLimits limits = {}) {
    namespace fs = std::filesystem;
    auto const read = [&](fs::path const& file) {
        std::ifstream in(file, std::ios::binary);
        std::error_code fault;
        auto const size = fs::file_size(file, fault);
        if (!in || fault)
            throw FileError(join("cannot open the tokenizer file ", file, " for reading"));
        if (size > limits.bytes)
            throw LimitError(
                join(file, " has ", size, " bytes; accepted are up to ", limits.bytes));
        std::string text(static_cast<std::size_t>(size), '\0');
        in.read(text.data(), static_cast<std::streamsize>(size));
        if (in.gcount() != static_cast<std::streamsize>(size))
            throw FileError(join("cannot read all ", size, " bytes of ", file));
        return text;
    };
    TokenizerTexts texts;
    std::error_code fault;
    if (!fs::is_directory(path, fault)) {
        (path.extension() == ".json" ? texts.tokenizer_json : texts.vocab_txt) = read(path);
        return parse_tokenizer(texts, limits);
    }
    auto const read_if_there = [&](char const* name, std::string& text) {
        if (fs::exists(path / name, fault))
            text = read(path / name);
    };
    read_if_there("tokenizer.json", texts.tokenizer_json);
    read_if_there("vocab.txt", texts.vocab_txt);
    if (texts.tokenizer_json.empty() && texts.vocab_txt.empty())
        throw FileError(join("the folder ", path, " has neither a tokenizer.json nor a vocab.txt"));
    read_if_there("tokenizer_config.json", texts.tokenizer_config_json);
    read_if_there("added_tokens.json", texts.added_tokens_json);
    read_if_there("special_tokens_map.json", texts.special_tokens_map_json);
    return parse_tokenizer(texts, limits);
}

} // namespace blip
