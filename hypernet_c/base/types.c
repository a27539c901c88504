#include "types.h"

#include <inttypes.h>
#include <stdio.h>

size_t hn_dtype_size(hn_dtype dtype)
{
    switch (dtype) {
    case HN_FLOAT32:
        return 4;
    case HN_BFLOAT16:
        return 2;
    case HN_INT8:
        return 1;
    default:
        return 8;
    }
}

int64_t hn_shape_size(const hn_shape *shape)
{
    int64_t size = 1;
    for (int32_t axis = 0; axis < shape->rank; axis++)
        if (shape->dims[axis] < 0 || __builtin_mul_overflow(size, shape->dims[axis], &size))
            return -1;
    return size;
}

int hn_shape_equal(const hn_shape *a, const hn_shape *b)
{
    if (a->rank != b->rank)
        return 0;
    for (int32_t axis = 0; axis < a->rank; axis++)
        if (a->dims[axis] != b->dims[axis])
            return 0;
    return 1;
}

const char *hn_shape_format(const hn_shape *shape, char *text, size_t capacity)
{
    size_t used = 0;
    if (capacity == 0)
        return text;
    text[0] = 0;
    for (int32_t axis = 0; axis < shape->rank && used < capacity; axis++) {
        const char *before = axis ? ", " : "(";
        if (shape->dims[axis] == -1)
            used += (size_t)snprintf(text + used, capacity - used, "%sNone", before);
        else
            used += (size_t)snprintf(text + used, capacity - used, "%s%" PRId64, before, shape->dims[axis]);
    }
    if (used < capacity)
        (void)snprintf(text + used, capacity - used, "%s", shape->rank == 0 ? "()" : shape->rank == 1 ? ",)" : ")");
    return text;
}
