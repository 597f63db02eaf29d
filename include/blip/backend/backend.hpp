#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <blip/core/parameter.hpp>
#include <blip/core/random.hpp>
#include <blip/core/tokens.hpp>

namespace blip {

/// Applied to a product's result, elementwise.
enum class Activation {
    none,
    gelu, ///< x/2 (1 + erf(x/√2)): the exact form, never the tanh approximation
    relu
};

/// Whether query t may see keys after position t + (keys - queries).
enum class Causal { no, yes };

/// Heads inside rows: element (item, row, head, channel) is
/// data[item * item_stride + row * row_stride + head * head_width + channel].
template <class B>
struct HeadRows {
    typename B::scalar* data = nullptr;
    std::ptrdiff_t item_stride = 0;
    std::ptrdiff_t row_stride = 0;
};

/// Sizes and mask of one attention. A masked key gets probability exactly 0; a query that may see
/// no key at all gets zeros.
struct AttentionShape {
    int items = 0; ///< sequences that attend independently
    int heads = 0;
    int head_width = 0; ///< scores are scaled by 1/√head_width
    int queries = 0;    ///< rows an item asks with
    int keys = 0;       ///< rows an item attends
    Causal causal = Causal::no;
    unsigned char const* key_mask =
        nullptr;        ///< [items, keys] in backend memory, 1 = attend; null: all
    double dropout = 0; ///< on probabilities, after the soft-max
    RandomKey key{}; ///< element (item, head, query, key) is kept iff random_bits(key, flat index)
                     ///< >= dropout 2³²
};

/// Attention of cached decoding: groups of query rows that share keys, found through indices. All
/// arrays lie in backend memory.
struct IndexedAttentionShape {
    int groups = 0;
    int heads = 0;
    int head_width = 0;
    int keys = 0;                      ///< most keys of any group; row length of `key_rows`
    int const* query_starts = nullptr; ///< [groups + 1]: group g asks with rows query_starts[g] ..
                                       ///< query_starts[g + 1] - 1
    int const* key_items = nullptr;    ///< [groups]: which item of k and v group g attends
    int const* key_rows = nullptr;     ///< [groups, keys]: row of the group's j-th key; null: row j
    int const* key_counts = nullptr;   ///< [groups]: keys of a group; null: all
};

/// What a backend must offer beside its verbs: two scalar types' worth of memory management.
///
/// - `scalar`: what activations are kept in. `gradient`: the backend whose scalars sum gradients.
/// - `Memory`: owns bytes, aligned to 64; `allocate(bytes)` makes one. `data()` gives void*.
/// - `Engine`: who computes: threads, or a stream and library handles. Default-constructible;
/// copies
///   share threads or device but may be used by different callers at the same time.
/// - `upload`/`download` convert between host and backend scalars and wait until done.
template <class B>
concept HasMemory = requires(typename B::Engine& engine, typename B::scalar* p, float* f, double* d,
                             int* i, unsigned char* u, std::ptrdiff_t n) {
    typename B::gradient;
    { B::allocate(std::size_t{}).data() } -> std::convertible_to<void*>;
    B::upload(engine, p, static_cast<float const*>(f), n); ///< host [n] to backend [n]
    B::upload(engine, p, static_cast<double const*>(d), n);
    B::upload(engine, i, static_cast<int const*>(i), n);
    B::upload(engine, u, static_cast<unsigned char const*>(u), n);
    B::download(engine, f, static_cast<typename B::scalar const*>(p),
                n); ///< backend [n] to host [n]
    B::download(engine, d, static_cast<typename B::scalar const*>(p), n);
    B::zero(engine, p, n);
    B::copy(engine, p, static_cast<typename B::scalar const*>(p), n); ///< copy(engine, to, from, n)
};

/// Products of activations with weights, and what backward needs of them. An element of a result
/// depends only on its own row, so a batch gives bit for bit what its rows give alone.
template <class B>
concept HasLinear = requires(typename B::Engine& engine, Matrix<B> x, WeightView<B> w,
                             typename B::scalar* p, typename B::gradient::scalar* g,
                             Activation activation, std::ptrdiff_t n) {
    { B::stored_size(w) } -> std::convertible_to<std::ptrdiff_t>; ///< scalars that w.layout needs
    B::pack(engine, static_cast<typename B::scalar const*>(p),
            w); ///< row-major [out, in] into w.data, in w.layout
    /// unpack(engine, w, row_major [out, in]): the inverse of pack.
    B::unpack(engine, w, p);
    /// linear(engine, x [M, in], w, bias [out] or null, activation, y [M, out], u):
    /// u = x Wᵀ + bias, y = activation(u). u is kept where it is not null (contiguous [M, out]).
    B::linear(engine, x, w, static_cast<typename B::scalar const*>(p), activation, x, p);
    B::linear_backward_input(engine, x, w, x); ///< (dy [M, out], w, dx [M, in]): dx = dy W
    B::linear_backward_weight(
        engine, x, x, g, g); ///< (dy [M, out], x [M, in], dw, db or null): dw += dyᵀ x, db += Σ dy
    /// activation_backward(engine, activation, u, dy, du, n): du = dy activation'(u); du may be dy.
    B::activation_backward(engine, activation, static_cast<typename B::scalar const*>(p),
                           static_cast<typename B::scalar const*>(p), p, n);
};

template <class B>
concept HasNormalization = requires(typename B::Engine& engine, Matrix<B> x, typename B::scalar* p,
                                    typename B::gradient::scalar* g, double epsilon) {
    /// layer_norm(engine, x, residual, scale, shift, epsilon, y, sum, statistics): with s = x (+
    /// residual), y = (s - mean) / √(var + epsilon) * scale + shift per row, biased variance.
    /// `residual` has x's shape and stride or is null; `sum` (contiguous) receives s, `statistics`
    /// [rows, 2] mean and 1/√(var + epsilon), each where it is not null.
    B::layer_norm(engine, x, static_cast<typename B::scalar const*>(p),
                  static_cast<typename B::scalar const*>(p),
                  static_cast<typename B::scalar const*>(p), epsilon, x, p, p);
    /// layer_norm_backward(engine, dy, s, scale, statistics, dx, dscale, dshift): dx is assigned,
    /// dscale and dshift are added to.
    B::layer_norm_backward(engine, x, x, static_cast<typename B::scalar const*>(p),
                           static_cast<typename B::scalar const*>(p), x, g, g);
};

/// Soft-max attention, softmax(q kᵀ/√d + mask) v for every item and head: one verb, so that no
/// backend has to write the scores to memory.
template <class B>
concept HasAttention = requires(typename B::Engine& engine, AttentionShape shape,
                                IndexedAttentionShape indexed, HeadRows<B> h,
                                typename B::scalar* p) {
    /// attention(engine, shape, q, k, v, out, lse): lse [items, heads, queries] receives the log of
    /// each row's sum of exponentials where it is not null.
    B::attention(engine, shape, h, h, h, h, p);
    /// attention_backward(engine, shape, q, k, v, out, lse, dout, dq, dk, dv): dq, dk, dv assigned.
    B::attention_backward(engine, shape, h, h, h, h, static_cast<typename B::scalar const*>(p), h,
                          h, h, h);
    /// attention_indexed(engine, shape, q, k, v, out): q and out are plain rows (item stride
    /// unused).
    B::attention_indexed(engine, indexed, h, h, h, h);
    /// attention_probabilities(engine, shape, q, k, p): what the soft-max gives, before dropout,
    /// [items, heads, queries, keys]; for inspection, not for speed.
    B::attention_probabilities(engine, shape, h, h, p);
};

template <class B>
concept HasEmbedding = requires(typename B::Engine& engine, int const* ids, WeightView<B> table,
                                typename B::scalar const* positions,
                                typename B::gradient::scalar* g, Matrix<B> y, typename B::scalar* p,
                                int n) {
    /// embed(engine, ids [M], positions [M], table [vocabulary, width], position_table, y [M,
    /// width]): y[r] = table[ids[r]] + position_table[positions[r]].
    B::embed(engine, ids, ids, table, positions, y);
    /// embed_backward(engine, ids, positions, padding, dy, dtable, dposition_table): adds. Rows
    /// whose id is `padding` (-1: none) leave the table alone, as PyTorch's padding_idx.
    B::embed_backward(engine, ids, ids, n, y, g, g);
    /// patches(engine, images [n, 3, size, size], n, size, patch, rows): row (image, patch row,
    /// patch column) holds its pixels in the order channel, y, x.
    B::patches(engine, positions, n, n, n, p);
    B::patches_backward(engine, positions, n, n, n,
                        p); ///< (drows, n, size, patch, dimages): assigns
    /// prepend(engine, x [n, length, width], first [width], positions [length + 1, width], n,
    /// length, width, y [n, length + 1, width]): y = [first; x] + positions.
    B::prepend(engine, positions, positions, positions, n, n, n, p);
    /// prepend_backward(engine, dy, n, length, width, dx, dfirst, dpositions): dx assigned, others
    /// added.
    B::prepend_backward(engine, positions, n, n, n, p, g, g);
};

template <class B>
concept HasRows = requires(typename B::Engine& engine, typename B::scalar const* x, int const* rows,
                           Matrix<B> m, typename B::scalar* y, std::ptrdiff_t n, double probability,
                           RandomKey key) {
    B::add(engine, x, x, y, n); ///< y = a + b; y may be either
    /// scale(engine, x, factor, y, n): y = factor x; y may be x.
    B::scale(engine, x, probability, y, n);
    /// dropout(engine, x, n, group, probability, key, y): elements i of one group i / group share
    /// their fate: kept iff random_bits(key, i / group) >= probability 2³², then scaled by 1 / (1 -
    /// probability). Its own backward. y may be x.
    B::dropout(engine, x, n, n, probability, key, y);
    B::gather_rows(engine, m, rows, m); ///< (x, rows [M], y [M, ...]): y[r] = x[rows[r]]
    B::scatter_rows(engine, m, rows,
                    m); ///< (x [M, ...], rows [M], y): y[rows[r]] = x[r]; rows distinct
};

template <class B>
concept HasCrossEntropy = requires(typename B::Engine& engine, Matrix<B> logits, int const* targets,
                                   typename B::scalar const* weights, double smoothing,
                                   typename B::scalar* losses) {
    /// cross_entropy(engine, logits [M, V], targets [M], target_weights [M], uniform_weights [M],
    /// smoothing ε, losses [M], gradient): with l = -log softmax(logits[r]),
    /// losses[r] = target_weights[r] (1-ε) l[targets[r]] + uniform_weights[r] ε/V Σ l. A negative
    /// target contributes nothing to the first term. `gradient` (data may be null or the logits'
    /// own) receives the derivative of losses[r].
    B::cross_entropy(engine, logits, targets, weights, weights, smoothing, losses, logits);
};

/// What contrastive learning adds (paper section 3.2, ITC): unit vectors, their similarities over a
/// learned temperature, and cross-entropy against soft targets. An element of a result depends on
/// its own row only, but for the temperature's gradient.
template <class B>
concept HasContrastive = requires(typename B::Engine& engine, Matrix<B> x, int const* ids,
                                  typename B::scalar const* p, typename B::scalar* y,
                                  typename B::gradient::scalar* g, std::ptrdiff_t n,
                                  double epsilon) {
    /// normalize_rows(engine, x [M, W], epsilon, y [M, W], norms [M] or null):
    /// norms[r] = max(‖x[r]‖, epsilon), y[r] = x[r] / norms[r]. y may be x.
    B::normalize_rows(engine, x, epsilon, x, y);
    /// normalize_rows_backward(engine, dy, y, norms, epsilon, dx): dx = (dy - (dy·y) y) / norms;
    /// dx = dy / norms where the norm was raised to epsilon. dx may be dy.
    B::normalize_rows_backward(engine, x, x, p, epsilon, x);
    B::divide(engine, p, p, y, n); ///< (x, divisor [1], y, n): y = x / divisor; y may be x
    /// divide_backward(engine, dy, y, divisor, dx, ddivisor [1], n): dx = dy / divisor,
    /// ddivisor += -Σ dy y / divisor. dx may be dy.
    B::divide_backward(engine, p, p, p, y, g, n);
    /// soft_targets(engine, scores [M, N], ids [M], key_ids [N], α, targets [M, N]): with
    /// h[r, c] = 1 where ids[r] = key_ids[c], else 0, each row divided by its sum (where there is
    /// one): targets = α softmax(scores) + (1 - α) h. targets may be scores.
    B::soft_targets(engine, x, ids, ids, epsilon, x);
    /// soft_cross_entropy(engine, scores [M, N], targets [M, N], weight, losses [M], gradient):
    /// losses[r] = -weight Σ_c targets[r, c] log softmax(scores[r])[c]. `gradient` (data may be
    /// null or the scores' own) receives the derivative by the scores.
    B::soft_cross_entropy(engine, x, x, epsilon, y, x);
    B::transpose(engine, x, x); ///< (x [M, N], y [N, M]): y = xᵀ
};

/// One step of AdamW for every number of a buffer; see `train/adamw.hpp`.
struct AdamWStep {
    double shrink = 1; ///< 1 - learning rate · weight decay
    double beta1 = 0.9, beta2 = 0.999;
    double step_size = 0;       ///< learning rate / (1 - β₁ᵗ)
    double root_correction = 1; ///< √(1 - β₂ᵗ)
    double epsilon = 1e-8;
};

/// What changes weights: passes over flat buffers.
template <class B>
concept HasOptimizer = requires(typename B::Engine& engine, typename B::scalar* p,
                                typename B::gradient::scalar* g, std::ptrdiff_t n, double momentum,
                                AdamWStep step) {
    /// average(engine, p, momentum, m, n): m = momentum m + (1 - momentum) p.
    B::average(engine, static_cast<typename B::scalar const*>(p), momentum, p, n);
    /// adamw(engine, step, gradient, first, second, values, n), in this order as PyTorch does:
    /// values *= shrink; first = β₁ first + (1-β₁) g; second = β₂ second + (1-β₂) g²;
    /// values -= step_size first / (√second / root_correction + ε).
    B::adamw(engine, step, static_cast<typename B::gradient::scalar const*>(g), g, g, p, n);
    /// sum_of_squares(engine, g, n) = Σ g², added up in double in an order that depends on n alone:
    /// the same bits for any number of threads. Waits until it is known.
    {
        B::sum_of_squares(engine, static_cast<typename B::gradient::scalar const*>(g), n)
        } -> std::same_as<double>;
};

/// Everything a model asks of the hardware. Two backends work in one program; no layer names one.
template <class B>
concept Backend = HasMemory<B> && HasLinear<B> && HasNormalization<B> && HasAttention<B> &&
    HasEmbedding<B> && HasRows<B> && HasCrossEntropy<B> && HasContrastive<B> && HasOptimizer<B>;

/// How many rows a chain of layers should compute at a time in inference, so that its activations
/// stay in the processor's cache. A backend that gains by this has the constant `rows_together`;
/// others take a batch whole. Items do not influence one another, so no result depends on it.
template <class B>
constexpr int rows_together() {
    if constexpr (requires { B::rows_together; })
        return B::rows_together;
    else
        return std::numeric_limits<int>::max();
}

} // namespace blip
