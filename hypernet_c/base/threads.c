#include "threads.h"
#include "cancel.h"
#include "clock.h"
#include "forks.h"
#include "processors.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Waking a sleeping thread costs about 40 us, handing work to one that spins about 5 us. */
#define SPIN_NANOSECONDS 5000
/* Who waits for the last chunks of its job has nothing else to do, and would wake too late for the next job. */
#define WAIT_NANOSECONDS 100000
#define WORK_IF_AWAKE 10000.0
#define WORK_IF_ASLEEP 40000.0

/* One job at a time. A worker may touch the job only between `entered` + 1 (having then seen `open`) and `entered` - 1;
   the caller closes the job and waits for `entered` to become 0 before it returns. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t wake, done;
    _Atomic int busy;              /* a caller owns the pool */
    _Atomic int open, entered, spinning;
    _Atomic uint64_t generation;   /* number of the job, so that a worker sees a new one */
    int64_t chunks;
    int32_t threads;
    hn_parallel_body body;
    void *context;
    hn_cancel_scope *scope;        /* the caller's */
    int32_t started;               /* threads running besides callers; changed by the owner only */
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

/* The next chunk of each thread's own share, on a cache line of its own. */
static struct share {
    _Alignas(64) _Atomic int64_t next;
} shares[HN_THREADS_MAX];

static _Atomic int32_t thread_count;
static _Thread_local int32_t current_worker = -1; /* this thread's slot while it runs a job */

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Where the share of a thread begins; it ends where the next one's begins. */
static int64_t share_start(int64_t chunks, int32_t threads, int32_t worker)
{
    return chunks / threads * worker + chunks % threads * worker / threads;
}

/* Runs what is left of a share; 0 if cancelled. */
static int run_share(int32_t share, int32_t worker)
{
    int64_t end = share_start(pool.chunks, pool.threads, share + 1);
    int64_t chunk = atomic_load_explicit(&shares[share].next, memory_order_relaxed);
    while (chunk < end) {
        if (hn_cancel_ask())
            return 0;
        if (atomic_compare_exchange_weak(&shares[share].next, &chunk, chunk + 1)) {
            pool.body(pool.context, chunk, worker);
            chunk = atomic_load_explicit(&shares[share].next, memory_order_relaxed);
        }
    }
    return 1;
}

/* A thread begins with the same share of the chunks each time, whose memory may still be in its cache, and then helps
   the others with theirs. */
static void run_chunks(int32_t worker)
{
    current_worker = worker;
    for (int32_t i = 0; i < pool.threads; i++)
        if (!run_share((worker + i) % pool.threads, worker))
            break;
    current_worker = -1;
}

/* Spins for a while, then sleeps, until there is a job newer than `seen`; returns its number. */
static uint64_t wait_for_job(uint64_t seen)
{
    uint64_t latest;
    int64_t until = hn_clock_now() + SPIN_NANOSECONDS;
    atomic_fetch_add(&pool.spinning, 1);
    do {
        for (int i = 0; i < 16; i++) {
            latest = atomic_load_explicit(&pool.generation, memory_order_acquire);
            if (latest != seen) {
                atomic_fetch_sub(&pool.spinning, 1);
                return latest;
            }
            pause_briefly();
        }
    } while (hn_clock_now() < until);
    atomic_fetch_sub(&pool.spinning, 1);
    pthread_mutex_lock(&pool.mutex);
    while ((latest = atomic_load(&pool.generation)) == seen)
        pthread_cond_wait(&pool.wake, &pool.mutex);
    pthread_mutex_unlock(&pool.mutex);
    return latest;
}

static void *worker_main(void *argument)
{
    int32_t worker = (int32_t)((struct share *)argument - shares);
    uint64_t seen = 0;
    for (;;) {
        seen = wait_for_job(seen);
        atomic_fetch_add(&pool.entered, 1);
        if (atomic_load(&pool.open) && worker < pool.threads) {
            hn_cancel_join(pool.scope);
            run_chunks(worker);
            hn_cancel_join(NULL);
        }
        if (atomic_fetch_sub(&pool.entered, 1) == 1 && !atomic_load(&pool.open)) {
            pthread_mutex_lock(&pool.mutex);
            pthread_cond_signal(&pool.done);
            pthread_mutex_unlock(&pool.mutex);
        }
    }
    return NULL;
}

/* In the child of a fork only the forking thread is left: the pool starts again from nothing. */
static void reset_after_fork(void)
{
    pthread_mutex_init(&pool.mutex, NULL);
    pthread_cond_init(&pool.wake, NULL);
    pthread_cond_init(&pool.done, NULL);
    atomic_store(&pool.busy, 0);
    atomic_store(&pool.open, 0);
    atomic_store(&pool.entered, 0);
    atomic_store(&pool.spinning, 0);
    pool.started = 0;
    current_worker = -1;
}

static void register_fork_handler(void)
{
    hn_forks_handle(reset_after_fork);
}

/* Starts threads until `wanted` are running besides the caller; fewer if the system gives no more. */
static void start_workers(int32_t wanted)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (pool.started >= wanted)
        return;
    pthread_once(&once, register_fork_handler);
    sigset_t all, before; /* signals belong to the program's own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.started < wanted) {
        pthread_t thread;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        int failed = pthread_create(&thread, &attributes, worker_main, &shares[pool.started + 1]);
        pthread_attr_destroy(&attributes);
        if (failed)
            break;
        pool.started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void wait_until_left(void)
{
    int64_t start = hn_clock_now();
    while (atomic_load(&pool.entered) != 0) {
        int64_t waited = hn_clock_now() - start;
        if (waited < SPIN_NANOSECONDS)
            pause_briefly();
        else
            sched_yield(); /* to a worker that waits for this processor */
        if (waited < WAIT_NANOSECONDS)
            continue;
        pthread_mutex_lock(&pool.mutex);
        while (atomic_load(&pool.entered) != 0)
            pthread_cond_wait(&pool.done, &pool.mutex);
        pthread_mutex_unlock(&pool.mutex);
    }
}

static void run_on_pool(int32_t threads, int64_t chunks, hn_parallel_body body, void *context)
{
    start_workers(threads - 1);
    pool.body = body;
    pool.context = context;
    pool.chunks = chunks;
    pool.threads = threads;
    pool.scope = hn_cancel_current();
    for (int32_t i = 0; i < threads; i++)
        atomic_store_explicit(&shares[i].next, share_start(chunks, threads, i), memory_order_relaxed);
    atomic_store(&pool.open, 1);
    pthread_mutex_lock(&pool.mutex);
    atomic_fetch_add(&pool.generation, 1);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.mutex);
    run_chunks(0);
    atomic_store(&pool.open, 0);
    wait_until_left();
}

void hn_parallel(int32_t threads, int64_t chunks, double work, hn_parallel_body body, void *context)
{
    threads = threads < HN_THREADS_MAX ? threads : HN_THREADS_MAX;
    double worthwhile = atomic_load_explicit(&pool.spinning, memory_order_relaxed) ? WORK_IF_AWAKE : WORK_IF_ASLEEP;
    int idle = 0;
    if (threads > 1 && chunks > 1 && work >= worthwhile && current_worker < 0 &&
        atomic_compare_exchange_strong(&pool.busy, &idle, 1)) {
        run_on_pool(threads < chunks ? threads : (int32_t)chunks, chunks, body, context);
        atomic_store(&pool.busy, 0);
        return;
    }
    int32_t worker = current_worker > 0 && current_worker < threads ? current_worker : 0;
    for (int64_t chunk = 0; chunk < chunks && !hn_cancel_ask(); chunk++)
        body(context, chunk, worker);
}

/* The value of an environment variable as a thread count, or 0. */
static int32_t count_from_environment(const char *name)
{
    const char *text = getenv(name);
    if (!text || !*text)
        return 0;
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || (*end && *end != ',') || value < 1)
        return 0;
    return value > HN_THREADS_MAX ? HN_THREADS_MAX : (int32_t)value;
}

int32_t hn_threads_get(void)
{
    int32_t count = atomic_load_explicit(&thread_count, memory_order_relaxed);
    if (count)
        return count;
    count = count_from_environment("HYPERNET_NUM_THREADS");
    if (!count)
        count = count_from_environment("OMP_NUM_THREADS");
    if (!count)
        count = hn_processors_available();
    if (count > HN_THREADS_MAX)
        count = HN_THREADS_MAX;
    atomic_store(&thread_count, count);
    return count;
}

hn_status hn_threads_set(int32_t threads, hn_error *error)
{
    if (threads < 1 || threads > HN_THREADS_MAX)
        return hn_error_set(error, HN_ERROR_VALUE, "the number of threads must be between 1 and %d; got %d",
                            HN_THREADS_MAX, threads);
    atomic_store(&thread_count, threads);
    return HN_OK;
}
