/* A block of groups on its way back: part by part through the target, then the head, then the generator. */
#include "hyper_internal.h"

#include <string.h>

/* Where the gradient of a node's weights is made: in that of the features, in one for the whole block, or in a tile. */
hyper_place hn_hyper_dtheta(const hyper_block *block, const hyper_node *node)
{
    const hn_hyper *hyper = block->hyper;
    const hn_hyper_run *run = block->run;
    hyper_columns made = hn_hyper_made(block, node);
    if (!hyper->generator) {
        int64_t stride = block->theta_shared ? 0 : run->theta_gradient_stride;
        return (hyper_place){hn_move(run->theta_gradient, block->first * stride + node->column, hyper->element),
                             stride};
    }
    if (hyper->head->identity)
        return (hyper_place){hn_move(block->slice->feature_gradient->data, node->column, hyper->element),
                             hyper->width};
    if (block->sizes.keep)
        return (hyper_place){hn_move(block->slice->dtheta, made.at, hyper->element),
                             hn_hyper_padded(hyper, hn_hyper_kept_columns(block))};
    return (hyper_place){block->slice->dtheta, hn_hyper_padded(hyper, made.count)};
}

/* 1 if the gradient of theta is complete only after all parts of the block; else after its node. */
static int complete_at_end(const hyper_block *block)
{
    return block->hyper->head->identity || block->hyper->shared || !hn_hyper_part_is_block(block);
}

/* Points the gradients of a node's generated weights at their place. Rows of one group add up over its parts, and all
   groups that share one theta do. */
static void place_gradient(const hyper_block *block, const hyper_node *node)
{
    const hn_hyper *hyper = block->hyper;
    hyper_place place = hn_hyper_dtheta(block, node);
    char *data = hn_move(place.data, block->part_first * place.stride, hyper->element);
    int apart = hn_hyper_kernel_apart(block, node);
    if (apart) /* its gradients are wanted; where they go, the mixture says */
        block->slice->target_sources[node->entries[0]].gradient = block->slice->dtheta;
    for (int32_t i = apart; i < node->entry_count; i++) {
        hn_source *source = &block->slice->target_sources[node->entries[i]];
        source->gradient = hn_move(data, hyper->columns[node->entries[i]] - hn_hyper_made(block, node).first,
                                   hyper->element);
        source->gradient_group_stride = place.stride;
        source->accumulate = block->row > 0 || (block->theta_shared && block->first + block->part_first > 0);
    }
}

/* Weights that no node uses have no gradient but that of a penalty. */
static void clear_unused(const hyper_block *block, const hyper_node *node)
{
    hyper_place place = hn_hyper_dtheta(block, node);
    if (block->part_first > 0 || block->row > 0 || (block->theta_shared && block->first > 0))
        return;
    for (int64_t g = 0; g < block->head.groups; g++)
        memset(hn_move(place.data, g * place.stride, block->hyper->element), 0,
               (size_t)node->count * block->hyper->element);
}

static void pull(hyper_block *block, const hyper_node *node)
{
    hyper_place place = hn_hyper_dtheta(block, node);
    hyper_columns made = hn_hyper_made(block, node);
    block->hyper->head->pull(&block->head, made.first, made.count, place.data, place.stride);
}

static void complete(hyper_block *block, const hyper_node *node)
{
    hn_hyper_penalty_gradients(block, node);
    if (!block->hyper->head->identity)
        pull(block, node);
}

/* A tile has been used for other nodes since the forward pass: generated again, if somebody reads it. */
static void refill(hyper_block *block, const hyper_node *node)
{
    if (hn_hyper_theta_in_place(block) || block->sizes.keep)
        return;
    if ((block->wants->theta && hn_hyper_penalized(block, node)) ||
        (node->node >= 0 && hn_plan_node_needs_weights(block->hyper->target, &block->target, node->node)))
        hn_hyper_fill(block, node);
}

int hn_hyper_part_backward(hyper_block *block)
{
    const hn_hyper *hyper = block->hyper;
    for (int32_t i = 0; block->wants->theta && i < hyper->node_count; i++)
        if (hyper->nodes[i].count > 0 && hyper->nodes[i].node >= 0)
            place_gradient(block, &hyper->nodes[i]);
    hn_plan_backward_begin(hyper->target, &block->target);
    for (int32_t i = hyper->node_count - 1; i >= 0; i--) {
        const hyper_node *node = &hyper->nodes[i];
        if (node->count > 0)
            refill(block, node);
        if (node->node >= 0)
            hn_plan_backward_node(hyper->target, &block->target, node->node);
        else if (block->wants->theta)
            clear_unused(block, node);
        if (node->count > 0 && block->wants->theta && !complete_at_end(block))
            complete(block, node);
        if (hn_cancel_ask())
            return 1;
    }
    hn_plan_backward_end(hyper->target, &block->target);
    return 0;
}

/* The generator without its head, asking between its nodes; 1: cancelled. */
static int generator_backward(hyper_block *block)
{
    const hn_plan *plan = block->hyper->generator;
    hn_plan_backward_begin(plan, &block->generator);
    for (int32_t i = hn_plan_node_count(plan) - 1; i >= 0; i--) {
        hn_plan_backward_node(plan, &block->generator, i);
        if (hn_cancel_ask())
            return 1;
    }
    hn_plan_backward_end(plan, &block->generator);
    return 0;
}

int hn_hyper_block_finish(hyper_block *block)
{
    const hn_hyper *hyper = block->hyper;
    for (int32_t i = hyper->node_count - 1; i >= 0 && block->wants->theta && complete_at_end(block); i--)
        if (hyper->nodes[i].count > 0 && hyper->nodes[i].first)
            complete(block, &hyper->nodes[i]);
    if (hn_cancel_ask())
        return 1;
    return hyper->generator && block->wants->features && generator_backward(block);
}
