/* The vector kernels for: AVX2 and FMA. */
#include "tables.h"
#include "vector.h"

#if defined(__x86_64__)
#include <math.h>
#include <immintrin.h>

HN_TARGET_BEGIN("avx2,fma")
#define ISA_NAME avx2
#define ISA_TAG HN_ISA_AVX2
#define VECTOR_BYTES 32
#define TILE_ROWS 6
#define TILE_VECTORS 2
#define DOT_ROWS 3
#define DOT_COLS 4

#define SINGLE 1
#define TABLE_NAME hn_kernels_avx2_f32
#include "kernels.inc"
#undef SINGLE
#undef TABLE_NAME

#define SINGLE 0
#define TABLE_NAME hn_kernels_avx2_f64
#include "kernels.inc"
HN_TARGET_END
#endif
