// expect: HasNormalization
// expect: layer_norm_backward
// max-lines: 25
#include <cstddef>

#include <blip/backend/reference/reference.hpp>
#include <blip/layers/layer_norm.hpp>

struct Unfinished {
    using scalar = float;
    using gradient = Unfinished;
    using Memory = blip::Reference<float>::Memory;
    struct Engine {};
    static Memory allocate(std::size_t);
    static void upload(auto&&...);
    static void download(auto&&...);
    static void zero(auto&&...);
    static void copy(auto&&...);
    static int stored_size(auto&&...);
    static void pack(auto&&...);
    static void unpack(auto&&...);
    static void linear(auto&&...);
    static void linear_backward_input(auto&&...);
    static void linear_backward_weight(auto&&...);
    static void activation_backward(auto&&...);
    static void layer_norm(auto&&...);
#ifdef BLIP_CORRECT
    static void layer_norm_backward(auto&&...);
#endif
    static void attention(auto&&...);
    static void attention_backward(auto&&...);
    static void attention_indexed(auto&&...);
    static void attention_probabilities(auto&&...);
    static void embed(auto&&...);
    static void embed_backward(auto&&...);
    static void patches(auto&&...);
    static void patches_backward(auto&&...);
    static void prepend(auto&&...);
    static void prepend_backward(auto&&...);
    static double sum_of_squares(auto&&...);
    static void add(auto&&...);
    static void scale(auto&&...);
    static void dropout(auto&&...);
    static void gather_rows(auto&&...);
    static void scatter_rows(auto&&...);
    static void cross_entropy(auto&&...);
    static void normalize_rows(auto&&...);
    static void normalize_rows_backward(auto&&...);
    static void divide(auto&&...);
    static void divide_backward(auto&&...);
    static void soft_targets(auto&&...);
    static void soft_cross_entropy(auto&&...);
    static void transpose(auto&&...);
    static void average(auto&&...);
    static void adamw(auto&&...);
};

blip::LayerNorm<768, Unfinished> norm; // error
