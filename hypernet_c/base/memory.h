/* The one allocator: 64-byte aligned, overflow-checked, and able to fail on demand. */
#ifndef HN_BASE_MEMORY_H
#define HN_BASE_MEMORY_H

#include "status.h"
#include <stddef.h>
#include <stdint.h>

#define HN_ALIGNMENT 64

/* `count * size` bytes, zeroed, 64-byte aligned; NULL with HN_ERROR_MEMORY if the product overflows or memory is
   out. A count of 0 gives a valid pointer that must be freed. Large blocks come zeroed from the system, untouched. */
void *hn_memory_allocate(size_t count, size_t size, hn_error *error);

/* Frees what hn_memory_allocate gave; NULL is allowed. */
void hn_memory_free(void *pointer);

/* `*product = a * b` and 1, or 0 if it does not fit size_t. */
int hn_size_multiply(size_t a, size_t b, size_t *product);

/* `*sum = a + b` and 1, or 0 if it does not fit size_t. */
int hn_size_add(size_t a, size_t b, size_t *sum);

/* Parts of one allocation, one after the other. Without a base only their sizes are added up. */
typedef struct hn_layout {
    char *base;
    size_t used;
    int overflows; /* a size did not fit size_t: there is no such allocation */
} hn_layout;

/* The next part, of `count * size` bytes, 64-byte aligned where the base is; NULL without a base or if it overflows. */
void *hn_layout_part(hn_layout *layout, size_t count, size_t size);

/* For tests: the k-th allocation from now on fails (k = 1: the next), once; 0 switches this off. Gives what is left of
   the last k: 0 if that allocation has failed. */
int64_t hn_memory_fail_at(int64_t k);

/* For tests: blocks allocated and not yet freed. */
int64_t hn_memory_live_blocks(void);

#endif
