/* The vector kernels for: AVX-512 F, BW, DQ, VL. */
#include "tables.h"
#include "vector.h"

#if defined(__x86_64__)
#include <math.h>
#include <immintrin.h>

HN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#define ISA_NAME avx512
#define ISA_TAG HN_ISA_AVX512
#define VECTOR_BYTES 64
#define TILE_ROWS 12
#define TILE_VECTORS 2
#define DOT_ROWS 4
#define DOT_COLS 6

#define SINGLE 1
#define TABLE_NAME hn_kernels_avx512_f32
#include "kernels.inc"
#undef SINGLE
#undef TABLE_NAME

#define SINGLE 0
#define TABLE_NAME hn_kernels_avx512_f64
#include "kernels.inc"
HN_TARGET_END
#endif
