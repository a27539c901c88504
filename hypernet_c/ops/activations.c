/* Activations by name. */
#include "activations.h"
#include "fold.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *activation_name(int32_t number)
{
    static const char *const more[] = {"softmax", "log_softmax", "leaky_relu", "relu6"};
    return number < HN_MAP_COUNT ? hn_map_describe((hn_map)number)->name : more[number - HN_MAP_COUNT];
}

int32_t hn_activation_find(const char *name)
{
    for (int32_t i = 0; i < HN_ACTIVATION_COUNT; i++)
        if (strcmp(activation_name(i), name) == 0)
            return i;
    return -1;
}

hn_activation hn_activation_default(int32_t number)
{
    switch (number) {
    case HN_MAP_ELU: return (hn_activation){number, {1.0, 0.0, 0.0}};
    case HN_MAP_RELU_GENERAL: return (hn_activation){number, {0.0, INFINITY, 0.0}};
    case HN_MAP_SQUAREPLUS: return (hn_activation){number, {4.0, 0.0, 0.0}};
    case HN_MAP_SOFT_SHRINK:
    case HN_MAP_HARD_SHRINK: return (hn_activation){number, {0.5, 0.0, 0.0}};
    case HN_ACTIVATION_LEAKY_RELU: return (hn_activation){HN_MAP_RELU_GENERAL, {0.2, INFINITY, 0.0}};
    case HN_ACTIVATION_RELU6: return (hn_activation){HN_MAP_RELU_GENERAL, {0.0, 6.0, 0.0}};
    default: return (hn_activation){number, {0.0, 0.0, 0.0}};
    }
}

int hn_activation_by_row(const hn_activation *activation)
{
    return activation->number >= HN_MAP_COUNT;
}

int hn_activation_from_output(const hn_activation *activation)
{
    return hn_activation_by_row(activation) || hn_map_describe((hn_map)activation->number)->from_output;
}

double hn_activation_cost(const hn_activation *activation)
{
    switch (activation->number) {
    case HN_MAP_LINEAR: return 0.1;
    case HN_MAP_RELU:
    case HN_MAP_RELU_GENERAL:
    case HN_MAP_SOFTSIGN:
    case HN_MAP_HARD_SIGMOID:
    case HN_MAP_SOFT_SHRINK:
    case HN_MAP_HARD_SHRINK:
    case HN_MAP_HARD_TANH:
    case HN_MAP_HARD_SILU:
    case HN_MAP_SPARSE_PLUS:
    case HN_MAP_SPARSE_SIGMOID: return 0.3;
    default: return 2.0;
    }
}

const char *hn_activation_fusable(int32_t number)
{
    return number == HN_ACTIVATION_SOFTMAX ? "softmax" : number == HN_MAP_SIGMOID ? "sigmoid" : NULL;
}

hn_status hn_activation_unknown(const char *op, const char *name, hn_error *error)
{
    char names[600];
    size_t used = 0;
    for (int32_t i = 0; i < HN_ACTIVATION_COUNT && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", activation_name(i));
    return hn_error_set(error, HN_ERROR_VALUE, "%s: unknown activation \"%s\"; there are %s", op, name, names);
}

void hn_activation_forward(const hn_kernels *kernels, const hn_activation *activation, int64_t rows, int64_t cols,
                           const void *x, int64_t ldx, void *y, int64_t ldy)
{
    size_t element = hn_dtype_size(kernels->dtype);
    int packed = (ldx == cols && ldy == cols) || rows == 1;
    int64_t calls = packed ? 1 : rows, block = packed ? rows : 1;
    if (activation->number == HN_MAP_LINEAR && x == y)
        return;
    for (int64_t i = 0; i < calls; i++) {
        const void *from = hn_move(x, i * ldx, element);
        void *to = hn_move(y, i * ldy, element);
        if (activation->number == HN_ACTIVATION_SOFTMAX)
            kernels->softmax_forward(block, cols, from, to);
        else if (activation->number == HN_ACTIVATION_LOG_SOFTMAX)
            kernels->log_softmax_forward(block, cols, from, to);
        else
            kernels->map_forward((hn_map)activation->number, activation->params, block * cols, from, to);
    }
}

void hn_activation_backward(const hn_kernels *kernels, const hn_activation *activation, int64_t rows, int64_t cols,
                            const void *xy, int64_t ldxy, const void *dy, int64_t lddy, void *dx, int64_t lddx)
{
    size_t element = hn_dtype_size(kernels->dtype);
    int packed = (ldxy == cols && lddy == cols && lddx == cols) || rows == 1;
    int64_t calls = packed ? 1 : rows, block = packed ? rows : 1;
    if (activation->number == HN_MAP_LINEAR && dx == dy)
        return;
    for (int64_t i = 0; i < calls; i++) {
        const void *at = hn_move(xy, i * ldxy, element), *from = hn_move(dy, i * lddy, element);
        void *to = hn_move(dx, i * lddx, element);
        if (activation->number == HN_ACTIVATION_SOFTMAX)
            kernels->softmax_backward(block, cols, at, from, to);
        else if (activation->number == HN_ACTIVATION_LOG_SOFTMAX)
            kernels->log_softmax_backward(block, cols, at, from, to);
        else
            kernels->map_backward((hn_map)activation->number, activation->params, block * cols, at, from, to);
    }
}
