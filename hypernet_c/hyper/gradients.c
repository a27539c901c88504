/* Forward, losses, backward: blocks in order, each of them with all threads. */
#include "hyper_internal.h"

#include <string.h>

/* ---- what is wanted ---- */

static int any_view(const hn_view *views, int32_t count)
{
    for (int32_t i = 0; views && i < count; i++)
        if (views[i].data)
            return 1;
    return 0;
}

/* 1 if a gradient is wanted for something that several groups share. */
static int any_shared(const hn_view *gradients, const hn_view *views, int32_t count, int64_t groups)
{
    for (int32_t i = 0; gradients && groups > 1 && i < count; i++)
        if (gradients[i].data && views[i].group_stride == 0)
            return 1;
    return 0;
}

static hyper_wants wants_of(const hn_hyper *hyper, const hn_hyper_run *run)
{
    int32_t conditions = hyper->generator ? hn_plan_input_count(hyper->generator) : 0;
    int32_t inputs = hn_plan_input_count(hyper->target);
    hyper_wants wants = {.features = any_view(run->condition_gradients, conditions)};
    wants.theta = !hyper->generator && run->theta_gradient;
    for (int32_t i = 0; i < hyper->generator_entries; i++) {
        int wanted = run->generator_sources[i].gradient != NULL;
        wants.theta |= wanted;
        wants.features |= wanted && i != hyper->head_kernel && i != hyper->head_bias;
    }
    wants.theta |= wants.features;
    wants.backward = wants.theta || any_view(run->input_gradients, inputs);
    for (int32_t i = 0; i < hyper->target_entries; i++)
        wants.backward |= hyper->columns[i] < 0 && run->target_sources[i].gradient;
    wants.add_conditions = any_shared(run->condition_gradients, run->conditions, conditions, run->groups);
    wants.add_inputs = any_shared(run->input_gradients, run->inputs, inputs, run->groups);
    return wants;
}

static void clear_views(const hn_plan *plan, const hn_view *gradients, const hn_view *views, int64_t groups,
                        int64_t rows)
{
    for (int32_t i = 0; gradients && i < hn_plan_input_count(plan); i++) {
        const hn_tensor_info *info = hn_plan_input(plan, i);
        size_t element = hn_dtype_size(info->dtype), bytes = (size_t)hn_shape_size(&info->shape) * element;
        for (int64_t g = 0; gradients[i].data && g < (views[i].group_stride == 0 ? 1 : groups); g++)
            for (int64_t r = 0; r < rows; r++)
                memset(hn_move(gradients[i].data, g * gradients[i].group_stride + r * gradients[i].row_stride, element),
                       0, bytes);
    }
}

/* Clears the gradients to which all blocks add, and those of what the generator has but does not use. */
static void clear(const hn_hyper *hyper, const hn_hyper_run *run, const hyper_wants *wants)
{
    if (hyper->generator)
        clear_views(hyper->generator, run->condition_gradients, run->conditions, run->groups, 1);
    if (wants->add_inputs)
        clear_views(hyper->target, run->input_gradients, run->inputs, run->groups, run->rows);
    for (int32_t i = 0; i < hyper->generator_entries; i++)
        if (run->generator_sources[i].gradient && !run->generator_sources[i].accumulate)
            memset(run->generator_sources[i].gradient, 0, (size_t)hyper->unused_sizes[i] * hyper->element);
}

/* ---- losses ---- */

static int without_gaps(const hn_view *view, int64_t groups, int64_t rows, int64_t size)
{
    return view->data && (rows == 1 || view->row_stride == size) && (groups == 1 || view->group_stride == rows * size);
}

/* Losses read outputs without gaps: they are computed there, or in memory for the part. */
static void place_predictions(hyper_block *block)
{
    const hn_hyper *hyper = block->hyper;
    for (int32_t i = 0; i < hn_plan_output_count(hyper->target); i++) {
        int64_t size = hn_shape_size(&hn_plan_output(hyper->target, i)->shape);
        if (!without_gaps(&block->slice->outputs[i], block->part_groups, block->rows, size))
            block->slice->outputs[i] = (hn_view){block->slice->predictions[i].data, block->rows * size, size};
    }
}

/* Predictions that were computed elsewhere go to where the caller wants them. */
static void deliver_predictions(const hyper_block *block)
{
    const hn_hyper *hyper = block->hyper;
    size_t element = hyper->element;
    for (int32_t i = 0; block->run->outputs && i < hn_plan_output_count(hyper->target); i++) {
        const hn_view *to = &block->run->outputs[i], *from = &block->slice->outputs[i];
        int64_t size = hn_shape_size(&hn_plan_output(hyper->target, i)->shape);
        if (!to->data || from->data != block->slice->predictions[i].data)
            continue;
        for (int64_t g = 0; g < block->part_groups; g++)
            for (int64_t r = 0; r < block->rows; r++)
                memcpy(hn_move(to->data, (block->first + block->part_first + g) * to->group_stride +
                               (block->row + r) * to->row_stride, element),
                       hn_move(from->data, g * from->group_stride + r * from->row_stride, element),
                       (size_t)size * element);
    }
}

/* The targets of the part at hand. */
static void place_targets(const hyper_block *block)
{
    int64_t group = block->first + block->part_first;
    for (int32_t i = 0; i < hn_plan_output_count(block->hyper->target); i++) {
        hn_target target = block->run->targets[i];
        size_t element = block->run->losses[i].kind == HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY
                             ? sizeof(int64_t) : block->hyper->element;
        target.data = hn_move(target.data, group * target.group_stride + block->row * target.row_stride, element);
        if (target.weight)
            target.weight = hn_move(target.weight, group * target.weight_group_stride +
                                    block->row * target.weight_row_stride, block->hyper->element);
        block->slice->targets[i] = target;
    }
}

static void part_losses(hyper_block *block, hn_step_sums *sums)
{
    const hyper_slice *slice = block->slice;
    place_targets(block);
    hn_step_losses(block->hyper->target, &block->target, block->run->losses, slice->targets,
                   block->wants->backward ? slice->output_gradients : NULL, slice->at_logits, slice->step_scratch,
                   sums);
    block->target.gradient_at_logits = slice->at_logits;
    deliver_predictions(block);
}

/* ---- the run ---- */

static int run_block(hyper_block *block, int64_t first, hn_step_sums *sums)
{
    if (hn_hyper_block_begin(block, first))
        return 1;
    hn_hyper_part_begin(block, 0, 0);
    do {
        if (block->run->losses)
            place_predictions(block);
        if (hn_hyper_part_forward(block))
            return 1;
        if (block->run->losses)
            part_losses(block, sums);
        if (block->wants->backward && hn_hyper_part_backward(block))
            return 1;
    } while (hn_hyper_part_next(block));
    return block->wants->backward && hn_hyper_block_finish(block);
}

hn_status hn_hyper_gradients(const hn_hyper *hyper, const hn_hyper_run *run, hn_error *error)
{
    hn_status status = hn_hyper_check(hyper, run, 1, error);
    if (status != HN_OK)
        return status;
    hyper_wants wants = wants_of(hyper, run);
    const hn_hyper_workspace *workspace = run->workspace;
    if (wants.backward && workspace->mode != HN_MODE_TRAINING)
        return hn_error_set(error, HN_ERROR_RUNTIME, "gradients need a workspace made for training");
    hn_cancel_scope scope;
    hyper_block block = {
        .hyper = hyper, .run = run, .workspace = workspace, .slice = &workspace->slices[0], .wants = &wants,
        .sizes = hn_hyper_sizes_of(hyper, workspace->mode, run->groups, run->rows,
                                                         hyper_run_penalized(run)),
        .threads = run->threads,
    };
    hn_step_sums sums = {.activity = 0.0};
    hn_hyper_count(0, 1);
    clear(hyper, run, &wants);
    hn_cancel_begin(&scope, &run->cancel);
    for (int64_t first = 0; first < run->groups; first += block.sizes.groups)
        if (run_block(&block, first, &sums))
            break;
    if (hn_cancel_end(&scope))
        return hn_error_set(error, HN_CANCELLED, "the call was cancelled");
    sums.activity = block.activity[0] * (double)run->rows + block.activity[1];
    if (run->sums)
        *run->sums = sums;
    if (run->penalty)
        *run->penalty = block.penalty;
    return HN_OK;
}
