/* NumPy's broadcasting of sample shapes: shapes, and sweeps over operands that repeat along some axes. */
#ifndef HN_OPS_BROADCAST_H
#define HN_OPS_BROADCAST_H

#include "fold.h"

enum { HN_BROADCAST_OPERANDS = 3 };

/* The axes of an output, as few as possible, and each operand's stride along them (0: repeated). */
typedef struct hn_broadcast {
    int32_t rank, operands;
    int64_t dims[HN_MAX_RANK];
    int64_t strides[HN_BROADCAST_OPERANDS][HN_MAX_RANK];
} hn_broadcast;

/* The common shape of all inputs; HN_ERROR_VALUE if there is none. An open axis beside a known one takes its size. */
hn_status hn_broadcast_shape(const char *op, int32_t count, const hn_tensor_info *inputs, hn_dtype dtype,
                             hn_shape *shape, hn_error *error);

/* Prepares a sweep of `operands` shapes over `output`. */
void hn_broadcast_make(hn_broadcast *sweep, const hn_shape *output, int32_t operands, const hn_shape *const *shapes);

/* A sweep over `count` elements of operands that all have them. */
void hn_broadcast_make_flat(hn_broadcast *sweep, int32_t operands, int64_t count);

/* The sweep's stretches: `*length` elements with step `steps[i]` from element `offsets[i]` of operand i. Start with
   index 0; returns 0 when there is no stretch `index`. */
int hn_broadcast_stretch(const hn_broadcast *sweep, int64_t index, int64_t *offsets, int64_t *steps, int64_t *length);

/* out[operand 0] += sum over the repeated axes of x[operand 1] (times p[operand 2], which may be NULL). */
void hn_broadcast_reduce(const hn_kernels *kernels, const hn_broadcast *sweep, void *out, const void *x, const void *p);

/* Forward of add and multiply over all inputs of the call. */
void hn_broadcast_forward(const hn_op_call *call, hn_binary operation);

/* Gradient of input `index` where y = sum of inputs (`others` NULL), or y = input * others. */
void hn_broadcast_backward(const hn_op_call *call, int32_t index, const hn_view *others, const hn_shape *others_shape);

/* y = a * b for views of the output's shape; y may be a. */
void hn_broadcast_multiply(const hn_op_call *call, const hn_view *a, const hn_view *b, const hn_view *y);

#endif
