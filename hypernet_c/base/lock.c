#include "lock.h"
#include "forks.h"
#include "memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* How long a new reader lets a waiting writer go first. Not longer, because a reader that the writer waits for may wait
   for this one: for the interpreter's lock that it holds, or because it reads again in a signal handler. */
enum { POLITENESS_NANOSECONDS = 10000000 };

struct hn_lock {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int64_t readers;
    int claimed, waiting, writing;
    _Atomic uint64_t forks; /* for which the above holds */
};

/* ---- forks ---- */

/* In the child of a fork the threads that held locks are gone. Their locks begin anew when they are next used. */
static pthread_mutex_t renewal = PTHREAD_MUTEX_INITIALIZER;

static void renew_renewal(void)
{
    pthread_mutex_init(&renewal, NULL);
}

static void register_fork_handler(void)
{
    hn_forks_handle(renew_renewal);
}

static void enter(hn_lock *lock)
{
    uint64_t now = hn_forks_count();
    if (atomic_load_explicit(&lock->forks, memory_order_acquire) != now) {
        pthread_mutex_lock(&renewal);
        if (atomic_load_explicit(&lock->forks, memory_order_relaxed) != now) {
            pthread_mutex_init(&lock->mutex, NULL);
            pthread_cond_init(&lock->changed, NULL);
            lock->readers = 0;
            lock->claimed = lock->waiting = lock->writing = 0;
            atomic_store_explicit(&lock->forks, now, memory_order_release);
        }
        pthread_mutex_unlock(&renewal);
    }
    pthread_mutex_lock(&lock->mutex);
}

/* ---- what this thread reads ---- */

/* So that a writer does not wait for itself: code that runs inside a reading call (a signal handler) may want to write.
   Of reads beyond this many only the number is known, and while there are any, this thread counts as reading all. */
enum { READS_KNOWN = 16 };
static _Thread_local struct {
    const hn_lock *locks[READS_KNOWN];
    int count;
    int64_t unknown;
} reads;

static void reads_add(const hn_lock *lock)
{
    if (reads.count < READS_KNOWN)
        reads.locks[reads.count++] = lock;
    else
        reads.unknown++;
}

static void reads_remove(const hn_lock *lock)
{
    for (int i = reads.count - 1; i >= 0; i--)
        if (reads.locks[i] == lock) {
            reads.locks[i] = reads.locks[--reads.count];
            return;
        }
    reads.unknown--;
}

static int reads_may_have(const hn_lock *lock)
{
    if (reads.unknown > 0)
        return 1;
    for (int i = 0; i < reads.count; i++)
        if (reads.locks[i] == lock)
            return 1;
    return 0;
}

/* ---- locks ---- */

hn_lock *hn_lock_create(hn_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_fork_handler);
    hn_lock *lock = hn_memory_allocate(1, sizeof *lock, error);
    if (!lock)
        return NULL;
    pthread_mutex_init(&lock->mutex, NULL);
    pthread_cond_init(&lock->changed, NULL);
    atomic_store(&lock->forks, hn_forks_count());
    return lock;
}

void hn_lock_free(hn_lock *lock)
{
    if (!lock)
        return;
    if (atomic_load(&lock->forks) == hn_forks_count()) { /* else a thread that is gone may have waited */
        pthread_cond_destroy(&lock->changed);
        pthread_mutex_destroy(&lock->mutex);
    }
    hn_memory_free(lock);
}

static void let_writer_go_first(hn_lock *lock)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += POLITENESS_NANOSECONDS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    while (lock->waiting)
        if (pthread_cond_timedwait(&lock->changed, &lock->mutex, &until) != 0)
            return;
}

void hn_lock_read_begin(hn_lock *lock)
{
    enter(lock);
    if (lock->waiting)
        let_writer_go_first(lock);
    while (lock->writing)
        pthread_cond_wait(&lock->changed, &lock->mutex);
    lock->readers++;
    pthread_mutex_unlock(&lock->mutex);
    reads_add(lock);
}

void hn_lock_read_end(hn_lock *lock)
{
    reads_remove(lock);
    enter(lock);
    if (lock->readers > 0 && --lock->readers == 0) /* there are none in the child of a fork inside a reading call */
        pthread_cond_broadcast(&lock->changed);
    pthread_mutex_unlock(&lock->mutex);
}

/* Whoever reads would wait for itself. */
static hn_status check_not_reading(const hn_lock *lock, hn_error *error)
{
    if (reads_may_have(lock))
        return hn_error_set(error, HN_ERROR_RUNTIME, "a call that reads these parameters is interrupted by this one "
                            "(from a signal handler, say); write when it has ended");
    return HN_OK;
}

hn_status hn_lock_check_claim(hn_lock *lock, hn_error *error)
{
    enter(lock);
    int claimed = lock->claimed;
    pthread_mutex_unlock(&lock->mutex);
    if (!claimed)
        return hn_error_set(error, HN_ERROR_RUNTIME, "these parameters have no writer: claim them first");
    return check_not_reading(lock, error);
}

hn_status hn_lock_claim(hn_lock *lock, hn_error *error)
{
    if (check_not_reading(lock, error) != HN_OK)
        return HN_ERROR_RUNTIME;
    enter(lock);
    int taken = lock->claimed;
    lock->claimed = 1;
    pthread_mutex_unlock(&lock->mutex);
    if (taken)
        return hn_error_set(error, HN_ERROR_RUNTIME, "another thread is writing these parameters (a training step, "
                            "set_weights or apply); a model has one writer at a time");
    return HN_OK;
}

void hn_lock_release(hn_lock *lock)
{
    enter(lock);
    lock->claimed = 0;
    pthread_mutex_unlock(&lock->mutex);
}

void hn_lock_write_begin(hn_lock *lock)
{
    enter(lock);
    lock->waiting = 1;
    while (lock->readers > 0)
        pthread_cond_wait(&lock->changed, &lock->mutex);
    lock->waiting = 0;
    lock->writing = 1;
    pthread_mutex_unlock(&lock->mutex);
}

void hn_lock_write_end(hn_lock *lock)
{
    enter(lock);
    lock->writing = 0;
    pthread_cond_broadcast(&lock->changed);
    pthread_mutex_unlock(&lock->mutex);
}
