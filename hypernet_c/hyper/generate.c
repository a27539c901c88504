/* Theta itself, for callers who want N x P. */
#include "hyper_internal.h"

static const hyper_wants nothing;

hn_status hn_hyper_generate(const hn_hyper *hyper, const hn_hyper_run *run, void *theta, int64_t theta_stride,
                            hn_error *error)
{
    hn_status status = hn_hyper_check_generate(hyper, run, error);
    if (status != HN_OK)
        return status;
    hn_cancel_scope scope;
    hyper_block block = {
        .hyper = hyper, .run = run, .workspace = run->workspace, .slice = &run->workspace->slices[0],
        .wants = &nothing, .threads = run->threads,
        .sizes = hn_hyper_sizes_of(hyper, run->workspace->mode, run->groups, run->rows, 1), /* all weights are made */
    };
    hn_hyper_count(0, 1);
    hn_cancel_begin(&scope, &run->cancel);
    for (int64_t first = 0; first < run->groups && !hn_hyper_block_begin(&block, first); first += block.sizes.groups)
        hyper->head->fill(&block.head, 0, hyper->count, hn_move(theta, block.first * theta_stride, hyper->element),
                          theta_stride);
    if (hn_cancel_end(&scope))
        return hn_error_set(error, HN_CANCELLED, "the call was cancelled");
    return HN_OK;
}
