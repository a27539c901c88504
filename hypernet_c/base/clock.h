/* Time that only goes forward. */
#ifndef HN_BASE_CLOCK_H
#define HN_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds since some moment in the past. */
int64_t hn_clock_now(void);

#endif
