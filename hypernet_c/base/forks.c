#include "forks.h"

#include <pthread.h>
#include <stdatomic.h>

static _Atomic uint64_t forks;

static void count_fork(void)
{
    atomic_fetch_add(&forks, 1);
}

static void register_count(void)
{
    pthread_atfork(NULL, NULL, count_fork);
}

uint64_t hn_forks_count(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_count);
    return atomic_load(&forks);
}

void hn_forks_handle(void (*handler)(void))
{
    pthread_atfork(NULL, NULL, handler);
}
