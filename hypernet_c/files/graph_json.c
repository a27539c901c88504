/* Graphs to JSON and back. */
#include "graph_json.h"
#include "model.h"
#include "../base/memory.h"
#include <math.h>
#include <string.h>

static const char infinity_text[] = "Infinity", minus_infinity_text[] = "-Infinity";
static const char *const dtype_names[] = {[HN_FLOAT32] = "float32", [HN_FLOAT64] = "float64", [HN_INT64] = "int64"};

/* ---- writing ---- */

/* The number in the file of each of the graph's tensors: inputs first. NULL on error. */
static int32_t *numbers_make(const hn_graph *graph, hn_error *error)
{
    int32_t *numbers = hn_memory_allocate((size_t)hn_graph_tensor_count(graph), sizeof *numbers, error);
    int32_t next = 0;
    if (!numbers)
        return NULL;
    for (int32_t i = 0; i < hn_graph_input_count(graph); i++)
        numbers[hn_graph_input_tensor(graph, i)] = next++;
    for (int32_t i = 0; i < hn_graph_node_count(graph); i++)
        numbers[hn_graph_node_at(graph, i)->output] = next++;
    return numbers;
}

static void input_write(hn_json_writer *writer, const hn_graph *graph, int32_t index)
{
    const hn_tensor_info *tensor = hn_graph_tensor(graph, hn_graph_input_tensor(graph, index));
    hn_json_write_raw(writer, index ? ", {\"name\": " : "{\"name\": ");
    hn_json_write_string(writer, hn_graph_input_name(graph, index));
    hn_json_write_raw(writer, ", \"shape\": ");
    hn_json_write_shape(writer, &tensor->shape);
    hn_json_write_raw(writer, ", \"dtype\": ");
    hn_json_write_string(writer, dtype_names[tensor->dtype]);
    hn_json_write_raw(writer, "}");
}

static void attribute_write(hn_json_writer *writer, const hn_attribute *attribute)
{
    hn_json_write_string(writer, attribute->name);
    hn_json_write_raw(writer, ": ");
    if (attribute->type == HN_ATTRIBUTE_INTEGER)
        hn_json_write_integer(writer, attribute->integer);
    else if (attribute->type == HN_ATTRIBUTE_NAME)
        hn_json_write_string(writer, attribute->text);
    else if (attribute->type == HN_ATTRIBUTE_SHAPE)
        hn_json_write_shape(writer, &attribute->shape);
    else if (isinf(attribute->number))
        hn_json_write_string(writer, attribute->number > 0 ? infinity_text : minus_infinity_text);
    else
        hn_json_write_number(writer, attribute->number);
}

static void node_write(hn_json_writer *writer, const hn_graph_node *node, const int32_t *numbers)
{
    hn_json_write_raw(writer, "{\"op\": ");
    hn_json_write_string(writer, node->op->name);
    hn_json_write_raw(writer, ", \"layer\": ");
    hn_json_write_string(writer, node->layer);
    hn_json_write_raw(writer, ", \"inputs\": [");
    for (int32_t i = 0; i < node->input_count; i++) {
        hn_json_write_raw(writer, i ? ", " : "");
        hn_json_write_integer(writer, numbers[node->inputs[i]]);
    }
    hn_json_write_raw(writer, "], \"attributes\": {");
    for (int32_t i = 0; i < node->op->attribute_count; i++) {
        hn_json_write_raw(writer, i ? ", " : "");
        attribute_write(writer, &node->attributes[i]);
    }
    hn_json_write_raw(writer, "}}");
}

char *hn_graph_to_json(const hn_graph *graph, hn_error *error)
{
    hn_json_writer writer = {.error = error};
    int32_t *numbers = numbers_make(graph, error);
    if (!numbers)
        return NULL;
    hn_json_write_raw(&writer, "{\"dtype\": ");
    hn_json_write_string(&writer, dtype_names[hn_graph_dtype(graph)]);
    hn_json_write_raw(&writer, ", \"inputs\": [");
    for (int32_t i = 0; i < hn_graph_input_count(graph); i++)
        input_write(&writer, graph, i);
    hn_json_write_raw(&writer, "], \"nodes\": [");
    for (int32_t i = 0; i < hn_graph_node_count(graph); i++) {
        hn_json_write_raw(&writer, i ? ", " : "");
        node_write(&writer, hn_graph_node_at(graph, i), numbers);
    }
    hn_json_write_raw(&writer, "], \"outputs\": [");
    for (int32_t i = 0; i < hn_graph_output_count(graph); i++) {
        hn_json_write_raw(&writer, i ? ", " : "");
        hn_json_write_integer(&writer, numbers[hn_graph_output_tensor(graph, i)]);
    }
    hn_json_write_raw(&writer, "]}");
    hn_memory_free(numbers);
    return hn_json_writer_finish(&writer);
}

/* ---- reading ---- */

int hn_json_has_exactly(const hn_json_value *value, const char *const *keys, int32_t count)
{
    if (!value || value->type != JSON_OBJECT || value->count != count)
        return 0;
    for (int32_t i = 0; i < count; i++)
        if (!hn_json_member(value, keys[i]))
            return 0;
    return 1;
}

/* The dtype called so, or -1. */
static int dtype_find(const hn_json_value *value)
{
    for (int dtype = HN_FLOAT32; value->type == JSON_STRING && dtype <= HN_INT64; dtype++)
        if (strcmp(dtype_names[dtype], value->text) == 0)
            return dtype;
    return -1;
}

static hn_status input_read(hn_graph *graph, const hn_json_value *value, hn_error *error)
{
    static const char *const keys[] = {"name", "shape", "dtype"};
    hn_shape shape;
    if (!hn_json_has_exactly(value, keys, 3))
        return hn_error_set(error, HN_ERROR_VALUE, "an input must have name, shape and dtype, and nothing else");
    const hn_json_value *name = hn_json_member(value, "name");
    int dtype = dtype_find(hn_json_member(value, "dtype"));
    if (name->type != JSON_STRING || dtype < 0 || !hn_json_shape(hn_json_member(value, "shape"), -1, &shape))
        return hn_error_set(error, HN_ERROR_VALUE,
                            "an input must have a string for name, integers from -1 up for shape, and float32, float64 "
                            "or int64 for dtype");
    return hn_graph_input(graph, name->text, &shape, (hn_dtype)dtype, error) < 0 ? error->status : HN_OK;
}

static hn_status attribute_read(const hn_json_value *value, hn_attribute *attribute, hn_error *error)
{
    *attribute = (hn_attribute){.name = value->key};
    if (value->type == JSON_INTEGER) {
        attribute->type = HN_ATTRIBUTE_INTEGER;
        attribute->integer = value->integer;
    } else if (value->type == JSON_NUMBER) {
        attribute->type = HN_ATTRIBUTE_NUMBER;
        attribute->number = value->number;
    } else if (value->type == JSON_STRING &&
               (strcmp(value->text, infinity_text) == 0 || strcmp(value->text, minus_infinity_text) == 0)) {
        attribute->type = HN_ATTRIBUTE_NUMBER;
        attribute->number = value->text[0] == '-' ? -INFINITY : INFINITY;
    } else if (value->type == JSON_STRING && (size_t)value->count < sizeof attribute->text) {
        attribute->type = HN_ATTRIBUTE_NAME;
        memcpy(attribute->text, value->text, (size_t)value->count + 1);
    } else if (hn_json_shape(value, INT64_MIN, &attribute->shape)) {
        attribute->type = HN_ATTRIBUTE_SHAPE;
    } else {
        return hn_error_set(error, HN_ERROR_VALUE,
                            "attribute \"%.100s\" must be a number, a short string, or at most %d integers", value->key,
                            HN_MAX_RANK);
    }
    return HN_OK;
}

static hn_status tensor_numbers_read(const hn_json_value *value, int32_t *numbers, int32_t *count, hn_error *error)
{
    *count = 0;
    if (value->type != JSON_ARRAY || value->count > HN_MAX_INPUTS)
        return hn_error_set(error, HN_ERROR_VALUE, "\"inputs\" must be an array of at most %d tensor numbers",
                            HN_MAX_INPUTS);
    for (const hn_json_value *number = value->first; number; number = number->next) {
        if (number->type != JSON_INTEGER || number->integer < 0 || number->integer > INT32_MAX)
            return hn_error_set(error, HN_ERROR_VALUE, "a tensor number must be an integer from 0 up");
        numbers[(*count)++] = (int32_t)number->integer;
    }
    return HN_OK;
}

static hn_status node_read(hn_graph *graph, const hn_json_value *value, hn_error *error)
{
    static const char *const keys[] = {"op", "layer", "inputs", "attributes"};
    hn_attribute attributes[HN_MAX_ATTRIBUTES];
    int32_t inputs[HN_MAX_INPUTS], input_count, count = 0;
    if (!hn_json_has_exactly(value, keys, 4))
        return hn_error_set(error, HN_ERROR_VALUE,
                            "a node must have op, layer, inputs and attributes, and nothing else");
    const hn_json_value *op = hn_json_member(value, "op"), *layer = hn_json_member(value, "layer"),
                     *given = hn_json_member(value, "attributes");
    if (op->type != JSON_STRING || layer->type != JSON_STRING || given->type != JSON_OBJECT ||
        given->count > HN_MAX_ATTRIBUTES)
        return hn_error_set(error, HN_ERROR_VALUE,
                            "a node must have strings for op and layer, and an object of at most %d members for "
                            "attributes", HN_MAX_ATTRIBUTES);
    hn_status status = tensor_numbers_read(hn_json_member(value, "inputs"), inputs, &input_count, error);
    for (const hn_json_value *member = given->first; member && status == HN_OK; member = member->next)
        status = attribute_read(member, &attributes[count++], error);
    if (status != HN_OK)
        return status;
    int32_t output = hn_graph_add(graph, op->text, layer->text, attributes, count, inputs, input_count, error);
    return output < 0 ? error->status : HN_OK;
}

static hn_status output_read(hn_graph *graph, const hn_json_value *value, hn_error *error)
{
    if (value->type != JSON_INTEGER || value->integer < 0 || value->integer > INT32_MAX)
        return hn_error_set(error, HN_ERROR_VALUE, "a tensor number must be an integer from 0 up");
    return hn_graph_output(graph, (int32_t)value->integer, error);
}

typedef hn_status (*part_reader)(hn_graph *graph, const hn_json_value *value, hn_error *error);

static hn_status parts_read(hn_graph *graph, const hn_json_value *value, const char *key, part_reader read,
                            hn_error *error)
{
    const hn_json_value *parts = hn_json_member(value, key);
    hn_status status = HN_OK;
    if (parts->type != JSON_ARRAY)
        return hn_error_set(error, HN_ERROR_VALUE, "\"%s\" must be an array, received %s", key,
                            hn_json_type_name(parts->type));
    for (const hn_json_value *part = parts->first; part && status == HN_OK; part = part->next)
        status = read(graph, part, error);
    return status;
}

hn_graph *hn_graph_from_value(const hn_json_value *value, hn_error *error)
{
    static const char *const keys[] = {"dtype", "inputs", "nodes", "outputs"};
    hn_error inner = {.message = ""};
    hn_graph *graph = NULL;
    if (!hn_json_has_exactly(value, keys, 4)) {
        hn_error_set(error, HN_ERROR_VALUE,
                     "a saved graph must be an object with dtype, inputs, nodes and outputs, and nothing else");
        return NULL;
    }
    int dtype = dtype_find(hn_json_member(value, "dtype"));
    graph = hn_graph_create(dtype < 0 ? HN_INT64 : (hn_dtype)dtype, &inner); /* which refuses int64 */
    if (graph && parts_read(graph, value, "inputs", input_read, &inner) == HN_OK &&
        parts_read(graph, value, "nodes", node_read, &inner) == HN_OK &&
        parts_read(graph, value, "outputs", output_read, &inner) == HN_OK)
        return graph;
    hn_error_set(error, inner.status == HN_ERROR_MEMORY ? HN_ERROR_MEMORY : HN_ERROR_VALUE,
                 "a saved graph is damaged: %s", inner.message);
    hn_graph_free(graph);
    return NULL;
}

hn_graph *hn_graph_from_json(const char *json, hn_error *error)
{
    hn_json_value *value = hn_json_parse(json, strlen(json), "the saved graph", error);
    hn_graph *graph = value ? hn_graph_from_value(value, error) : NULL;
    hn_memory_free(value);
    return graph;
}
