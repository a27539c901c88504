/* The tables of all instruction sets, and how one is filled. */
#ifndef HN_KERNELS_TABLES_H
#define HN_KERNELS_TABLES_H

#include "kernels.h"

/* A table whose functions are called NAME(gemm), NAME(map_forward), ... */
#define HN_KERNELS_TABLE(isa_, dtype_, scratch_, quantized_, NAME) \
    { \
        .isa = (isa_), .dtype = (dtype_), .scratch = (scratch_), .quantized_scratch = (quantized_), \
        .gemm = NAME(gemm), \
        .gemm_quantized = NAME(gemm_quantized), .map_forward = NAME(map_forward), \
        .factored_forward = NAME(factored_forward), .factored_terms = NAME(factored_terms), \
        .factored_factors = NAME(factored_factors), \
        .map_backward = NAME(map_backward), .softmax_forward = NAME(softmax_forward), \
        .softmax_backward = NAME(softmax_backward), .log_softmax_forward = NAME(log_softmax_forward), \
        .log_softmax_backward = NAME(log_softmax_backward), .binary = NAME(binary), .scale = NAME(scale), \
        .column_sum = NAME(column_sum), .dot = NAME(dot), .gather = NAME(gather), .scatter_add = NAME(scatter_add), \
        .layer_norm_forward = NAME(layer_norm_forward), .layer_norm_backward = NAME(layer_norm_backward), \
        .dropout = NAME(dropout), .loss = NAME(loss), .optimizer = NAME(optimizer), .penalty = NAME(penalty) \
    }

extern const hn_kernels hn_kernels_reference_f32, hn_kernels_reference_f64;
extern const hn_kernels hn_kernels_scalar_f32, hn_kernels_scalar_f64;
#if defined(__x86_64__)
extern const hn_kernels hn_kernels_avx2_f32, hn_kernels_avx2_f64, hn_kernels_avx512_f32, hn_kernels_avx512_f64;
#endif
#if defined(__aarch64__)
extern const hn_kernels hn_kernels_neon_f32, hn_kernels_neon_f64;
#endif

#endif
