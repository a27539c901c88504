/* The thread pool. Started at first use, re-created in the child after fork. */
#ifndef HN_BASE_THREADS_H
#define HN_BASE_THREADS_H

#include "status.h"
#include <stdint.h>

#define HN_THREADS_MAX 256

/* Runs chunk number `chunk` of a job. `worker` (0 <= worker < threads) is this thread's slot for scratch memory. */
typedef void (*hn_parallel_body)(void *context, int64_t chunk, int32_t worker);

/* Runs body(context, c, w) for every 0 <= c < chunks and returns when all are done.

   At most `threads` threads, and HN_THREADS_MAX, take part; the caller is one of them (worker 0). Inside a worker,
   when another thread already uses the pool, or when `work` (an estimate in nanoseconds of single-threaded time) is
   too small to gain, all chunks run on the caller, in order. Chunks must be cut by shape alone, never by `threads`,
   and write to disjoint memory, so that results do not depend on the number of threads. In a scope that is cancelled
   (cancel.h) chunks that have not begun are left out. */
void hn_parallel(int32_t threads, int64_t chunks, double work, hn_parallel_body body, void *context);

/* The number of threads that calls use when not told otherwise. First: HYPERNET_NUM_THREADS, else OMP_NUM_THREADS,
   else the processor affinity and the cgroup quota, whichever is smaller. */
int32_t hn_threads_get(void);

/* Sets it; HN_ERROR_VALUE unless 1 <= threads <= HN_THREADS_MAX. */
hn_status hn_threads_set(int32_t threads, hn_error *error);

#endif
