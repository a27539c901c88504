/* Copying rows, adding them, and summing them over groups. */
#include "plan_internal.h"
#include "../ops/fold.h"
#include <string.h>

enum { FROM, TO, COUNT };
enum { SUM_COLUMNS = 64 }; /* columns summed together: whole cache lines */

typedef struct rows_job {
    const hn_kernels *kernels; /* NULL: copy */
    int64_t size, groups, lead; /* lead: from group to group where groups are summed */
    size_t element;
    int accumulate;
    hn_fold fold;
    hn_folded_view views[COUNT];
} rows_job;

static void piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first, int64_t count)
{
    (void)worker;
    const rows_job *job = context;
    for (int64_t row = first; row < first + count; row++) {
        const char *from = hn_folded_at(&job->views[FROM], job->element, group, segment, row);
        char *to = hn_folded_at(&job->views[TO], job->element, group, segment, row);
        if (job->kernels)
            job->kernels->binary(HN_BINARY_ADD, job->size, to, 1, from, 1, to);
        else
            memcpy(to, from, (size_t)job->size * job->element);
    }
}

/* The same where nothing lies between the rows: a row is one element. */
static void flat_piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                       int64_t count)
{
    (void)worker;
    const rows_job *job = context;
    const char *from = hn_folded_at(&job->views[FROM], job->element, group, segment, first);
    char *to = hn_folded_at(&job->views[TO], job->element, group, segment, first);
    if (job->kernels)
        job->kernels->binary(HN_BINARY_ADD, count, to, 1, from, 1, to);
    else
        memcpy(to, from, (size_t)count * job->element);
}

static void run_rows(rows_job *job, const hn_run *run, const hn_view *from, const hn_view *to)
{
    const hn_view *const views[] = {from, to};
    int64_t widths[] = {job->size, job->size};
    if (job->size == 0)
        return;
    job->fold.views = job->views;
    hn_fold_views(&job->fold, run->groups, run->rows, 1, COUNT, views, widths, 1);
    if (hn_fold_flatten(&job->fold, job->size))
        hn_fold_run(&job->fold, run->threads, 0.3, flat_piece, job);
    else
        hn_fold_run(&job->fold, run->threads, 5.0 + 0.3 * (double)job->size, piece, job);
}

/* to = sum over groups of from, on SUM_COLUMNS columns a row of the fold. Columns do not depend on each other. */
static void sum_piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                      int64_t count)
{
    (void)worker;
    const rows_job *job = context;
    int64_t column = first * SUM_COLUMNS, end = (first + count) * SUM_COLUMNS;
    int64_t columns = (end < job->size ? end : job->size) - column;
    const char *from = hn_folded_at(&job->views[FROM], job->element, group, segment, column);
    char *to = hn_folded_at(&job->views[TO], job->element, group, segment, column);
    if (job->lead >= columns) {
        job->kernels->column_sum(job->groups, columns, from, job->lead, job->accumulate, to);
        return;
    }
    for (int64_t g = 0; g < job->groups; g++) /* groups that overlap or come backwards */
        job->kernels->scale(columns, 1.0, hn_move(from, g * job->lead, job->element), job->accumulate || g > 0, to);
}

static void sum_groups(rows_job *job, const hn_run *run, const hn_view *from, const hn_view *to)
{
    int64_t segments = run->rows;
    if (run->rows == 1 || (from->row_stride == job->size && to->row_stride == job->size)) {
        job->size *= run->rows;
        segments = 1;
    }
    job->groups = run->groups;
    job->lead = from->group_stride;
    job->views[FROM] = (hn_folded_view){from->data, 0, from->row_stride, 1};
    job->views[TO] = (hn_folded_view){to->data, 0, to->row_stride, 1};
    job->fold = (hn_fold){.groups = 1, .segments = segments, .rows = (job->size + SUM_COLUMNS - 1) / SUM_COLUMNS,
                          .count = COUNT, .views = job->views};
    hn_fold_run(&job->fold, run->threads, 0.3 * SUM_COLUMNS * (double)run->groups, sum_piece, job);
}

void hn_plan_add_rows(const hn_plan *plan, const hn_run *run, int64_t size, const hn_view *from, const hn_view *to,
                      int accumulate)
{
    rows_job job = {.kernels = plan->kernels, .size = size, .element = hn_dtype_size(plan->dtype),
                    .accumulate = accumulate};
    if (run->groups > 1 && to->group_stride == 0)
        sum_groups(&job, run, from, to);
    else if (accumulate)
        run_rows(&job, run, from, to);
    else
        hn_plan_copy_rows(run, size, job.element, from, to);
}

void hn_plan_copy_rows(const hn_run *run, int64_t size, size_t element, const hn_view *from, const hn_view *to)
{
    rows_job job = {.size = size, .element = element};
    run_rows(&job, run, from, to);
}
