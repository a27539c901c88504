/* Names and properties of the elementwise functions. */
#include "kernels.h"

static const hn_map_info maps[HN_MAP_COUNT] = {
    [HN_MAP_LINEAR] = {"linear", 1, 0, 0},
    [HN_MAP_RELU] = {"relu", 1, 0, 0},
    [HN_MAP_RELU_GENERAL] = {"relu_general", 0, 3, 0},
    [HN_MAP_ELU] = {"elu", 0, 1, 0},
    [HN_MAP_SELU] = {"selu", 0, 0, 0},
    [HN_MAP_GELU] = {"gelu", 0, 0, 1},
    [HN_MAP_GELU_TANH] = {"gelu_tanh", 0, 0, 1},
    [HN_MAP_SILU] = {"silu", 0, 0, 0},
    [HN_MAP_SIGMOID] = {"sigmoid", 1, 0, 0},
    [HN_MAP_TANH] = {"tanh", 1, 0, 0},
    [HN_MAP_SOFTPLUS] = {"softplus", 0, 0, 0},
    [HN_MAP_SOFTSIGN] = {"softsign", 0, 0, 0},
    [HN_MAP_EXPONENTIAL] = {"exponential", 1, 0, 0},
    [HN_MAP_HARD_SIGMOID] = {"hard_sigmoid", 0, 0, 0},
    [HN_MAP_SQUAREPLUS] = {"squareplus", 0, 1, 0},
    [HN_MAP_SOFT_SHRINK] = {"soft_shrink", 0, 1, 0},
    [HN_MAP_HARD_SHRINK] = {"hard_shrink", 0, 1, 0},
    [HN_MAP_TANH_SHRINK] = {"tanh_shrink", 0, 0, 1},
    [HN_MAP_HARD_TANH] = {"hard_tanh", 0, 0, 0},
    [HN_MAP_HARD_SILU] = {"hard_silu", 0, 0, 0},
    [HN_MAP_LOG_SIGMOID] = {"log_sigmoid", 0, 0, 0},
    [HN_MAP_SPARSE_PLUS] = {"sparse_plus", 0, 0, 0},
    [HN_MAP_SPARSE_SIGMOID] = {"sparse_sigmoid", 0, 0, 0},
    [HN_MAP_MISH] = {"mish", 0, 0, 1},
};

const hn_map_info *hn_map_describe(hn_map map)
{
    return &maps[map];
}
