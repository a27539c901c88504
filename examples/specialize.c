/* Loads a hypermodel that Python saved (hyper.save("hyper.safetensors")), makes the network for one condition, and
   predicts with it. An ordinary model is loaded and predicts as it is.

       cc -O2 -Ihypernet_c examples/specialize.c hypernet_c/{base,kernels,ops,network,train,hyper,files}/[a-z]*.c \
           -lm -lpthread -o specialize
       ./specialize hyper.safetensors [condition...]

   The condition is given as numbers (default: all ones; ids: all zeros). The inputs are all ones (ids: zeros). */
#include "hypernet.h"
#include <stdio.h>
#include <stdlib.h>

enum { PRINTED = 10 };

static hn_error error;

static void must(int good)
{
    if (good)
        return;
    fprintf(stderr, "%s\n", error.message);
    exit(1);
}

static void *numbers(int64_t count, size_t size)
{
    must(count >= 0 || hn_error_set(&error, HN_ERROR_VALUE, "this program needs closed shapes") == HN_OK);
    void *memory = hn_memory_allocate((size_t)count, size, &error);
    must(memory != NULL);
    return memory;
}

static void number_put(void *array, hn_dtype dtype, int64_t index, double value)
{
    if (dtype == HN_FLOAT32)
        ((float *)array)[index] = (float)value;
    else if (dtype == HN_FLOAT64)
        ((double *)array)[index] = value;
    else
        ((int64_t *)array)[index] = (int64_t)value;
}

static double number_at(const void *array, hn_dtype dtype, int64_t index)
{
    if (dtype == HN_FLOAT32)
        return (double)((const float *)array)[index];
    return dtype == HN_FLOAT64 ? ((const double *)array)[index] : (double)((const int64_t *)array)[index];
}

/* An array for one sample of `tensor`: ones, or zeros for ids. */
static void *sample(const hn_tensor_info *tensor)
{
    int64_t count = hn_shape_size(&tensor->shape);
    void *array = numbers(count, hn_dtype_size(tensor->dtype));
    for (int64_t i = 0; i < count; i++)
        number_put(array, tensor->dtype, i, tensor->dtype == HN_INT64 ? 0.0 : 1.0);
    return array;
}

/* The target's weights for the condition in `texts` (`count` of them; none: the default). */
static void *specialized(const hn_model *model, int count, char **texts)
{
    hn_dtype dtype = hn_graph_dtype(model->graph);
    const hn_tensor_info *tensor = hn_graph_tensor(model->generator, hn_graph_input_tensor(model->generator, 0));
    int64_t size = count > 0 ? count : hn_shape_size(&tensor->shape);
    void *condition = count > 0 ? numbers(count, hn_dtype_size(tensor->dtype)) : sample(tensor);
    for (int i = 0; i < count; i++)
        number_put(condition, tensor->dtype, i, strtod(texts[i], NULL));
    void *weights = numbers(hn_graph_parameter_count(model->graph), hn_dtype_size(dtype));
    must(hn_model_specialize(model, condition, size, weights, &error) == HN_OK);
    hn_memory_free(condition);
    return weights;
}

/* One sample of ones through the network; the first output is printed. */
static void predict(const hn_graph *graph, const void *weights)
{
    hn_isa isa;
    hn_view inputs[HN_MAX_INPUTS] = {{NULL, 0, 0}}, *outputs;
    must(hn_isa_default(&isa, &error) == HN_OK);
    hn_plan *plan = hn_plan_create(graph, NULL, isa, &error);
    must(plan != NULL && hn_plan_input_count(plan) <= HN_MAX_INPUTS);
    hn_workspace *workspace = hn_workspace_create(plan, 1, 1, HN_MODE_INFERENCE, hn_threads_get(), &error);
    must(workspace != NULL);
    for (int32_t i = 0; i < hn_plan_input_count(plan); i++)
        inputs[i].data = sample(hn_plan_input(plan, i));
    const hn_tensor_info *info = hn_plan_output(plan, 0);
    int64_t count = hn_shape_size(&info->shape);
    outputs = numbers(hn_plan_output_count(plan), sizeof *outputs); /* the others stay NULL: not wanted */
    outputs[0].data = numbers(count, hn_dtype_size(info->dtype));
    hn_source *sources = numbers(hn_graph_entry_count(graph), sizeof *sources);
    hn_graph_bind(graph, weights, NULL, sources);
    hn_run run = {.groups = 1, .rows = 1, .threads = hn_threads_get(), .inputs = inputs, .outputs = outputs,
                  .sources = sources, .workspace = workspace};
    must(hn_plan_check(plan, &run, &error) == HN_OK);
    hn_plan_forward(plan, &run);
    printf("prediction:");
    for (int64_t i = 0; i < count && i < PRINTED; i++)
        printf(" %.9g", number_at(outputs[0].data, info->dtype, i));
    printf(count > PRINTED ? " ...\n" : "\n");
    hn_memory_free(sources);
    hn_memory_free(outputs[0].data);
    hn_memory_free(outputs);
    for (int32_t i = 0; i < hn_plan_input_count(plan); i++)
        hn_memory_free(inputs[i].data);
    hn_workspace_free(workspace);
    hn_plan_free(plan);
}

int main(int count, char **arguments)
{
    if (count < 2) {
        fprintf(stderr, "usage: %s model.safetensors [condition...]\n", arguments[0]);
        return 2;
    }
    hn_model *model = hn_model_load(arguments[1], &error);
    must(model != NULL);
    printf("%s: a network of %lld weights\n", arguments[1], (long long)hn_graph_parameter_count(model->graph));
    if (model->generator) {
        void *weights = specialized(model, count - 2, arguments + 2);
        predict(model->graph, weights);
        hn_memory_free(weights);
    } else {
        predict(model->graph, model->weights);
    }
    hn_model_free(model);
    return 0;
}
