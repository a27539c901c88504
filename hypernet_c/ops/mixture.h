/* Products with a kernel that comes as a mixture: they are made from the factors and terms, and the kernel never is. */
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

#endif
