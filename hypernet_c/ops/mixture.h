/* Weights that come as a mixture: products with a kernel that is never made, and columns of weights that are. */
#ifndef HN_OPS_MIXTURE_H
#define HN_OPS_MIXTURE_H

#include "op.h"

/* Sizes of products x W: every row of every group has `positions` rows of `in`, or `out`, elements. */
typedef struct hn_mixed_product {
    const hn_op_call *call;
    const hn_mixture *mixture;
    int64_t positions, in, out;
} hn_mixed_product;

/* z = x W */
void hn_mixed_forward(const hn_mixed_product *product, const hn_view *x, const hn_view *z);

/* The gradients that the mixture wants, and dx = dz W^T where dx has data. */
void hn_mixed_backward(const hn_mixed_product *product, const hn_view *x, const hn_view *dz, const hn_view *dx);

/* A call that makes columns of weights from a mixture, or takes their gradients back to it. */
typedef struct hn_mixture_call {
    const hn_kernels *kernels;
    const hn_mixture *mixture;
    int32_t threads;
    int64_t groups;
    void *scratch;                     /* a block a thread: the kernels' scratch, then hn_mixture_scratch bytes */
    size_t scratch_stride;             /* bytes from block to block */
} hn_mixture_call;

size_t hn_mixture_scratch(hn_dtype dtype);
/* For so many groups and any fewer; SIZE_MAX: overflows. */
size_t hn_mixture_partial(const hn_kernels *kernels, int64_t groups, int64_t count);

/* `rows` stretches of `columns` weights, the first at `first`, one `step` behind the other: some columns of some rows
   of an entry. */
typedef struct hn_stretches {
    int64_t first, rows, columns, step;
} hn_stretches;

/* Makes those weights for every group: factors terms + constants, into tile (groups, rows x columns) with leading
   dimension `ld`. */
void hn_mixture_make(const hn_mixture_call *call, hn_stretches stretches, void *tile, int64_t ld);

/* The gradient of those weights, to the gradients of terms, factors and constants[0] that are wanted. */
void hn_mixture_pull(const hn_mixture_call *call, hn_stretches stretches, const void *tile, int64_t ld);

#endif
