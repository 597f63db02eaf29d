#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <blip/models/objective.hpp>
#include <blip/networks/alignment.hpp>

namespace blip {

/// What training with a momentum teacher and a queue holds beside what every objective does.
///
/// A step in parts is one of the authors' steps on as many devices: each part's contrastive and
/// matching loss is over its own pictures and the queue as it was before the step, gradient and
/// losses are the means over all pictures, the teacher moves once, and the queue takes every part's
/// features in their order.
template <class Network>
class MomentumObjective : public Objective<Network> {
    using Base = Objective<Network>;

public:
    using B = typename Network::backend;
    using config = typename Network::config;
    using State = MomentumState<Network>;

    State const& state() const { return *state_; }

    /// Throws ArgumentError when a restored queue cannot be.
    void resume_at(std::int64_t steps) {
        state_->queue.require_valid();
        Base::resume_at(steps);
    }

    template <class F>
    void for_each_state(F const& f) {
        auto& teacher = state_->teacher.weights();
        f("teacher", teacher.data(), teacher.size());
        state_->queue.for_each_state(f);
    }

    /// Writes everything but the optimizer's state as the authors' release does, trained and
    /// momentum networks, queues, pointer and temperature under their names: to a .pth file (or
    /// .safetensors) that the release reads too, or to a folder with configuration and vocabulary,
    /// which sizes that were never published need. What is tied is in it once for every name, so
    /// that types for a part, as Captioner, read it too. Throws FileError.
    void save(std::filesystem::path const& path, SaveOptions const& options = {}) const {
        Momentum momentum(*state_, this->shared()->engine);
        if (!is_weights_file(path)) {
            this->shared()->save(path, options, std::move(momentum.tensors));
            return;
        }
        auto engine = this->shared()->engine;
        auto original = original_tensors(this->weights(), engine);
        std::ranges::move(momentum.tensors, std::back_inserter(original.tensors));
        original.add_position_ids();
        std::move(original).write(path, options);
    }

protected:
    /// Retrieval keeps the pictures' ids beside its queue and has a pointer of another name.
    static constexpr bool has_ids = Network::task != Task::pre_training;
    static constexpr char const* pointer_name() { return has_ids ? "ptr_queue" : "queue_ptr"; }

    /// What a file holds beside the trained network.
    struct Momentum {
        using Host = HostScalar<B>;
        typename B::Engine engine;
        std::vector<Host> images, texts;
        std::int64_t pointer;
        std::vector<OutputTensor> tensors; ///< look at the members above

        Momentum(State const& state, typename B::Engine const& shared)
            : engine(shared), pointer(state.queue.pointer()),
              tensors(published_tensors(state.teacher.weights(), engine, teacher_names)) {
            auto const& queue = state.queue;
            std::vector<std::int64_t> const size{config::projection, queue.length};
            auto const add = [&](char const* name, Matrix<B> columns, std::vector<Host>& host) {
                host.resize(static_cast<std::size_t>(queue.size));
                B::download(engine, host.data(),
                            static_cast<typename B::scalar const*>(columns.data), queue.size);
                tensors.push_back(output_tensor<Host>(name, size, host));
            };
            add("image_queue", queue.image(), images);
            add("text_queue", queue.text(), texts);
            tensors.push_back(output_tensor<std::int64_t>(pointer_name(), {1}, {&pointer, 1}));
            if (has_ids)
                tensors.push_back(
                    output_tensor<std::int64_t>("idx_queue", {1, queue.length}, queue.ids()));
        }
        Momentum(Momentum const&) = delete;
        Momentum& operator=(Momentum const&) = delete;
    };

    /// One part of a step, tokenised. `ids` are empty in pre-training.
    struct Part {
        Pixels const& pixels;
        TokenBatch text;
        std::span<std::int64_t const> ids{};
    };

    MomentumObjective(std::shared_ptr<LoadedModel<Network>> model,
                      ObjectiveOptions<B> const& options, int authors_length)
        : Base(std::move(model), options, default_drop_path<typename config::vision>()),
          text_length_(Base::tokens_read(options, authors_length)) {
        state_.emplace(this->engine(), this->weights(), split({this->seed(), 0}, 0));
    }

    /// Losses of all parts and their gradient. `loss(part, images, cache, ctx)` computes a part's.
    /// All that can be wrong with a batch is refused before teacher, temperature or gradient
    /// change.
    template <class Losses, class Loss>
    Losses run_parts(std::span<Part const> parts, std::string_view who, StepOptions const& options,
                     Loss const& loss) {
        int const whole = require_parts(parts, who, options);
        // Features of the step's earlier parts; with one part they stay where they were made.
        typename B::Memory memory{};
        Features all{};
        if (parts.size() > 1) {
            std::ptrdiff_t const size = std::ptrdiff_t{whole} * config::projection;
            memory = B::allocate(2 * static_cast<std::size_t>(size) * sizeof(typename B::scalar));
            auto* const data = static_cast<typename B::scalar*>(memory.data());
            all = {{data, whole, 1}, {data + size, whole, 1}};
        }
        Losses losses;
        int done = 0, before = 0;
        this->run_step(parts.size(), [&](std::size_t number, Context<B>& ctx) {
            auto const& part = parts[number];
            int const count = part.text.batch;
            if (number == 0)
                state_->begin_step(ctx.engine, this->weights(), options.momentum);
            else
                scale_gradient(before, count, ctx);
            auto const images = this->upload_pictures(part.pixels, ctx);
            typename Network::Cache cache;
            losses.add(loss(part, images, cache, ctx), static_cast<double>(count) / whole);
            this->weights()->backward(cache, *this->gradient(), ctx);
            auto const& features = cache.alignment.contrastive.keys.batch;
            if (parts.size() == 1) {
                state_->queue.enqueue(ctx.engine, features, part.ids);
                return;
            }
            copy_features(features.image, all.image.items(done, count), ctx);
            copy_features(features.text, all.text.items(done, count), ctx);
            done += count;
            before = count;
            if (done < whole)
                return;
            scale_gradient(count, whole, ctx);
            std::vector<std::int64_t> ids;
            for (auto const& each : parts)
                ids.insert(ids.end(), each.ids.begin(), each.ids.end());
            state_->queue.enqueue(ctx.engine, all, ids);
        });
        return losses;
    }

    /// Teacher and queue of a checkpoint.
    void restore(TensorFile const& file, MomentumStart start) {
        bool const strict = start == MomentumStart::file;
        auto& report = this->model().report;
        auto& engine = this->engine();
        auto const momentum = load_weights(state_->teacher.weights(), engine, file, teacher_names,
                                           strict ? Missing::is_error : Missing::stays_fresh);
        report.fresh.insert(report.fresh.end(), momentum.fresh.begin(), momentum.fresh.end());
        std::set<std::string> used;
        auto& queue = state_->queue;
        for (auto const& [name, columns] :
             {std::pair{"image_queue", queue.image()}, std::pair{"text_queue", queue.text()}}) {
            auto const* tensor = file.find(name);
            std::vector<std::int64_t> const expected{config::projection, queue.length};
            bool const fits = tensor && tensor->shape == expected && is_floating(tensor->type);
            if (!fits && strict)
                throw CheckpointError(
                    join(file.path().string(), ": ", name, " of shape ", shape_text(expected),
                         tensor ? " expected, found " : " is missing",
                         tensor ? shape_text(tensor->shape) : "",
                         "; MomentumStart::trained starts without the file's queues"));
            if (!fits) {
                report.fresh.push_back(name);
                continue;
            }
            used.insert(name);
            auto const values = tensor->template values<double>();
            B::upload(engine, columns.data, values.data(), queue.size);
        }
        restore_pointer(file, used);
        // What the momentum networks found no place for either is extra.
        std::set<std::string> const unused(momentum.extra.begin(), momentum.extra.end());
        std::erase_if(report.extra, [&](std::string const& name) {
            return !unused.contains(name) || used.contains(name);
        });
    }

    /// Captions as training sees them: [CLS] first, longer ones cut; padded to the longest, because
    /// no loss sees padding but under the old rule of smoothing, where it is the authors'.
    TokenBatch tokenize(std::span<std::string const> captions, StepOptions const& options) const {
        auto const padding =
            options.rule == SmoothingRule::torch_1_10 ? Padding::max_length : Padding::longest;
        return this->tokenizer().encode_batch(captions,
                                              {.padding = padding, .max_length = text_length_});
    }

private:
    using Features = FeaturePair<config::projection, B>;

    static void copy_features(Tokens<config::projection, B> from, Tokens<config::projection, B> to,
                              Context<B>& ctx) {
        B::copy(ctx.engine, to.data, from.data, from.size());
    }

    /// The gradient of a mean over `from` pictures becomes its share of one over `to`.
    void scale_gradient(int from, int to, Context<B>& ctx) {
        auto& gradient = this->gradient();
        if (from != to)
            B::gradient::scale(ctx.engine, gradient.data(), static_cast<double>(from) / to,
                               gradient.data(), gradient.size());
    }

    /// The number of pictures in all parts.
    int require_parts(std::span<Part const> parts, std::string_view who,
                      StepOptions const& options) const {
        int const whole = Base::require_pictures(parts, who);
        for (auto const& [pixels, text, ids] : parts) {
            int const batch = static_cast<int>(pixels.shape()[0]);
            if (text.batch != batch || (has_ids && std::ssize(ids) != batch))
                throw ArgumentError(join(who, ": ", batch, " pictures, ", text.batch, " captions",
                                         has_ids ? join(", ", ids.size(), " ids") : std::string{},
                                         "; expected equal numbers"));
            require_text(text, who);
            require_choices(batch, ids, options, who);
        }
        if (parts.size() > 1 && options.negatives)
            throw ArgumentError(join(who, ": negatives are given for a step of ", parts.size(),
                                     " parts; they can be for a step of one"));
        state_->queue.require_room(whole);
        return whole;
    }

    static void require_text(TokenBatch const& text, std::string_view who) {
        auto const count = static_cast<std::size_t>(text.batch) *
                           static_cast<std::size_t>(std::max(0, text.length));
        if (text.length < 1 || text.ids.size() != count || text.mask.size() != count)
            throw ArgumentError(join(who, ": ", text.ids.size(), " ids and ", text.mask.size(),
                                     " marks of a mask for ", text.batch, " texts of ", text.length,
                                     " tokens"));
        if (text.length > config::text::positions)
            throw ArgumentError(join(who, ": captions of ", text.length,
                                     " tokens, but the model has only ", config::text::positions,
                                     " positions; shorten them"));
        for (int const id : text.ids)
            if (id < 0 || id >= config::text::vocabulary)
                throw ArgumentError(join(who, ": id ", id, " is outside the vocabulary of ",
                                         config::text::vocabulary));
    }

    /// Shares and hard negatives: every picture needs another one to be told from.
    static void require_choices(int batch, std::span<std::int64_t const> ids,
                                StepOptions const& options, std::string_view who) {
        for (auto const& [name, share] :
             {std::pair{"alpha", options.alpha}, std::pair{"momentum", options.momentum}})
            if (!(share >= 0 && share <= 1))
                throw ArgumentError(join(who, ": ", name, " is ", share, ", expected 0 to 1"));
        if (std::ranges::count(ids, unknown_picture) > 0)
            throw ArgumentError(join(who, ": a picture has the id ", unknown_picture,
                                     ", which marks unknown pictures"));
        if (!options.negatives) {
            bool const alike =
                has_ids ? std::ranges::count(ids, ids.front()) == std::ssize(ids) : batch < 2;
            if (alike)
                throw ArgumentError(join(who, ": no picture of the batch, ", batch,
                                         " in all, has a negative in it; a batch needs at least "
                                         "two different pictures"));
            return;
        }
        for (auto const* chosen :
             {&options.negatives->image_for_text, &options.negatives->text_for_image}) {
            bool const valid =
                std::ranges::all_of(*chosen, [&](int i) { return i >= 0 && i < batch; });
            if (std::ssize(*chosen) != batch || !valid)
                throw ArgumentError(join(who, ": the given negatives must be ", batch,
                                         " numbers from 0 to ", batch - 1));
        }
    }

    static std::vector<std::string> teacher_names(std::string const& path) {
        return checkpoint_names("teacher." + path, Naming::original);
    }

    /// A file of the other task has another name for the pointer, as in the authors' release: then
    /// the pointer restarts at 0 and no column belongs to a known picture.
    void restore_pointer(TensorFile const& file, std::set<std::string>& used) {
        auto& queue = state_->queue;
        std::vector<std::int64_t> ids(queue.ids().begin(), queue.ids().end());
        std::vector<std::int64_t> pointer{0};
        auto const read = [&](char const* name, std::vector<std::int64_t>& to) {
            auto const* tensor = file.find(name);
            bool const fits =
                tensor && !is_floating(tensor->type) && tensor->element_count() == std::ssize(to);
            if (tensor && !fits)
                throw CheckpointError(join(file.path().string(), ": ", name, " has shape ",
                                           shape_text(tensor->shape), " of ", name_of(tensor->type),
                                           ", expected ", to.size(), " integers"));
            if (!tensor) {
                this->model().report.fresh.push_back(name);
                return;
            }
            used.insert(name);
            to = tensor->template values<std::int64_t>();
        };
        if (has_ids)
            read("idx_queue", ids);
        read(pointer_name(), pointer);
        try {
            queue.restore(ids, pointer[0]);
        } catch (ArgumentError const& error) {
            throw CheckpointError(join(file.path().string(), ": ", error.what()));
        }
    }

    std::optional<State> state_;
    int text_length_;
};

} // namespace blip
