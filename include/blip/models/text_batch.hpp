#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <blip/core/context.hpp>
#include <blip/core/error.hpp>
#include <blip/layers/text_embedding.hpp>
#include <blip/text/wordpiece.hpp>

namespace blip {

/// How texts become what a text network reads.
struct TextBatchOptions {
    Padding padding = Padding::longest;
    std::optional<int> max_length{}; ///< in tokens, [CLS] and [SEP] included; longer texts are cut
    std::optional<int> first_id{};   ///< takes the place of [CLS]: [ENC] or [DEC]
};

/// Texts as ids, positions and mask, [batch, length] each, on the host.
struct TextBatch {
    TokenBatch tokens;
    std::vector<int> positions; ///< 0, 1, 2, ... in every text, pads included

    /// The same in backend memory, in `ctx.arena`.
    template <class B>
    TextInput<B> upload(Context<B>& ctx) const {
        auto const n = std::ssize(tokens.ids);
        auto* const ids = ctx.arena.template take<int>(n);
        auto* const places = ctx.arena.template take<int>(n);
        auto* const mask = ctx.arena.template take<unsigned char>(n);
        B::upload(ctx.engine, ids, tokens.ids.data(), n);
        B::upload(ctx.engine, places, positions.data(), n);
        B::upload(ctx.engine, mask, tokens.mask.data(), n);
        return {ids, places, mask, tokens.batch, tokens.length};
    }
};

/// Tokenises `texts` for a network of `most_positions` positions. `who` begins messages: "matcher".
/// Throws TextError for invalid UTF-8, ArgumentError when there is no text or one is longer than
/// the network's positions and `max_length` does not cut it.
inline TextBatch text_batch(Tokenizer const& tokenizer, std::span<std::string const> texts,
                            TextBatchOptions const& options, int most_positions,
                            std::string_view who) {
    if (texts.empty())
        throw ArgumentError(join(who, ": expected at least one text, found none"));
    TextBatch batch{tokenizer.encode_batch(
                        texts, {.padding = options.padding, .max_length = options.max_length}),
                    {}};
    auto& [ids, mask, count, length] = batch.tokens;
    if (length > most_positions) {
        // Name the text at fault, not the rectangle around it.
        for (std::size_t i = 0; i < texts.size(); ++i)
            if (auto const size = tokenizer.encode(texts[i], options.max_length).size();
                size > static_cast<std::size_t>(most_positions))
                throw ArgumentError(join(who, ": text ", i, " (\"", texts[i].substr(0, 40),
                                         texts[i].size() > 40 ? "..." : "", "\") has ", size,
                                         " tokens, but the model has only ", most_positions,
                                         " positions; shorten it"));
        throw ArgumentError(join(who, ": texts are to be padded to ", length,
                                 " tokens, but the model has only ", most_positions, " positions"));
    }
    for (int i = 0; i < count * length; ++i)
        batch.positions.push_back(i % length);
    if (options.first_id)
        for (int i = 0; i < count; ++i)
            ids[static_cast<std::size_t>(i) * static_cast<std::size_t>(length)] = *options.first_id;
    return batch;
}

} // namespace blip
