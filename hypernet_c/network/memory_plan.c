/* Who shares memory with whom: slots for values in inference, and for gradients in training. */
#include "plan_internal.h"
#include "../base/memory.h"

int32_t hn_plan_slot_take(plan_slots *slots, size_t bytes, int32_t first, int32_t last)
{
    int32_t best = -1;
    for (int32_t i = 0; i < slots->count; i++) {
        if (slots->busy_until[i] >= first)
            continue;
        if (best < 0 || (slots->bytes[best] < bytes ? slots->bytes[i] > slots->bytes[best]
                                                    : slots->bytes[i] >= bytes && slots->bytes[i] < slots->bytes[best]))
            best = i; /* the smallest that is large enough, else the largest */
    }
    if (best < 0) {
        best = slots->count++;
        slots->bytes[best] = 0;
    }
    if (slots->bytes[best] < bytes)
        slots->bytes[best] = bytes;
    slots->busy_until[best] = last;
    return best;
}

static hn_status slots_create(plan_slots *slots, int32_t most, hn_error *error)
{
    slots->bytes = hn_memory_allocate((size_t)most, sizeof *slots->bytes, error);
    slots->busy_until = slots->bytes ? hn_memory_allocate((size_t)most, sizeof *slots->busy_until, error) : NULL;
    return slots->busy_until ? HN_OK : HN_ERROR_MEMORY;
}

static size_t row_bytes(const plan_tensor *tensor)
{
    return (size_t)tensor->size * hn_dtype_size(tensor->info.dtype);
}

/* 1 if the node's output may take the memory of its first input, which nobody reads afterwards. */
static int in_place(const hn_plan *plan, int32_t n)
{
    const plan_node *node = &plan->nodes[n];
    const plan_tensor *input = &plan->tensors[node->inputs[0]], *output = &plan->tensors[node->output];
    if (!(node->op->flags & HN_OP_IN_PLACE) || input->producer < 0 || input->outputs || input->last_use != n ||
        row_bytes(input) != row_bytes(output))
        return 0;
    for (int32_t i = 1; i < node->info.input_count; i++)
        if (node->inputs[i] == node->inputs[0])
            return 0;
    return 1;
}

/* Time is the number of the node that runs. */
static void assign_values(hn_plan *plan)
{
    for (int32_t n = 0; n < plan->node_count; n++) {
        const plan_node *node = &plan->nodes[n];
        plan_tensor *output = &plan->tensors[node->output];
        int32_t last = output->outputs ? PLAN_FOREVER : output->last_use;
        if (in_place(plan, n)) {
            output->value_slot = plan->tensors[node->inputs[0]].value_slot;
            plan->values.busy_until[output->value_slot] = last;
        } else {
            output->value_slot = hn_plan_slot_take(&plan->values, row_bytes(output), n, last);
        }
    }
}

/* Time is the number of nodes that have gone back already, plus 1; outputs' gradients come at time 0. */
static void assign_gradients(hn_plan *plan)
{
    for (int32_t i = 0; i < plan->output_count; i++) {
        plan_tensor *tensor = &plan->tensors[plan->tensors[plan->outputs[i]].root];
        if (tensor->producer >= 0 && tensor->gradient_slot < 0 && tensor->info.dtype != HN_INT64)
            tensor->gradient_slot = hn_plan_slot_take(&plan->gradients, row_bytes(tensor), 0,
                                                      plan->node_count - tensor->producer);
    }
    for (int32_t n = plan->node_count - 1; n >= 0; n--) {
        const plan_node *node = &plan->nodes[n];
        int64_t temporary = 0;
        for (int32_t i = 0; i < node->info.input_count; i++) {
            plan_tensor *tensor = &plan->tensors[node->inputs[i]];
            if (tensor->info.dtype == HN_INT64)
                continue;
            if (tensor->input >= 0 || tensor->uses > 1 || tensor->outputs)
                temporary += tensor->size;
            if (tensor->producer >= 0 && tensor->gradient_slot < 0)
                tensor->gradient_slot = hn_plan_slot_take(&plan->gradients, row_bytes(tensor), plan->node_count - n,
                                                          plan->node_count - tensor->producer);
        }
        plan->temporary = temporary > plan->temporary ? temporary : plan->temporary;
    }
}

hn_status hn_plan_assign(hn_plan *plan, hn_error *error)
{
    if (slots_create(&plan->values, plan->node_count, error) != HN_OK ||
        slots_create(&plan->gradients, plan->node_count, error) != HN_OK)
        return HN_ERROR_MEMORY;
    assign_values(plan);
    assign_gradients(plan);
    return HN_OK;
}

int64_t hn_plan_row_elements(const hn_plan *plan, hn_mode mode)
{
    size_t bytes = 0, element = hn_dtype_size(plan->dtype);
    if (mode == HN_MODE_INFERENCE) {
        for (int32_t i = 0; i < plan->values.count; i++)
            bytes += plan->values.bytes[i];
        return (int64_t)(bytes / element);
    }
    for (int32_t i = 0; i < plan->gradients.count; i++)
        bytes += plan->gradients.bytes[i];
    for (int32_t n = 0; n < plan->node_count; n++) {
        bytes += row_bytes(&plan->tensors[plan->nodes[n].output]);
        for (int32_t s = 0; s < HN_MAX_SAVED; s++)
            bytes += (size_t)plan->nodes[n].saved[s] * element;
    }
    return (int64_t)(bytes / element) + plan->temporary;
}
