/* Forks: in the child only the forking thread is left. */
#ifndef HN_BASE_FORKS_H
#define HN_BASE_FORKS_H

#include <stdint.h>

/* A number that is another one in the child of every fork. */
uint64_t hn_forks_count(void);

/* Runs `handler` in the child of every fork from now on, before anything else of the child's. */
void hn_forks_handle(void (*handler)(void));

#endif
