/* One network out of many: the generator run once, its output put in the places of the generated weights. */
#include "model.h"
#include "../base/memory.h"
#include "../base/threads.h"
#include <string.h>

/* What one run of the generator needs. */
typedef struct generation {
    hn_plan *plan;
    hn_workspace *workspace;
    hn_source *sources;
    void *theta;
    void *features, *scratch; /* of a head in fewer bits; else NULL */
    int64_t count;            /* P */
} generation;

/* The shape of the condition: an open axis is as long as `size` makes it. */
static hn_status condition_shape(const hn_model *model, int64_t size, hn_shape *shape, hn_error *error)
{
    char text[128];
    if (!model->generator)
        return hn_error_set(error, HN_ERROR_VALUE, "only a hypermodel can be specialised; this is an ordinary model");
    if (hn_graph_input_count(model->generator) != 1)
        return hn_error_set(error, HN_ERROR_NOT_IMPLEMENTED, "specialising with a generator of %d inputs is not built",
                            hn_graph_input_count(model->generator));
    *shape = hn_graph_tensor(model->generator, hn_graph_input_tensor(model->generator, 0))->shape;
    hn_shape declared = *shape;
    int64_t known = 1, *open = NULL;
    for (int32_t i = 0; i < shape->rank; i++) {
        if (shape->dims[i] < 0 && !open)
            open = &shape->dims[i];
        else if (__builtin_mul_overflow(known, shape->dims[i], &known))
            known = -1;
    }
    if (open && known > 0 && size > 0 && size % known == 0)
        *open = size / known;
    if (hn_shape_size(shape) == size)
        return HN_OK;
    return hn_error_set(error, HN_ERROR_VALUE, "the generator expects a condition of shape %s, received %lld numbers",
                        hn_shape_format(&declared, text, sizeof text), (long long)size);
}

static hn_status generation_prepare(const hn_model *model, const hn_shape *shape, generation *g, hn_error *error)
{
    hn_isa isa;
    hn_status status = hn_isa_default(&isa, error);
    if (status != HN_OK)
        return status;
    g->plan = hn_plan_create(model->generator, shape, isa, error);
    if (!g->plan)
        return error->status;
    g->workspace = hn_workspace_create(g->plan, 1, 1, HN_MODE_INFERENCE, hn_threads_get(), error);
    if (!g->workspace)
        return error->status;
    g->sources = hn_memory_allocate((size_t)hn_graph_entry_count(model->generator), sizeof *g->sources, error);
    if (!g->sources)
        return HN_ERROR_MEMORY;
    hn_graph_bind(model->generator, model->generator_weights, NULL, g->sources);
    size_t element = hn_dtype_size(hn_graph_dtype(model->generator));
    int64_t given = hn_shape_size(&hn_plan_output(g->plan, 0)->shape);
    g->count = model->head.kernel ? model->head.count : given;
    g->theta = hn_memory_allocate((size_t)g->count, element, error);
    if (!g->theta || !model->head.kernel)
        return g->theta ? HN_OK : HN_ERROR_MEMORY;
    g->features = hn_memory_allocate((size_t)given, element, error);
    if (g->features)
        g->scratch = hn_memory_allocate(hn_plan_kernels(g->plan)->quantized_scratch, 1, error);
    return g->scratch ? HN_OK : HN_ERROR_MEMORY;
}

/* theta = generator(condition) + base */
static hn_status generation_run(const hn_model *model, const void *condition, const generation *g, hn_error *error)
{
    const hn_quantized_head *head = &model->head;
    const hn_kernels *kernels = hn_plan_kernels(g->plan);
    hn_view input = {.data = (void *)condition}; /* inputs are only read */
    hn_view output = {.data = head->kernel ? g->features : g->theta};
    hn_run run = {.groups = 1, .rows = 1, .threads = hn_threads_get(), .inputs = &input, .outputs = &output,
                  .sources = g->sources, .workspace = g->workspace};
    hn_status status = hn_plan_check(g->plan, &run, error);
    if (status != HN_OK)
        return status;
    hn_plan_forward(g->plan, &run);
    if (head->kernel)
        kernels->gemm_quantized(head->stored, 1, head->count, head->width, g->features, head->width, head->kernel,
                                head->count, head->scale, head->bias, g->theta, head->count, g->scratch);
    if (model->base)
        kernels->binary(HN_BINARY_ADD, g->count, g->theta, 1, model->base, 1, g->theta);
    return HN_OK;
}

/* Own entries as they are, generated ones from theta. */
static void weights_assemble(const hn_model *model, const char *theta, char *weights)
{
    size_t element = hn_dtype_size(hn_graph_dtype(model->graph));
    memcpy(weights, model->weights, (size_t)hn_graph_parameter_count(model->graph) * element);
    for (int32_t i = 0; i < hn_graph_entry_count(model->graph); i++) {
        const hn_entry *entry = hn_graph_entry(model->graph, i);
        size_t bytes = (size_t)entry->size * element;
        if (!model->generated[i])
            continue;
        memcpy(weights + (size_t)entry->offset * element, theta, bytes);
        theta += bytes;
    }
}

hn_status hn_model_specialize(const hn_model *model, const void *condition, int64_t condition_size, void *weights,
                              hn_error *error)
{
    hn_error ignored;
    hn_shape shape;
    generation g = {.plan = NULL};
    error = error ? error : &ignored;
    hn_status status = condition_shape(model, condition_size, &shape, error);
    if (status == HN_OK)
        status = generation_prepare(model, &shape, &g, error);
    if (status == HN_OK)
        status = generation_run(model, condition, &g, error);
    if (status == HN_OK && g.theta)
        weights_assemble(model, g.theta, weights);
    hn_memory_free(g.theta);
    hn_memory_free(g.features);
    hn_memory_free(g.scratch);
    hn_memory_free(g.sources);
    hn_workspace_free(g.workspace);
    hn_plan_free(g.plan);
    return status;
}
