#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <numeric>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/core/keep_scope.hpp>
#include <blip/generate/kv_cache.hpp>
#include <blip/networks/text_decoder.hpp>

namespace blip {

/// The given beginning of one sequence. Positions and visibility are spelled out because one
/// published implementation pads prompts inside a batch and lets the pads count in its own way.
struct Prompt {
    std::vector<int> ids;
    std::vector<int> positions;         ///< row of the position table for each id
    std::vector<unsigned char> visible; ///< 1 where later tokens may attend the id

    /// Every id visible, positions 0, 1, 2, ...
    static Prompt plain(std::vector<int> ids) {
        Prompt prompt{std::move(ids), {}, {}};
        prompt.positions.resize(prompt.ids.size());
        std::iota(prompt.positions.begin(), prompt.positions.end(), 0);
        prompt.visible.assign(prompt.ids.size(), 1);
        return prompt;
    }
};

/// One run of cached decoding: feeds tokens to a decoder and gives the scores of what comes next.
/// Cross-attention keys and values are computed once per item and shared by all its rows;
/// self-attention keys and values are kept per token. A row's scores depend on its own ids and item
/// alone, bit for bit. Satisfies `NextScores`.
template <TextConfig C, Backend B>
class DecoderSession {
public:
    using Decoder = TextDecoder<C, B>;
    using scalar = std::conditional_t<std::is_same_v<typename B::scalar, double>, double, float>;

    /// `states` [items, length, encoder width]: item i is what prompts[i] looks at; `state_mask`
    /// [items, length] on the host says which of them count (empty: all). `most_tokens` bounds the
    /// tokens alive at a time over all rows. Everything lives in `ctx.arena` until the
    /// caller releases it after the session. Throws ArgumentError when prompts and items differ in
    /// number, a prompt is empty, or ids are outside the vocabulary.
    DecoderSession(Decoder const& decoder, Tokens<C::encoder_width, B> states,
                   std::vector<Prompt> prompts, int most_tokens, Context<B>& ctx,
                   std::span<unsigned char const> state_mask = {})
        : decoder_(decoder), ctx_(ctx), prompts_(std::move(prompts)),
          cache_(C::depth, most_tokens, C::width) {
        if (std::ssize(prompts_) != states.batch)
            throw ArgumentError(
                join("decoding: ", prompts_.size(), " prompts for ", states.batch, " items"));
        if (!state_mask.empty() && std::ssize(state_mask) != states.rows())
            throw ArgumentError(join("decoding: a mask of ", state_mask.size(), " entries for ",
                                     states.rows(), " encoder states"));
        for (std::size_t i = 0; i < state_mask.size(); ++i) {
            auto const length = static_cast<std::size_t>(states.length);
            state_rows_.resize(i / length + 1);
            if (state_mask[i])
                state_rows_.back().push_back(static_cast<int>(i % length));
        }
        for (std::size_t layer = 0; layer < cross_.size(); ++layer) {
            cross_[layer] = ctx.template tokens<2 * C::width>(states.batch, states.length);
            Scope scope(ctx.arena);
            typename Linear<C::encoder_width, 2 * C::width, B>::Cache unused;
            auto const projected = block(layer).cross.branch.key_value.forward(states, unused, ctx);
            B::copy(ctx.engine, cross_[layer].data, projected.data, projected.size());
        }
    }

    int vocabulary() const { return C::vocabulary; }
    Decoder const& decoder() const { return decoder_; }

    /// Raw scores after every prompt: logits [items, vocabulary] on the host. Rows then are the
    /// items.
    void start(std::span<scalar> logits) {
        Batch batch;
        for (std::size_t item = 0; item < prompts_.size(); ++item) {
            Prompt const& prompt = prompts_[item];
            if (prompt.ids.empty() || prompt.positions.size() != prompt.ids.size() ||
                prompt.visible.size() != prompt.ids.size())
                throw ArgumentError(
                    join("decoding: prompt ", item, " has ", prompt.ids.size(), " ids, ",
                         prompt.positions.size(), " positions and ", prompt.visible.size(),
                         " marks of visibility; it needs as many of each, at least one"));
            std::size_t const row = cache_.add_row();
            for (std::size_t t = 0; t < prompt.ids.size(); ++t) {
                int const slot = cache_.take();
                // A hidden token still sees itself being computed, but is attended by nobody.
                add_token(batch, prompt.ids[t], prompt.positions[t], slot, static_cast<int>(item));
                batch.keys.push_back(cache_.row(row));
                if (prompt.visible[t]) {
                    batch.keys.back().push_back(slot);
                    cache_.append(row, slot);
                }
            }
            batch.last.push_back(static_cast<int>(batch.ids.size()) - 1);
            items_.push_back(static_cast<int>(item));
            positions_.push_back(prompt.positions.back());
        }
        run(batch, logits);
    }

    /// New row r continues row parents[r] with tokens[r]: logits [rows, vocabulary] on the host.
    void advance(std::span<int const> parents, std::span<int const> tokens,
                 std::span<scalar> logits) {
        if (tokens.size() != parents.size())
            throw ArgumentError(
                join("decoding: ", tokens.size(), " tokens for ", parents.size(), " rows"));
        for (int const parent : parents)
            if (parent < 0 || parent >= std::ssize(items_))
                throw ArgumentError(join("decoding: row ", parent, " does not exist; there are ",
                                         items_.size(), " rows"));
        cache_.reorder(parents);
        std::vector<int> items, positions;
        Batch batch;
        for (std::size_t r = 0; r < parents.size(); ++r) {
            auto const parent = static_cast<std::size_t>(parents[r]);
            items.push_back(items_[parent]);
            positions.push_back(positions_[parent] + 1);
            int const slot = cache_.take();
            cache_.append(r, slot);
            add_token(batch, tokens[r], positions.back(), slot, items.back());
            batch.keys.push_back(cache_.row(r));
            batch.last.push_back(static_cast<int>(r));
        }
        items_ = std::move(items);
        positions_ = std::move(positions);
        run(batch, logits);
    }

    /// Given tokens that follow what a row holds.
    struct Continuation {
        int row = 0;
        std::span<int const> ids;
        int visible = 0; ///< ids from here on pad: they see the others and are seen by nobody
    };

    /// States after every id of every continuation, [1, Σ ids, width], in the arena. All tokens go
    /// through the decoder together; the rows stay as they were. Throws ArgumentError for rows
    /// and ids that do not exist, LimitError for more tokens than there is room for.
    Tokens<C::width, B> follow(std::span<Continuation const> continuations) {
        Batch batch;
        for (auto const& [row, ids, visible] : continuations) {
            if (row < 0 || row >= std::ssize(items_))
                throw ArgumentError(join("decoding: row ", row, " does not exist; there are ",
                                         items_.size(), " rows"));
            auto const r = static_cast<std::size_t>(row);
            auto keys = cache_.row(r);
            for (std::size_t t = 0; t < ids.size(); ++t) {
                int const slot = cache_.take();
                if (static_cast<int>(t) < visible)
                    keys.push_back(slot);
                add_token(batch, ids[t], positions_[r] + 1 + static_cast<int>(t), slot, items_[r]);
                batch.keys.push_back(keys);
            }
        }
        batch.last.resize(batch.ids.size());
        std::iota(batch.last.begin(), batch.last.end(), 0);
        auto const states = feed(batch);
        std::vector<int> same(items_.size());
        std::iota(same.begin(), same.end(), 0);
        cache_.reorder(same); // frees the slots of the continuations
        return states;
    }

private:
    /// Tokens fed together, in rows one after another; neighbours of one item share its image.
    struct Batch {
        std::vector<int> ids, positions, slots, items;
        std::vector<std::vector<int>> keys; ///< slots that each token attends
        std::vector<int> last;              ///< tokens whose scores are wanted
    };

    /// The same in backend memory.
    struct Arrays {
        int const* ids;
        int const* positions;
        int const* slots;
        int const* last;
        IndexedAttentionShape self, cross;
    };

    auto const& block(std::size_t layer) const { return decoder_.body.stack.blocks[layer]; }

    static void add_token(Batch& batch, int id, int position, int slot, int item) {
        if (id < 0 || id >= C::vocabulary)
            throw ArgumentError(
                join("decoding: id ", id, " is outside the vocabulary of ", C::vocabulary));
        if (position < 0 || position >= C::positions)
            throw ArgumentError(join("decoding: position ", position, ", but the model has only ",
                                     C::positions, " positions; ask for a shorter text"));
        batch.ids.push_back(id);
        batch.positions.push_back(position);
        batch.slots.push_back(slot);
        batch.items.push_back(item);
    }

    int const* upload(std::vector<int> const& values) {
        auto const n = static_cast<std::ptrdiff_t>(values.size());
        int* data = ctx_.arena.template take<int>(n);
        B::upload(ctx_.engine, data, values.data(), n);
        return data;
    }

    /// Puts lists of different lengths into one rectangle, with their lengths beside it.
    void upload_keys(std::vector<std::vector<int>> const& lists, IndexedAttentionShape& shape) {
        std::size_t most = 0;
        for (auto const& list : lists)
            most = std::max(most, list.size());
        std::vector<int> rows(lists.size() * most), counts;
        for (std::size_t i = 0; i < lists.size(); ++i) {
            std::copy(lists[i].begin(), lists[i].end(),
                      rows.begin() + static_cast<std::ptrdiff_t>(i * most));
            counts.push_back(static_cast<int>(lists[i].size()));
        }
        shape.keys = static_cast<int>(most);
        shape.key_rows = upload(rows);
        shape.key_counts = upload(counts);
    }

    Arrays arrays(Batch const& batch) {
        int const count = static_cast<int>(batch.ids.size());
        std::vector<int> starts(batch.ids.size() + 1), zeros(batch.ids.size());
        std::iota(starts.begin(), starts.end(), 0);
        std::vector<int> group_starts, group_items;
        for (int t = 0; t < count; ++t)
            if (t == 0 || batch.items[static_cast<std::size_t>(t)] != group_items.back()) {
                group_starts.push_back(t);
                group_items.push_back(batch.items[static_cast<std::size_t>(t)]);
            }
        group_starts.push_back(count);
        constexpr int head_width = C::width / C::heads;
        Arrays a{.ids = upload(batch.ids),
                 .positions = upload(batch.positions),
                 .slots = upload(batch.slots),
                 .last = upload(batch.last),
                 .self = {.groups = count,
                          .heads = C::heads,
                          .head_width = head_width,
                          .query_starts = upload(starts),
                          .key_items = upload(zeros)},
                 .cross = {.groups = static_cast<int>(group_items.size()),
                           .heads = C::heads,
                           .head_width = head_width,
                           .keys = cross_[0].length,
                           .query_starts = upload(group_starts),
                           .key_items = upload(group_items)}};
        upload_keys(batch.keys, a.self);
        if (!state_rows_.empty()) {
            std::vector<std::vector<int>> lists;
            lists.reserve(group_items.size());
            for (int item : group_items)
                lists.push_back(state_rows_[static_cast<std::size_t>(item)]);
            upload_keys(lists, a.cross);
        }
        return a;
    }

    void run(Batch const& batch, std::span<scalar> logits) {
        auto const expected = batch.last.size() * static_cast<std::size_t>(C::vocabulary);
        if (logits.size() != expected)
            throw ArgumentError(
                join("decoding: expected room for ", expected, " scores, found ", logits.size()));
        Scope scope(ctx_.arena);
        auto const last = feed(batch);
        typename Decoder::Head::Cache head;
        KeepScope const keep(ctx_, Keep::nothing);
        auto const scores = decoder_.head.forward(last, decoder_.body.embedding.words, head, ctx_);
        B::download(ctx_.engine, logits.data(), static_cast<typename B::scalar const*>(scores.data),
                    scores.size());
    }

    /// Stores the tokens in the cache and gives the states of `batch.last`, [1, rows, width].
    Tokens<C::width, B> feed(Batch const& batch) {
        auto const last = ctx_.template tokens<C::width>(1, static_cast<int>(batch.last.size()));
        Scope scope(ctx_.arena);
        KeepScope const keep(ctx_, Keep::nothing);
        Arrays const a = arrays(batch);
        int const count = static_cast<int>(batch.ids.size());
        typename Decoder::Body::Embedding::Cache embedding;
        auto x = decoder_.body.embedding.forward({a.ids, a.positions, nullptr, 1, count}, embedding,
                                                 ctx_);
        for (std::size_t layer = 0; layer < cross_.size(); ++layer)
            x = step(layer, x, a);
        B::gather_rows(ctx_.engine, matrix(x), a.last, matrix(last));
        return last;
    }

    /// One block over the new tokens, with everything older read from the caches.
    Tokens<C::width, B> step(std::size_t layer, Tokens<C::width, B> x, Arrays const& a) {
        auto const& [attention, cross, mlp] = parts(layer);
        int const l = static_cast<int>(layer);
        typename TextBlock<C, B>::Cache unused;
        auto const attended = ctx_.template tokens<C::width>(1, x.length);
        auto const qkv = attention.branch.qkv.forward(x, unused.attention.branch.qkv, ctx_);
        B::scatter_rows(ctx_.engine, columns(qkv, C::width, 2 * C::width), a.slots,
                        cache_.slots(l));
        B::attention_indexed(ctx_.engine, a.self, rows_of(qkv), cache_.part(l, 0),
                             cache_.part(l, 1), rows_of(attended));
        auto const own =
            attention.branch.output.forward(attended, unused.attention.branch.output, ctx_);
        auto const h = attention.norm.forward_sum(own, x, unused.attention.norm, ctx_);

        using Cross = std::remove_cvref_t<decltype(cross.branch)>;
        auto const q = cross.branch.query.forward(h, unused.cross.branch.query, ctx_);
        B::attention_indexed(ctx_.engine, a.cross, rows_of(q), Cross::part(cross_[layer], 0),
                             Cross::part(cross_[layer], 1), rows_of(attended));
        auto const seen = cross.branch.output.forward(attended, unused.cross.branch.output, ctx_);
        auto const g = cross.norm.forward_sum(seen, h, unused.cross.norm, ctx_);
        return mlp.forward(g, unused.mlp, ctx_);
    }

    struct Parts {
        typename TextBlock<C, B>::Attention const& attention;
        typename TextBlock<C, B>::Cross const& cross;
        typename TextBlock<C, B>::FeedForward const& mlp;
    };
    Parts parts(std::size_t layer) const {
        auto const& b = block(layer);
        return {b.attention, b.cross, b.mlp};
    }

    template <int Width>
    static HeadRows<B> rows_of(Tokens<Width, B> x) {
        return {x.data, 0, Width};
    }

    Decoder const& decoder_;
    Context<B>& ctx_;
    std::vector<Prompt> prompts_;
    std::array<Tokens<2 * C::width, B>, static_cast<std::size_t>(C::depth)> cross_;
    std::vector<std::vector<int>> state_rows_; ///< states that count, per item; empty: all
    KeyValueCache<B> cache_;
    std::vector<int> items_;     ///< item of each row
    std::vector<int> positions_; ///< position of each row's newest token
};

} // namespace blip
