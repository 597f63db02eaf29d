// Every verb of the CUDA backend compiles and links for each architecture; nothing is run on a
// device.
#include <cstdio>

#include <blip/backend/cuda/cuda.cuh>
#include <blip/core/arena.hpp>

using Device = blip::Cuda<float>;

static_assert(blip::Backend<Device>);

namespace {

// Refers to every verb, so that their kernels are compiled.
void use_every_verb(Device::Engine& engine, blip::Arena<Device>& arena) {
    float* const p = arena.take<float>(64);
    int* const i = arena.take<int>(64);
    blip::Matrix<Device> const m{p, 8, 8, 8};
    blip::WeightView<Device> const w{p, 8, 8};
    blip::HeadRows<Device> const h{p, 64, 8};
    blip::AttentionShape const shape{
        .items = 1, .heads = 2, .head_width = 4, .queries = 8, .keys = 8};
    blip::IndexedAttentionShape const indexed{.heads = 2, .head_width = 4, .keys = 8};
    double host = 0;
    Device::upload(engine, p, &host, 1);
    Device::download(engine, &host, p, 1);
    Device::pack(engine, p, w);
    Device::unpack(engine, w, p);
    Device::zero(engine, p, 64);
    Device::linear(engine, m, w, p, blip::Activation::gelu, m, p);
    Device::linear_backward_input(engine, m, w, m);
    Device::linear_backward_weight(engine, m, m, p, p);
    Device::activation_backward(engine, blip::Activation::gelu, p, p, p, 64);
    Device::layer_norm(engine, m, p, p, p, 1e-6, m, p, p);
    Device::layer_norm_backward(engine, m, m, p, p, m, p, p);
    Device::attention(engine, shape, h, h, h, h, p);
    Device::attention_backward(engine, shape, h, h, h, h, p, h, h, h, h);
    Device::attention_indexed(engine, indexed, h, h, h, h);
    Device::attention_probabilities(engine, shape, h, h, p);
    Device::embed(engine, i, i, w, p, m);
    Device::embed_backward(engine, i, i, 0, m, p, p);
    Device::patches(engine, p, 1, 4, 2, p);
    Device::patches_backward(engine, p, 1, 4, 2, p);
    Device::prepend(engine, p, p, p, 1, 1, 1, p);
    Device::prepend_backward(engine, p, 1, 1, 1, p, p, p);
    Device::add(engine, p, p, p, 64);
    Device::scale(engine, p, 0.5, p, 64);
    Device::dropout(engine, p, 64, 1, 0.5, {}, p);
    Device::gather_rows(engine, m, i, m);
    Device::scatter_rows(engine, m, i, m);
    Device::cross_entropy(engine, m, i, p, p, 0.1, p, m);
    Device::normalize_rows(engine, m, 1e-12, m, p);
    Device::normalize_rows_backward(engine, m, m, p, 1e-12, m);
    Device::divide(engine, p, p, p, 64);
    Device::divide_backward(engine, p, p, p, p, p, 64);
    Device::soft_targets(engine, m, i, i, 0.4, m);
    Device::soft_cross_entropy(engine, m, m, 1, p, m);
    Device::transpose(engine, m, m);
    Device::average(engine, p, 0.995, p, 64);
    Device::adamw(engine, {}, p, p, p, p, 64);
    static_cast<void>(Device::sum_of_squares(engine, p, 64));
}

} // namespace

int main(int count, char**) {
    Device::Engine engine;
    blip::Arena<Device> arena;
    // Never true for a test run: only keeps the code above alive.
    if (count > 1000)
        use_every_verb(engine, arena);
    std::printf("every verb of the CUDA backend is linked\n");
}
