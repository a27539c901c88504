/* Making a hypernetwork: which weights are generated, where they lie in theta, and which head makes them. */
#include "hyper_internal.h"
#include "../base/memory.h"

#include <stdatomic.h>
#include <string.h>

static _Atomic int default_order = HN_ORDER_BY_COST;

/* ---- the target ---- */

static hn_status place_entries(hn_hyper *hyper, const hn_graph *target, const unsigned char *generated, hn_error *error)
{
    hyper->target_entries = hn_graph_entry_count(target);
    hyper->columns = hn_memory_allocate((size_t)hyper->target_entries, sizeof *hyper->columns, error);
    hyper->entry_sizes = hyper->columns ? hn_memory_allocate((size_t)hyper->target_entries, sizeof(int64_t), error)
                                        : NULL;
    if (!hyper->entry_sizes)
        return HN_ERROR_MEMORY;
    for (int32_t i = 0; i < hyper->target_entries; i++) {
        int is_generated = !generated || generated[i];
        hyper->entry_sizes[i] = hn_graph_entry(target, i)->size;
        hyper->columns[i] = is_generated ? hyper->count : -1;
        hyper->count += is_generated ? hyper->entry_sizes[i] : 0;
        hyper->own |= !is_generated;
    }
    if (hyper->count == 0)
        return hn_error_set(error, HN_ERROR_VALUE, "no weight of the target is to be generated");
    return HN_OK;
}

/* Adds an entry to a node, whose generated entries follow each other in theta as they do in the target. */
static void node_take(const hn_hyper *hyper, hyper_node *node, int32_t entry)
{
    if (hyper->columns[entry] < 0)
        return;
    if (node->entry_count == 0)
        node->column = hyper->columns[entry];
    node->entries[node->entry_count++] = entry;
    node->count += hyper->entry_sizes[entry];
}

static hn_status list_nodes(hn_hyper *hyper, hn_error *error)
{
    int32_t plan_nodes = hn_plan_node_count(hyper->target), most = plan_nodes + hyper->target_entries;
    hyper->nodes = hn_memory_allocate((size_t)most, sizeof *hyper->nodes, error);
    unsigned char *used = hyper->nodes ? hn_memory_allocate((size_t)hyper->target_entries, 1, error) : NULL;
    if (!used)
        return HN_ERROR_MEMORY;
    for (int32_t n = 0; n < plan_nodes; n++) {
        hyper_node *node = &hyper->nodes[hyper->node_count++];
        int32_t count;
        const int32_t *entries = hn_plan_node_entries(hyper->target, n, &count);
        *node = (hyper_node){.node = n, .first = 1};
        for (int32_t i = 0; i < count; i++) {
            node_take(hyper, node, entries[i]);
            node->first = node->first && !used[entries[i]];
            used[entries[i]] = 1;
        }
        hyper->shared |= node->count > 0 && !node->first;
    }
    for (int32_t i = 0; i < hyper->target_entries; i++) {
        if (used[i] || hyper->columns[i] < 0)
            continue;
        hyper_node *node = &hyper->nodes[hyper->node_count++];
        *node = (hyper_node){.node = -1, .first = 1};
        node_take(hyper, node, i);
    }
    hn_memory_free(used);
    return HN_OK;
}

/* ---- the generator ---- */

/* The node that gives the output, if it is a linear Dense on features, in a layer that nobody else uses; else NULL. */
static const hn_graph_node *find_dense(const hn_graph *generator)
{
    const hn_graph_node *last = NULL;
    for (int32_t n = 0; n < hn_graph_node_count(generator); n++)
        if (hn_graph_node_at(generator, n)->output == hn_graph_output_tensor(generator, 0))
            last = hn_graph_node_at(generator, n);
    if (!last || strcmp(last->op->name, "dense") != 0 ||
        hn_graph_tensor(generator, last->inputs[0])->shape.rank != 1)
        return NULL;
    for (int32_t i = 0; i < last->op->attribute_count; i++)
        if (strcmp(last->attributes[i].name, "activation") == 0 && strcmp(last->attributes[i].text, "linear") != 0)
            return NULL;
    for (int32_t n = 0; n < hn_graph_node_count(generator); n++)
        if (hn_graph_node_at(generator, n) != last && hn_graph_node_at(generator, n)->layer_index == last->layer_index)
            return NULL;
    return last;
}

/* Weights of the generator that neither its plan nor the head uses: their gradients are zero. */
static hn_status list_unused(hn_hyper *hyper, const hn_graph *generator, hn_error *error)
{
    hyper->generator_entries = hn_graph_entry_count(generator);
    hyper->unused_sizes = hn_memory_allocate((size_t)hyper->generator_entries, sizeof(int64_t), error);
    if (!hyper->unused_sizes)
        return HN_ERROR_MEMORY;
    for (int32_t i = 0; i < hyper->generator_entries; i++)
        if (i != hyper->head_kernel && i != hyper->head_bias)
            hyper->unused_sizes[i] = hn_graph_entry(generator, i)->size;
    for (int32_t n = 0; n < hn_plan_node_count(hyper->generator); n++) {
        int32_t count;
        const int32_t *entries = hn_plan_node_entries(hyper->generator, n, &count);
        for (int32_t i = 0; i < count; i++)
            hyper->unused_sizes[entries[i]] = 0;
    }
    return HN_OK;
}

/* A head that the caller has: the whole generator comes before it. */
static hn_status take_quantized(hn_hyper *hyper, const hn_graph *generator, const hn_quantized_head *head,
                                hn_error *error)
{
    int has_scale = head->scale != NULL;
    if ((head->stored != HN_BFLOAT16 && head->stored != HN_INT8) || hn_graph_dtype(generator) != HN_FLOAT32)
        return hn_error_set(error, HN_ERROR_TYPE, "a quantised head is stored as bfloat16 or int8, and computes in "
                            "float32");
    if (!head->kernel || has_scale != (head->stored == HN_INT8))
        return hn_error_set(error, HN_ERROR_VALUE, "a head of int8 needs a kernel and a scale, one of bfloat16 a "
                            "kernel and no scale");
    hyper->quantized = *head;
    hyper->head = hn_head_find(head->stored == HN_INT8 ? "int8" : "bfloat16");
    return HN_OK;
}

/* Compiles the generator without its head. */
static hn_status compile_generator(hn_hyper *hyper, const hn_graph *generator, const hn_quantized_head *quantized,
                                   const hn_shape *shapes, hn_isa isa, hn_error *error)
{
    const hn_graph_node *dense = quantized ? NULL : find_dense(generator);
    int32_t output = dense ? dense->inputs[0] : hn_graph_output_tensor(generator, 0);
    hyper->head = hn_head_find(dense ? "dense" : "values");
    if (quantized && take_quantized(hyper, generator, quantized, error) != HN_OK)
        return HN_ERROR_VALUE;
    hyper->generator = hn_plan_create_part(generator, &output, 1, shapes, isa, error);
    if (!hyper->generator)
        return HN_ERROR_VALUE;
    const hn_tensor_info *features = hn_plan_output(hyper->generator, 0);
    int64_t given = hyper->width = hn_shape_size(&features->shape);
    if (features->dtype != hn_graph_dtype(generator))
        return hn_error_set(error, HN_ERROR_TYPE, "a generator must give real numbers; its output is integers");
    if (dense) {
        given = hn_graph_tensor(generator, dense->output)->shape.dims[0];
        hyper->head_kernel = dense->entries[0];
        hyper->head_bias = dense->entry_count > 1 ? dense->entries[1] : -1;
    }
    if (quantized && given != quantized->width)
        return hn_error_set(error, HN_ERROR_VALUE, "the generator gives %lld features, but the head takes %lld",
                            (long long)given, (long long)quantized->width);
    given = quantized ? quantized->count : given;
    if (given != hyper->count)
        return hn_error_set(error, HN_ERROR_VALUE, "the generator gives %lld values, but %lld weights of the target "
                            "are to be generated", (long long)given, (long long)hyper->count);
    return list_unused(hyper, generator, error);
}

static hn_status hyper_make(hn_hyper *hyper, const hn_graph *generator, const hn_quantized_head *head,
                            const hn_graph *target, const unsigned char *generated, const hn_shape *condition_shapes,
                            const hn_shape *input_shapes, hn_isa isa, hn_error *error)
{
    if (generator && hn_graph_output_count(generator) != 1)
        return hn_error_set(error, HN_ERROR_VALUE, "a generator has one output; this one has %d",
                            hn_graph_output_count(generator));
    if (generator && hn_graph_dtype(generator) != hn_graph_dtype(target))
        return hn_error_set(error, HN_ERROR_TYPE, "generator and target must be of one dtype");
    hn_status status = place_entries(hyper, target, generated, error);
    if (status != HN_OK)
        return status;
    hyper->target = hn_plan_create(target, input_shapes, isa, error);
    if (!hyper->target)
        return HN_ERROR_VALUE;
    status = list_nodes(hyper, error);
    if (status == HN_OK && generator)
        status = compile_generator(hyper, generator, head, condition_shapes, isa, error);
    if (status == HN_OK)
        hn_hyper_set_order(hyper, (hn_order)atomic_load(&default_order));
    return status;
}

static hn_hyper *create(const hn_graph *generator, const hn_quantized_head *head, const hn_graph *target,
                        const unsigned char *generated, const hn_shape *condition_shapes, const hn_shape *input_shapes,
                        hn_isa isa, hn_error *error)
{
    hn_hyper *hyper = hn_memory_allocate(1, sizeof *hyper, error);
    if (!hyper)
        return NULL;
    hyper->element = hn_dtype_size(hn_graph_dtype(target));
    hyper->head_kernel = hyper->head_bias = -1;
    hyper->head = hn_head_find("given");
    if (hyper_make(hyper, generator, head, target, generated, condition_shapes, input_shapes, isa, error) == HN_OK)
        return hyper;
    hn_hyper_free(hyper);
    return NULL;
}

hn_hyper *hn_hyper_create(const hn_graph *generator, const hn_graph *target, const unsigned char *generated,
                          const hn_shape *condition_shapes, const hn_shape *input_shapes, hn_isa isa, hn_error *error)
{
    return create(generator, NULL, target, generated, condition_shapes, input_shapes, isa, error);
}

hn_hyper *hn_hyper_create_quantized(const hn_graph *generator, const hn_quantized_head *head, const hn_graph *target,
                                    const unsigned char *generated, const hn_shape *condition_shapes,
                                    const hn_shape *input_shapes, hn_isa isa, hn_error *error)
{
    return create(generator, head, target, generated, condition_shapes, input_shapes, isa, error);
}

hn_hyper *hn_hyper_create_given(const hn_graph *target, const unsigned char *generated, const hn_shape *input_shapes,
                                hn_isa isa, hn_error *error)
{
    return create(NULL, NULL, target, generated, NULL, input_shapes, isa, error);
}

void hn_hyper_set_default_order(hn_order order)
{
    atomic_store(&default_order, (int)order);
}

void hn_hyper_set_order(hn_hyper *hyper, hn_order order)
{
    hyper->order = order;
    hn_hyper_order_choose(hyper);
    hn_hyper_limits_choose(hyper);
}

void hn_hyper_free(hn_hyper *hyper)
{
    if (!hyper)
        return;
    hn_plan_free(hyper->generator);
    hn_plan_free(hyper->target);
    hn_memory_free(hyper->unused_sizes);
    hn_memory_free(hyper->columns);
    hn_memory_free(hyper->entry_sizes);
    hn_memory_free(hyper->nodes);
    hn_memory_free(hyper);
}

int64_t hn_hyper_generated_count(const hn_hyper *hyper)
{
    return hyper->count;
}

const hn_plan *hn_hyper_target_plan(const hn_hyper *hyper)
{
    return hyper->target;
}

const char *hn_hyper_head_name(const hn_hyper *hyper)
{
    return hyper->head->name;
}
