/* Reading a graph, calling one graph inside another, and binding entries to a flat vector. */
#include "graph_internal.h"
#include "../base/memory.h"
#include <stdio.h>
#include <string.h>

hn_dtype hn_graph_dtype(const hn_graph *graph)
{
    return graph->dtype;
}

int32_t hn_graph_input_count(const hn_graph *graph)
{
    return graph->input_count;
}

int32_t hn_graph_output_count(const hn_graph *graph)
{
    return graph->output_count;
}

int32_t hn_graph_input_tensor(const hn_graph *graph, int32_t index)
{
    return index >= 0 && index < graph->input_count ? graph->inputs[index].tensor : -1;
}

int32_t hn_graph_output_tensor(const hn_graph *graph, int32_t index)
{
    return index >= 0 && index < graph->output_count ? graph->outputs[index] : -1;
}

const char *hn_graph_input_name(const hn_graph *graph, int32_t index)
{
    return index >= 0 && index < graph->input_count ? graph->inputs[index].name : NULL;
}

int32_t hn_graph_tensor_count(const hn_graph *graph)
{
    return graph->tensor_count;
}

const hn_tensor_info *hn_graph_tensor(const hn_graph *graph, int32_t tensor)
{
    return tensor >= 0 && tensor < graph->tensor_count ? &graph->tensors[tensor] : NULL;
}

int32_t hn_graph_entry_count(const hn_graph *graph)
{
    return graph->entry_count;
}

const hn_entry *hn_graph_entry(const hn_graph *graph, int32_t index)
{
    return index >= 0 && index < graph->entry_count ? graph->entries[index] : NULL;
}

int32_t hn_graph_entry_find(const hn_graph *graph, const char *name)
{
    const char *slash = name ? strrchr(name, '/') : NULL; /* the layer's name may have some, the entry's has none */
    const hn_graph_node *node = slash ? hn_graph_layer_find(graph, name, (size_t)(slash - name)) : NULL;
    for (int32_t i = 0; node && i < node->entry_count; i++)
        if (strcmp(graph->entries[node->entries[i]]->spec.name, slash + 1) == 0)
            return node->entries[i];
    return -1;
}

int64_t hn_graph_parameter_count(const hn_graph *graph)
{
    return graph->parameter_count;
}

int32_t hn_graph_node_count(const hn_graph *graph)
{
    return graph->node_count;
}

const hn_graph_node *hn_graph_node_at(const hn_graph *graph, int32_t index)
{
    return index >= 0 && index < graph->node_count ? graph->nodes[index] : NULL;
}

void hn_graph_bind(const hn_graph *graph, const void *weights, void *gradient, hn_source *sources)
{
    size_t element = hn_dtype_size(graph->dtype);
    for (int32_t i = 0; i < graph->entry_count; i++) {
        size_t offset = (size_t)graph->entries[i]->offset * element;
        sources[i] = (hn_source){.data = (const char *)weights + offset,
                                 .gradient = gradient ? (char *)gradient + offset : NULL};
    }
}

/* ---- one graph inside another ---- */

/* 1 if a tensor may be given to an input of shape `declared`, whose open axes take any size. */
static int shape_fits(const hn_shape *declared, const hn_shape *given)
{
    if (declared->rank != given->rank)
        return 0;
    for (int32_t i = 0; i < declared->rank; i++)
        if (declared->dims[i] >= 0 && given->dims[i] >= 0 && declared->dims[i] != given->dims[i])
            return 0;
    return 1;
}

static hn_status call_check(const hn_graph *graph, const hn_graph *inner, const char *prefix, const int32_t *inputs,
                            int32_t input_count, hn_error *error)
{
    char expected[128], received[128];
    if (graph == inner)
        return hn_error_set(error, HN_ERROR_VALUE, "a graph cannot call itself");
    if (!prefix || !*prefix)
        return hn_error_set(error, HN_ERROR_VALUE, "a nested model needs a name");
    if (graph->dtype != inner->dtype)
        return hn_error_set(error, HN_ERROR_TYPE, "model \"%s\" computes in another dtype than the one that calls it",
                            prefix);
    if (input_count != inner->input_count)
        return hn_error_set(error, HN_ERROR_VALUE, "model \"%s\" expects %d input(s), received %d", prefix,
                            inner->input_count, input_count);
    for (int32_t i = 0; i < input_count; i++) {
        const hn_tensor_info *declared = &inner->tensors[inner->inputs[i].tensor];
        if (inputs[i] < 0 || inputs[i] >= graph->tensor_count)
            return hn_error_set(error, HN_ERROR_VALUE, "model \"%s\": input %d is tensor %d, which is not in the graph",
                                prefix, i, inputs[i]);
        const hn_tensor_info *given = &graph->tensors[inputs[i]];
        if (declared->dtype != given->dtype)
            return hn_error_set(error, HN_ERROR_TYPE, "model \"%s\": input %d must be %s", prefix, i,
                                declared->dtype == HN_INT64 ? "integers" : "real numbers");
        if (!shape_fits(&declared->shape, &given->shape))
            return hn_error_set(error, HN_ERROR_VALUE, "model \"%s\": input %d expects samples of shape %s, received "
                                "%s", prefix, i, hn_shape_format(&declared->shape, expected, sizeof expected),
                                hn_shape_format(&given->shape, received, sizeof received));
    }
    return HN_OK;
}

/* Adds all nodes of `inner`; `tensors` maps its tensors to the graph's. */
static hn_status call_nodes(hn_graph *graph, const hn_graph *inner, const char *prefix, int32_t *tensors,
                            hn_error *error)
{
    for (int32_t n = 0; n < inner->node_count; n++) {
        const hn_graph_node *node = inner->nodes[n];
        int32_t inputs[HN_MAX_INPUTS];
        for (int32_t i = 0; i < node->input_count; i++)
            inputs[i] = tensors[node->inputs[i]];
        size_t length = strlen(prefix) + strlen(node->layer) + 2;
        char *layer = hn_memory_allocate(length, 1, error);
        if (!layer)
            return HN_ERROR_MEMORY;
        (void)snprintf(layer, length, "%s/%s", prefix, node->layer);
        hn_error why = {.status = HN_ERROR_MEMORY, .message = "out of memory"};
        tensors[node->output] = hn_graph_add(graph, node->op->name, layer, node->attributes, node->op->attribute_count,
                                             inputs, node->input_count, &why);
        hn_memory_free(layer);
        if (tensors[node->output] < 0)
            return hn_error_set(error, why.status, "%s", why.message);
    }
    return HN_OK;
}

hn_status hn_graph_call(hn_graph *graph, const hn_graph *inner, const char *prefix, const int32_t *inputs,
                        int32_t input_count, int32_t *outputs, hn_error *error)
{
    hn_status status = call_check(graph, inner, prefix, inputs, input_count, error);
    if (status != HN_OK)
        return status;
    int32_t nodes = graph->node_count, tensor_count = graph->tensor_count, entries = graph->entry_count;
    int32_t *tensors = hn_memory_allocate((size_t)inner->tensor_count, sizeof *tensors, error);
    if (!tensors)
        return HN_ERROR_MEMORY;
    for (int32_t i = 0; i < input_count; i++)
        tensors[inner->inputs[i].tensor] = inputs[i];
    status = call_nodes(graph, inner, prefix, tensors, error);
    if (status != HN_OK)
        hn_graph_truncate(graph, nodes, tensor_count, entries);
    for (int32_t i = 0; status == HN_OK && i < inner->output_count; i++)
        outputs[i] = tensors[inner->outputs[i]];
    hn_memory_free(tensors);
    return status;
}
