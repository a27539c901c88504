/* Rows of a data set in another order. */
#ifndef HN_TRAIN_GATHER_H
#define HN_TRAIN_GATHER_H

#include <stddef.h>
#include <stdint.h>

/* Row i of `target` = row ids[i] of `source`, for 0 <= i < count; the caller has checked the ids. A row is `bytes`
   long, the rows of the source are `stride` bytes apart, those of the target follow each other. They do not overlap. */
void hn_rows_gather(int32_t threads, int64_t count, const int64_t *ids, size_t bytes, const void *source,
                    ptrdiff_t stride, void *target);

/* Estimated nanoseconds of it. */
double hn_rows_gather_work(int64_t count, size_t bytes);

#endif
