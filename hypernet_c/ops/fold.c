/* Folding groups and rows, and running over them in blocks. */
#include "fold.h"
#include "../base/threads.h"

/* Blocks are about this long, in nanoseconds: long against handing them out, short against waiting for the last. */
static const double block_cost = 20000.0;

static int merges(const hn_fold *fold)
{
    for (int32_t i = 0; i < fold->count; i++) {
        const hn_folded_view *view = &fold->views[i];
        if (view->data && view->group != fold->rows * view->ld)
            return 0;
    }
    return 1;
}

void hn_fold_views(hn_fold *fold, int64_t groups, int64_t rows, int64_t positions, int32_t count,
                   const hn_view *const *views, const int64_t *widths, int merge)
{
    int gapless = 1, wide = 1; /* wide: groups are as far apart as one row at least, so that they can become rows */
    fold->groups = groups;
    fold->count = count;
    for (int32_t i = 0; i < count; i++) {
        if (views[i]->data && rows != 1 && views[i]->row_stride != positions * widths[i])
            gapless = 0;
        if (views[i]->data && views[i]->group_stride < widths[i])
            wide = 0;
    }
    int rows_only = !gapless && positions == 1;
    int singles = merge && wide && rows == 1 && positions == 1 && groups != 1;
    fold->segments = gapless || rows_only ? 1 : rows;
    fold->rows = gapless || rows_only ? rows * positions : positions;
    for (int32_t i = 0; i < count; i++) {
        hn_folded_view *view = &fold->views[i];
        view->data = views[i]->data;
        view->group = views[i]->group_stride;
        view->segment = fold->segments == 1 ? 0 : views[i]->row_stride;
        view->ld = singles ? view->group : rows_only ? views[i]->row_stride : widths[i];
    }
    if (groups != 1 && (singles || (merge && fold->segments == 1 && merges(fold)))) {
        fold->rows *= groups;
        fold->groups = 1;
    }
}

int hn_fold_flatten(hn_fold *fold, int64_t width)
{
    for (int32_t i = 0; i < fold->count; i++)
        if (fold->views[i].data && fold->views[i].ld != width)
            return 0;
    fold->rows *= width;
    for (int32_t i = 0; i < fold->count; i++)
        fold->views[i].ld = 1;
    return 1;
}

typedef struct fold_job {
    const hn_fold *fold;
    hn_piece piece;
    const void *context;
    int64_t total, block;
} fold_job;

static void fold_chunk(void *context, int64_t chunk, int32_t worker)
{
    const fold_job *job = context;
    const hn_fold *fold = job->fold;
    int64_t at = chunk * job->block;
    int64_t end = at + job->block < job->total ? at + job->block : job->total;
    while (at < end) {
        int64_t stretch = at / fold->rows, first = at % fold->rows;
        int64_t count = fold->rows - first < end - at ? fold->rows - first : end - at;
        job->piece(job->context, worker, stretch / fold->segments, stretch % fold->segments, first, count);
        at += count;
    }
}

void hn_fold_run(const hn_fold *fold, int32_t threads, double row_cost, hn_piece piece, const void *context)
{
    int64_t total = fold->groups * fold->segments * fold->rows;
    if (total == 0)
        return;
    double work = (double)total * row_cost;
    if (work <= block_cost && fold->groups * fold->segments == 1) {
        piece(context, 0, 0, 0, 0, total);
        return;
    }
    double rows = block_cost / row_cost;
    int64_t block = rows >= (double)total ? total : rows <= 1.0 ? 1 : (int64_t)rows;
    if (block > 64)
        block = (block + 63) / 64 * 64; /* elements of flattened folds: whole vectors and cache lines */
    fold_job job = {fold, piece, context, total, block};
    int64_t chunks = (total + block - 1) / block;
    if (chunks == 1)
        fold_chunk(&job, 0, 0);
    else
        hn_parallel(threads, chunks, work, fold_chunk, &job);
}
