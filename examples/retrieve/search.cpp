#include "model.hpp"

#include <optional>
#include <span>
#include <utility>

#include <blip/models/matcher.hpp>
#include <blip/vision/read_image.hpp>

#include "../support/random_model.hpp"

namespace retrieve {

namespace {

using Models = support::MatchingModels;

struct Types {
    static constexpr auto task = blip::Task::matching;
    template <class C>
    using model = blip::Retriever<C, blip::Cpu<float>>;

    template <class C>
    class loaded final : public support::LoadedAs<Model, model<C>> {
    public:
        using support::LoadedAs<Model, model<C>>::LoadedAs;

        void open_writers(std::string const& index, std::string const& states,
                          blip::RowKind kind) override {
            writer_.emplace(index, this->model_.vector_layout(kind));
            if (!states.empty())
                state_writer_.emplace(states, this->model_.state_layout());
        }
        void add(blip::Pixels const& pixels, std::vector<std::string> const& labels) override {
            this->model_.add_pixels(*writer_, pixels, labels,
                                    state_writer_ ? &*state_writer_ : nullptr);
        }
        void add(std::vector<std::string> const& texts) override {
            this->model_.add_texts(*writer_, texts);
        }
        void check(std::string const& text) const override {
            this->model_.tokenizer().encode(text);
        }
        std::uint64_t written() const override { return writer_->size(); }
        std::unordered_set<std::string> labels_of(std::string const& index) const override {
            auto const opened = this->model_.open_index(index);
            std::unordered_set<std::string> labels;
            for (std::size_t row = 0; row < opened.size(); ++row)
                labels.emplace(opened.label(static_cast<std::int64_t>(row)));
            return labels;
        }
        void open(std::string const& index, std::string const& states) override {
            index_.emplace(this->model_.open_index(index));
            if (!states.empty())
                states_.emplace(this->model_.open_states(states));
        }
        std::size_t size() const override { return index_->size(); }
        bool holds_texts() const override {
            return index_->layout().kind == blip::RowKind::text_vectors;
        }
        std::vector<Hits> query(std::vector<std::string> const& texts,
                                std::size_t top) const override {
            return this->model_.query(*index_, std::span<std::string const>(texts), top);
        }
        std::vector<Hits> query(blip::Pixels const& pixels, std::size_t top) const override {
            return this->model_.query(*index_, pixels, top);
        }
        Hits rank(std::string const& text, Hits hits, bool upright) const override {
            if (states_)
                return this->model_.rerank(text, std::move(hits), *states_);
            return this->model_.rerank(text, std::move(hits), [upright](blip::Hit const& hit) {
                return blip::read_image(hit.label,
                                        {.orientation = upright ? blip::Orientation::upright
                                                                : blip::Orientation::as_stored});
            });
        }

        Hits rank(blip::Pixels const& pixels, Hits hits) const override {
            return this->model_.rerank(pixels, std::move(hits));
        }

    private:
        std::optional<blip::RowFileWriter> writer_;
        std::optional<blip::StateWriter> state_writer_;
        std::optional<blip::VectorIndex> index_;
        std::optional<blip::StoredStates> states_;
    };
};

/// What is written where an untrained model is asked for.
struct Untrained {
    template <class C>
    using model = blip::Matcher<C, blip::Cpu<float>>;
};

} // namespace

std::unique_ptr<Model> load(support::CommonArguments const& a) {
    return support::load_model<Model, Models, Types>("retrieve", a);
}

int write_random(support::CommonArguments const& a) {
    return support::write_random_model<Models, Untrained>(a, 384, a.seed);
}

} // namespace retrieve
