#pragma once

#include <concepts>
#include <cstddef>

#include <blip/core/fields.hpp>

namespace blip {

/// A tree of layers whose parameters can live in one flat buffer.
template <class Model>
concept Trainable = lists_every_member<Model> && of_one_backend<Model>;

/// Owns the parameters of a `Model`: one flat buffer under the named tree. Gradients, optimizer
/// moments and momentum teachers are other `Weights` of `Model::Grad` or of `Model` itself;
/// whatever treats all parameters alike is one pass over `data()`.
template <Trainable Model>
class Weights {
public:
    using backend = typename Model::backend;
    using scalar = typename backend::scalar;
    using Engine = typename backend::Engine;

    /// All parameters 0. With `Layout::panels`, weights of products lie as the backend's products
    /// read them: for inference only. Throws std::bad_alloc or DeviceError.
    explicit Weights(Engine& engine, Layout layout = Layout::rows) : layout_(layout) {
        auto const parameters = detail::members_of(model_).parameters;
        for (auto const& p : parameters)
            size_ += room(p, layout);
        memory_ = backend::allocate(static_cast<std::size_t>(size_) * sizeof(scalar));
        scalar* next = static_cast<scalar*>(memory_.data());
        for (auto const& p : parameters) {
            *static_cast<scalar**>(p.data) = next;
            if (p.layout)
                *p.layout = layout;
            next += room(p, layout);
        }
        zero(engine);
    }

    Model& operator*() { return model_; }
    Model const& operator*() const { return model_; }
    Model* operator->() { return &model_; }
    Model const* operator->() const { return &model_; }

    /// The flat buffer, `size()` scalars in the order of `fields()`; padding between parameters is
    /// 0.
    scalar* data() { return static_cast<scalar*>(memory_.data()); }
    scalar const* data() const { return static_cast<scalar const*>(memory_.data()); }
    std::ptrdiff_t size() const { return size_; }
    Layout layout() const { return layout_; }

    void zero(Engine& engine) { backend::zero(engine, data(), size_); }

private:
    /// Every parameter starts on a 64-byte boundary, which vector loads and device copies like.
    static std::ptrdiff_t room(detail::ParameterPlace const& p, Layout layout) {
        std::ptrdiff_t const count =
            p.layout ? backend::stored_size({nullptr, p.shape[0], p.shape[1], layout}) : p.size;
        std::ptrdiff_t const unit =
            sizeof(scalar) < 64 ? 64 / static_cast<std::ptrdiff_t>(sizeof(scalar)) : 1;
        return (count + unit - 1) / unit * unit;
    }

    Model model_{};
    typename backend::Memory memory_{};
    std::ptrdiff_t size_ = 0;
    Layout layout_ = Layout::rows;
};

} // namespace blip
