/* values, given: theta = base + what the generator gave, or the caller. One head under two names, for what is different
   is only where theta comes from. */
#include "head.h"
#include "../base/threads.h"
#include "../ops/fold.h"
#include <string.h>

extern const hn_head hn_head_values, hn_head_given;

typedef struct values_job {
    const hn_head_call *call;
    int64_t first, count, ld;
    void *tile;
} values_job;

/* theta[g] = base + features[g] */
static void fill_group(void *context, int64_t group, int32_t worker)
{
    (void)worker;
    const values_job *job = context;
    const hn_head_call *call = job->call;
    size_t element = hn_dtype_size(call->kernels->dtype);
    const void *from = hn_move(call->features, group * call->feature_stride + job->first, element);
    void *to = hn_move(job->tile, group * job->ld, element);
    if (call->base)
        call->kernels->binary(HN_BINARY_ADD, job->count, hn_move(call->base, job->first, element), 1, from, 1, to);
    else
        memcpy(to, from, (size_t)job->count * element);
}

static void fill(const hn_head_call *call, int64_t first, int64_t count, void *tile, int64_t ld)
{
    values_job job = {call, first, count, ld, tile};
    hn_parallel(call->threads, call->groups, 0.3 * (double)(call->groups * count), fill_group, &job);
}

static size_t scratch_size(const hn_kernels *kernels)
{
    (void)kernels;
    return 0;
}

static double work(int64_t width)
{
    (void)width;
    return 1.0;
}

const hn_head hn_head_values = {
    .name = "values", .identity = 1, .scratch_size = scratch_size, .work = work, .fill = fill,
};

const hn_head hn_head_given = {
    .name = "given", .identity = 1, .scratch_size = scratch_size, .work = work, .fill = fill,
};
