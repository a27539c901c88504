/* The vector kernels for: Portable C: vectors of 16 bytes, which the compiler maps to whatever the processor has. */
#include "tables.h"
#include "vector.h"

#include <math.h>

#define ISA_NAME scalar
#define ISA_TAG HN_ISA_SCALAR
#define VECTOR_BYTES 16
#define TILE_ROWS 4
#define TILE_VECTORS 2
#define DOT_ROWS 3
#define DOT_COLS 4

#define SINGLE 1
#define TABLE_NAME hn_kernels_scalar_f32
#include "kernels.inc"
#undef SINGLE
#undef TABLE_NAME

#define SINGLE 0
#define TABLE_NAME hn_kernels_scalar_f64
#include "kernels.inc"
