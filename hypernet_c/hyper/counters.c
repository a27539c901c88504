/* Counting what the pipeline does, since the process started. */
#include "hyper_internal.h"

#include <stdatomic.h>

static _Atomic int64_t total_generator_rows, total_calls;

void hn_hyper_count(int64_t generator_rows, int64_t calls)
{
    if (generator_rows)
        atomic_fetch_add_explicit(&total_generator_rows, generator_rows, memory_order_relaxed);
    if (calls)
        atomic_fetch_add_explicit(&total_calls, calls, memory_order_relaxed);
}

void hn_hyper_counters(int64_t *generator_rows, int64_t *calls)
{
    *generator_rows = atomic_load_explicit(&total_generator_rows, memory_order_relaxed);
    *calls = atomic_load_explicit(&total_calls, memory_order_relaxed);
}
