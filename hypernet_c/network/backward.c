/* Running a plan backward. The first contribution to a gradient writes, later ones are made beside it and added, in the
   order of the nodes: the same order for any number of threads. */
#include "plan_internal.h"
#include "../base/cancel.h"
#include "../ops/fold.h"
#include <string.h>

/* Gradients of real values are wanted where something below them wants one: an input or a weight. */
void hn_plan_find_wanted(const hn_plan *plan, const hn_run *run)
{
    unsigned char *wanted = run->workspace->wanted;
    for (int32_t i = 0; i < plan->tensor_count; i++) {
        const plan_tensor *tensor = &plan->tensors[i];
        wanted[i] = tensor->input >= 0 && tensor->info.dtype != HN_INT64 && run->input_gradients &&
                    run->input_gradients[tensor->input].data;
    }
    for (int32_t n = 0; n < plan->node_count; n++) {
        const plan_node *node = &plan->nodes[n];
        int any = 0;
        for (int32_t i = 0; i < node->info.input_count; i++)
            any |= wanted[node->inputs[i]];
        for (int32_t i = 0; i < node->info.entry_count; i++)
            any |= run->sources[node->entries[i]].gradient != NULL;
        wanted[node->output] = (unsigned char)any;
    }
}

int hn_plan_node_needs_weights(const hn_plan *plan, const hn_run *run, int32_t node)
{
    const plan_node *at = &plan->nodes[node];
    hn_plan_find_wanted(plan, run);
    for (int32_t i = 0; at->info.entry_count && i < at->info.input_count; i++)
        if (run->workspace->wanted[at->inputs[i]])
            return 1;
    return 0;
}

/* Where gradients are in this run. Rows that groups share have one gradient, the sum over groups. */
static void place_gradients(const hn_plan *plan, const hn_run *run)
{
    hn_workspace *workspace = run->workspace;
    for (int32_t i = 0; i < plan->tensor_count; i++) {
        const plan_tensor *tensor = &plan->tensors[i];
        hn_view *view = &workspace->gradients[i];
        *view = (hn_view){workspace->gradient_values[i], run->rows * tensor->size, tensor->size};
        if (tensor->input >= 0 && workspace->wanted[i]) {
            *view = run->input_gradients[tensor->input];
            if (run->inputs[tensor->input].group_stride == 0)
                view->group_stride = 0;
        }
    }
}

static void contribute(const hn_plan *plan, const hn_run *run, int32_t root, const hn_view *from)
{
    hn_workspace *workspace = run->workspace;
    hn_plan_add_rows(plan, run, plan->tensors[root].size, from, &workspace->gradients[root], workspace->started[root]);
    workspace->started[root] = 1;
}

void hn_plan_backward_begin(const hn_plan *plan, const hn_run *run)
{
    hn_workspace *workspace = run->workspace;
    hn_plan_place_values(plan, run);
    hn_plan_find_wanted(plan, run);
    place_gradients(plan, run);
    for (int32_t i = 0; i < plan->tensor_count; i++)
        workspace->started[i] = plan->tensors[i].input >= 0 && run->accumulate_input_gradients;
    memset(workspace->written, 0, (size_t)plan->entry_count);
    if (run->groups == 0 || run->rows == 0 || !run->output_gradients)
        return;
    for (int32_t i = 0; i < plan->output_count; i++) {
        int32_t root = plan->tensors[plan->outputs[i]].root;
        if (run->output_gradients[i].data && workspace->wanted[root])
            contribute(plan, run, root, &run->output_gradients[i]);
    }
}

/* ---- entries ---- */

/* The sources of a node for this backward: what has been written already is added to. */
static void node_sources(const hn_run *run, const plan_node *node, hn_source *sources)
{
    for (int32_t i = 0; i < node->info.entry_count; i++) {
        sources[i] = run->sources[node->entries[i]];
        sources[i].accumulate = sources[i].accumulate || run->workspace->written[node->entries[i]];
    }
}

static void mixture_clear(const hn_mixture *mixture, size_t bytes, size_t element)
{
    for (int64_t k = 0; mixture->term_gradient && !mixture->term_accumulate && k < mixture->count; k++)
        memset(hn_move(mixture->term_gradient, k * mixture->term_stride, element), 0, bytes);
    if (mixture->constant_gradient && !mixture->constant_accumulate)
        memset(mixture->constant_gradient, 0, bytes);
}

/* Zero, unless it holds something or is added to. */
static void entry_clear(const hn_plan *plan, const hn_run *run, int32_t entry)
{
    const hn_source *source = &run->sources[entry];
    size_t element = hn_dtype_size(plan->dtype), bytes = (size_t)plan->entry_sizes[entry] * element;
    if (!source->gradient || source->accumulate || run->workspace->written[entry])
        return;
    int64_t groups = source->gradient_group_stride ? run->groups : 1;
    if (source->mixture)
        mixture_clear(source->mixture, bytes, element);
    for (int64_t g = 0; !source->mixture && g < groups; g++)
        memset(hn_move(source->gradient, g * source->gradient_group_stride, element), 0, bytes);
    run->workspace->written[entry] = 1;
}

/* ---- nodes ---- */

/* Chooses where the op writes the gradients of its inputs: in place where it is the first contribution to one that ops
   can write to, else into temporary memory. */
static void place_input_gradients(const hn_plan *plan, const hn_run *run, const plan_node *node)
{
    hn_workspace *workspace = run->workspace;
    hn_view *views = &workspace->input_gradients[node->first_view];
    char *temporary = workspace->temporary;
    for (int32_t i = 0; i < node->info.input_count; i++) {
        int32_t root = node->inputs[i];
        const plan_tensor *tensor = &plan->tensors[root];
        const hn_view *gradient = &workspace->gradients[root];
        int first = !workspace->started[root];
        for (int32_t earlier = 0; earlier < i; earlier++)
            first = first && node->inputs[earlier] != root;
        if (!workspace->wanted[root]) {
            views[i] = (hn_view){.data = NULL};
        } else if (first && hn_plan_writable(run, tensor->size, gradient)) {
            views[i] = *gradient;
        } else {
            views[i] = hn_view_packed(temporary, run->rows, tensor->size);
            temporary += run->groups * run->rows * tensor->size * (int64_t)hn_dtype_size(plan->dtype);
        }
    }
}

static void gather_input_gradients(const hn_plan *plan, const hn_run *run, const plan_node *node)
{
    hn_workspace *workspace = run->workspace;
    const hn_view *views = &workspace->input_gradients[node->first_view];
    for (int32_t i = 0; i < node->info.input_count; i++) {
        int32_t root = node->inputs[i];
        if (views[i].data == NULL)
            continue;
        if (views[i].data == workspace->gradients[root].data)
            workspace->started[root] = 1;
        else
            contribute(plan, run, root, &views[i]);
    }
}

/* 1 if there is a gradient to take back through the node. */
static int node_begins(const hn_plan *plan, const hn_run *run, const plan_node *node)
{
    const hn_workspace *workspace = run->workspace;
    const plan_tensor *output = &plan->tensors[node->output];
    if (!workspace->wanted[node->output] || output->size == 0)
        return 0;
    if (workspace->started[node->output])
        return 1;
    if (!(node->op->flags & HN_OP_PENALIZES) || run->activity_scale == 0.0)
        return 0;
    memset(workspace->gradients[node->output].data, 0,
           (size_t)(run->groups * run->rows * output->size) * hn_dtype_size(plan->dtype));
    return 1;
}

void hn_plan_backward_node(const hn_plan *plan, const hn_run *run, int32_t index)
{
    const plan_node *node = &plan->nodes[index];
    hn_workspace *workspace = run->workspace;
    hn_source sources[HN_MAX_ENTRIES];
    if (run->groups == 0 || run->rows == 0 || !node_begins(plan, run, node)) {
        for (int32_t i = 0; i < node->info.entry_count; i++)
            entry_clear(plan, run, node->entries[i]);
        return;
    }
    place_input_gradients(plan, run, node);
    node_sources(run, node, sources);
    hn_op_call call = hn_plan_call(plan, run, node);
    call.sources = sources;
    call.output_gradient = workspace->gradients[node->output];
    call.input_gradients = &workspace->input_gradients[node->first_view];
    call.gradient_at_logits = node->fused_output >= 0 && run->gradient_at_logits &&
                              run->gradient_at_logits[node->fused_output];
    node->op->backward(&call);
    for (int32_t i = 0; i < node->info.entry_count; i++)
        workspace->written[node->entries[i]] = 1;
    gather_input_gradients(plan, run, node);
}

static void input_clear(const hn_plan *plan, const hn_run *run, int32_t input)
{
    int32_t root = plan->inputs[input];
    const plan_tensor *tensor = &plan->tensors[root];
    const hn_view *view = &run->workspace->gradients[root];
    size_t element = hn_dtype_size(plan->dtype), bytes = (size_t)tensor->size * element;
    int others = plan->part && tensor->uses == 0 && tensor->outputs == 0;
    if (!run->workspace->wanted[root] || run->workspace->started[root] || others || bytes == 0)
        return;
    int64_t groups = view->group_stride == 0 ? 1 : run->groups; /* a sum over groups, even over none */
    for (int64_t g = 0; g < groups; g++)
        for (int64_t r = 0; r < run->rows; r++)
            memset(hn_move(view->data, g * view->group_stride + r * view->row_stride, element), 0, bytes);
}

/* What nothing has contributed to is zero. */
void hn_plan_backward_end(const hn_plan *plan, const hn_run *run)
{
    for (int32_t entry = 0; !plan->part && entry < plan->entry_count; entry++)
        entry_clear(plan, run, entry);
    for (int32_t i = 0; i < plan->input_count; i++)
        input_clear(plan, run, i);
}

void hn_plan_backward(const hn_plan *plan, const hn_run *run)
{
    hn_plan_backward_begin(plan, run);
    for (int32_t n = plan->node_count - 1; n >= 0 && !hn_cancel_ask(); n--)
        hn_plan_backward_node(plan, run, n);
    hn_plan_backward_end(plan, run);
}
