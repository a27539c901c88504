/* The kernel contract: single-threaded arithmetic on plain pointers, one table for each ISA and dtype.

   Common rules. Element type T is float or double as the table says; sizes are in elements and may be 0; matrices are
   row-major with a leading dimension `ld` (elements from one row to the next, at least the number of columns). Pointers
   need only the natural alignment of T. A kernel reads and writes nothing outside the arrays described here, allocates
   nothing, and calls nothing but libm. Outputs may not overlap inputs unless "in place" is said. inf and nan propagate
   as IEEE 754 has it. "accumulate" 0 overwrites the output (whatever it held, nan too), 1 adds to it. Results depend on
   the arguments alone, never on alignment: the same call gives the same bits.

   Error bound: a sum of K products is within (K + 2) * eps * sum|products| of the exact value in any order; elementwise
   functions are within the ulp that their comment states of the exact value at the given input.

   `reference.c` is the naive twin of every entry and the executable specification. Every other ISA starts from one
   vector source and is tested against it. */
#ifndef HN_KERNELS_KERNELS_H
#define HN_KERNELS_KERNELS_H

#include "../base/cpu.h"
#include "../base/random.h"
#include "../base/types.h"

/* C (m, n) = op(A) op(B):  NN  A (m, k)  B (k, n);   NT  A (m, k)  B (n, k);   TN  A (k, m)  B (k, n). */
typedef enum hn_gemm_form { HN_GEMM_NN = 0, HN_GEMM_NT, HN_GEMM_TN, HN_GEMM_FORM_COUNT } hn_gemm_form;

/* Elementwise functions. `params` is explained with each, and rounded to T first. relu(nan) = nan.
   Backward reads x or y as hn_map_info says. */
typedef enum hn_map {
    HN_MAP_LINEAR = 0,   /* x */
    HN_MAP_RELU,         /* max(x, 0) */
    HN_MAP_RELU_GENERAL, /* params: negative_slope s, max_value m (inf: none), threshold t.
                            x >= m: m;  t <= x < m: x;  x < t: s * (x - t), which is 0 where s is 0.
                            Slope: 0 for x >= m unless m is inf, 1 for t < x < m, s for x <= t */
    HN_MAP_ELU,          /* params: alpha. x > 0: x; else alpha * expm1(x) */
    HN_MAP_SELU,         /* 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * expm1(x)) */
    HN_MAP_GELU,         /* x * Phi(x), exact, by erf */
    HN_MAP_GELU_TANH,    /* x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) */
    HN_MAP_SILU,         /* x * sigmoid(x) */
    HN_MAP_SIGMOID,      /* 1 / (1 + exp(-x)), no overflow on either side */
    HN_MAP_TANH,
    HN_MAP_SOFTPLUS,     /* log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)) */
    HN_MAP_SOFTSIGN,     /* x / (1 + |x|) */
    HN_MAP_EXPONENTIAL,  /* exp(x) */
    HN_MAP_HARD_SIGMOID, /* clip(x / 6 + 1/2, 0, 1) */
    HN_MAP_SQUAREPLUS,   /* params: b >= 0. (x + sqrt(x^2 + b)) / 2, without cancellation where x < 0 */
    HN_MAP_SOFT_SHRINK,  /* params: t >= 0. x > t: x - t;  x < -t: x + t; else 0 */
    HN_MAP_HARD_SHRINK,  /* params: t >= 0. |x| > t: x; else 0 */
    HN_MAP_TANH_SHRINK,  /* x - tanh(x), without cancellation at 0 */
    HN_MAP_HARD_TANH,    /* clip(x, -1, 1) */
    HN_MAP_HARD_SILU,    /* x * clip(x / 6 + 1/2, 0, 1) */
    HN_MAP_LOG_SIGMOID,  /* min(x, 0) - log1p(exp(-|x|)) */
    HN_MAP_SPARSE_PLUS,  /* x <= -1: 0;  x < 1: (x + 1)^2 / 4; else x */
    HN_MAP_SPARSE_SIGMOID, /* clip((x + 1) / 2, 0, 1) */
    HN_MAP_MISH,         /* x * tanh(log(1 + exp(x))) */
    HN_MAP_COUNT
} hn_map;

typedef struct hn_map_info {
    const char *name;  /* Keras's name: "relu", "gelu", ... */
    int from_output;   /* 1: backward reads y (so forward may run in place); 0: it reads x */
    int param_count;
    int conditioned;   /* 1: forward's error may reach 4 ulp + eps |x f'(x)|, as if x had been rounded once more */
} hn_map_info;

/* Information about `map`; never NULL for 0 <= map < HN_MAP_COUNT. */
const hn_map_info *hn_map_describe(hn_map map);

/* Losses of one row (Keras's formulas: the mean over the row's columns, or the row's cross-entropy). */
typedef enum hn_loss_kind {
    HN_LOSS_MEAN_SQUARED_ERROR = 0,   /* mean((p - t)^2) */
    HN_LOSS_MEAN_ABSOLUTE_ERROR,      /* mean(|p - t|), gradient 0 at p = t */
    HN_LOSS_HUBER,                    /* params[0] = delta. mean(|e| <= delta ? e^2 / 2 : delta |e| - delta^2 / 2) */
    HN_LOSS_BINARY_CROSSENTROPY,      /* params[0] = label_smoothing s: t' = t (1 - s) + s / 2; mean over columns */
    HN_LOSS_CATEGORICAL_CROSSENTROPY, /* params[0] = label_smoothing s: t' = t (1 - s) + s / cols; -sum t' log p */
    HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY, /* target: one int64 label a row, 0 <= label < cols (checked above) */
    HN_LOSS_KIND_COUNT
} hn_loss_kind;

/* What the prediction of a cross-entropy is. Losses that are no cross-entropy ignore it. */
typedef enum hn_loss_input {
    HN_LOSS_PROBABILITIES = 0, /* categorical: divided by the row's sum; then clipped to [1e-7, 1 - 1e-7]. The gradient
                                  is that of the formula, 0 where the clip acts */
    HN_LOSS_LOGITS,            /* stable log-softmax or log-sigmoid form */
    HN_LOSS_FUSED              /* prediction holds softmax (sigmoid) outputs: the value is that of PROBABILITIES, the
                                  gradient is with respect to the logits: p * sum(t') - t'  (binary: (p - t') / cols) */
} hn_loss_input;

typedef struct hn_loss_args {
    int64_t rows, cols;
    const void *target;      /* T (rows, cols), or int64 (rows,) for the sparse loss */
    const void *prediction;  /* T (rows, cols) contiguous */
    const void *weight;      /* T, one for every `weight_every` rows: weight[row / weight_every]; NULL: 1 */
    int64_t weight_every;
    hn_loss_input input;
    double params[2];
    void *values;   /* T (rows,): each row's loss, not weighted; may be NULL */
    void *gradient; /* T (rows, cols): weight * d loss / d prediction (or logits); may be NULL; may be `prediction` */
} hn_loss_args;

/* One pass over a span of n parameters. g' = clip(grad_scale * g, -clip_value, clip_value) is used throughout.
   Weight decay first: w -= w * weight_decay * lr. If `delta` is not NULL, what would be added to w is written there and
   w and the slots stay as they are. */
typedef struct hn_optimizer_args {
    int64_t count;
    void *weights;        /* T (n,) */
    const void *gradient; /* T (n,) */
    void *slots[3];       /* T (n,) each, as the kind says; unused ones NULL; never left with a subnormal number */
    void *delta;          /* T (n,) or NULL */
    double learning_rate, grad_scale, clip_value /* inf: none */, weight_decay;
    double params[4];     /* as the kind says */
    int64_t step;         /* 1 for the first update */
} hn_optimizer_args;

typedef enum hn_optimizer_kind {
    HN_OPTIMIZER_SGD = 0,  /* params: momentum mu, nesterov 0/1. slots: [velocity] if mu > 0.
                              v = mu v - lr g';  w += v  (nesterov: w += mu v - lr g') ; mu = 0: w -= lr g' */
    HN_OPTIMIZER_RMSPROP,  /* params: rho, momentum mu, epsilon, centered 0/1. slots: [a, average gradient if centered,
                              momentum if mu > 0]. a = rho a + (1 - rho) g'^2; centered: m = rho m + (1 - rho) g',
                              d = max(a - m^2, 0), else d = a; u = lr g' / sqrt(d + eps); mu > 0: b = mu b + u, w -= b;
                              else w -= u */
    HN_OPTIMIZER_ADAM,     /* params: beta1, beta2, epsilon, amsgrad 0/1. slots: [m, v, vmax if amsgrad].
                              m += (g' - m)(1 - b1); v += (g'^2 - v)(1 - b2);
                              w -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps); amsgrad: vmax in place of v */
    HN_OPTIMIZER_KIND_COUNT
} hn_optimizer_kind;

/* Rows of x, each with weights of its own that are a mixture: W_r = sum over k of factors[r, k] A_k. */
typedef struct hn_factored {
    int64_t rows, in, out, count;  /* x has `in` columns, y has `out`; `count` terms */
    const void *x;                 /* T (rows, in) */
    int64_t ldx;                   /* 0: all rows are one */
    const void *factors;           /* T (rows, count), or NULL: all are 1 */
    int64_t ldf;
    const void *terms;             /* A_k: T (in, out) without gaps at terms + k * term_stride elements */
    int64_t term_stride;
    int transposed;                /* 1: A_k is (out, in), and its transpose is meant; factored_forward only */
} hn_factored;

typedef enum hn_binary { HN_BINARY_ADD = 0, HN_BINARY_MULTIPLY, HN_BINARY_MULTIPLY_ADD, HN_BINARY_COUNT } hn_binary;

/* Fewer rows read Q of gemm_quantized where it is, once; so many are worth widening blocks of it in scratch memory. */
enum { HN_QUANTIZED_WIDE_ROWS = 5 };

typedef struct hn_kernels {
    hn_isa isa;
    hn_dtype dtype;
    size_t scratch; /* bytes of 64-byte aligned scratch memory that gemm and factored_* need, for one thread */
    size_t quantized_scratch; /* the same for gemm_quantized */

    /* C (m, n) = op(A) op(B) + bias (+ C if accumulate). bias: T (n,), added to every row, or NULL. k = 0 gives the
       bias. Never pads k: inf and nan in unused places do not count. */
    void (*gemm)(hn_gemm_form form, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b,
                 int64_t ldb, const void *bias, int accumulate, void *c, int64_t ldc, void *scratch);

    /* C (m, n) = (A Q) * scale + bias, in T. Q (k, n) is stored as HN_BFLOAT16 or HN_INT8, of which every value is one
       of T; ldq counts its elements. scale: T (n,), a factor for each column's finished sums, or NULL: 1. bias: T (n,)
       or NULL. k = 0 gives the bias. Within (K + 3) eps (scale sum|products| + |bias|), as long as sum|products| (which
       has no factor yet) is no more than T holds. */
    void (*gemm_quantized)(hn_dtype stored, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *q,
                           int64_t ldq, const void *scale, const void *bias, void *c, int64_t ldc, void *scratch);

    /* y_r = x_r W_r (+ y_r if accumulate), y (rows, out): one sum of in * count products
       (factors[r, k] x[r, i]) A_k[i, j], whose first two factors are rounded once. Rows and columns are summed alike
       wherever they are cut. */
    void (*factored_forward)(const hn_factored *f, int accumulate, void *y, int64_t ldy, void *scratch);
    /* dA_k (in, out) (+)= sum over r of factors[r, k] x_r^T dy_r, at d_terms + k * d_stride; f->terms is not read. */
    void (*factored_terms)(const hn_factored *f, const void *dy, int64_t lddy, int accumulate, void *d_terms,
                           int64_t d_stride, void *scratch);
    /* d_factors[r, k] (+)= x_r A_k dy_r^T: the sum over j of dy[r, j] times that over a stretch of i of
       x[r, i] A_k[i, j], all stretches added up; f->factors is not read. */
    void (*factored_factors)(const hn_factored *f, const void *dy, int64_t lddy, int accumulate, void *d_factors,
                             int64_t ldd, void *scratch);

    /* y = f(x), n elements; in place allowed. 4 ulp (but see `conditioned`). y[i] is the same wherever x[i] lies. */
    void (*map_forward)(hn_map map, const double *params, int64_t n, const void *x, void *y);
    /* dx = dy * f'(.), from x or from y as hn_map_info says; dx may be dy or xy. Within
       8 eps |dy| (|f'| + |v f''|), v being what is read: slopes that are differences, like 1 - y^2, pass through 0. */
    void (*map_backward)(hn_map map, const double *params, int64_t n, const void *xy, const void *dy, void *dx);

    /* y = exp(x - max) / sum(exp(x - max)) of each row, within eps y (|x - max| + c), c = min(cols, 80) + 8; in place
       allowed. */
    void (*softmax_forward)(int64_t rows, int64_t cols, const void *x, void *y);
    /* dx = y * (dy - sum(dy * y)), within eps y (2 |dy| + c sum|dy y|); dx may be dy. */
    void (*softmax_backward)(int64_t rows, int64_t cols, const void *y, const void *dy, void *dx);
    /* y = x - max - log(sum(exp(x - max))), within eps (2 |x - max| + |y + |x - max|| + c); in place allowed. */
    void (*log_softmax_forward)(int64_t rows, int64_t cols, const void *x, void *y);
    /* dx = dy - exp(y) * sum(dy), within eps (|dy| + c exp(y) sum|dy|); dx may be dy. */
    void (*log_softmax_backward)(int64_t rows, int64_t cols, const void *y, const void *dy, void *dx);

    /* y[i] = a[i * a_step] op b[i * b_step], or y[i] += a * b for MULTIPLY_ADD; steps are 0 or 1; y may be a or b
       where that one's step is 1. */
    void (*binary)(hn_binary op, int64_t n, const void *a, int64_t a_step, const void *b, int64_t b_step, void *y);
    /* y = alpha * x (accumulate: y += alpha * x); y may be x. */
    void (*scale)(int64_t n, double alpha, const void *x, int accumulate, void *y);
    /* out[j] (+)= sum over rows of a[i, j], in blocks of 256 rows, within eps (min(rows, 256) + 4) sum|a|. */
    void (*column_sum)(int64_t rows, int64_t cols, const void *a, int64_t lda, int accumulate, void *out);
    /* sum a[i] * b[i], summed in blocks fixed by n, in double. b = NULL: sum a[i]. */
    double (*dot)(int64_t n, const void *a, const void *b);

    /* Row i of y is table row ids[i] (0 <= id < table rows, checked above); `width` columns. */
    void (*gather)(int64_t count, const int64_t *ids, int64_t width, const void *table, int64_t ld, void *y,
                   int64_t ldy);
    /* table row ids[i] += row i of dy, in order of i. */
    void (*scatter_add)(int64_t count, const int64_t *ids, int64_t width, const void *dy, int64_t ldy, void *table,
                        int64_t ld);

    /* y = gamma * (x - mean) * rstd + beta for each row; variance is the mean of squared deviations (two passes),
       rstd = 1 / sqrt(variance + epsilon). gamma, beta: T (cols,) or NULL. mean, rstd: T (rows,), may be NULL. What T
       cannot hold of the mean is taken into account: rows of equal numbers give beta, however large they are. */
    void (*layer_norm_forward)(int64_t rows, int64_t cols, double epsilon, const void *x, const void *gamma,
                               const void *beta, void *y, void *mean, void *rstd);
    /* `mean`, `rstd` are forward's; xh = (x - mean(x)) rstd; h = dy * gamma; dx = rstd (h - mean(h) - xh mean(h xh));
       dgamma += sum over rows of dy * xh, dbeta += sum of dy. dx, dgamma, dbeta may be NULL; dx may be dy. */
    void (*layer_norm_backward)(int64_t rows, int64_t cols, const void *x, const void *gamma, const void *mean,
                                const void *rstd, const void *dy, void *dx, void *dgamma, void *dbeta);

    /* y[i] = x[i] / (1 - rate) where the uniform number of (row, first + i) >= rate, else 0; n elements of one row;
       in place allowed. The same call on dy gives dx. */
    void (*dropout)(int64_t n, double rate, const hn_random_key *key, uint64_t row, int64_t first, const void *x,
                    void *y);

    void (*loss)(hn_loss_kind kind, const hn_loss_args *args);

    void (*optimizer)(hn_optimizer_kind kind, const hn_optimizer_args *args);

    /* Returns l1 * sum|w| + l2 * sum w^2, in double; if g is not NULL: g += scale * (l1 sign(w) + 2 l2 w). */
    double (*penalty)(int64_t n, const void *w, double l1, double l2, double scale, void *g);
} hn_kernels;

/* The table for `isa` and `dtype` (HN_FLOAT32 or HN_FLOAT64); NULL if this processor or build has not that ISA. */
const hn_kernels *hn_kernels_get(hn_isa isa, hn_dtype dtype);

#endif
