#pragma once

#include <filesystem>

#include <blip/io/model_folder.hpp>
#include <blip/text/bert_base_uncased.hpp>
#include <blip/text/tokenizer_files.hpp>
#include <blip/text/wordpiece.hpp>

namespace blip {

namespace detail {

inline Tokenizer find_tokenizer(ModelFolder const& model) {
    for (auto const* name : {"tokenizer.json", "vocab.txt"})
        if (has_file(model.folder / name))
            return read_tokenizer(model.folder);
    // The authors' .pth files carry no vocabulary; they were all made with this one.
    if (model.sizes.text.vocabulary == 30524)
        return Tokenizer(bert_base_uncased());
    throw FileError(join(model.folder.string(),
                         ": no vocab.txt or tokenizer.json beside a model with ",
                         model.sizes.text.vocabulary, " words; put one there"));
}

} // namespace detail

/// The tokenizer of a model: from tokenizer.json or vocab.txt beside the weights, or, where neither
/// is and the sizes allow it, bert-base-uncased's. Ids that the model's config prescribes win.
/// Throws FileError, TextError, FormatError; ConfigError when ids go beyond the model's word table.
inline Tokenizer load_tokenizer(ModelFolder const& model) {
    Tokenizer tokenizer = detail::find_tokenizer(model);
    auto const& s = model.settings;
    tokenizer.override_special_ids({.pad = s.pad_id,
                                    .unk = s.unk_id,
                                    .cls = s.cls_id,
                                    .sep = s.sep_id,
                                    .mask = s.mask_id,
                                    .dec = s.dec_id,
                                    .enc = s.enc_id});
    if (int const size = tokenizer.vocabulary().size(); size > model.sizes.text.vocabulary)
        throw ConfigError(join(model.folder.string(), ": the tokenizer has ", size,
                               " ids, but the model's word table only ",
                               model.sizes.text.vocabulary,
                               " rows; vocabulary and weights do not belong together"));
    return tokenizer;
}

} // namespace blip
