/* Theta itself, for callers who want N x P. */
#include "hyper_internal.h"

static const hyper_wants nothing;

/* All columns of one block's groups, in stretches between which the caller is asked; 1: cancelled. */
static int generate_block(hyper_block *block, char *theta, int64_t stride)
{
    const hn_hyper *hyper = block->hyper;
    double column = hyper_time(hyper->head->work(hyper->width) * (double)block->groups);
    int64_t step = hyper_stretch(hyper->count, column);
    for (int64_t at = 0; at < hyper->count; at += step) {
        int64_t count = hyper->count - at < step ? hyper->count - at : step;
        hyper->head->fill(&block->head, at, count, hn_move(theta, block->first * stride + at, hyper->element), stride);
        if (hn_hyper_poll(block, column * (double)count))
            return 1;
    }
    return 0;
}

hn_status hn_hyper_generate(const hn_hyper *hyper, const hn_hyper_run *run, void *theta, int64_t theta_stride,
                            hn_error *error)
{
    hn_status status = hn_hyper_check_generate(hyper, run, error);
    if (status != HN_OK)
        return status;
    hyper_progress progress = {.cancel = &run->cancel};
    hyper_block block = {
        .hyper = hyper, .run = run, .workspace = run->workspace, .slice = &run->workspace->slices[0],
        .wants = &nothing, .progress = &progress, .threads = run->threads, .on_caller = 1,
        .sizes = hn_hyper_sizes_of(hyper, run->workspace->mode, run->groups, run->rows, 1), /* all weights are made */
    };
    hn_hyper_count(0, 1);
    for (int64_t first = 0; first < run->groups; first += block.sizes.groups)
        if (hn_hyper_block_begin(&block, first) || generate_block(&block, theta, theta_stride))
            return hn_error_set(error, HN_CANCELLED, "the call was cancelled");
    return HN_OK;
}
