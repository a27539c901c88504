#include "lock.h"
#include "memory.h"

#include <pthread.h>
#include <time.h>

/* How long a new reader lets a waiting writer go first. Not longer, because a reader that the writer waits for may wait
   for this one: for the interpreter's lock that it holds, or because it reads again in a signal handler. */
enum { POLITENESS_NANOSECONDS = 10000000 };

struct hn_lock {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int64_t readers;
    int claimed, waiting, writing;
};

hn_lock *hn_lock_create(hn_error *error)
{
    hn_lock *lock = hn_memory_allocate(1, sizeof *lock, error);
    if (!lock)
        return NULL;
    pthread_mutex_init(&lock->mutex, NULL);
    pthread_cond_init(&lock->changed, NULL);
    return lock;
}

void hn_lock_free(hn_lock *lock)
{
    if (!lock)
        return;
    pthread_cond_destroy(&lock->changed);
    pthread_mutex_destroy(&lock->mutex);
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
    pthread_mutex_lock(&lock->mutex);
    if (lock->waiting)
        let_writer_go_first(lock);
    while (lock->writing)
        pthread_cond_wait(&lock->changed, &lock->mutex);
    lock->readers++;
    pthread_mutex_unlock(&lock->mutex);
}

void hn_lock_read_end(hn_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
    if (--lock->readers == 0)
        pthread_cond_broadcast(&lock->changed);
    pthread_mutex_unlock(&lock->mutex);
}

hn_status hn_lock_claim(hn_lock *lock, hn_error *error)
{
    pthread_mutex_lock(&lock->mutex);
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
    pthread_mutex_lock(&lock->mutex);
    lock->claimed = 0;
    pthread_mutex_unlock(&lock->mutex);
}

void hn_lock_write_begin(hn_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
    lock->waiting = 1;
    while (lock->readers > 0)
        pthread_cond_wait(&lock->changed, &lock->mutex);
    lock->waiting = 0;
    lock->writing = 1;
    pthread_mutex_unlock(&lock->mutex);
}

void hn_lock_write_end(hn_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
    lock->writing = 0;
    pthread_cond_broadcast(&lock->changed);
    pthread_mutex_unlock(&lock->mutex);
}
