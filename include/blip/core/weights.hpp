#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>

#include <blip/core/fields.hpp>

namespace blip {

/// A tree of layers whose parameters can live in one flat buffer.
template <class Model>
concept Trainable = lists_every_member<Model> && requires {
    typename Model::backend;
};

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
        for_each_parameter(model_, [&](std::string const&, auto& p) { size_ += room(p, layout); });
        memory_ = backend::allocate(static_cast<std::size_t>(size_) * sizeof(scalar));
        scalar* next = static_cast<scalar*>(memory_.data());
        for_each_parameter(model_, [&](std::string const&, auto& p) {
            p.data = next;
            if constexpr (is_weight<std::remove_cvref_t<decltype(p)>>)
                p.layout = layout;
            next += room(p, layout);
        });
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
    template <class P>
    static std::ptrdiff_t room(P const&, Layout layout) {
        std::ptrdiff_t count = P::size;
        if constexpr (is_weight<P>)
            count = backend::stored_size({nullptr, P::shape[0], P::shape[1], layout});
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
