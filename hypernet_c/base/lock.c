#include "lock.h"
#include "memory.h"

#include <pthread.h>

struct hn_lock {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int64_t readers;
    int claimed, writing;
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

void hn_lock_read_begin(hn_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
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
    lock->writing = 1;
    while (lock->readers > 0)
        pthread_cond_wait(&lock->changed, &lock->mutex);
    pthread_mutex_unlock(&lock->mutex);
}

void hn_lock_write_end(hn_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
    lock->writing = 0;
    pthread_cond_broadcast(&lock->changed);
    pthread_mutex_unlock(&lock->mutex);
}
