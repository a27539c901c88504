/* Element types and shapes. */
#ifndef HN_BASE_TYPES_H
#define HN_BASE_TYPES_H

#include <stddef.h>
#include <stdint.h>

/* The last two are for storage only (quantised heads, files): networks compute in float or double. */
typedef enum hn_dtype {
    HN_FLOAT32 = 0,
    HN_FLOAT64 = 1,
    HN_INT64 = 2,
    HN_BFLOAT16 = 3, /* the upper half of a float, in a uint16_t */
    HN_INT8 = 4
} hn_dtype;

#define HN_MAX_RANK 8

/* The shape of one sample (the batch axis is never part of it). A dim of -1 is an open axis. */
typedef struct hn_shape {
    int32_t rank;
    int64_t dims[HN_MAX_RANK];
} hn_shape;

/* Bytes of one element: 4, 8, 8, 2, 1. */
size_t hn_dtype_size(hn_dtype dtype);

/* Number of elements of `shape`; -1 if an axis is open or the product overflows int64. A scalar has 1. */
int64_t hn_shape_size(const hn_shape *shape);

/* 1 if rank and dims agree, else 0. */
int hn_shape_equal(const hn_shape *a, const hn_shape *b);

/* Writes "(3, None, 8)" (None: -1, an open axis) into `text` (cut at `capacity`) and returns `text`. */
const char *hn_shape_format(const hn_shape *shape, char *text, size_t capacity);

#endif
