#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <blip/models/matching_model.hpp>
#include <blip/models/model_base.hpp>
#include <blip/models/model_fingerprint.hpp>
#include <blip/models/stored_states.hpp>
#include <blip/models/vector_index.hpp>

namespace blip {

/// Something that was found.
struct Hit {
    std::int64_t row = 0; ///< within the index
    std::string label;
    double cosine = 0;             ///< of the projected features, -1 to 1
    std::optional<double> match{}; ///< logit of "the text fits the picture", once ranked again
    double score = 0;              ///< what hits are ordered by: the cosine, plus the match logit
};

/// What vectors are searched in: a VectorIndex, or an ApproximateIndex over one.
template <class Index>
concept Searchable = requires(Index const& index, std::span<float const> queries) {
    { index.layout() } -> std::convertible_to<RowLayout>;
    { index.search(queries, std::size_t{1}) } -> std::same_as<std::vector<std::vector<Neighbour>>>;
    { index.label(std::int64_t{}) } -> std::convertible_to<std::string_view>;
};

/// Where vectors go: a VectorIndex in memory, or a RowFileWriter that keeps none of them.
template <class Sink>
concept VectorSink = requires(Sink& sink, std::span<float const> vectors,
                              std::span<std::string const> labels) {
    { sink.layout() } -> std::convertible_to<RowLayout>;
    { sink.size() } -> std::convertible_to<std::uint64_t>;
    sink.append(vectors, labels);
};

/// A picture on its way into an index.
struct LabelledImage {
    Image image;
    std::string label;
};

/// Finds pictures by text and texts by picture among many (paper section 4: image-text retrieval):
/// the cosine of projected features finds candidates, the match head ranks them again. Immutable
/// once loaded: any number of threads may call it; the index is a value of its own.
template <MatchingConfig C, Backend B>
class Retriever : public ModelBase<Retriever<C, B>, MatchingNetwork<C, B>> {
    using Base = ModelBase<Retriever, MatchingNetwork<C, B>>;

public:
    using config = C;
    using backend = B;
    using Network = MatchingNetwork<C, B>;
    using Base::image_size, Base::preprocessing;
    static constexpr std::size_t tokens = Network::Vision::tokens, width = C::vision::width;

    /// A model that is loaded already, or shared with a Matcher. `load` reads files of retrieval,
    /// matching or pre-training.
    explicit Retriever(std::shared_ptr<LoadedModel<Network> const> shared)
        : Base(std::move(shared)), model_(this->shared()),
          fingerprint_(model_fingerprint(model_.loaded())) {}

    RowLayout vector_layout(RowKind kind = RowKind::image_vectors) const {
        return {.kind = kind,
                .width = static_cast<std::uint64_t>(C::projection),
                .model = fingerprint_};
    }
    RowLayout state_layout(DataType type = DataType::f16) const {
        return {.kind = RowKind::image_states,
                .type = type,
                .length = tokens,
                .width = width,
                .model = fingerprint_};
    }

    /// An empty index in memory, of pictures or texts of this model.
    VectorIndex make_index(RowKind kind = RowKind::image_vectors) const {
        return VectorIndex(vector_layout(kind));
    }
    /// Maps an index file. Throws CheckpointError when another model made it.
    VectorIndex open_index(std::filesystem::path const& path) const {
        auto index = VectorIndex::open(path);
        require_own(index.layout(), path.string());
        return index;
    }
    /// Reads an index file into memory; the same otherwise.
    VectorIndex load_index(std::filesystem::path const& path) const {
        auto index = VectorIndex::load(path);
        require_own(index.layout(), path.string());
        return index;
    }
    /// Maps a file of stored states. Throws CheckpointError when another model made it.
    StoredStates open_states(std::filesystem::path const& path) const {
        auto states = StoredStates::open(path);
        require_own(states.layout(), path.string());
        return states;
    }

    /// Encodes pictures and appends them, `batch` at a time, so that no more are in memory.
    /// `images`: a range of LabelledImage, read once, lazily if it is lazy. `states`: also receives
    /// the image encoder's states, for rerank(); it must hold those of all rows of `sink`. Throws
    /// CheckpointError when a sink is another model's, ArgumentError when the two do not belong
    /// together.
    template <VectorSink Sink, std::ranges::input_range Range>
    void add(Sink& sink, Range&& images, std::size_t batch = 8,
             StateWriter* states = nullptr) const {
        std::size_t const each = preprocessed_size(preprocessing());
        batch = std::max<std::size_t>(1, batch);
        Pixels pixels(pixels_shape(batch));
        std::vector<std::string> labels;
        auto const flush = [&] {
            if (labels.empty())
                return;
            if (labels.size() == batch)
                return add_pixels(sink, pixels, std::exchange(labels, {}), states);
            Pixels rest(pixels_shape(labels.size()));
            std::copy_n(pixels.data(), rest.size(), rest.data());
            add_pixels(sink, rest, std::exchange(labels, {}), states);
        };
        for (LabelledImage const& item : images) {
            blip::preprocess(item.image, preprocessing(),
                             {pixels.data() + labels.size() * each, each});
            labels.push_back(item.label);
            if (labels.size() == batch)
                flush();
        }
        flush();
    }

    /// The same for one picture.
    template <VectorSink Sink>
    void add(Sink& sink, Image const& image, std::string label,
             StateWriter* states = nullptr) const {
        add_pixels(sink, blip::preprocess(image, preprocessing()), {std::move(label)}, states);
    }

    /// The same for pixels, [n, 3, image_size, image_size], that go through the model together.
    template <VectorSink Sink>
    void add_pixels(Sink& sink, Pixels const& pixels, std::vector<std::string> const& labels,
                    StateWriter* states = nullptr) const {
        require_sink(sink.layout(), RowKind::image_vectors);
        if (labels.size() != pixels.shape()[0])
            throw ArgumentError(
                join("retriever: ", labels.size(), " labels for ", pixels.shape()[0], " pictures"));
        std::span<std::string const> const names(labels);
        std::vector<float> features, numbers;
        model_.with_states(pixels, [&](auto encoded, Context<B>& ctx) {
            features = model_.template image_features<float>(encoded, ctx);
            if (states) {
                numbers.resize(static_cast<std::size_t>(encoded.size()));
                B::download(ctx.engine, numbers.data(),
                            static_cast<typename B::scalar const*>(encoded.data), encoded.size());
            }
        });
        if (states) {
            // One append of states without its vectors is what a program leaves that is killed
            // between the two.
            if (states->size() > sink.size() && states->before_last_append() == sink.size())
                states->keep(sink.size());
            if (states->size() != sink.size())
                throw ArgumentError(join("retriever: states of ", states->size(),
                                         " pictures for an index of ", sink.size(),
                                         "; they do not belong together"));
            states->append(numbers, names);
        }
        sink.append(std::span<float const>(features), names);
    }

    /// Appends texts, `batch` at a time; their labels are the texts themselves.
    template <VectorSink Sink>
    void add_texts(Sink& sink, std::span<std::string const> texts, std::size_t batch = 256) const {
        require_sink(sink.layout(), RowKind::text_vectors);
        batch = std::max<std::size_t>(1, batch);
        for (std::size_t first = 0; first < texts.size(); first += batch) {
            auto const some = texts.subspan(first, std::min(batch, texts.size() - first));
            auto const features = model_.text_features(model_.tokenize(some));
            sink.append(std::span<float const>(features), some);
        }
    }

    /// The `top` items of `index` closest to a text, best first.
    template <Searchable Index>
    std::vector<Hit> query(Index const& index, std::string_view text, std::size_t top) const {
        std::string const one(text);
        return std::move(query(index, std::span(&one, 1), top).front());
    }
    /// The same for several texts, which share the reading of the index.
    template <Searchable Index>
    std::vector<std::vector<Hit>> query(Index const& index, std::span<std::string const> texts,
                                        std::size_t top) const {
        return find(index, model_.text_features(model_.tokenize(texts)), top);
    }
    /// The items of `index` (texts, or pictures like this one) closest to a picture.
    template <Searchable Index>
    std::vector<Hit> query(Index const& index, Image const& image, std::size_t top) const {
        return std::move(query(index, blip::preprocess(image, preprocessing()), top).front());
    }
    template <Searchable Index>
    std::vector<std::vector<Hit>> query(Index const& index, Pixels const& pixels,
                                        std::size_t top) const {
        return find(index, model_.image_features(pixels), top);
    }

    /// Orders pictures found for `text` by match logit plus cosine, as the authors' evaluation
    /// does, from stored states: no picture is encoded. `batch` of them go through the model
    /// together. Throws ArgumentError when the states are not of these pictures.
    std::vector<Hit> rerank(std::string_view text, std::vector<Hit> hits,
                            StoredStates const& states, std::size_t batch = 4) const {
        require_sink(states.layout(), RowKind::image_states);
        return rerank_in_batches(std::move(hits), batch, [&](auto const& some) {
            std::vector<float> numbers(some.size() * tokens * width);
            for (std::size_t i = 0; i < some.size(); ++i) {
                if (states.label(some[i].row) != some[i].label)
                    throw ArgumentError(join(states.path().string(), ": picture ", some[i].row,
                                             " is ", states.label(some[i].row), ", in the index ",
                                             some[i].label, "; index the collection again"));
                states.read(some[i].row,
                            std::span(numbers).subspan(i * tokens * width, tokens * width));
            }
            return model_.match_logits(numbers, repeated(text, some.size()));
        });
    }

    /// The same; `load` gives the picture of a hit again, and it is encoded.
    std::vector<Hit> rerank(std::string_view text, std::vector<Hit> hits,
                            std::function<Image(Hit const&)> const& load,
                            std::size_t batch = 4) const {
        std::size_t const each = preprocessed_size(preprocessing());
        return rerank_in_batches(std::move(hits), batch, [&](auto const& some) {
            Pixels pixels(pixels_shape(some.size()));
            for (std::size_t i = 0; i < some.size(); ++i)
                blip::preprocess(load(some[i]), preprocessing(), {pixels.data() + i * each, each});
            return model_.match_logits(pixels, repeated(text, some.size()));
        });
    }

    /// Orders texts found for a picture (their labels) likewise; the picture is encoded once.
    std::vector<Hit> rerank(Image const& image, std::vector<Hit> hits) const {
        return rerank(blip::preprocess(image, preprocessing()), std::move(hits));
    }
    /// The same for pixels, [1, 3, image_size, image_size].
    std::vector<Hit> rerank(Pixels const& pixels, std::vector<Hit> hits) const {
        std::vector<std::string> texts;
        for (auto const& hit : hits)
            texts.push_back(hit.label);
        if (texts.empty())
            return hits;
        auto const logits = model_.match_logits(pixels, model_.tokenize(texts));
        for (std::size_t i = 0; i < hits.size(); ++i)
            rescore(hits[i], logits[i]);
        return in_order(std::move(hits));
    }

    MatchingModel<C, B> const& model() const { return model_; }
    std::uint64_t fingerprint() const { return fingerprint_; }

private:
    static Pixels::shape_type pixels_shape(std::size_t count) {
        return {count, 3, static_cast<std::size_t>(image_size),
                static_cast<std::size_t>(image_size)};
    }

    void require_own(RowLayout const& layout, std::string const& file) const {
        if (layout.model != fingerprint_)
            throw CheckpointError(join(file, ": was made by another model (",
                                       model_number(layout.model), ", this one is ",
                                       model_number(fingerprint_),
                                       "); their numbers cannot be compared: load that model, or "
                                       "index the collection again"));
    }

    void require_sink(RowLayout const& layout, RowKind kind) const {
        require_own(layout, "retriever: the index");
        if (layout.kind != kind)
            throw ArgumentError("retriever: this index is of something else: pictures and texts "
                                "have an index each, stored states a file");
    }

    TokenBatch repeated(std::string_view text, std::size_t count) const {
        return model_.tokenize(std::vector<std::string>(count, std::string(text)));
    }

    template <Searchable Index>
    std::vector<std::vector<Hit>> find(Index const& index, std::span<float const> features,
                                       std::size_t top) const {
        require_own(index.layout(), "retriever: the index");
        std::vector<std::vector<Hit>> hits;
        for (auto const& neighbours : index.search(features, top)) {
            auto& own = hits.emplace_back();
            for (auto const& n : neighbours)
                own.push_back({.row = n.row,
                               .label = std::string(index.label(n.row)),
                               .cosine = n.similarity,
                               .score = n.similarity});
        }
        return hits;
    }

    static void rescore(Hit& hit, double logit) {
        hit.match = logit;
        hit.score = logit + hit.cosine;
    }

    static std::vector<Hit> in_order(std::vector<Hit> hits) {
        std::stable_sort(hits.begin(), hits.end(), [](Hit const& a, Hit const& b) {
            return a.score != b.score ? a.score > b.score : a.row < b.row;
        });
        return hits;
    }

    std::vector<Hit> rerank_in_batches(std::vector<Hit> hits, std::size_t batch,
                                       auto const& logits_of) const {
        batch = std::max<std::size_t>(1, batch);
        for (std::size_t first = 0; first < hits.size(); first += batch) {
            auto const some = std::span(hits).subspan(first, std::min(batch, hits.size() - first));
            auto const logits = logits_of(some);
            for (std::size_t i = 0; i < some.size(); ++i)
                rescore(some[i], logits[i]);
        }
        return in_order(std::move(hits));
    }

    MatchingModel<C, B> model_;
    std::uint64_t fingerprint_;
};

} // namespace blip
