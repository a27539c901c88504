/* One fault of each kind that a sanitizer must report, on purpose: faults part|leak|arithmetic|race. */
#include "base/memory.h"
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* A byte past the first of two parts of one allocation; without gaps it would be the second's. */
static int write_past_a_part(void)
{
    hn_error error;
    hn_layout layout = {.base = NULL};
    hn_layout_part(&layout, HN_ALIGNMENT, 1);
    hn_layout_part(&layout, HN_ALIGNMENT, 1);
    char *block = hn_memory_allocate(layout.used, 1, &error);
    layout = (hn_layout){.base = block};
    volatile char *first = hn_layout_part(&layout, HN_ALIGNMENT, 1);
    hn_layout_part(&layout, HN_ALIGNMENT, 1);
    first[HN_ALIGNMENT] = 1;
    hn_memory_free(block);
    return 0;
}

static int lose_a_block(void)
{
    hn_error error;
    for (int i = 0; i < 4; i++) { /* an old pointer may still lie in a register: not four */
        void *volatile block = hn_memory_allocate(1000, 1, &error);
        block = NULL;
        (void)block;
    }
    return 0;
}

static int overflow(void)
{
    volatile int number = INT_MAX;
    number = number + 1;
    return number == 0;
}

static int shared;

static void *count_up(void *unused)
{
    for (int i = 0; i < 1000; i++)
        shared++;
    return unused;
}

static int race(void)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, count_up, NULL))
            return 1;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return shared == 0;
}

int main(int count, char **arguments)
{
    const struct {
        const char *name;
        int (*run)(void);
    } faults[] = {{"part", write_past_a_part}, {"leak", lose_a_block}, {"arithmetic", overflow}, {"race", race}};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        if (count == 2 && strcmp(arguments[1], faults[i].name) == 0)
            return faults[i].run();
    fprintf(stderr, "usage: faults part|leak|arithmetic|race\n");
    return 2;
}
