/* A block of groups on its way forward: through the generator, then part by part through the target, whose weights are
   generated just before a node runs. */
#include "hyper_internal.h"

#include <string.h>

/* The generator's random numbers are not those of a target whose layers have the same numbers. */
static const uint64_t generator_salt = 0x9E3779B97F4A7C15u;

/* ---- the generator ---- */

/* `view` of the run, from group `group` and row `row` on. */
static hn_view view_at(const hn_view *view, int64_t group, int64_t row, size_t element)
{
    hn_view moved = *view;
    if (view->data)
        moved.data = hn_move(view->data, group * view->group_stride + row * view->row_stride, element);
    return moved;
}

/* Runs the generator without its head, asking between its nodes; 1: cancelled. */
static int run_generator(hyper_block *block)
{
    const hn_plan *plan = block->hyper->generator;
    hn_plan_forward_begin(plan, &block->generator);
    for (int32_t i = 0; i < hn_plan_node_count(plan); i++) {
        hn_plan_forward_node(plan, &block->generator, i);
        if (hn_cancel_ask())
            return 1;
    }
    hn_plan_forward_end(plan, &block->generator);
    hn_hyper_count(block->groups, 0);
    return 0;
}

static int generate_features(hyper_block *block)
{
    const hn_hyper *hyper = block->hyper;
    const hn_hyper_run *run = block->run;
    const hyper_slice *slice = block->slice;
    for (int32_t i = 0; i < hn_plan_input_count(hyper->generator); i++) {
        size_t element = hn_dtype_size(hn_plan_input(hyper->generator, i)->dtype);
        slice->conditions[i] = view_at(&run->conditions[i], block->first, 0, element);
        slice->condition_gradients[i] = (hn_view){.data = NULL};
        if (block->wants->backward && run->condition_gradients) {
            hn_view gradient = run->condition_gradients[i];
            gradient.group_stride = run->conditions[i].group_stride == 0 ? 0 : gradient.group_stride;
            slice->condition_gradients[i] = view_at(&gradient, block->first, 0, element);
        }
    }
    for (int32_t i = 0; i < hyper->generator_entries; i++) {
        hn_source *source = &slice->generator_sources[i];
        *source = run->generator_sources[i];
        source->accumulate = source->accumulate || block->first > 0;
        if (!block->wants->backward)
            source->gradient = NULL;
    }
    block->head.kernel = hyper->head_kernel >= 0 ? slice->generator_sources[hyper->head_kernel] : (hn_source){0};
    block->head.bias = hyper->head_bias >= 0 ? slice->generator_sources[hyper->head_bias] : (hn_source){0};
    if (hyper->head_kernel >= 0) /* the head's own; the rest of the generator must not clear them */
        slice->generator_sources[hyper->head_kernel].gradient = NULL;
    if (hyper->head_bias >= 0)
        slice->generator_sources[hyper->head_bias].gradient = NULL;
    block->generator = (hn_run){
        .groups = block->groups, .rows = 1, .training = run->training, .seed = run->seed ^ generator_salt,
        .call = run->call, .first_row = (uint64_t)block->first, .threads = block->threads, .inputs = slice->conditions,
        .outputs = slice->features, .sources = slice->generator_sources, .workspace = slice->generator,
        .output_gradients = slice->feature_gradient, .input_gradients = slice->condition_gradients,
        .accumulate_input_gradients = block->wants->add_conditions,
        .activity_scale = run->normalizer / (double)run->groups, .activity_penalty = &block->activity[0],
    };
    return run_generator(block);
}

int hn_hyper_block_begin(hyper_block *block, int64_t first)
{
    const hn_hyper *hyper = block->hyper;
    const hn_hyper_run *run = block->run;
    const hyper_slice *slice = block->slice;
    int64_t left = run->groups - first;
    block->first = first;
    block->groups = left < block->sizes.groups ? left : block->sizes.groups;
    block->theta_shared = !hyper->generator && run->theta_stride == 0;
    block->head = (hn_head_call){
        .kernels = hn_plan_kernels(hyper->target), .threads = block->threads, .columns = hyper->count,
        .groups = block->theta_shared ? 1 : block->groups, .width = hyper->width, .base = run->base,
        .quantized = &hyper->quantized,
        .scratch = slice->head_scratch, .scratch_stride = block->workspace->head_scratch_stride,
        .partial = slice->head_partial,
    };
    if (!hyper->generator) {
        block->head.features = hn_move(run->theta, first * run->theta_stride, hyper->element);
        block->head.feature_stride = run->theta_stride;
    } else {
        if (generate_features(block))
            return 1;
        block->head.features = slice->features->data;
        block->head.feature_stride = hyper->width;
    }
    if (hyper->generator && block->wants->features) {
        block->head.feature_gradient = slice->feature_gradient->data;
        block->head.feature_gradient_stride = hyper->width;
        if (!hyper->head->identity)
            memset(block->head.feature_gradient, 0, (size_t)(block->groups * hyper->width) * hyper->element);
    }
    return 0;
}

/* ---- theta ---- */

int hn_hyper_theta_in_place(const hyper_block *block)
{
    return block->hyper->head->identity && !block->run->base;
}

int hn_hyper_kernel_apart(const hyper_block *block, const hyper_node *node)
{
    return node->apart[block->workspace->mode][block->sizes.way];
}

hyper_columns hn_hyper_made(const hyper_block *block, const hyper_node *node)
{
    return node->made[block->workspace->mode][block->sizes.way];
}

int64_t hn_hyper_kept_columns(const hyper_block *block)
{
    return block->hyper->made_columns[block->workspace->mode][block->sizes.way];
}

/* Where a node's weights are to be: in place, in theta of the whole block, or in a tile of their own. */
hyper_place hn_hyper_theta(const hyper_block *block, const hyper_node *node)
{
    const hn_hyper *hyper = block->hyper;
    hyper_columns made = hn_hyper_made(block, node);
    hyper_place place = {block->slice->theta, hn_hyper_padded(hyper, made.count)};
    if (hn_hyper_theta_in_place(block))
        place = (hyper_place){hn_move(block->head.features, node->column, hyper->element), block->head.feature_stride};
    else if (block->sizes.keep)
        place = (hyper_place){hn_move(block->slice->theta, made.at, hyper->element),
                              hn_hyper_padded(hyper, hn_hyper_kept_columns(block))};
    if (block->theta_shared)
        place.stride = 0;
    return place;
}

/* Generates a node's weights for all groups of the block. */
void hn_hyper_fill(hyper_block *block, const hyper_node *node)
{
    hyper_place place = hn_hyper_theta(block, node);
    hyper_columns made = hn_hyper_made(block, node);
    block->hyper->head->fill(&block->head, made.first, made.count, place.data, place.stride);
}

/* ---- the target ---- */

int hn_hyper_part_is_block(const hyper_block *block)
{
    return block->part_groups == block->groups && block->rows == block->run->rows;
}

void hn_hyper_part_begin(hyper_block *block, int64_t part_first, int64_t row)
{
    const hn_hyper *hyper = block->hyper;
    const hn_hyper_run *run = block->run;
    const hyper_slice *slice = block->slice;
    int64_t groups = block->groups - part_first, rows = run->rows - row;
    block->part_first = part_first;
    block->part_groups = groups < block->sizes.part_groups ? groups : block->sizes.part_groups;
    block->row = row;
    block->rows = rows < block->sizes.part_rows ? rows : block->sizes.part_rows;
    int64_t group = block->first + part_first;
    for (int32_t i = 0; i < hn_plan_input_count(hyper->target); i++) {
        size_t element = hn_dtype_size(hn_plan_input(hyper->target, i)->dtype);
        slice->inputs[i] = view_at(&run->inputs[i], group, row, element);
        slice->input_gradients[i] = (hn_view){.data = NULL};
        if (block->wants->backward && run->input_gradients) {
            hn_view gradient = run->input_gradients[i];
            gradient.group_stride = run->inputs[i].group_stride == 0 ? 0 : gradient.group_stride;
            slice->input_gradients[i] = view_at(&gradient, group, row, element);
        }
    }
    for (int32_t i = 0; i < hn_plan_output_count(hyper->target); i++) {
        slice->outputs[i] = run->outputs ? view_at(&run->outputs[i], group, row, hyper->element)
                                         : (hn_view){.data = NULL};
        slice->output_gradients[i] = (hn_view){.data = NULL};
        if (block->wants->backward && run->output_gradients && !run->losses)
            slice->output_gradients[i] = view_at(&run->output_gradients[i], group, row, hyper->element);
    }
    for (int32_t i = 0; i < hyper->target_entries; i++) {
        hn_source *source = &slice->target_sources[i];
        *source = hyper->columns[i] >= 0 ? (hn_source){0} : run->target_sources[i];
        source->accumulate = source->accumulate || group > 0 || row > 0;
        if (!block->wants->backward)
            source->gradient = NULL;
    }
    block->target = (hn_run){
        .groups = block->part_groups, .rows = block->rows, .training = run->training, .seed = run->seed,
        .call = run->call, .first_row = (uint64_t)(group * run->rows + row), .threads = block->threads,
        .inputs = slice->inputs, .outputs = slice->outputs, .sources = slice->target_sources,
        .workspace = slice->target, .output_gradients = slice->output_gradients,
        .input_gradients = slice->input_gradients, .accumulate_input_gradients = block->wants->add_inputs,
        .activity_scale = run->normalizer / ((double)run->groups * (double)run->rows),
        .activity_penalty = &block->activity[1],
    };
}

int hn_hyper_part_next(hyper_block *block)
{
    if (block->row + block->rows < block->run->rows)
        hn_hyper_part_begin(block, block->part_first, block->row + block->rows);
    else if (block->part_first + block->part_groups < block->groups)
        hn_hyper_part_begin(block, block->part_first + block->part_groups, 0);
    else
        return 0;
    return 1;
}

/* Points the source of a kernel that is apart at what it is a mixture of, for the groups of the part. */
static void mix(hyper_block *block, const hyper_node *node)
{
    const hn_hyper *hyper = block->hyper;
    hn_mixture *mixture = &block->slice->mixtures[node - hyper->nodes];
    int later = block->part_first > 0 || block->row > 0;
    hyper->head->mix(&block->head, node->column, mixture);
    mixture->factors = hn_move(mixture->factors, block->part_first * mixture->factor_stride, hyper->element);
    if (mixture->factor_gradient)
        mixture->factor_gradient = hn_move(mixture->factor_gradient,
                                           block->part_first * mixture->factor_gradient_stride, hyper->element);
    mixture->term_accumulate |= later;
    mixture->constant_accumulate |= later;
    if (block->sizes.way == HYPER_SLICED) {
        mixture->slice_rows = hn_hyper_slice_rows(hyper, &node->product, block->sizes.groups, block->run->rows);
        mixture->slice_columns = hn_hyper_slice_columns(hyper, &node->product);
        mixture->tile = block->slice->tile;
        mixture->tile_gradient = block->slice->tile_gradient;
        mixture->tile_stride = hn_hyper_padded(hyper, mixture->slice_rows * mixture->slice_columns);
    }
    block->slice->target_sources[node->entries[0]] = (hn_source){.mixture = mixture};
}

/* Sees to it that a node's weights are there, and points its sources at them. */
static void prepare(hyper_block *block, const hyper_node *node)
{
    const hn_hyper *hyper = block->hyper;
    int start = block->part_first == 0 && block->row == 0;
    int used = node->node >= 0 || hn_hyper_penalized(block, node);
    if (used && !hn_hyper_theta_in_place(block) && (!block->sizes.keep || (start && node->first)))
        hn_hyper_fill(block, node);
    if (start && node->first)
        hn_hyper_penalty_values(block, node);
    hyper_place place = hn_hyper_theta(block, node);
    char *data = hn_move(place.data, block->part_first * place.stride, hyper->element);
    int apart = hn_hyper_kernel_apart(block, node);
    if (apart)
        mix(block, node);
    for (int32_t i = apart; i < node->entry_count; i++) {
        hn_source *source = &block->slice->target_sources[node->entries[i]];
        source->data = hn_move(data, hyper->columns[node->entries[i]] - hn_hyper_made(block, node).first,
                               hyper->element);
        source->group_stride = place.stride;
    }
}

int hn_hyper_part_forward(hyper_block *block)
{
    const hn_hyper *hyper = block->hyper;
    hn_plan_forward_begin(hyper->target, &block->target);
    for (int32_t i = 0; i < hyper->node_count; i++) {
        const hyper_node *node = &hyper->nodes[i];
        if (node->count > 0)
            prepare(block, node);
        if (node->node >= 0)
            hn_plan_forward_node(hyper->target, &block->target, node->node);
        if (hn_cancel_ask())
            return 1;
    }
    hn_plan_forward_end(hyper->target, &block->target);
    return 0;
}
