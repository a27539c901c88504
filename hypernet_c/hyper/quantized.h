/* Heads whose kernel is stored in fewer bits, for inference alone: less memory, and less to read for each call.

   A head K (width, P) becomes Q, of bfloat16 or of int8 with one factor s_j for each output (column of theta):

       bfloat16  Q = K rounded to the nearest number of 8 significant bits (ties to even; numbers beyond the largest
                 become the largest):            |K - Q| <= 2^-8 |K| + 2^-134  and  <= |Q| / 255 + 2^-134
       int8      s_j = max|K_j| / 127 (rounded to float; one bit more where that is subnormal and max|K_j| >= 127.5
                 s_j), Q = K_j / s_j rounded to the nearest integer (ties to even), -127 .. 127:
                                                 |K - s_j Q| <= s_j / 2
                 A column of zeros has s_j = 0.

   For features g (width numbers) the head gives theta_j = s_j sum_k g_k Q_kj + b_j + base_j (s_j = 1 for bfloat16), in
   float arithmetic, n = width products; against the exact value for K at the same features the error is at most

       bfloat16  sum_k |g_k| (|Q_kj| / 255 + 2^-134)  +  r_j
       int8      s_j / 2 sum_k |g_k|                  +  r_j
       r_j = (n + 5) 2^-23 (s_j sum_k |g_k Q_kj| + |b_j| + |base_j|) + (n + 5) 2^-149 max(1, s_j)

   where r_j is the rounding of sums, which float kernels have as well. The bounds hold as long as sum_k |g_k Q_kj|,
   without its factor, is no more than float holds. */
#ifndef HN_HYPER_QUANTIZED_H
#define HN_HYPER_QUANTIZED_H

#include "../base/status.h"
#include "../base/types.h"

typedef struct hn_quantized_head {
    hn_dtype stored;      /* HN_BFLOAT16 or HN_INT8 */
    int64_t width, count; /* features, and P */
    const void *kernel;   /* (width, P) */
    const float *scale;   /* (P,) of HN_INT8, else NULL */
    const float *bias;    /* (P,) or NULL */
} hn_quantized_head;

/* Writes `kernel` (width, count) in its new form to `to` (`stored` elements) and, for HN_INT8, `scale` (count).
   `worst`: the largest |K - s Q| made; may be NULL. HN_ERROR_VALUE if a number is inf or nan: `to` and `scale` are
   unspecified then. */
hn_status hn_head_quantize(hn_dtype stored, int64_t width, int64_t count, const float *kernel, void *to, float *scale,
                           double *worst, hn_error *error);

#endif
