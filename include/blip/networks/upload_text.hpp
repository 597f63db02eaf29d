#pragma once

#include <cstddef>
#include <vector>

#include <blip/core/context.hpp>
#include <blip/core/error.hpp>
#include <blip/layers/text_embedding.hpp>
#include <blip/text/wordpiece.hpp>

namespace blip {

/// Replaces the first id of every text, [CLS], by `id`: [ENC] where text looks at a picture, [DEC]
/// where it is generated. The authors' release overwrites it; nothing is put before it.
inline TokenBatch with_first(TokenBatch batch, int id) {
    for (int item = 0; item < batch.batch && batch.length > 0; ++item)
        batch.ids[static_cast<std::size_t>(item) * static_cast<std::size_t>(batch.length)] = id;
    return batch;
}

/// A batch of texts as a network of `C` takes it, in `ctx.arena`: positions count every column,
/// padding included. Throws ArgumentError when a text is longer than the position table.
template <class C, class B>
TextInput<B> upload_text(TokenBatch const& batch, Context<B>& ctx) {
    if (batch.length > C::positions)
        throw ArgumentError(join("a text of ", batch.length, " tokens, but the model has only ",
                                 C::positions, " positions; shorten it"));
    auto const count = static_cast<std::ptrdiff_t>(batch.ids.size());
    std::vector<int> positions(batch.ids.size());
    bool padded = false;
    for (std::size_t i = 0; i < positions.size(); ++i) {
        positions[i] = static_cast<int>(i % static_cast<std::size_t>(batch.length));
        padded = padded || batch.mask[i] == 0;
        if (batch.ids[i] < 0 || batch.ids[i] >= C::vocabulary)
            throw ArgumentError(
                join("id ", batch.ids[i], " is outside the vocabulary of ", C::vocabulary));
    }
    int* ids = ctx.arena.template take<int>(count);
    int* places = ctx.arena.template take<int>(count);
    B::upload(ctx.engine, ids, batch.ids.data(), count);
    B::upload(ctx.engine, places, static_cast<int const*>(positions.data()), count);
    unsigned char* mask = nullptr;
    if (padded) {
        mask = ctx.arena.template take<unsigned char>(count);
        B::upload(ctx.engine, mask, batch.mask.data(), count);
    }
    return {ids, places, mask, batch.batch, batch.length};
}

} // namespace blip
