/* The memory of runs: one allocation, cut into aligned parts. */
#include "plan_internal.h"
#include "../base/memory.h"
#include "../base/threads.h"

/* Memory for `rows` rows of each slot, and who lives there. */
static void lay_out_slots(hn_layout *parts, const hn_plan *plan, const plan_slots *slots, size_t rows, int of_gradients,
                          char **places)
{
    for (int32_t s = 0; s < slots->count; s++) {
        char *memory = hn_layout_part(parts, rows, slots->bytes[s]);
        for (int32_t i = 0; parts->base && i < plan->tensor_count; i++) {
            const plan_tensor *tensor = &plan->tensors[i];
            if ((of_gradients ? tensor->gradient_slot : tensor->value_slot) == s)
                places[i] = memory;
        }
    }
}

/* Training: every value has a place of its own, and so has what the ops save. */
static void lay_out_training(hn_layout *parts, hn_workspace *workspace, size_t rows)
{
    const hn_plan *plan = workspace->plan;
    size_t element = hn_dtype_size(plan->dtype);
    for (int32_t n = 0; n < plan->node_count; n++) {
        const plan_node *node = &plan->nodes[n];
        const plan_tensor *output = &plan->tensors[node->output];
        char *value = hn_layout_part(parts, rows, (size_t)output->size * hn_dtype_size(output->info.dtype));
        if (parts->base)
            workspace->values[node->output] = value;
        for (int32_t s = 0; s < HN_MAX_SAVED; s++) {
            char *saved = node->saved[s] > 0 ? hn_layout_part(parts, rows, (size_t)node->saved[s] * element) : NULL;
            if (parts->base)
                workspace->saved[n * HN_MAX_SAVED + s] = saved;
        }
    }
    lay_out_slots(parts, plan, &plan->gradients, rows, 1, workspace->gradient_values);
    workspace->temporary = hn_layout_part(parts, rows, (size_t)plan->temporary * element);
}

static void lay_out(hn_layout *parts, hn_workspace *workspace)
{
    const hn_plan *plan = workspace->plan;
    size_t tensors = (size_t)plan->tensor_count, views = (size_t)plan->view_count;
    size_t rows = (size_t)workspace->capacity;
    workspace->views = hn_layout_part(parts, tensors, sizeof(hn_view));
    workspace->gradients = hn_layout_part(parts, tensors, sizeof(hn_view));
    workspace->input_views = hn_layout_part(parts, views, sizeof(hn_view));
    workspace->input_gradients = hn_layout_part(parts, views, sizeof(hn_view));
    workspace->values = hn_layout_part(parts, tensors, sizeof(char *));
    workspace->gradient_values = hn_layout_part(parts, tensors, sizeof(char *));
    workspace->saved = hn_layout_part(parts, (size_t)plan->node_count * HN_MAX_SAVED, sizeof(char *));
    workspace->wanted = hn_layout_part(parts, tensors, 1);
    workspace->started = hn_layout_part(parts, tensors, 1);
    workspace->written = hn_layout_part(parts, (size_t)plan->entry_count, 1);
    workspace->scratch = hn_layout_part(parts, (size_t)workspace->threads, workspace->scratch_stride);
    if (workspace->mode == HN_MODE_TRAINING)
        lay_out_training(parts, workspace, rows);
    else
        lay_out_slots(parts, plan, &plan->values, rows, 0, workspace->values);
}

static size_t round_up(size_t bytes)
{
    return (bytes + HN_SCRATCH_ALIGNMENT - 1) / HN_SCRATCH_ALIGNMENT * HN_SCRATCH_ALIGNMENT;
}

hn_workspace *hn_workspace_create(const hn_plan *plan, int64_t groups, int64_t rows, hn_mode mode, int32_t threads,
                                  hn_error *error)
{
    hn_workspace sizes = {.plan = plan, .mode = mode, .threads = threads};
    if (groups < 0 || rows < 0 || threads < 1 || threads > HN_THREADS_MAX) {
        hn_error_set(error, HN_ERROR_VALUE, "a workspace needs groups >= 0, rows >= 0 and 1 to %d threads, received "
                     "%lld, %lld and %d", HN_THREADS_MAX, (long long)groups, (long long)rows, threads);
        return NULL;
    }
    int overflows = __builtin_mul_overflow(groups, rows, &sizes.capacity);
    sizes.scratch_stride = round_up(plan->kernels->scratch) + round_up(plan->scratch);
    hn_layout parts = {.overflows = overflows};
    hn_layout_part(&parts, 1, sizeof sizes);
    lay_out(&parts, &sizes);
    if (parts.overflows || parts.used > PTRDIFF_MAX) {
        hn_error_set(error, HN_ERROR_MEMORY, "the memory for %lld groups of %lld rows does not fit into the address "
                     "space", (long long)groups, (long long)rows);
        return NULL;
    }
    hn_workspace *workspace = hn_memory_allocate(parts.used, 1, error);
    if (!workspace)
        return NULL;
    sizes.bytes = parts.used;
    parts = (hn_layout){.base = (char *)workspace};
    hn_layout_part(&parts, 1, sizeof sizes);
    *workspace = sizes;
    lay_out(&parts, workspace);
    return workspace;
}

void hn_workspace_free(hn_workspace *workspace)
{
    hn_memory_free(workspace);
}

size_t hn_workspace_bytes(const hn_workspace *workspace)
{
    return workspace->bytes;
}

int hn_workspace_fits(const hn_workspace *workspace, const hn_plan *plan, int64_t groups, int64_t rows, hn_mode mode,
                      int32_t threads)
{
    int64_t product;
    return workspace->plan == plan && groups >= 0 && rows >= 0 && !__builtin_mul_overflow(groups, rows, &product) &&
           product <= workspace->capacity && threads <= workspace->threads &&
           (workspace->mode == mode || workspace->mode == HN_MODE_TRAINING);
}
