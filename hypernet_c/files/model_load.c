/* A saved model: its graphs, then its weights, all checked before the first is copied. */
#include "checksum.h"
#include "graph_json.h"
#include "model.h"
#include "../base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT = 1 };

/* One loading. */
typedef struct loading {
    hn_tensor_file *file;
    hn_model *model;
    int64_t used;           /* tensors of the file that have a place in the model */
    int has_base, has_head_bias;
    hn_error *error;
} loading;

/* ---- graphs and what is generated ---- */

static hn_status generated_read(loading *l, const hn_json_value *names)
{
    const hn_graph *target = l->model->graph;
    l->model->generated = hn_memory_allocate((size_t)hn_graph_entry_count(target), 1, l->error);
    if (!l->model->generated)
        return HN_ERROR_MEMORY;
    if (names->type != JSON_ARRAY)
        return hn_error_set(l->error, HN_ERROR_VALUE, "\"generated\" must be an array of names");
    for (const hn_json_value *name = names->first; name; name = name->next) {
        int32_t entry = name->type == JSON_STRING ? hn_graph_entry_find(target, name->text) : -1;
        if (entry < 0 || l->model->generated[entry])
            return hn_error_set(l->error, HN_ERROR_VALUE, "\"generated\" names \"%.200s\", which is %s",
                                name->type == JSON_STRING ? name->text : hn_json_type_name(name->type),
                                entry < 0 ? "no weight of the target" : "there already");
        l->model->generated[entry] = 1;
    }
    return HN_OK;
}

/* How many weights may be generated: so many in any case, and so many for each number in the file. */
enum { GENERATED_FREELY = 1 << 20, GENERATED_A_NUMBER = 64 };

/* P: elements of all generated entries. */
static int64_t generated_count(const hn_model *model)
{
    int64_t count = 0;
    for (int32_t i = 0; i < hn_graph_entry_count(model->graph); i++)
        count += model->generated[i] ? hn_graph_entry(model->graph, i)->size : 0;
    return count;
}

/* {"stored": "int8", "bias": true} */
static hn_status head_read(loading *l, const hn_json_value *value)
{
    static const char *const keys[] = {"stored", "bias"};
    const hn_json_value *stored = hn_json_member(value, "stored"), *bias = hn_json_member(value, "bias");
    const char *name = stored && stored->type == JSON_STRING ? stored->text : "";
    int is_int8 = strcmp(name, "int8") == 0;
    if (!hn_json_has_exactly(value, keys, 2) || (!is_int8 && strcmp(name, "bfloat16") != 0) ||
        (bias->type != JSON_TRUE && bias->type != JSON_FALSE))
        return hn_error_set(l->error, HN_ERROR_VALUE, "\"head\" must say how it is stored (bfloat16 or int8), and "
                            "whether it has a bias");
    if (hn_graph_dtype(l->model->graph) != HN_FLOAT32)
        return hn_error_set(l->error, HN_ERROR_VALUE, "a head stored as %s belongs to networks of float32", name);
    l->has_head_bias = bias->type == JSON_TRUE;
    l->model->head.stored = is_int8 ? HN_INT8 : HN_BFLOAT16;
    l->model->head.count = generated_count(l->model);
    return HN_OK;
}

/* The target's vector has room for P weights that no tensor holds: numbers in the file must justify it. A generator may
   give more than it holds itself (parts that are repeated), and without any a million. */
static hn_status generated_check(const loading *l)
{
    int64_t count = generated_count(l->model), numbers = 0;
    for (int64_t i = 0; i < hn_tensor_file_count(l->file); i++)
        numbers += hn_shape_size(&hn_tensor_file_at(l->file, i)->shape);
    if (count <= GENERATED_FREELY || (count - 1) / GENERATED_A_NUMBER < numbers)
        return HN_OK;
    return hn_error_set(l->error, HN_ERROR_VALUE, "it has %lld numbers, too few for a generator of %lld weights",
                        (long long)numbers, (long long)count);
}

/* One output in the target's dtype, of P elements or of a head's features. */
static hn_status generator_check(const loading *l)
{
    const hn_graph *generator = l->model->generator;
    hn_quantized_head *head = &l->model->head;
    int64_t count = generated_count(l->model);
    if (hn_graph_dtype(generator) != hn_graph_dtype(l->model->graph))
        return hn_error_set(l->error, HN_ERROR_VALUE, "generator and target have different dtypes");
    if (hn_graph_output_count(generator) == 1) {
        const hn_tensor_info *output = hn_graph_tensor(generator, hn_graph_output_tensor(generator, 0));
        int64_t size = hn_shape_size(&output->shape);
        head->width = size;
        if (output->dtype == hn_graph_dtype(generator) && (head->count > 0 ? size >= 0 : size == count))
            return generated_check(l);
    }
    if (head->count > 0)
        return hn_error_set(l->error, HN_ERROR_VALUE, "the generator must have one output, of the head's features");
    return hn_error_set(l->error, HN_ERROR_VALUE, "the generator must have one output, of the %lld generated weights",
                        (long long)count);
}

static hn_status hypermodel_read(loading *l, const hn_json_value *description)
{
    const hn_json_value *base = hn_json_member(description, "base");
    if (base->type != JSON_TRUE && base->type != JSON_FALSE)
        return hn_error_set(l->error, HN_ERROR_VALUE, "\"base\" must be true or false");
    l->has_base = base->type == JSON_TRUE;
    l->model->generator = hn_graph_from_value(hn_json_member(description, "generator"), l->error);
    if (!l->model->generator)
        return l->error->status;
    l->model->graph = hn_graph_from_value(hn_json_member(description, "target"), l->error);
    if (!l->model->graph)
        return l->error->status;
    const hn_json_value *head = hn_json_member(description, "head");
    hn_status status = generated_read(l, hn_json_member(description, "generated"));
    if (status == HN_OK && head)
        status = head_read(l, head);
    return status == HN_OK ? generator_check(l) : status;
}

static hn_status description_read(loading *l, const hn_json_value *description)
{
    static const char *const model_keys[] = {"kind", "graph"},
                      *const hyper_keys[] = {"kind", "generator", "target", "generated", "base", "head"};
    const hn_json_value *kind = hn_json_member(description, "kind");
    const char *name = kind && kind->type == JSON_STRING ? kind->text : "";
    int32_t hyper_count = hn_json_member(description, "head") ? 6 : 5;
    if (strcmp(name, "hypermodel") == 0 && hn_json_has_exactly(description, hyper_keys, hyper_count))
        return hypermodel_read(l, description);
    if (strcmp(name, "model") != 0 || !hn_json_has_exactly(description, model_keys, 2))
        return hn_error_set(l->error, HN_ERROR_VALUE, "its description is neither that of a model nor of a hypermodel");
    l->model->graph = hn_graph_from_value(hn_json_member(description, "graph"), l->error);
    return l->model->graph ? HN_OK : l->error->status;
}

/* A whole number beyond FORMAT. */
static int is_newer(const char *format)
{
    size_t digits = strspn(format, "0123456789");
    return digits > 0 && digits < 10 && format[digits] == 0 && strtol(format, NULL, 10) > FORMAT;
}

static hn_status graphs_read(loading *l)
{
    const char *format = hn_tensor_file_text(l->file, FILE_FORMAT),
               *text = hn_tensor_file_text(l->file, "hypernet_model");
    if (format && is_newer(format))
        return hn_error_set(l->error, HN_ERROR_VALUE, "it is of file format %s, and this hypernet reads formats up to "
                            "%d: a newer hypernet wrote it, and a newer one is needed to read it", format, FORMAT);
    if (!format || strcmp(format, "1") != 0 || !text)
        return hn_error_set(l->error, HN_ERROR_VALUE, "it is no model of hypernet's (format %.20s; expected %d)",
                            format ? format : "unknown", FORMAT);
    hn_json_value *description = hn_json_parse(text, strlen(text), "its description", l->error);
    if (!description)
        return l->error->status;
    hn_status status = description_read(l, description);
    hn_memory_free(description);
    return status;
}

/* ---- weights ---- */

/* The tensor called prefix + name, of this dtype and shape; NULL on error. */
static const hn_file_tensor *tensor_find(const loading *l, const char *prefix, const char *name, hn_dtype dtype,
                                         const hn_shape *shape)
{
    char is[128], wanted[128];
    size_t size = strlen(prefix) + strlen(name) + 1;
    char *full = hn_memory_allocate(size, 1, l->error);
    if (!full)
        return NULL;
    (void)snprintf(full, size, "%s%s", prefix, name);
    const hn_file_tensor *tensor = hn_tensor_file_find(l->file, full);
    int good = tensor && tensor->dtype == dtype && hn_shape_equal(&tensor->shape, shape);
    if (!tensor)
        hn_error_set(l->error, HN_ERROR_VALUE, "it has no tensor \"%.200s\"", full);
    else if (!good)
        hn_error_set(l->error, HN_ERROR_VALUE, "tensor \"%.200s\" is of %s and shape %s; expected %s and %s", full,
                     hn_file_dtype_name(tensor->dtype), hn_shape_format(&tensor->shape, is, sizeof is),
                     hn_file_dtype_name(dtype), hn_shape_format(shape, wanted, sizeof wanted));
    hn_memory_free(full);
    return good ? tensor : NULL;
}

/* The tensors of all stored entries of `graph`: found and checked (weights NULL), or copied to their places. */
static hn_status weights_read(loading *l, const hn_graph *graph, const char *prefix, const unsigned char *generated,
                              char *weights)
{
    hn_dtype dtype = hn_graph_dtype(graph);
    for (int32_t i = 0; i < hn_graph_entry_count(graph); i++) {
        const hn_entry *entry = hn_graph_entry(graph, i);
        if (generated && generated[i])
            continue;
        const hn_file_tensor *tensor = tensor_find(l, prefix, entry->name, dtype, &entry->spec.shape);
        if (!tensor)
            return l->error->status;
        if (weights)
            memcpy(weights + (size_t)entry->offset * hn_dtype_size(dtype), tensor->data, tensor->bytes);
        else
            l->used++;
    }
    return HN_OK;
}

/* Both networks' weights, checked or copied. */
static hn_status all_weights_read(loading *l, int copy)
{
    hn_model *model = l->model;
    if (!model->generator)
        return weights_read(l, model->graph, "weights/", NULL, copy ? model->weights : NULL);
    hn_status status = weights_read(l, model->generator, "generator/", NULL, copy ? model->generator_weights : NULL);
    if (status != HN_OK)
        return status;
    return weights_read(l, model->graph, "target/", model->generated, copy ? model->weights : NULL);
}

/* What a hypermodel has besides its networks: found and checked, before memory for anything is taken. */
typedef struct extras {
    const hn_file_tensor *base, *kernel, *scale, *bias;
} extras;

static hn_status extras_find(loading *l, extras *found)
{
    const hn_quantized_head *head = &l->model->head;
    hn_dtype dtype = hn_graph_dtype(l->model->graph);
    hn_shape kernel = {2, {head->width, head->count}}, vector = {1, {0}};
    if (l->model->generator)
        vector.dims[0] = generated_count(l->model);
    struct {
        const char *name;
        int wanted;
        hn_dtype dtype;
        const hn_shape *shape;
        const hn_file_tensor **place;
    } list[] = {
        {"base", l->has_base, dtype, &vector, &found->base},
        {"head/kernel", head->count > 0, head->stored, &kernel, &found->kernel},
        {"head/scale", head->count > 0 && head->stored == HN_INT8, HN_FLOAT32, &vector, &found->scale},
        {"head/bias", l->has_head_bias, HN_FLOAT32, &vector, &found->bias},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        if (!list[i].wanted)
            continue;
        *list[i].place = tensor_find(l, "", list[i].name, list[i].dtype, list[i].shape);
        if (!*list[i].place)
            return l->error->status;
        l->used++;
    }
    return HN_OK;
}

/* A copy of a tensor at `place`; without a tensor nothing. */
static hn_status tensor_copy(const loading *l, const hn_file_tensor *tensor, const void **place)
{
    if (!tensor)
        return HN_OK;
    void *memory = hn_memory_allocate(tensor->bytes, 1, l->error);
    if (!memory)
        return HN_ERROR_MEMORY;
    memcpy(memory, tensor->data, tensor->bytes);
    *place = memory;
    return HN_OK;
}

static hn_status extras_copy(const loading *l, const extras *found)
{
    const void *base = NULL, *scale = NULL, *bias = NULL;
    hn_quantized_head *head = &l->model->head;
    hn_status status = tensor_copy(l, found->base, &base);
    l->model->base = (void *)base;
    if (status == HN_OK)
        status = tensor_copy(l, found->kernel, &head->kernel);
    if (status == HN_OK)
        status = tensor_copy(l, found->scale, &scale);
    head->scale = scale;
    if (status == HN_OK)
        status = tensor_copy(l, found->bias, &bias);
    head->bias = bias;
    return status;
}

/* A file may hold nothing that the model has no place for, but Python's state of the optimizer. */
static hn_status leftovers_check(const loading *l)
{
    static const char ours[] = "optimizer/";
    int64_t others = 0;
    for (int64_t i = 0; i < hn_tensor_file_count(l->file); i++)
        others += strncmp(hn_tensor_file_at(l->file, i)->name, ours, sizeof ours - 1) != 0;
    if (others != l->used)
        return hn_error_set(l->error, HN_ERROR_VALUE,
                            "it has %lld tensors besides those of the optimizer; the model has a place for %lld",
                            (long long)others, (long long)l->used);
    return HN_OK;
}

/* Checks every tensor before memory for any is taken: the file's size bounds what its graphs can ask for. */
static hn_status model_fill(loading *l)
{
    hn_model *model = l->model;
    hn_dtype dtype = hn_graph_dtype(model->graph);
    extras found = {NULL, NULL, NULL, NULL};
    hn_status status = all_weights_read(l, 0);
    if (status == HN_OK)
        status = extras_find(l, &found);
    if (status == HN_OK)
        status = leftovers_check(l);
    if (status != HN_OK)
        return status;
    model->weights = hn_memory_allocate((size_t)hn_graph_parameter_count(model->graph), hn_dtype_size(dtype), l->error);
    if (!model->weights)
        return HN_ERROR_MEMORY;
    if (model->generator) {
        size_t count = (size_t)hn_graph_parameter_count(model->generator);
        model->generator_weights = hn_memory_allocate(count, hn_dtype_size(dtype), l->error);
        if (!model->generator_weights)
            return HN_ERROR_MEMORY;
    }
    status = extras_copy(l, &found);
    return status == HN_OK ? all_weights_read(l, 1) : status;
}

hn_model *hn_model_load(const char *path, hn_error *error)
{
    hn_error inner = {.message = ""};
    loading l = {.error = &inner};
    l.file = hn_tensor_file_read(path, error);
    if (!l.file)
        return NULL;
    l.model = hn_memory_allocate(1, sizeof *l.model, &inner);
    hn_status status = l.model ? graphs_read(&l) : HN_ERROR_MEMORY;
    if (status == HN_OK)
        status = model_fill(&l);
    hn_tensor_file_free(l.file);
    if (status == HN_OK)
        return l.model;
    hn_model_free(l.model);
    hn_error_set(error, status, "could not load '%.400s': %s", path, inner.message);
    return NULL;
}

void hn_model_free(hn_model *model)
{
    if (!model)
        return;
    hn_graph_free(model->graph);
    hn_graph_free(model->generator);
    hn_memory_free(model->weights);
    hn_memory_free(model->generator_weights);
    hn_memory_free(model->generated);
    hn_memory_free(model->base);
    hn_memory_free((void *)model->head.kernel);
    hn_memory_free((void *)model->head.scale);
    hn_memory_free((void *)model->head.bias);
    hn_memory_free(model);
}
