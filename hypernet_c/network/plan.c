/* Compiling a graph: shapes closed, nodes that no output needs left out, memory shared where it may be. */
#include "plan_internal.h"
#include "graph_internal.h"
#include "../base/memory.h"
#include <string.h>

/* ---- making ---- */

/* 1 in `live` for every node that an output depends on. */
static void find_live(const hn_graph *graph, unsigned char *live, unsigned char *tensors)
{
    for (int32_t i = 0; i < graph->output_count; i++)
        tensors[graph->outputs[i]] = 1;
    for (int32_t n = graph->node_count - 1; n >= 0; n--) {
        const hn_graph_node *node = graph->nodes[n];
        live[n] = tensors[node->output];
        for (int32_t i = 0; live[n] && i < node->input_count; i++)
            tensors[node->inputs[i]] = 1;
    }
}

static hn_status inputs_close(hn_plan *plan, const hn_graph *graph, const hn_shape *shapes, hn_error *error)
{
    char expected[128], received[128];
    for (int32_t i = 0; i < graph->input_count; i++) {
        int32_t tensor = graph->inputs[i].tensor;
        const hn_shape *declared = &graph->tensors[tensor].shape, *given = shapes ? &shapes[i] : declared;
        int fits = given->rank == declared->rank;
        for (int32_t a = 0; fits && a < given->rank; a++)
            fits = given->dims[a] >= 0 && (declared->dims[a] < 0 || declared->dims[a] == given->dims[a]);
        int64_t size = fits ? hn_shape_size(given) : -1;
        if (size < 0 || size > PLAN_ROW_MOST)
            return hn_error_set(error, HN_ERROR_VALUE, "input \"%s\" expects samples of shape %s, received %s%s",
                                graph->inputs[i].name, hn_shape_format(declared, expected, sizeof expected),
                                hn_shape_format(given, received, sizeof received),
                                fits ? ", which is too large" :
                                shapes ? "" : "; a shape with open axes must be closed here");
        plan_tensor *to = &plan->tensors[tensor];
        to->info = (hn_tensor_info){*given, graph->tensors[tensor].dtype};
        to->size = size;
        to->input = i;
        plan->inputs[i] = tensor;
    }
    return HN_OK;
}

/* Copies of everything that the node's information points to. */
static hn_status node_fill(hn_plan *plan, plan_node *node, const hn_graph_node *from, const hn_op_spec *spec,
                           hn_error *error)
{
    size_t inputs = (size_t)from->input_count;
    hn_tensor_info *infos = hn_memory_allocate(inputs, sizeof *infos, error);
    hn_attribute *attributes = infos ? hn_memory_allocate((size_t)from->op->attribute_count, sizeof *attributes, error)
                                     : NULL;
    hn_entry_spec *entries = attributes ? hn_memory_allocate((size_t)spec->entry_count, sizeof *entries, error) : NULL;
    node->op = from->op;
    node->info = (hn_node_info){.inputs = infos, .attributes = attributes, .entries = entries};
    node->inputs = entries ? hn_memory_allocate(inputs, sizeof *node->inputs, error) : NULL;
    if (!node->inputs)
        return HN_ERROR_MEMORY; /* hn_plan_free frees what is there */
    for (size_t i = 0; i < inputs; i++) {
        infos[i] = plan->tensors[from->inputs[i]].info;
        node->inputs[i] = plan->tensors[from->inputs[i]].root;
    }
    if (from->op->attribute_count)
        memcpy(attributes, from->attributes, (size_t)from->op->attribute_count * sizeof *attributes);
    memcpy(entries, spec->entries, (size_t)spec->entry_count * sizeof *entries);
    node->info.input_count = from->input_count;
    node->info.output = (hn_tensor_info){spec->output, spec->output_dtype};
    node->info.entry_count = spec->entry_count;
    node->info.layer = from->layer_index;
    node->output = from->output;
    node->first_view = plan->view_count;
    node->first_entry = spec->entry_count ? from->entries[0] : 0;
    node->fused_output = -1;
    memcpy(node->entries, from->entries, sizeof node->entries);
    plan->view_count += from->input_count;
    if (node->op->saved_sizes)
        node->op->saved_sizes(&node->info, node->saved);
    size_t scratch = node->op->scratch_size ? node->op->scratch_size(&node->info, plan->dtype) : 0;
    plan->scratch = scratch > plan->scratch ? scratch : plan->scratch;
    plan->work += node->op->work(&node->info);
    return HN_OK;
}

/* Describes a node again, now with closed shapes, and makes it a plan node unless it only renames memory. */
static hn_status node_close(hn_plan *plan, const hn_graph *graph, const hn_graph_node *from, hn_error *error)
{
    hn_tensor_info inputs[HN_MAX_INPUTS];
    hn_op_spec spec;
    hn_error why = {.message = ""};
    char text[128];
    for (int32_t i = 0; i < from->input_count; i++)
        inputs[i] = plan->tensors[from->inputs[i]].info;
    hn_status status = hn_op_describe(from->op, from->attributes, from->input_count, inputs, plan->dtype, &spec, &why);
    if (status != HN_OK)
        return hn_error_set(error, status, "layer \"%s\": %s", from->layer, why.message);
    plan_tensor *output = &plan->tensors[from->output];
    output->info = (hn_tensor_info){spec.output, spec.output_dtype};
    output->size = hn_shape_size(&spec.output);
    if (output->size < 0 || output->size > PLAN_ROW_MOST)
        return hn_error_set(error, HN_ERROR_VALUE, "layer \"%s\": the output shape %s is too large", from->layer,
                            hn_shape_format(&spec.output, text, sizeof text));
    for (int32_t i = 0; i < spec.entry_count; i++)
        if (!hn_shape_equal(&spec.entries[i].shape, &graph->entries[from->entries[i]]->spec.shape))
            return hn_error_set(error, HN_ERROR_VALUE, "layer \"%s\": its %s does not fit this input shape",
                                from->layer, spec.entries[i].name);
    if (from->op->flags & HN_OP_ALIASES_INPUT) {
        output->root = plan->tensors[from->inputs[0]].root;
        return HN_OK;
    }
    output->producer = plan->node_count;
    plan_node *node = &plan->nodes[plan->node_count++];
    return node_fill(plan, node, from, &spec, error);
}

/* Who reads which root, and what may be fused. */
static void find_uses(hn_plan *plan)
{
    for (int32_t n = 0; n < plan->node_count; n++) {
        plan_node *node = &plan->nodes[n];
        for (int32_t i = 0; i < node->info.input_count; i++) {
            plan_tensor *tensor = &plan->tensors[node->inputs[i]];
            tensor->uses++;
            tensor->last_use = n;
            tensor->kept = 1;
        }
        if (node->op->flags & HN_OP_READS_OUTPUT)
            plan->tensors[node->output].kept = 1;
    }
    for (int32_t i = 0; i < plan->output_count; i++)
        plan->tensors[plan->tensors[plan->outputs[i]].root].outputs++;
    for (int32_t i = 0; i < plan->output_count; i++) {
        const plan_tensor *tensor = &plan->tensors[plan->outputs[i]];
        plan_node *node = tensor->producer >= 0 ? &plan->nodes[tensor->producer] : NULL;
        if (node && tensor->outputs == 1 && tensor->uses == 0 && node->op->fusable_activation &&
            node->op->fusable_activation(&node->info))
            node->fused_output = i;
    }
}

/* Which inputs' data a node with a check reads: integers are inputs, or inputs that ops have moved. */
static hn_status find_checked(hn_plan *plan, hn_error *error)
{
    size_t inputs = (size_t)plan->input_count, tensors = (size_t)plan->tensor_count;
    unsigned char *reads = hn_memory_allocate(tensors, 1, error);
    hn_status status = reads ? HN_OK : HN_ERROR_MEMORY;
    for (int32_t n = 0; status == HN_OK && n < plan->node_count; n++) {
        if (!plan->nodes[n].op->check)
            continue;
        if (!plan->checked && !(plan->checked = hn_memory_allocate((size_t)plan->node_count, inputs, error)))
            status = HN_ERROR_MEMORY;
        memset(reads, 0, tensors);
        for (int32_t m = n; m >= 0; m--) {
            const plan_node *node = &plan->nodes[m];
            for (int32_t i = 0; (m == n || reads[node->output]) && i < node->info.input_count; i++)
                reads[node->inputs[i]] = plan->tensors[node->inputs[i]].info.dtype == HN_INT64;
        }
        for (int32_t i = 0; status == HN_OK && i < plan->input_count; i++)
            plan->checked[(size_t)n * inputs + (size_t)i] = reads[plan->inputs[i]];
    }
    hn_memory_free(reads);
    return status;
}

static hn_status plan_fill(hn_plan *plan, const hn_graph *graph, const hn_shape *shapes, hn_error *error)
{
    size_t nodes = (size_t)graph->node_count, tensors = (size_t)graph->tensor_count;
    if (!(plan->tensors = hn_memory_allocate(tensors, sizeof *plan->tensors, error)) ||
        !(plan->nodes = hn_memory_allocate(nodes, sizeof *plan->nodes, error)) ||
        !(plan->inputs = hn_memory_allocate((size_t)graph->input_count, sizeof(int32_t), error)) ||
        !(plan->outputs = hn_memory_allocate((size_t)graph->output_count, sizeof(int32_t), error)) ||
        !(plan->entry_sizes = hn_memory_allocate((size_t)graph->entry_count, sizeof(int64_t), error)))
        return HN_ERROR_MEMORY;
    for (int32_t i = 0; i < graph->tensor_count; i++)
        plan->tensors[i] = (plan_tensor){.root = i, .producer = -1, .input = -1, .last_use = -1, .value_slot = -1,
                                         .gradient_slot = -1};
    for (int32_t i = 0; i < graph->entry_count; i++)
        plan->entry_sizes[i] = graph->entries[i]->size;
    plan->tensor_count = graph->tensor_count;
    plan->input_count = graph->input_count;
    plan->output_count = graph->output_count;
    plan->entry_count = graph->entry_count;
    memcpy(plan->outputs, graph->outputs, (size_t)graph->output_count * sizeof *plan->outputs);
    hn_status status = inputs_close(plan, graph, shapes, error);
    unsigned char *live = status == HN_OK ? hn_memory_allocate(nodes + tensors, 1, error) : NULL;
    if (!live)
        return status == HN_OK ? HN_ERROR_MEMORY : status;
    find_live(graph, live, live + nodes);
    for (int32_t n = 0; status == HN_OK && n < graph->node_count; n++)
        if (live[n])
            status = node_close(plan, graph, graph->nodes[n], error);
    hn_memory_free(live);
    if (status != HN_OK)
        return status;
    find_uses(plan);
    status = find_checked(plan, error);
    return status == HN_OK ? hn_plan_assign(plan, error) : status;
}

hn_plan *hn_plan_create(const hn_graph *graph, const hn_shape *input_shapes, hn_isa isa, hn_error *error)
{
    const hn_kernels *kernels = hn_kernels_get(isa, graph->dtype);
    if (!kernels) {
        hn_error_set(error, HN_ERROR_VALUE, "instruction set \"%s\" is not available here", hn_isa_name(isa));
        return NULL;
    }
    if (graph->output_count == 0) {
        hn_error_set(error, HN_ERROR_VALUE, "a graph needs at least one output");
        return NULL;
    }
    hn_plan *plan = hn_memory_allocate(1, sizeof *plan, error);
    if (!plan)
        return NULL;
    plan->kernels = kernels;
    plan->dtype = graph->dtype;
    if (plan_fill(plan, graph, input_shapes, error) == HN_OK)
        return plan;
    hn_plan_free(plan);
    return NULL;
}

hn_plan *hn_plan_create_part(const hn_graph *graph, const int32_t *outputs, int32_t output_count,
                             const hn_shape *input_shapes, hn_isa isa, hn_error *error)
{
    hn_graph part = *graph;
    part.outputs = (int32_t *)outputs; /* only read */
    part.output_count = output_count;
    hn_plan *plan = hn_plan_create(&part, input_shapes, isa, error);
    if (plan)
        plan->part = 1;
    return plan;
}

/* An array inside a node's information belongs to the plan, though the ops see it as constant. */
static void constant_free(const void *pointer)
{
    hn_memory_free((void *)pointer);
}

void hn_plan_free(hn_plan *plan)
{
    if (!plan)
        return;
    for (int32_t n = 0; n < plan->node_count; n++) {
        constant_free(plan->nodes[n].info.inputs);
        constant_free(plan->nodes[n].info.attributes);
        constant_free(plan->nodes[n].info.entries);
        hn_memory_free(plan->nodes[n].inputs);
    }
    hn_memory_free(plan->tensors);
    hn_memory_free(plan->nodes);
    hn_memory_free(plan->inputs);
    hn_memory_free(plan->outputs);
    hn_memory_free(plan->entry_sizes);
    hn_memory_free(plan->checked);
    hn_memory_free(plan->values.bytes);
    hn_memory_free(plan->values.busy_until);
    hn_memory_free(plan->gradients.bytes);
    hn_memory_free(plan->gradients.busy_until);
    hn_memory_free(plan);
}

/* ---- reading ---- */

int32_t hn_plan_input_count(const hn_plan *plan)
{
    return plan->input_count;
}

int32_t hn_plan_output_count(const hn_plan *plan)
{
    return plan->output_count;
}

const hn_tensor_info *hn_plan_input(const hn_plan *plan, int32_t index)
{
    return index >= 0 && index < plan->input_count ? &plan->tensors[plan->inputs[index]].info : NULL;
}

const hn_tensor_info *hn_plan_output(const hn_plan *plan, int32_t index)
{
    return index >= 0 && index < plan->output_count ? &plan->tensors[plan->outputs[index]].info : NULL;
}

int32_t hn_plan_entry_count(const hn_plan *plan)
{
    return plan->entry_count;
}

const hn_kernels *hn_plan_kernels(const hn_plan *plan)
{
    return plan->kernels;
}

double hn_plan_work(const hn_plan *plan)
{
    return plan->work;
}

const char *hn_plan_fusable(const hn_plan *plan, int32_t output)
{
    if (output < 0 || output >= plan->output_count)
        return NULL;
    const plan_tensor *tensor = &plan->tensors[plan->outputs[output]];
    if (tensor->producer < 0 || plan->nodes[tensor->producer].fused_output != output)
        return NULL;
    const plan_node *node = &plan->nodes[tensor->producer];
    return node->op->fusable_activation(&node->info);
}

int32_t hn_plan_node_count(const hn_plan *plan)
{
    return plan->node_count;
}

const int32_t *hn_plan_node_entries(const hn_plan *plan, int32_t node, int32_t *count)
{
    *count = plan->nodes[node].info.entry_count;
    return plan->nodes[node].entries;
}

int hn_plan_node_product(const hn_plan *plan, int32_t node, hn_node_product *product)
{
    const plan_node *at = &plan->nodes[node];
    if (!(at->op->flags & HN_OP_MIXES))
        return 0;
    const hn_shape *kernel = &at->info.entries[0].shape;
    product->in = kernel->dims[0];
    product->out = kernel->dims[1];
    product->positions = hn_shape_size(&at->info.output.shape) / product->out;
    product->inner = plan->tensors[at->inputs[0]].input < 0;
    return 1;
}
