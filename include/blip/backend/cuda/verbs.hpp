#pragma once

#include <cstddef>
#include <limits>

#include <blip/backend/backend.hpp>
#include <blip/backend/cuda/kernels/activation.hpp>
#include <blip/backend/cuda/kernels/attention.hpp>
#include <blip/backend/cuda/kernels/attention_backward.hpp>
#include <blip/backend/cuda/kernels/cross_entropy.hpp>
#include <blip/backend/cuda/kernels/dropout.hpp>
#include <blip/backend/cuda/kernels/embedding.hpp>
#include <blip/backend/cuda/kernels/layer_norm.hpp>
#include <blip/backend/cuda/kernels/rows.hpp>
#include <blip/backend/cuda/training_verbs.hpp>
#include <blip/core/error.hpp>

namespace blip::cuda {

/// Whether a product reads a matrix as it lies or transposed.
enum class Transpose { no, yes };

/// A matrix of a product, column-major as BLAS reads memory: element (r, c) is data[r + c *
/// stride].
template <class T>
struct Operand {
    T const* data = nullptr;
    int stride = 0;
    Transpose transpose = Transpose::no;
};

/// c [rows, columns] = a [rows, inner] b [inner, columns] (+ c), all column-major.
template <class T>
struct Product {
    int rows = 0;
    int columns = 0;
    int inner = 0;
    Operand<T> a{}, b{};
    T* c = nullptr;
    int c_stride = 0;
    T keep = T(0); ///< what c is multiplied by before: 0 assigns, 1 adds
};

/// Every verb of a backend in terms of the few things a device does. `B` offers
/// - `elements(engine, kernel, count)`: kernel(index) for every index;
/// - `rows(engine, kernel, count)`: kernel(group, task) for every task, large groups;
/// - `heads(engine, kernel, count)`: the same with groups that exchange values fast;
/// - `column_tiles(engine, kernel, columns)`: kernel(group, tile) until all columns are covered;
/// - `multiply(engine, product)`.
/// What is started earlier on an engine is done before what is started later.
///
/// Results of products depend on what `multiply` promises; everything else depends on its own rows
/// only. Attention's results must not overlap its inputs.
template <class B, class T, class Engine>
struct Verbs : TrainingVerbs<B, T, Engine> {
    static std::ptrdiff_t stored_size(WeightView<B> w) { return std::ptrdiff_t{w.out} * w.in; }

    static void linear(Engine& engine, Matrix<B> x, WeightView<B> w, T const* bias,
                       Activation activation, Matrix<B> y, T* u) {
        T* const product = u ? u : y.data;
        std::ptrdiff_t const stride = u ? w.out : y.stride;
        // Row-major matrices are transposed ones to BLAS: yᵀ [out, M] = W [out, in] xᵀ [in, M].
        multiply(engine, {.rows = w.out,
                          .columns = count(x.rows),
                          .inner = w.in,
                          .a = {w.data, w.in, Transpose::yes},
                          .b = {x.data, step(x), Transpose::no},
                          .c = product,
                          .c_stride = step(Matrix<B>{product, x.rows, w.out, stride})});
        if (bias || u || activation != Activation::none)
            B::elements(engine,
                        BiasActivation<T>{.product = product,
                                          .product_stride = stride,
                                          .bias = bias,
                                          .activation = activation,
                                          .columns = w.out,
                                          .y = y.data,
                                          .y_stride = y.stride,
                                          .u = u},
                        x.rows * w.out);
    }

    static void linear_backward_input(Engine& engine, Matrix<B> dy, WeightView<B> w, Matrix<B> dx) {
        multiply(engine, {.rows = w.in,
                          .columns = count(dy.rows),
                          .inner = w.out,
                          .a = {w.data, w.in, Transpose::no},
                          .b = {dy.data, step(dy), Transpose::no},
                          .c = dx.data,
                          .c_stride = step(dx)});
    }

    static void linear_backward_weight(Engine& engine, Matrix<B> dy, Matrix<B> x, T* dw, T* db) {
        multiply(engine, {.rows = x.columns,
                          .columns = dy.columns,
                          .inner = count(x.rows),
                          .a = {x.data, step(x), Transpose::no},
                          .b = {dy.data, step(dy), Transpose::yes},
                          .c = dw,
                          .c_stride = x.columns,
                          .keep = T(1)});
        if (db)
            B::column_tiles(engine, ColumnSums<T>{dy.data, dy.stride, dy.rows, dy.columns, db},
                            dy.columns);
    }

    static void activation_backward(Engine& engine, Activation activation, T const* u, T const* dy,
                                    T* du, std::ptrdiff_t n) {
        B::elements(engine, ActivationBackward<T>{activation, u, dy, du}, n);
    }

    static void layer_norm(Engine& engine, Matrix<B> x, T const* residual, T const* scale,
                           T const* shift, double epsilon, Matrix<B> y, T* sum, T* statistics) {
        B::rows(engine,
                LayerNorm<T>{.x = x.data,
                             .residual = residual,
                             .x_stride = x.stride,
                             .scale = scale,
                             .shift = shift,
                             .epsilon = static_cast<T>(epsilon),
                             .y = y.data,
                             .y_stride = y.stride,
                             .columns = x.columns,
                             .sum = sum,
                             .statistics = statistics},
                x.rows);
    }

    static void layer_norm_backward(Engine& engine, Matrix<B> dy, Matrix<B> s, T const* scale,
                                    T const* statistics, Matrix<B> dx, T* dscale, T* dshift) {
        // dx may be dy, so whatever else reads dy goes first.
        B::column_tiles(engine,
                        LayerNormBackwardWeights<T>{.dy = dy.data,
                                                    .dy_stride = dy.stride,
                                                    .s = s.data,
                                                    .s_stride = s.stride,
                                                    .statistics = statistics,
                                                    .rows = s.rows,
                                                    .columns = s.columns,
                                                    .dscale = dscale,
                                                    .dshift = dshift},
                        s.columns);
        B::rows(engine,
                LayerNormBackwardInput<T>{.dy = dy.data,
                                          .dy_stride = dy.stride,
                                          .s = s.data,
                                          .s_stride = s.stride,
                                          .scale = scale,
                                          .statistics = statistics,
                                          .dx = dx.data,
                                          .dx_stride = dx.stride,
                                          .columns = s.columns},
                s.rows);
    }

    static void attention(Engine& engine, AttentionShape const& shape, HeadRows<B> q, HeadRows<B> k,
                          HeadRows<B> v, HeadRows<B> out, T* lse) {
        B::heads(engine,
                 Attention<T>{.shape = shape,
                              .kept = Kept<T>::with(shape.key, shape.dropout),
                              .q = reads(q),
                              .k = reads(k),
                              .v = reads(v),
                              .out = writes(out),
                              .lse = lse},
                 tasks(shape, shape.queries));
    }

    static void attention_backward(Engine& engine, AttentionShape const& shape, HeadRows<B> q,
                                   HeadRows<B> k, HeadRows<B> v, HeadRows<B> out, T const* lse,
                                   HeadRows<B> dout, HeadRows<B> dq, HeadRows<B> dk,
                                   HeadRows<B> dv) {
        AttentionBackward<T> const a{.shape = shape,
                                     .kept = Kept<T>::with(shape.key, shape.dropout),
                                     .q = reads(q),
                                     .k = reads(k),
                                     .v = reads(v),
                                     .out = reads(out),
                                     .dout = reads(dout),
                                     .lse = lse};
        B::heads(engine, AttentionBackwardQueries<T>{a, writes(dq)}, tasks(shape, shape.queries));
        B::heads(engine, AttentionBackwardKeys<T>{a, writes(dk), writes(dv)},
                 tasks(shape, shape.keys));
    }

    static void attention_indexed(Engine& engine, IndexedAttentionShape const& shape, HeadRows<B> q,
                                  HeadRows<B> k, HeadRows<B> v, HeadRows<B> out) {
        B::heads(engine, AttentionIndexed<T>{shape, reads(q), reads(k), reads(v), writes(out)},
                 std::ptrdiff_t{shape.groups} * shape.heads);
    }

    static void attention_probabilities(Engine& engine, AttentionShape const& shape, HeadRows<B> q,
                                        HeadRows<B> k, T* p) {
        B::heads(engine, AttentionProbabilities<T>{shape, reads(q), reads(k), p},
                 tasks(shape, shape.queries));
    }

    static void embed(Engine& engine, int const* ids, int const* positions, WeightView<B> table,
                      T const* position_table, Matrix<B> y) {
        B::rows(engine,
                Embed<T>{ids, positions, table.data, position_table, y.data, y.stride, y.columns},
                y.rows);
    }

    static void embed_backward(Engine& engine, int const* ids, int const* positions, int padding,
                               Matrix<B> dy, T* dtable, T* dpositions) {
        B::rows(engine, AddRows<T>{ids, padding, dy.data, dy.stride, dy.rows, dy.columns, dtable},
                dy.rows);
        B::rows(engine,
                AddRows<T>{positions, -1, dy.data, dy.stride, dy.rows, dy.columns, dpositions},
                dy.rows);
    }

    static void patches(Engine& engine, T const* images, int n, int size, int patch, T* rows) {
        B::elements(engine, Patches<T>{images, {size, patch}, rows}, patch_numbers(n, size, patch));
    }
    static void patches_backward(Engine& engine, T const* drows, int n, int size, int patch,
                                 T* dimages) {
        B::elements(engine, PatchesBackward<T>{drows, {size, patch}, dimages},
                    patch_numbers(n, size, patch));
    }

    static void prepend(Engine& engine, T const* x, T const* first, T const* positions, int n,
                        int length, int width, T* y) {
        B::elements(engine, Prepend<T>{x, first, positions, length, width, y},
                    std::ptrdiff_t{n} * (std::ptrdiff_t{length} + 1) * width);
    }
    static void prepend_backward(Engine& engine, T const* dy, int n, int length, int width, T* dx,
                                 T* dfirst, T* dpositions) {
        B::elements(engine, PrependBackward<T>{dy, n, length, width, dx, dfirst, dpositions},
                    (std::ptrdiff_t{length} + 1) * width);
    }

    static void add(Engine& engine, T const* a, T const* b, T* y, std::ptrdiff_t n) {
        B::elements(engine, Add<T>{a, b, y}, n);
    }
    static void scale(Engine& engine, T const* x, double factor, T* y, std::ptrdiff_t n) {
        B::elements(engine, Scale<T>{x, static_cast<T>(factor), y}, n);
    }
    static void dropout(Engine& engine, T const* x, std::ptrdiff_t n, std::ptrdiff_t group,
                        double probability, RandomKey key, T* y) {
        B::elements(engine, Dropout<T>{x, group, Kept<T>::with(key, probability), y}, n);
    }
    static void gather_rows(Engine& engine, Matrix<B> x, int const* rows, Matrix<B> y) {
        B::rows(engine, GatherRows<T>{x.data, x.stride, rows, y.data, y.stride, y.columns}, y.rows);
    }
    static void scatter_rows(Engine& engine, Matrix<B> x, int const* rows, Matrix<B> y) {
        B::rows(engine, ScatterRows<T>{x.data, x.stride, rows, y.data, y.stride, x.columns},
                x.rows);
    }

    static void cross_entropy(Engine& engine, Matrix<B> logits, int const* targets,
                              T const* target_weights, T const* uniform_weights, double smoothing,
                              T* losses, Matrix<B> gradient) {
        B::rows(engine,
                CrossEntropy<T>{.logits = logits.data,
                                .stride = logits.stride,
                                .columns = logits.columns,
                                .targets = targets,
                                .target_weights = target_weights,
                                .uniform_weights = uniform_weights,
                                .smoothing = smoothing,
                                .losses = losses,
                                .gradient = gradient.data,
                                .gradient_stride = gradient.stride},
                logits.rows);
    }

private:
    static void multiply(Engine& engine, Product<T> const& product) {
        if (product.rows > 0 && product.columns > 0)
            B::multiply(engine, product);
    }

    /// BLAS counts in int.
    static int count(std::ptrdiff_t n) {
        if (n > std::numeric_limits<int>::max())
            throw ArgumentError(join("A matrix product of the CUDA backend takes at most ",
                                     std::numeric_limits<int>::max(), " rows and strides; found ",
                                     n, ". Split the batch."));
        return static_cast<int>(n);
    }

    /// BLAS refuses a stride below the row's length even where there is only one row to step over.
    static int step(Matrix<B> x) {
        return count(x.rows > 1 ? x.stride : (x.columns > 1 ? x.columns : 1));
    }

    static std::ptrdiff_t tasks(AttentionShape const& shape, int rows) {
        return std::ptrdiff_t{shape.items} * shape.heads * rows;
    }
    static std::ptrdiff_t patch_numbers(int n, int size, int patch) {
        std::ptrdiff_t const grid = size / patch;
        return n * grid * grid * 3 * patch * patch;
    }

    static Heads<T const> reads(HeadRows<B> h) { return {h.data, h.item_stride, h.row_stride}; }
    static Heads<T> writes(HeadRows<B> h) { return {h.data, h.item_stride, h.row_stride}; }
};

} // namespace blip::cuda
