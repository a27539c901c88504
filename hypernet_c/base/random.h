/* Counter-based random numbers (Philox 4x32-10; Salmon, Moraes, Dror, Shaw, SC 2011): no state, any order. */
#ifndef HN_BASE_RANDOM_H
#define HN_BASE_RANDOM_H

#include <stdint.h>

/* Names one stream: the same seed, layer and call give the same numbers at the same (row, element). */
typedef struct hn_random_key {
    uint64_t seed;
    uint32_t layer; /* position of the op in its plan, with the plan's own offset */
    uint32_t call;  /* number of the call (of the step) */
} hn_random_key;

/* Uniform numbers in [0, 1) with 24 random bits, elements first .. first + count - 1 of `row`. */
void hn_random_uniform(const hn_random_key *key, uint64_t row, int64_t first, int64_t count, float *values);

#endif
