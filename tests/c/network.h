/* What the tests of the network floor share: random numbers, and tensors of groups x rows samples in many layouts,
   whose surroundings are watched. */
#ifndef TESTS_NETWORK_H
#define TESTS_NETWORK_H

#include "hypernet.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *context = "";

#define CHECK(condition)                                                                                              \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, context);                             \
            exit(1);                                                                                                  \
        }                                                                                                             \
    } while (0)

/* ---- random numbers ---- */

typedef struct random_state {
    uint64_t state;
} random_state;

static inline uint64_t draw(random_state *random)
{
    uint64_t z = random->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline int64_t below(random_state *random, int64_t n)
{
    return (int64_t)(draw(random) % (uint64_t)n);
}

static inline double number(random_state *random) /* in (-1.5, 1.5) */
{
    return 3.0 * ((double)(draw(random) >> 11) * 0x1p-53) - 1.5;
}

/* ---- elements of any dtype ---- */

static inline double get(hn_dtype dtype, const void *data, int64_t index)
{
    return dtype == HN_FLOAT32 ? (double)((const float *)data)[index] : ((const double *)data)[index];
}

static inline void put(hn_dtype dtype, void *data, int64_t index, double value)
{
    if (dtype == HN_FLOAT32)
        ((float *)data)[index] = (float)value;
    else
        ((double *)data)[index] = value;
}

/* ---- fields: groups x rows samples of `size` elements ---- */

typedef enum layout {
    PACKED = 0,
    GAPS,        /* room between rows and between groups */
    INTERLEAVED, /* row 0 of all groups, row 1 of all groups, ... */
    BACKWARDS,   /* the last row first */
    SHARED,      /* groups share their rows */
    REPEATED,    /* one row for all */
    LAYOUTS
} layout;

typedef struct field {
    hn_dtype dtype;
    int64_t size, groups, rows, count; /* count: elements of memory */
    hn_view view;
    char *memory, *copy;
} field;

enum { FIELD_MARGIN = 5, FIELD_BYTE = 0xFF }; /* the byte makes nan, and an id out of range */

static inline void *field_at(const field *f, int64_t group, int64_t row)
{
    return (char *)f->view.data + (group * f->view.group_stride + row * f->view.row_stride) *
                                  (int64_t)hn_dtype_size(f->dtype);
}

static inline field field_make(hn_dtype dtype, int64_t size, int64_t groups, int64_t rows, layout how)
{
    field f = {.dtype = dtype, .size = size, .groups = groups, .rows = rows};
    int64_t wide = size + 1, step = rows * wide + 2, first = 0;
    int64_t strides[LAYOUTS][2] = {{rows * size, size}, {step, wide}, {wide, groups * wide}, {-step, -wide},
                                   {0, wide}, {0, 0}};
    f.view = (hn_view){.group_stride = strides[how][0], .row_stride = strides[how][1]};
    f.count = (groups + 1) * (rows + 1) * (size + 2) + 2 * FIELD_MARGIN;
    if (how == BACKWARDS)
        first = (groups > 0 ? groups - 1 : 0) * step + (rows > 0 ? rows - 1 : 0) * wide;
    size_t bytes = (size_t)f.count * hn_dtype_size(dtype);
    f.memory = malloc(bytes);
    f.copy = malloc(bytes);
    memset(f.memory, FIELD_BYTE, bytes);
    f.view.data = f.memory + (FIELD_MARGIN + first) * (int64_t)hn_dtype_size(dtype);
    return f;
}

static inline void field_free(field *f)
{
    free(f->memory);
    free(f->copy);
    *f = (field){.memory = NULL};
}

static inline void field_fill(field *f, random_state *random, int64_t ids)
{
    for (int64_t g = 0; g < f->groups; g++)
        for (int64_t r = 0; r < f->rows; r++)
            for (int64_t i = 0; i < f->size; i++)
                if (f->dtype == HN_INT64)
                    ((int64_t *)field_at(f, g, r))[i] = below(random, ids);
                else
                    put(f->dtype, field_at(f, g, r), i, number(random));
}

static inline double field_get(const field *f, int64_t group, int64_t row, int64_t i)
{
    return get(f->dtype, field_at(f, group, row), i);
}

static inline void field_remember(field *f)
{
    memcpy(f->copy, f->memory, (size_t)f->count * hn_dtype_size(f->dtype));
}

static inline int field_unchanged(const field *f)
{
    return memcmp(f->copy, f->memory, (size_t)f->count * hn_dtype_size(f->dtype)) == 0;
}

/* 1 if nothing outside the field's rows was written since it was made. */
static inline int field_surroundings_intact(const field *f)
{
    size_t element = hn_dtype_size(f->dtype);
    int intact = 1;
    memcpy(f->copy, f->memory, (size_t)f->count * element);
    for (int64_t g = 0; g < f->groups; g++)
        for (int64_t r = 0; r < f->rows; r++)
            memset(f->copy + ((char *)field_at(f, g, r) - f->memory), FIELD_BYTE, (size_t)f->size * element);
    for (size_t i = 0; i < (size_t)f->count * element; i++)
        intact = intact && (unsigned char)f->copy[i] == FIELD_BYTE;
    return intact;
}

#endif
