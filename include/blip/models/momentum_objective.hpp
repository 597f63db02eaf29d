#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
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

/// What training with a momentum teacher and a queue holds: weights, their gradient, teacher,
/// queue. Unlike the models for inference it changes with every step, and serves one caller at a
/// time. An optimizer changes `weights()` between steps.
template <class Network>
class MomentumObjective {
public:
    using B = typename Network::backend;
    using config = typename Network::config;
    using State = MomentumState<Network>;
    static constexpr int image_size = config::vision::image;

    Weights<Network>& weights() { return model_->weights; }
    Weights<Network> const& weights() const { return model_->weights; }
    Weights<typename Network::Grad>& gradient() { return gradient_; }
    State const& state() const { return *state_; }
    typename B::Engine& engine() { return model_->engine; }
    ModelSettings const& settings() const { return model_->settings; }
    Tokenizer const& tokenizer() const { return model_->tokenizer; }
    Preprocess const& preprocessing() const { return model_->preprocess; }
    LoadReport const& report() const { return model_->report; }
    std::int64_t steps() const { return steps_; }

    /// Steps done before, when training is resumed: random choices go on as if it had not stopped.
    void resume_at(std::int64_t steps) { steps_ = steps; }

    /// Writes everything but the optimizer's state as the authors' release does: a .pth file with
    /// trained and momentum networks, queues, pointer and temperature under their names. Throws
    /// FileError.
    void save(std::filesystem::path const& path) const {
        using Host = std::conditional_t<std::is_same_v<typename B::scalar, double>, double, float>;
        auto engine = model_->engine;
        auto tensors = published_tensors(model_->weights, engine, Naming::original);
        TorchPickleOptions options;
        for (auto const& tensor : tensors)
            for (auto const& other : tied_names_of<Network>(tensor.name))
                options.tied.push_back({other, tensor.name});
        for (auto& tensor : published_tensors(state_->teacher.weights(), engine, teacher_names))
            tensors.push_back(std::move(tensor));
        auto const& queue = state_->queue;
        std::vector<std::int64_t> const size{config::projection, queue.length};
        auto const add = [&](char const* name, Matrix<B> columns, std::vector<Host>& host) {
            host.resize(static_cast<std::size_t>(queue.size));
            B::download(engine, host.data(), static_cast<typename B::scalar const*>(columns.data),
                        queue.size);
            tensors.push_back(output_tensor<Host>(name, size, host));
        };
        std::vector<Host> images, texts;
        add("image_queue", queue.image(), images);
        add("text_queue", queue.text(), texts);
        std::int64_t const pointer = queue.pointer();
        tensors.push_back(output_tensor<std::int64_t>(pointer_name(), {1}, {&pointer, 1}));
        if (has_ids)
            tensors.push_back(
                output_tensor<std::int64_t>("idx_queue", {1, queue.length}, queue.ids()));
        write_torch_pickle(path, tensors, options);
    }

protected:
    /// Retrieval keeps the pictures' ids beside its queue and has a pointer of another name.
    static constexpr bool has_ids = Network::task != Task::pre_training;
    static constexpr char const* pointer_name() { return has_ids ? "ptr_queue" : "queue_ptr"; }

    MomentumObjective(ModelFolder const& folder, ObjectiveOptions<B> options)
        : model_(LoadedModel<Network>::load(folder, {.layout = Layout::rows,
                                                     .compatibility = options.compatibility,
                                                     .engine = options.engine,
                                                     .fresh_seed = options.fresh_seed})),
          gradient_(model_->engine), seed_(options.seed) {
        set_drop_path(model_->weights->vision,
                      options.drop_path.value_or(default_drop_path<typename config::vision>()));
        state_.emplace(model_->engine, model_->weights, split({seed_, 0}, 0));
        restore(folder.weights, options.momentum);
    }

    /// Losses of a batch and their gradient. `loss(images, cache, ctx)` computes the losses. All
    /// that can be wrong with a batch is refused before teacher, temperature or gradient change.
    template <class Loss>
    auto run_step(Pixels const& pixels, TokenBatch const& text, std::string_view who,
                  std::span<std::int64_t const> ids, StepOptions const& options, Loss const& loss) {
        LoadedModel<Network>::require_pixels(pixels, who);
        int const batch = static_cast<int>(pixels.shape()[0]);
        if (text.batch != batch || (has_ids && std::ssize(ids) != batch))
            throw ArgumentError(join(who, ": ", batch, " pictures, ", text.batch, " captions",
                                     has_ids ? join(", ", ids.size(), " ids") : std::string{},
                                     "; expected equal numbers"));
        require_text(text, who);
        require_choices(batch, ids, options, who);
        state_->queue.require_room(batch);
        auto loan = model_->workspaces.borrow();
        auto ctx = loan.context(Keep::everything);
        ctx.mode = Mode::train;
        ctx.random = split({seed_, 1}, static_cast<std::uint64_t>(steps_));
        gradient_.zero(ctx.engine);
        state_->begin_step(ctx.engine, model_->weights, options.momentum);
        auto const size = static_cast<std::ptrdiff_t>(pixels.size());
        typename Network::Images const images{ctx.take(size), batch};
        B::upload(ctx.engine, images.data, pixels.data(), size);
        typename Network::Cache cache;
        auto const losses = loss(images, cache, ctx);
        model_->weights->backward(cache, *gradient_, ctx);
        state_->queue.enqueue(ctx.engine, cache.alignment.contrastive.keys.batch, ids);
        ++steps_;
        return losses;
    }

    /// Captions as training sees them: [CLS] first, padded to `length`, longer ones cut.
    TokenBatch tokenize(std::span<std::string const> captions, int length) const {
        return model_->tokenizer.encode_batch(
            captions, {.padding = Padding::max_length, .max_length = length});
    }

    SpecialIds const& special() const { return model_->special(); }

private:
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

    void restore(TensorFile const& file, MomentumStart start) {
        bool const strict = start == MomentumStart::file;
        auto& report = model_->report;
        auto& engine = model_->engine;
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
                model_->report.fresh.push_back(name);
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

    std::shared_ptr<LoadedModel<Network>> model_;
    Weights<typename Network::Grad> gradient_;
    std::optional<State> state_;
    std::uint64_t seed_;
    std::int64_t steps_ = 0;
};

} // namespace blip
