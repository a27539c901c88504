#include "gather.h"
#include "../base/threads.h"

#include <string.h>

enum { CHUNK_BYTES = 1 << 16, LINE = 64, AHEAD = 4096 };

typedef struct gather_job {
    int64_t count, chunk;
    const int64_t *ids;
    size_t bytes;
    const char *source;
    ptrdiff_t stride;
    char *target;
} gather_job;

double hn_rows_gather_work(int64_t count, size_t bytes)
{
    return (double)count * (5.0 + 0.15 * (double)bytes);
}

/* The hardware knows where a row goes on, but not where the next one begins. */
static void fetch_ahead(const char *row, size_t bytes)
{
    size_t end = bytes < AHEAD ? bytes : AHEAD;
    for (size_t at = 0; at < end; at += LINE)
        __builtin_prefetch(row + at);
}

static void gather_chunk(void *context, int64_t chunk, int32_t worker)
{
    const gather_job *job = context;
    int64_t first = chunk * job->chunk, end = first + job->chunk < job->count ? first + job->chunk : job->count;
    (void)worker;
    for (int64_t i = first; i < end; i++) {
        if (i + 1 < end)
            fetch_ahead(job->source + job->ids[i + 1] * job->stride, job->bytes);
        memcpy(job->target + (size_t)i * job->bytes, job->source + job->ids[i] * job->stride, job->bytes);
    }
}

void hn_rows_gather(int32_t threads, int64_t count, const int64_t *ids, size_t bytes, const void *source,
                    ptrdiff_t stride, void *target)
{
    gather_job job = {.count = count, .ids = ids, .bytes = bytes, .source = source, .stride = stride,
                      .target = target};
    job.chunk = bytes < CHUNK_BYTES ? (int64_t)(CHUNK_BYTES / (bytes + 1)) + 1 : 1;
    hn_parallel(threads, (count + job.chunk - 1) / job.chunk, hn_rows_gather_work(count, bytes), gather_chunk, &job);
}
