/* Forward only: blocks of groups do not depend on each other. */
#include "hyper_internal.h"
#include "../base/threads.h"

typedef struct predict_job {
    const hn_hyper *hyper;
    const hn_hyper_run *run;
    hyper_sizes sizes;
    int32_t threads; /* inside a block */
} predict_job;

static const hyper_wants nothing;

int hn_hyper_blocks_in_parallel(const hn_hyper *hyper, hn_mode mode, int64_t groups, int64_t rows, int32_t threads)
{
    if (mode != HN_MODE_INFERENCE || threads == 1)
        return 0;
    hyper_sizes sizes = hn_hyper_sizes_of(hyper, mode, groups, rows, 0);
    if (sizes.way == HYPER_SLICED) /* a slice is work enough for all, and its memory is large */
        return 0;
    return groups / sizes.groups >= 2 * (int64_t)threads;
}

static void predict_block(void *context, int64_t chunk, int32_t worker)
{
    predict_job *job = context;
    const hn_hyper_workspace *workspace = job->run->workspace;
    hyper_block block = {
        .hyper = job->hyper, .run = job->run, .workspace = workspace, .slice = &workspace->slices[worker],
        .wants = &nothing, .sizes = job->sizes, .threads = job->threads,
    };
    if (hn_cancel_ask() || hn_hyper_block_begin(&block, chunk * job->sizes.groups))
        return;
    hn_hyper_part_begin(&block, 0, 0);
    do
        if (hn_hyper_part_forward(&block))
            return;
    while (hn_hyper_part_next(&block));
}

/* Estimated nanoseconds of a run at full speed. */
static double total_time(const hn_hyper *hyper, const hn_hyper_run *run)
{
    double group = hyper->head->work(hyper->width) * (double)hyper->count;
    group += hn_plan_work(hyper->target) * (double)run->rows;
    if (hyper->generator)
        group += hn_plan_work(hyper->generator);
    return group * (double)run->groups / 50.0;
}

hn_status hn_hyper_predict(const hn_hyper *hyper, const hn_hyper_run *run, hn_error *error)
{
    hn_status status = hn_hyper_check(hyper, run, 0, error);
    if (status != HN_OK)
        return status;
    hn_hyper_count(0, 1);
    if (run->groups == 0 || run->rows == 0)
        return HN_OK;
    const hn_hyper_workspace *workspace = run->workspace;
    hn_cancel_scope scope;
    hn_hyper_run plain = *run; /* penalties are nobody's business here */
    plain.penalty_l1 = plain.penalty_l2 = NULL;
    predict_job job = {.hyper = hyper, .run = &plain};
    job.sizes = hn_hyper_sizes_of(hyper, workspace->mode, run->groups, run->rows, 0);
    int64_t blocks = (run->groups + job.sizes.groups - 1) / job.sizes.groups;
    hn_cancel_begin(&scope, &run->cancel);
    if (run->threads <= workspace->slice_count &&
        hn_hyper_blocks_in_parallel(hyper, workspace->mode, run->groups, run->rows, run->threads)) {
        job.threads = 1;
        hn_parallel(run->threads, blocks, total_time(hyper, run), predict_block, &job);
    } else {
        job.threads = run->threads;
        for (int64_t block = 0; block < blocks; block++)
            predict_block(&job, block, 0);
    }
    if (hn_cancel_end(&scope))
        return hn_error_set(error, HN_CANCELLED, "the call was cancelled");
    return HN_OK;
}
