/* What the machine can do at most: multiply-adds a second, and bytes a second read from and stored to a buffer.
 *
 * Compiled by limits.py with -O3 -march=native, so that vectors are as wide as the processor's. Every thread does its
 * own work for about the time asked, on its own part of the buffer; the rates of all are added.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(__AVX512F__)
#define WIDTH 64
#elif defined(__AVX__)
#define WIDTH 32
#else
#define WIDTH 16
#endif
#define LANES (WIDTH / sizeof(float))
#define CHAINS 12 /* enough to hide the latency of a multiply-add on two units, few enough for 16 registers */
#define MAX_THREADS 256

typedef float vector __attribute__((vector_size(WIDTH)));

enum { FMA, READ, STORE, STREAM };

typedef struct {
    int kind;
    char *memory;
    size_t bytes;
    double seconds;
    atomic_int *missing; /* threads that are not there yet; negative: give up */
    double rate;
    vector kept;
} job;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static vector fill(float value)
{
    vector filled;
    for (size_t i = 0; i < LANES; i++)
        filled[i] = value;
    return filled;
}

/* Returns flops done. The sums stay finite: x -> x / 2 + 1 converges. */
static double pass_fma(vector *kept)
{
    enum { STEPS = 4096 };
    vector half = fill(.5f), one = fill(1.f), chain[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        chain[i] = *kept + fill((float)i);
    for (int step = 0; step < STEPS; step++)
        for (int i = 0; i < CHAINS; i++)
            chain[i] = chain[i] * half + one;
    for (int i = 0; i < CHAINS; i++)
        *kept += chain[i];
    *kept *= fill(.01f);
    return 2. * STEPS * CHAINS * LANES;
}

static double pass_read(vector *kept, const char *memory, size_t bytes)
{
    enum { AT_ONCE = 8 };
    vector sum[AT_ONCE];
    for (int i = 0; i < AT_ONCE; i++)
        sum[i] = fill(0);
    for (size_t at = 0; at + AT_ONCE * WIDTH <= bytes; at += AT_ONCE * WIDTH)
        for (int i = 0; i < AT_ONCE; i++)
            sum[i] += *(const vector *)(memory + at + (size_t)i * WIDTH);
    for (int i = 0; i < AT_ONCE; i++)
        *kept += sum[i];
    return (double)bytes;
}

static double pass_store(vector *kept, char *memory, size_t bytes)
{
    vector value = *kept;
    for (size_t at = 0; at + 4 * WIDTH <= bytes; at += 4 * WIDTH) {
        *(vector *)(memory + at) = value;
        *(vector *)(memory + at + WIDTH) = value;
        *(vector *)(memory + at + 2 * WIDTH) = value;
        *(vector *)(memory + at + 3 * WIDTH) = value;
        __asm__ volatile("" ::: "memory"); /* else it becomes a call of memset */
    }
    return (double)bytes;
}

/* Stores past the caches, where the processor has such. */
static double pass_stream(vector *kept, char *memory, size_t bytes)
{
#if defined(__SSE2__)
    __m128i value = _mm_setzero_si128();
    for (size_t at = 0; at + 64 <= bytes; at += 64)
        for (size_t i = 0; i < 64; i += 16)
            _mm_stream_si128((__m128i *)(memory + at + i), value);
    _mm_sfence();
    (void)kept;
    return (double)bytes;
#else
    return pass_store(kept, memory, bytes);
#endif
}

static double pass(job *self)
{
    switch (self->kind) {
    case FMA:
        return pass_fma(&self->kept);
    case READ:
        return pass_read(&self->kept, self->memory, self->bytes);
    case STORE:
        return pass_store(&self->kept, self->memory, self->bytes);
    default:
        return pass_stream(&self->kept, self->memory, self->bytes);
    }
}

static void *work(void *argument)
{
    job *self = argument;
    double done = 0, begin, spent;
    atomic_fetch_sub(self->missing, 1);
    while (atomic_load(self->missing) > 0)
        sched_yield();
    if (atomic_load(self->missing) < 0)
        return NULL;
    pass(self); /* the caches hold what they can hold */
    begin = now();
    do {
        done += pass(self);
        spent = now() - begin;
    } while (spent < self->seconds);
    self->rate = done / spent;
    return NULL;
}

/* Flops or bytes a second of all threads together; -1 if they cannot be started. `bytes` is the part of each. */
double limits_measure(int kind, char *memory, size_t bytes, int threads, double seconds)
{
    job jobs[MAX_THREADS];
    pthread_t started[MAX_THREADS];
    atomic_int missing = threads;
    double rate = 0;
    int count = 1;
    if (threads < 1 || threads > MAX_THREADS)
        return -1;
    for (int i = 0; i < threads; i++)
        jobs[i] = (job){kind, memory + (size_t)i * bytes, bytes, seconds, &missing, 0, fill(1.f)};
    while (count < threads && !pthread_create(&started[count], NULL, work, &jobs[count]))
        count++;
    if (count < threads)
        atomic_store(&missing, -2 * MAX_THREADS);
    else
        work(&jobs[0]);
    for (int i = 0; i < count; i++) {
        if (i)
            pthread_join(started[i], NULL);
        rate += jobs[i].rate;
    }
    return count < threads ? -1 : rate;
}
