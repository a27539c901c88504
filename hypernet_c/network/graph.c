/* A graph: tensors, nodes, and the layout of the weights. */
#include "graph_internal.h"
#include "../base/memory.h"
#include <stdio.h>
#include <string.h>

enum { FIRST_CAPACITY = 8 };

hn_status hn_graph_reserve(void *array, int32_t count, int32_t *capacity, size_t size, hn_error *error)
{
    void *old;
    memcpy(&old, array, sizeof old);
    if (count < *capacity)
        return HN_OK;
    if (count > INT32_MAX / 2)
        return hn_error_set(error, HN_ERROR_VALUE, "the graph is too large");
    int32_t more = *capacity ? 2 * *capacity : FIRST_CAPACITY;
    void *grown = hn_memory_allocate((size_t)more, size, error);
    if (!grown)
        return HN_ERROR_MEMORY;
    if (old)
        memcpy(grown, old, (size_t)count * size);
    hn_memory_free(old);
    memcpy(array, &grown, sizeof grown);
    *capacity = more;
    return HN_OK;
}

char *hn_graph_text_copy(const char *text, hn_error *error)
{
    size_t size = strlen(text) + 1;
    char *copy = hn_memory_allocate(size, 1, error);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

hn_graph *hn_graph_create(hn_dtype dtype, hn_error *error)
{
    if (dtype != HN_FLOAT32 && dtype != HN_FLOAT64) {
        hn_error_set(error, HN_ERROR_TYPE, "a graph computes in float32 or float64");
        return NULL;
    }
    hn_graph *graph = hn_memory_allocate(1, sizeof *graph, error);
    if (graph)
        graph->dtype = dtype;
    return graph;
}

static void node_free(hn_graph_node *node)
{
    if (!node)
        return;
    hn_memory_free(node->layer);
    hn_memory_free(node->attributes);
    hn_memory_free(node->inputs);
    hn_memory_free(node);
}

static void entry_free(hn_entry *entry)
{
    if (entry)
        hn_memory_free(entry->name);
    hn_memory_free(entry);
}

void hn_graph_truncate(hn_graph *graph, int32_t nodes, int32_t tensors, int32_t entries)
{
    while (graph->node_count > nodes) {
        hn_graph_node *node = graph->nodes[--graph->node_count];
        if ((int32_t)node->layer_index == graph->node_count)
            hn_graph_layer_remove(graph, node->layer);
        node_free(node);
    }
    while (graph->entry_count > entries) {
        hn_entry *entry = graph->entries[--graph->entry_count];
        graph->parameter_count = entry->offset;
        entry_free(entry);
    }
    graph->tensor_count = tensors;
}

void hn_graph_free(hn_graph *graph)
{
    if (!graph)
        return;
    hn_graph_truncate(graph, 0, 0, 0);
    for (int32_t i = 0; i < graph->input_count; i++)
        hn_memory_free(graph->inputs[i].name);
    hn_memory_free(graph->tensors);
    hn_memory_free(graph->inputs);
    hn_memory_free(graph->outputs);
    hn_memory_free(graph->entries);
    hn_memory_free(graph->nodes);
    hn_memory_free(graph->branches);
    hn_memory_free(graph);
}

int32_t hn_graph_input(hn_graph *graph, const char *name, const hn_shape *shape, hn_dtype dtype, hn_error *error)
{
    char text[128];
    if (!name || !*name) {
        hn_error_set(error, HN_ERROR_VALUE, "an input needs a name");
        return -1;
    }
    if (shape->rank < 0 || shape->rank > HN_MAX_RANK) {
        hn_error_set(error, HN_ERROR_VALUE, "input \"%s\": samples may have rank 0 to %d, received rank %d", name,
                     HN_MAX_RANK, shape->rank);
        return -1;
    }
    for (int32_t i = 0; i < shape->rank; i++)
        if (shape->dims[i] < -1) {
            hn_error_set(error, HN_ERROR_VALUE, "input \"%s\": a dim may be -1 (open) or 0 and more, received %s", name,
                         hn_shape_format(shape, text, sizeof text));
            return -1;
        }
    if (dtype != graph->dtype && dtype != HN_INT64) {
        hn_error_set(error, HN_ERROR_TYPE, "input \"%s\" must be of the graph's dtype or integer", name);
        return -1;
    }
    if (hn_graph_reserve(&graph->inputs, graph->input_count, &graph->input_capacity, sizeof *graph->inputs, error) ||
        hn_graph_reserve(&graph->tensors, graph->tensor_count, &graph->tensor_capacity, sizeof *graph->tensors, error))
        return -1;
    char *copy = hn_graph_text_copy(name, error);
    if (!copy)
        return -1;
    graph->inputs[graph->input_count++] = (graph_input){copy, graph->tensor_count};
    graph->tensors[graph->tensor_count] = (hn_tensor_info){*shape, dtype};
    return graph->tensor_count++;
}

/* ---- adding a node ---- */

static int attributes_equal(const hn_op *op, const hn_attribute *a, const hn_attribute *b)
{
    for (int32_t i = 0; i < op->attribute_count; i++) {
        if (a[i].type == HN_ATTRIBUTE_INTEGER && a[i].integer != b[i].integer)
            return 0;
        if (a[i].type == HN_ATTRIBUTE_NUMBER && a[i].number != b[i].number)
            return 0;
        if (a[i].type == HN_ATTRIBUTE_NAME && strcmp(a[i].text, b[i].text) != 0)
            return 0;
        if (a[i].type == HN_ATTRIBUTE_SHAPE && !hn_shape_equal(&a[i].shape, &b[i].shape))
            return 0;
    }
    return 1;
}

/* A layer that is in the graph already must be the same in everything. */
static hn_status layer_check(const hn_graph *graph, const hn_graph_node *first, const hn_graph_node *node,
                             const hn_op_spec *spec, hn_error *error)
{
    char was[128], is[128];
    if (first->op != node->op)
        return hn_error_set(error, HN_ERROR_VALUE, "layer \"%s\" is a %s already, and cannot be a %s too", node->layer,
                            first->op->name, node->op->name);
    if (!attributes_equal(node->op, first->attributes, node->attributes) || first->entry_count != spec->entry_count)
        return hn_error_set(error, HN_ERROR_VALUE, "layer \"%s\" is used again with other attributes", node->layer);
    for (int32_t i = 0; i < spec->entry_count; i++) {
        const hn_entry *entry = graph->entries[first->entries[i]];
        if (!hn_shape_equal(&entry->spec.shape, &spec->entries[i].shape))
            return hn_error_set(error, HN_ERROR_VALUE, "layer \"%s\" is used again on an input of another size: its %s "
                                "has shape %s and would need %s", node->layer, entry->spec.name,
                                hn_shape_format(&entry->spec.shape, was, sizeof was),
                                hn_shape_format(&spec->entries[i].shape, is, sizeof is));
    }
    return HN_OK;
}

static hn_status entry_append(hn_graph *graph, const char *layer, const hn_entry_spec *spec, hn_error *error)
{
    int64_t size = hn_shape_size(&spec->shape);
    if (size < 0 || size > INT64_MAX / 16 - graph->parameter_count)
        return hn_error_set(error, HN_ERROR_VALUE, "layer \"%s\": %s is too large", layer, spec->name);
    if (hn_graph_reserve(&graph->entries, graph->entry_count, &graph->entry_capacity, sizeof *graph->entries, error))
        return HN_ERROR_MEMORY;
    size_t length = strlen(layer) + strlen(spec->name) + 2;
    hn_entry *entry = hn_memory_allocate(1, sizeof *entry, error);
    char *name = entry ? hn_memory_allocate(length, 1, error) : NULL;
    if (!name) {
        hn_memory_free(entry);
        return HN_ERROR_MEMORY;
    }
    (void)snprintf(name, length, "%s/%s", layer, spec->name);
    *entry = (hn_entry){name, *spec, graph->parameter_count, size};
    graph->entries[graph->entry_count++] = entry;
    graph->parameter_count += size;
    return HN_OK;
}

static hn_status inputs_check(const hn_graph *graph, const hn_op *op, const char *layer, const int32_t *inputs,
                              int32_t input_count, hn_error *error)
{
    if (input_count < 0 || input_count > HN_MAX_INPUTS)
        return hn_error_set(error, HN_ERROR_VALUE, "layer \"%s\": %s takes at most %d inputs, received %d", layer,
                            op->name, op->max_inputs, input_count);
    for (int32_t i = 0; i < input_count; i++)
        if (inputs[i] < 0 || inputs[i] >= graph->tensor_count)
            return hn_error_set(error, HN_ERROR_VALUE, "layer \"%s\": input %d is tensor %d, which is not in the graph",
                                layer, i, inputs[i]);
    return HN_OK;
}

/* A node with everything but entries and output. NULL on error. */
static hn_graph_node *node_create(const hn_op *op, const char *layer, const hn_attribute *attributes,
                                  int32_t attribute_count, const int32_t *inputs, int32_t input_count, hn_error *error)
{
    hn_graph_node *node = hn_memory_allocate(1, sizeof *node, error);
    if (!node)
        return NULL;
    node->op = op;
    node->input_count = input_count;
    node->layer = hn_graph_text_copy(layer, error);
    node->attributes = node->layer ? hn_memory_allocate((size_t)op->attribute_count, sizeof *attributes, error) : NULL;
    node->inputs = node->attributes ? hn_memory_allocate((size_t)input_count, sizeof *inputs, error) : NULL;
    hn_error inner = {.message = ""};
    if (node->inputs) {
        memcpy(node->inputs, inputs, (size_t)input_count * sizeof *inputs);
        hn_status status = hn_op_complete(op, attributes, attribute_count, node->attributes, &inner);
        if (status == HN_OK)
            return node;
        hn_error_set(error, status, "layer \"%s\": %s", layer, inner.message);
    }
    node_free(node);
    return NULL;
}

/* Describes the node, checks it against its layer's first use, and appends node, output tensor and new entries. */
static hn_status node_append(hn_graph *graph, hn_graph_node *node, hn_error *error)
{
    hn_tensor_info inputs[HN_MAX_INPUTS];
    hn_op_spec spec;
    hn_error inner = {.message = ""};
    int32_t number = graph->node_count, entries = graph->entry_count;
    for (int32_t i = 0; i < node->input_count; i++)
        inputs[i] = graph->tensors[node->inputs[i]];
    hn_status status = hn_op_describe(node->op, node->attributes, node->input_count, inputs, graph->dtype, &spec,
                                      &inner);
    if (status != HN_OK)
        return hn_error_set(error, status, "layer \"%s\": %s", node->layer, inner.message);
    const hn_graph_node *first = hn_graph_layer_find(graph, node->layer, strlen(node->layer));
    if (first && (status = layer_check(graph, first, node, &spec, error)) != HN_OK)
        return status;
    if ((!first && hn_graph_layer_reserve(graph, error)) ||
        hn_graph_reserve(&graph->nodes, graph->node_count, &graph->node_capacity, sizeof *graph->nodes, error) ||
        hn_graph_reserve(&graph->tensors, graph->tensor_count, &graph->tensor_capacity, sizeof *graph->tensors, error))
        return HN_ERROR_MEMORY;
    node->layer_index = first ? first->layer_index : (uint32_t)number;
    node->entry_count = spec.entry_count;
    for (int32_t i = 0; i < spec.entry_count; i++) {
        node->entries[i] = first ? first->entries[i] : graph->entry_count;
        if (!first && (status = entry_append(graph, node->layer, &spec.entries[i], error)) != HN_OK) {
            hn_graph_truncate(graph, number, graph->tensor_count, entries);
            return status;
        }
    }
    node->output = graph->tensor_count;
    graph->tensors[graph->tensor_count++] = (hn_tensor_info){spec.output, spec.output_dtype};
    graph->nodes[graph->node_count++] = node;
    if (!first)
        hn_graph_layer_add(graph, number);
    return HN_OK;
}

int32_t hn_graph_add(hn_graph *graph, const char *op, const char *layer, const hn_attribute *attributes,
                     int32_t attribute_count, const int32_t *inputs, int32_t input_count, hn_error *error)
{
    const hn_op *found = hn_op_find(op);
    if (!found) {
        hn_error_set(error, HN_ERROR_VALUE, "there is no op \"%s\"", op ? op : "(null)");
        return -1;
    }
    if (!layer || !*layer) {
        hn_error_set(error, HN_ERROR_VALUE, "a %s needs a layer name", op);
        return -1;
    }
    if (inputs_check(graph, found, layer, inputs, input_count, error) != HN_OK)
        return -1;
    hn_graph_node *node = node_create(found, layer, attributes, attribute_count, inputs, input_count, error);
    if (!node)
        return -1;
    if (node_append(graph, node, error) != HN_OK) {
        node_free(node);
        return -1;
    }
    return node->output;
}

hn_status hn_graph_output(hn_graph *graph, int32_t tensor, hn_error *error)
{
    if (tensor < 0 || tensor >= graph->tensor_count)
        return hn_error_set(error, HN_ERROR_VALUE, "output %d is tensor %d, which is not in the graph",
                            graph->output_count, tensor);
    if (hn_graph_reserve(&graph->outputs, graph->output_count, &graph->output_capacity, sizeof *graph->outputs, error))
        return HN_ERROR_MEMORY;
    graph->outputs[graph->output_count++] = tensor;
    return HN_OK;
}
