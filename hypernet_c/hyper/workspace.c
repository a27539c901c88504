/* The memory of runs: one allocation for the pipeline, and a workspace for each plan and slice. */
#include "hyper_internal.h"
#include "../base/memory.h"
#include "../base/threads.h"

static hn_view *view_part(hn_layout *parts, int32_t count)
{
    return hn_layout_part(parts, (size_t)count, sizeof(hn_view));
}

/* Views, sources and the like: as many as the networks have inputs, outputs and entries. */
static void lay_out_tables(hn_layout *parts, const hn_hyper *hyper, hyper_slice *slice)
{
    int32_t conditions = hyper->generator ? hn_plan_input_count(hyper->generator) : 0;
    int32_t inputs = hn_plan_input_count(hyper->target), outputs = hn_plan_output_count(hyper->target);
    slice->conditions = view_part(parts, conditions);
    slice->condition_gradients = view_part(parts, conditions);
    slice->inputs = view_part(parts, inputs);
    slice->input_gradients = view_part(parts, inputs);
    slice->outputs = view_part(parts, outputs);
    slice->output_gradients = view_part(parts, outputs);
    slice->predictions = view_part(parts, outputs);
    slice->features = view_part(parts, 1);
    slice->feature_gradient = view_part(parts, 1);
    slice->generator_sources = hn_layout_part(parts, (size_t)hyper->generator_entries, sizeof(hn_source));
    slice->target_sources = hn_layout_part(parts, (size_t)hyper->target_entries, sizeof(hn_source));
    slice->mixtures = hn_layout_part(parts, (size_t)hyper->node_count, sizeof(hn_mixture));
    slice->targets = hn_layout_part(parts, (size_t)outputs, sizeof(hn_target));
    slice->at_logits = hn_layout_part(parts, (size_t)outputs, 1);
}

/* Numbers: `groups` in a block, `rows` in a part, and what the head needs for `threads` threads. */
static void lay_out_numbers(hn_layout *parts, const hn_hyper_workspace *workspace, hyper_slice *slice, int32_t threads)
{
    const hn_hyper *hyper = workspace->hyper;
    const hn_kernels *kernels = hn_plan_kernels(hyper->target);
    int training = workspace->mode == HN_MODE_TRAINING;
    int64_t groups = hn_hyper_groups_most(hyper, workspace->mode, workspace->groups);
    int64_t theta = hn_hyper_theta_elements(hyper, workspace->mode, groups, workspace->rows);
    int64_t rows = hn_hyper_part_rows(hyper, workspace->mode, workspace->groups, workspace->rows);
    size_t features = (size_t)groups * hyper->element;
    parts->overflows |= theta < 0;
    char *memory = hyper->generator ? hn_layout_part(parts, features, (size_t)hyper->width) : NULL;
    char *gradient = hyper->generator && training ? hn_layout_part(parts, features, (size_t)hyper->width) : NULL;
    if (parts->base) {
        *slice->features = (hn_view){memory, hyper->width, hyper->width};
        *slice->feature_gradient = (hn_view){gradient, hyper->width, hyper->width};
    }
    slice->theta = hn_layout_part(parts, (size_t)theta, hyper->element);
    slice->dtheta = training && !hyper->head->identity ? hn_layout_part(parts, (size_t)theta, hyper->element) : NULL;
    slice->head_scratch = hn_layout_part(parts, (size_t)threads, workspace->head_scratch_stride);
    if (training && hyper->head->partial_size)
        slice->head_partial = hn_layout_part(parts, 1, hyper->head->partial_size(kernels, groups, hyper->width));
    slice->penalties = hn_layout_part(parts, (size_t)groups, sizeof(double));
    for (int32_t i = 0; i < hn_plan_output_count(hyper->target); i++) {
        int64_t size = hn_shape_size(&hn_plan_output(hyper->target, i)->shape);
        char *prediction = hn_layout_part(parts, (size_t)rows * hyper->element, (size_t)size);
        if (parts->base)
            slice->predictions[i] = (hn_view){prediction, 0, size};
    }
    if (!parts->overflows)
        slice->step_scratch = hn_layout_part(parts, 1, hn_step_scratch(hyper->target, 1, rows));
}

/* For kernels that are made slice by slice: never in blocks side by side. */
static void lay_out_tiles(hn_layout *parts, const hn_hyper_workspace *workspace, hyper_slice *slice)
{
    const hn_hyper *hyper = workspace->hyper;
    int64_t groups = hn_hyper_groups_most(hyper, workspace->mode, workspace->groups);
    int64_t tile = hn_hyper_slice_elements(hyper, workspace->mode, groups);
    parts->overflows |= tile < 0;
    if (tile <= 0)
        return;
    slice->tile = hn_layout_part(parts, (size_t)tile, hyper->element);
    if (workspace->mode == HN_MODE_TRAINING)
        slice->tile_gradient = hn_layout_part(parts, (size_t)tile, hyper->element);
}

static void lay_out(hn_layout *parts, hn_hyper_workspace *workspace)
{
    hyper_slice measured = {0};
    workspace->slices = hn_layout_part(parts, (size_t)workspace->slice_count, sizeof *workspace->slices);
    for (int32_t i = 0; i < workspace->slice_count; i++) {
        hyper_slice *slice = parts->base ? &workspace->slices[i] : &measured;
        lay_out_tables(parts, workspace->hyper, slice);
        lay_out_numbers(parts, workspace, slice, i == 0 ? workspace->threads : 1);
        if (i == 0)
            lay_out_tiles(parts, workspace, slice);
    }
}

static hn_status make_plan_workspaces(hn_hyper_workspace *workspace, hn_error *error)
{
    const hn_hyper *hyper = workspace->hyper;
    int64_t groups = hn_hyper_groups_most(hyper, workspace->mode, workspace->groups);
    int64_t rows = hn_hyper_part_rows(hyper, workspace->mode, workspace->groups, workspace->rows);
    for (int32_t i = 0; i < workspace->slice_count; i++) {
        hyper_slice *slice = &workspace->slices[i];
        int32_t threads = i == 0 ? workspace->threads : 1;
        slice->target = hn_workspace_create(hyper->target, 1, rows, workspace->mode, threads, error);
        if (!slice->target)
            return HN_ERROR_MEMORY;
        workspace->bytes += hn_workspace_bytes(slice->target);
        if (!hyper->generator)
            continue;
        slice->generator = hn_workspace_create(hyper->generator, groups, 1, workspace->mode, threads, error);
        if (!slice->generator)
            return HN_ERROR_MEMORY;
        workspace->bytes += hn_workspace_bytes(slice->generator);
    }
    return HN_OK;
}

hn_hyper_workspace *hn_hyper_workspace_create(const hn_hyper *hyper, int64_t groups, int64_t rows, hn_mode mode,
                                              int32_t threads, hn_error *error)
{
    if (groups < 0 || rows < 0 || threads < 1 || threads > HN_THREADS_MAX) {
        hn_error_set(error, HN_ERROR_VALUE, "a workspace needs groups >= 0, rows >= 0 and 1 to %d threads, received "
                     "%lld, %lld and %d", HN_THREADS_MAX, (long long)groups, (long long)rows, threads);
        return NULL;
    }
    if (hn_hyper_check_mode(hyper, mode, error) != HN_OK)
        return NULL;
    hn_hyper_workspace sizes = {.hyper = hyper, .groups = groups, .rows = rows, .mode = mode, .threads = threads};
    sizes.head_scratch_stride = (hyper->head->scratch_size(hn_plan_kernels(hyper->target)) + HN_ALIGNMENT - 1) /
                                HN_ALIGNMENT * HN_ALIGNMENT;
    sizes.slice_count = hn_hyper_blocks_in_parallel(hyper, mode, groups, rows, threads) ? threads : 1;
    hn_layout parts = {.base = NULL};
    hn_layout_part(&parts, 1, sizeof sizes);
    lay_out(&parts, &sizes);
    if (parts.overflows || parts.used > PTRDIFF_MAX) {
        hn_error_set(error, HN_ERROR_MEMORY, "the memory for %lld groups of %lld rows does not fit into the address "
                     "space", (long long)groups, (long long)rows);
        return NULL;
    }
    hn_hyper_workspace *workspace = hn_memory_allocate(parts.used, 1, error);
    if (!workspace)
        return NULL;
    sizes.bytes = parts.used;
    *workspace = sizes;
    parts = (hn_layout){.base = (char *)workspace};
    hn_layout_part(&parts, 1, sizeof sizes);
    lay_out(&parts, workspace);
    if (make_plan_workspaces(workspace, error) == HN_OK)
        return workspace;
    hn_hyper_workspace_free(workspace);
    return NULL;
}

void hn_hyper_workspace_free(hn_hyper_workspace *workspace)
{
    if (!workspace)
        return;
    for (int32_t i = 0; i < workspace->slice_count; i++) {
        hn_workspace_free(workspace->slices[i].generator);
        hn_workspace_free(workspace->slices[i].target);
    }
    hn_memory_free(workspace);
}

size_t hn_hyper_workspace_bytes(const hn_hyper_workspace *workspace)
{
    return workspace->bytes;
}

int hn_hyper_workspace_fits(const hn_hyper_workspace *workspace, const hn_hyper *hyper, int64_t groups, int64_t rows,
                            hn_mode mode, int32_t threads)
{
    return workspace->hyper == hyper && workspace->mode == mode && groups <= workspace->groups &&
           rows <= workspace->rows && threads <= workspace->threads;
}
