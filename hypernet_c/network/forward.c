/* Running a plan forward: where values are in this run, what an op is told, and the checks before the first write. */
#include "plan_internal.h"
#include "../base/cancel.h"

int hn_plan_writable(const hn_run *run, int64_t size, const hn_view *view)
{
    return (run->rows <= 1 || view->row_stride >= size) && (run->groups <= 1 || view->group_stride >= size);
}

/* A value may be computed in the caller's memory if ops can write there and no backward reads it from there. */
static int lives_outside(const hn_run *run, const plan_tensor *tensor, const hn_view *view)
{
    return view->data && tensor->producer >= 0 && hn_plan_writable(run, tensor->size, view) &&
           !(run->workspace->mode == HN_MODE_TRAINING && tensor->kept);
}

void hn_plan_place_values(const hn_plan *plan, const hn_run *run)
{
    hn_workspace *workspace = run->workspace;
    for (int32_t i = 0; i < plan->tensor_count; i++) {
        const plan_tensor *tensor = &plan->tensors[i];
        if (tensor->input >= 0)
            workspace->views[i] = run->inputs[tensor->input];
        else
            workspace->views[i] = (hn_view){workspace->values[i], run->rows * tensor->size, tensor->size};
    }
    for (int32_t i = plan->output_count - 1; run->outputs && i >= 0; i--) { /* the first of several wins */
        int32_t root = plan->tensors[plan->outputs[i]].root;
        if (lives_outside(run, &plan->tensors[root], &run->outputs[i]))
            workspace->views[root] = run->outputs[i];
    }
    for (int32_t n = 0; n < plan->node_count; n++) {
        const plan_node *node = &plan->nodes[n];
        for (int32_t i = 0; i < node->info.input_count; i++)
            workspace->input_views[node->first_view + i] = workspace->views[node->inputs[i]];
    }
}

hn_op_call hn_plan_call(const hn_plan *plan, const hn_run *run, const plan_node *node)
{
    const hn_workspace *workspace = run->workspace;
    char **saved = &workspace->saved[(node - plan->nodes) * HN_MAX_SAVED];
    hn_op_call call = {
        .node = &node->info, .kernels = plan->kernels,
        .threads = run->threads < workspace->threads ? run->threads : workspace->threads,
        .groups = run->groups, .rows = run->rows, .training = run->training, .seed = run->seed, .call = run->call,
        .first_row = run->first_row, .inputs = &workspace->input_views[node->first_view],
        .output = workspace->views[node->output],
        .sources = node->info.entry_count ? &run->sources[node->first_entry] : NULL,
        .scratch = workspace->scratch, .scratch_stride = workspace->scratch_stride,
        .activity_scale = run->activity_scale,
    };
    for (int32_t s = 0; s < HN_MAX_SAVED; s++)
        call.saved[s] = saved[s];
    return call;
}

/* An op that checks data reads ids, and ids are inputs, or inputs that ops have moved: so the inputs are checked. */
hn_status hn_plan_check(const hn_plan *plan, const hn_run *run, hn_error *error)
{
    for (int32_t n = 0; plan->checked && n < plan->node_count; n++) {
        const plan_node *node = &plan->nodes[n];
        for (int32_t i = 0; node->op->check && i < plan->input_count; i++) {
            if (!plan->checked[(size_t)n * (size_t)plan->input_count + (size_t)i])
                continue;
            hn_node_info info = node->info;
            info.inputs = &plan->tensors[plan->inputs[i]].info;
            hn_op_call call = {.node = &info, .kernels = plan->kernels, .threads = run->threads,
                               .groups = run->groups, .rows = run->rows, .inputs = &run->inputs[i]};
            hn_status status = node->op->check(&call, error);
            if (status != HN_OK)
                return status;
        }
    }
    return HN_OK;
}

void hn_plan_forward_begin(const hn_plan *plan, const hn_run *run)
{
    hn_plan_place_values(plan, run);
}

void hn_plan_forward_node(const hn_plan *plan, const hn_run *run, int32_t node)
{
    if (run->groups == 0 || run->rows == 0 || plan->tensors[plan->nodes[node].output].size == 0)
        return;
    hn_op_call call = hn_plan_call(plan, run, &plan->nodes[node]);
    call.activity_penalty = run->activity_penalty;
    plan->nodes[node].op->forward(&call);
}

/* Outputs that were not computed in the caller's memory are copied there. */
void hn_plan_forward_end(const hn_plan *plan, const hn_run *run)
{
    for (int32_t i = 0; run->outputs && i < plan->output_count; i++) {
        const hn_view *to = &run->outputs[i];
        int32_t root = plan->tensors[plan->outputs[i]].root;
        const plan_tensor *tensor = &plan->tensors[root];
        if (to->data && to->data != run->workspace->views[root].data)
            hn_plan_copy_rows(run, tensor->size, hn_dtype_size(tensor->info.dtype), &run->workspace->views[root], to);
    }
}

void hn_plan_forward(const hn_plan *plan, const hn_run *run)
{
    hn_plan_forward_begin(plan, run);
    for (int32_t n = 0; n < plan->node_count && !hn_cancel_ask(); n++)
        hn_plan_forward_node(plan, run, n);
    hn_plan_forward_end(plan, run);
}
