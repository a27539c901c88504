/* The thread pool, without anything to compute. Each part prints "N checked", the number of jobs that it ran:

     threads counts     every number of chunks and threads: each chunk runs once, a worker is one thread at a time
     threads uneven     the same with chunks that take very different times, so that threads help with other shares
     threads helping    a share whose owner is stuck is done by the others */
#include "base/clock.h"
#include "base/threads.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CHUNKS = 200, MOST_THREADS = 9, TOO_MANY = HN_THREADS_MAX + 44 };
static const double worthwhile = 1e9; /* enough work to wake others for */
static const int64_t patience_ns = 60000000000; /* before a job counts as stuck */

typedef struct job {
    int64_t chunks;
    int32_t threads;
    int64_t slow_first, slow_every; /* every so many chunks from the first on take long; 0: none */
    _Atomic int runs[TOO_MANY], inside[HN_THREADS_MAX];
    _Atomic int wrong_chunk, wrong_worker, shared_worker;
    _Atomic int64_t finished;
} job;

static job current;
static int64_t jobs;

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "line %d: %s (chunks %lld, threads %d)\n", __LINE__, #condition, \
                    (long long)current.chunks, (int)current.threads); \
            exit(1); \
        } \
    } while (0)

static void spin(int64_t nanoseconds)
{
    int64_t until = hn_clock_now() + nanoseconds;
    while (hn_clock_now() < until) {
    }
}

static void note_run(job *j, int64_t chunk, int32_t worker)
{
    if (worker < 0 || worker >= j->threads || worker >= HN_THREADS_MAX) {
        atomic_store(&j->wrong_worker, 1);
        return;
    }
    if (chunk < 0 || chunk >= j->chunks) {
        atomic_store(&j->wrong_chunk, 1);
        return;
    }
    if (atomic_exchange(&j->inside[worker], 1))
        atomic_store(&j->shared_worker, 1);
    if (j->slow_every && chunk >= j->slow_first && (chunk - j->slow_first) % j->slow_every == 0)
        spin(20000 + chunk % 7 * 20000);
    atomic_fetch_add(&j->runs[chunk], 1);
    atomic_store(&j->inside[worker], 0);
    atomic_fetch_add(&j->finished, 1);
}

static void body(void *context, int64_t chunk, int32_t worker)
{
    note_run(context, chunk, worker);
}

static void begin(int64_t chunks, int32_t threads)
{
    memset(&current, 0, sizeof current);
    current.chunks = chunks;
    current.threads = threads;
}

static void run(hn_parallel_body what)
{
    hn_parallel(current.threads, current.chunks, worthwhile, what, &current);
    CHECK(!current.wrong_worker && !current.wrong_chunk && !current.shared_worker);
    for (int64_t chunk = 0; chunk < current.chunks; chunk++)
        CHECK(current.runs[chunk] == 1);
    CHECK(current.finished == current.chunks);
    jobs++;
}

static void test_counts(void)
{
    for (int64_t chunks = 0; chunks <= MOST_CHUNKS; chunks++)
        for (int32_t threads = 1; threads <= MOST_THREADS; threads++) {
            begin(chunks, threads);
            run(body);
        }
    begin(TOO_MANY, TOO_MANY);
    run(body);
}

/* A slow first share, a slow last one, a slow chunk alone, slow ones here and there. */
static void test_uneven(void)
{
    for (int64_t chunks = 1; chunks <= MOST_CHUNKS; chunks++)
        for (int32_t threads = 1; threads <= MOST_THREADS; threads++) {
            const int64_t patterns[4][2] = {
                {0, chunks / 5 + 1}, {chunks - chunks / threads, 3}, {chunks * 5 / 9, chunks}, {chunks % 3, 40},
            };
            const int64_t *pattern = patterns[(chunks + threads) % 4];
            begin(chunks, threads);
            current.slow_first = pattern[0];
            current.slow_every = pattern[1];
            run(body);
        }
}

/* Chunk 0 waits until all others are done: were nobody to help with the rest of its share, it would wait for ever. */
static void stuck_body(void *context, int64_t chunk, int32_t worker)
{
    job *j = context;
    int64_t until = hn_clock_now() + patience_ns;
    while (chunk == 0 && atomic_load(&j->finished) < j->chunks - 1 && hn_clock_now() < until) {
    }
    CHECK(hn_clock_now() < until);
    note_run(j, chunk, worker);
}

static void test_helping(void)
{
    for (int64_t chunks = 2; chunks <= MOST_CHUNKS; chunks += 11)
        for (int32_t threads = 2; threads <= MOST_THREADS; threads++) {
            begin(chunks, threads);
            run(stuck_body);
        }
}

int main(int count, char **arguments)
{
    static const struct { const char *name; void (*run)(void); } parts[] = {
        {"counts", test_counts}, {"uneven", test_uneven}, {"helping", test_helping}};
    for (size_t i = 0; count == 2 && i < sizeof parts / sizeof *parts; i++)
        if (strcmp(arguments[1], parts[i].name) == 0) {
            parts[i].run();
            printf("%lld checked\n", (long long)jobs);
            return 0;
        }
    return 2;
}
