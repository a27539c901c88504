/* The vector kernels for: NEON, which every aarch64 processor has. */
#include "tables.h"
#include "vector.h"

#if defined(__aarch64__)
#include <math.h>

#define ISA_NAME neon
#define ISA_TAG HN_ISA_NEON
#define VECTOR_BYTES 16
#define TILE_ROWS 8
#define TILE_VECTORS 3
#define DOT_ROWS 4
#define DOT_COLS 6

#define SINGLE 1
#define TABLE_NAME hn_kernels_neon_f32
#include "kernels.inc"
#undef SINGLE
#undef TABLE_NAME

#define SINGLE 0
#define TABLE_NAME hn_kernels_neon_f64
#include "kernels.inc"
#endif
