#include "memory.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Parts of one allocation are neighbours: the address sanitizer sees who writes past one only if there is a gap. */
#if defined(__SANITIZE_ADDRESS__) /* how gcc says it */
#define GAPS
#elif defined(__has_feature) /* and clang */
#if __has_feature(address_sanitizer)
#define GAPS
#endif
#endif

#ifdef GAPS
#include <sanitizer/asan_interface.h>
#define GAP HN_ALIGNMENT
#else
#define GAP 0
#define ASAN_POISON_MEMORY_REGION(start, bytes) ((void)(start))
#endif

/* calloc gives large blocks lazily zeroed; the block's own start is kept in the word before the aligned pointer. */
static _Atomic int64_t live_blocks;
static _Atomic int64_t fail_countdown;

int hn_size_multiply(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

int hn_size_add(size_t a, size_t b, size_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

static int must_fail(void)
{
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) == 0)
        return 0;
    return atomic_fetch_sub(&fail_countdown, 1) == 1;
}

void *hn_memory_allocate(size_t count, size_t size, hn_error *error)
{
    size_t bytes, total;
    char *block = NULL;
    if (!hn_size_multiply(count, size, &bytes) || !hn_size_add(bytes, HN_ALIGNMENT + sizeof(void *), &total)) {
        hn_error_set(error, HN_ERROR_MEMORY, "%zu elements of %zu bytes do not fit into the address space", count,
                     size);
        return NULL;
    }
    if (!must_fail())
        block = calloc(1, total);
    if (!block) {
        hn_error_set(error, HN_ERROR_MEMORY, "could not allocate %zu bytes", bytes);
        return NULL;
    }
    size_t past = (size_t)(((uintptr_t)block + sizeof(void *)) % HN_ALIGNMENT);
    void **start = (void **)(block + sizeof(void *) + (past ? HN_ALIGNMENT - past : 0));
    start[-1] = block;
    atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    return start;
}

void hn_memory_free(void *pointer)
{
    if (!pointer)
        return;
    atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
    free(((void **)pointer)[-1]);
}

void *hn_layout_part(hn_layout *layout, size_t count, size_t size)
{
    size_t bytes, end, start = layout->used;
    if (!hn_size_multiply(count, size, &bytes) || !hn_size_add(start, bytes, &end) ||
        !hn_size_add(end, HN_ALIGNMENT - 1 + GAP, &end)) {
        layout->overflows = 1;
        return NULL;
    }
    layout->used = end / HN_ALIGNMENT * HN_ALIGNMENT;
    if (!layout->base)
        return NULL;
    ASAN_POISON_MEMORY_REGION(layout->base + start + bytes, layout->used - start - bytes);
    return layout->base + start;
}

int64_t hn_memory_fail_at(int64_t k)
{
    return atomic_exchange(&fail_countdown, k);
}

int64_t hn_memory_live_blocks(void)
{
    return atomic_load(&live_blocks);
}
