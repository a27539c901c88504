/* How many processors this process may use. */
#ifndef HN_BASE_PROCESSORS_H
#define HN_BASE_PROCESSORS_H

/* Processors in the affinity mask, limited by the control group's quota (rounded up); at least 1. */
int hn_processors_available(void);

#endif
