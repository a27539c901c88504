/* Penalties (l1, l2) on generated weights: the mean over the groups. */
#include "hyper_internal.h"
#include "../base/threads.h"

typedef struct penalty_job {
    const hyper_block *block;
    const hyper_node *node;
    hyper_place theta, gradient; /* gradient: no data where values are wanted */
    double scale;
} penalty_job;

static double factor(const double *factors, int32_t entry)
{
    return factors ? factors[entry] : 0.0;
}

int hn_hyper_penalized(const hyper_block *block, const hyper_node *node)
{
    for (int32_t i = 0; i < node->entry_count; i++)
        if (factor(block->run->penalty_l1, node->entries[i]) != 0.0 ||
            factor(block->run->penalty_l2, node->entries[i]) != 0.0)
            return 1;
    return 0;
}

static void one_group(void *context, int64_t group, int32_t worker)
{
    (void)worker;
    const penalty_job *job = context;
    const hn_hyper *hyper = job->block->hyper;
    const hn_hyper_run *run = job->block->run;
    double sum = 0.0;
    for (int32_t i = 0; i < job->node->entry_count; i++) {
        int32_t entry = job->node->entries[i];
        double l1 = factor(run->penalty_l1, entry), l2 = factor(run->penalty_l2, entry);
        int64_t inside = hyper->columns[entry] - job->node->column;
        const char *theta = hn_move(job->theta.data, group * job->theta.stride + inside, hyper->element);
        char *gradient = job->gradient.data ? hn_move(job->gradient.data, group * job->gradient.stride + inside,
                                                      hyper->element) : NULL;
        if (l1 != 0.0 || l2 != 0.0)
            sum += job->block->head.kernels->penalty(hyper->entry_sizes[entry], theta, l1, l2, job->scale, gradient);
    }
    job->block->slice->penalties[group] = sum;
}

/* Runs over the groups of the block; one theta for all groups counts once, with the first block. */
static int run_groups(const hyper_block *block, penalty_job *job)
{
    if (!hn_hyper_penalized(block, job->node) || (block->theta_shared && block->first > 0))
        return 0;
    hn_parallel(block->threads, block->head.groups, 0.5 * (double)(block->head.groups * job->node->count), one_group,
                job);
    return 1;
}

static double share(const hyper_block *block)
{
    return block->theta_shared ? 1.0 : 1.0 / (double)block->run->groups;
}

void hn_hyper_penalty_values(hyper_block *block, const hyper_node *node)
{
    penalty_job job = {.block = block, .node = node, .theta = hn_hyper_theta(block, node)};
    double sum = 0.0;
    if (!run_groups(block, &job))
        return;
    for (int64_t g = 0; g < block->head.groups; g++)
        sum += block->slice->penalties[g];
    block->penalty += sum * share(block);
}

void hn_hyper_penalty_gradients(hyper_block *block, const hyper_node *node)
{
    penalty_job job = {.block = block, .node = node, .theta = hn_hyper_theta(block, node),
                       .gradient = hn_hyper_dtheta(block, node), .scale = share(block) * block->run->normalizer};
    run_groups(block, &job);
}
