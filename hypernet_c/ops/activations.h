/* Activations by name, for the ops that end in one: the kernels' maps, softmax and log_softmax, and Keras's aliases. */
#ifndef HN_OPS_ACTIVATIONS_H
#define HN_OPS_ACTIVATIONS_H

#include "op.h"

/* Numbers of activations: first every hn_map, then these. */
enum {
    HN_ACTIVATION_SOFTMAX = HN_MAP_COUNT,
    HN_ACTIVATION_LOG_SOFTMAX,
    HN_ACTIVATION_LEAKY_RELU, /* relu_general with slope 0.2 */
    HN_ACTIVATION_RELU6,      /* relu_general with maximum 6 */
    HN_ACTIVATION_COUNT
};

typedef struct hn_activation {
    int32_t number;      /* hn_map, HN_ACTIVATION_SOFTMAX or HN_ACTIVATION_LOG_SOFTMAX */
    double params[3];
} hn_activation;

/* The number behind a name, -1 if there is none. */
int32_t hn_activation_find(const char *name);

/* What `number` computes with Keras's default parameters; aliases are resolved. */
hn_activation hn_activation_default(int32_t number);

/* 1 if backward reads the output; 0: the input. */
int hn_activation_from_output(const hn_activation *activation);

/* 1 if it works on whole rows: softmax and log_softmax. */
int hn_activation_by_row(const hn_activation *activation);

/* Nanoseconds an element, roughly. */
double hn_activation_cost(const hn_activation *activation);

/* "softmax" or "sigmoid", which a loss may be fused with, else NULL. */
const char *hn_activation_fusable(int32_t number);

/* HN_ERROR_VALUE that lists the names. */
hn_status hn_activation_unknown(const char *op, const char *name, hn_error *error);

/* y = f(x) on a block of rows with leading dimensions; y may be x. */
void hn_activation_forward(const hn_kernels *kernels, const hn_activation *activation, int64_t rows, int64_t cols,
                           const void *x, int64_t ldx, void *y, int64_t ldy);

/* dx = gradient through f, from the input or the output as hn_activation_from_output says; dx may be dy. */
void hn_activation_backward(const hn_kernels *kernels, const hn_activation *activation, int64_t rows, int64_t cols,
                            const void *xy, int64_t ldxy, const void *dy, int64_t lddy, void *dx, int64_t lddx);

#endif
