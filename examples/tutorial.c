/* The tutorial in C: one network generates the weights of another, first once, then trained through it.

       cc -O2 -Ihypernet_c examples/tutorial.c hypernet_c/{base,kernels,ops,network,train,hyper,files}/[a-z]*.c \
           -lm -lpthread -o tutorial
       ./tutorial

   generator: 100 -> 64 relu -> P       target: 100 -> 128 relu -> 10 softmax       P = 14,218: the target's weights

   The task: rows are one of ten noisy patterns, and which class a pattern is depends on the task. A network that is not
   told the task can only guess; the generator is told, and makes a network for each. */
#include "hypernet.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { CONDITION = 100, FEATURES = 100, CLASSES = 10, TASKS = 8, ROWS = 32, STEPS = 300, REPORT_EVERY = 50 };
static const double learning_rate = 1e-3;
static const float noise = 0.5f;

static hn_error error;

/* Every call that can fail fills `error`; this program just stops. */
static void must(int good)
{
    if (good)
        return;
    fprintf(stderr, "%s\n", error.message);
    exit(1);
}

static void *numbers(int64_t count, size_t size)
{
    void *memory = hn_memory_allocate((size_t)count, size, &error);
    must(memory != NULL);
    return memory;
}

/* Input -> Dense(hidden, relu) -> Dense(units, activation) */
static hn_graph *network_describe(int64_t features, int64_t hidden, int64_t units, const char *activation)
{
    hn_shape shape = {.rank = 1, .dims = {features}};
    hn_attribute first[2] = {{.name = "units", .type = HN_ATTRIBUTE_INTEGER, .integer = hidden},
                             {.name = "activation", .type = HN_ATTRIBUTE_NAME, .text = "relu"}};
    hn_attribute second[2] = {{.name = "units", .type = HN_ATTRIBUTE_INTEGER, .integer = units},
                              {.name = "activation", .type = HN_ATTRIBUTE_NAME}};
    snprintf(second[1].text, sizeof second[1].text, "%s", activation);
    hn_graph *graph = hn_graph_create(HN_FLOAT32, &error);
    must(graph != NULL);
    int32_t tensor = hn_graph_input(graph, "input", &shape, HN_FLOAT32, &error);
    must(tensor >= 0);
    tensor = hn_graph_add(graph, "dense", "hidden", first, 2, &tensor, 1, &error);
    must(tensor >= 0);
    tensor = hn_graph_add(graph, "dense", "output", second, 2, &tensor, 1, &error);
    must(tensor >= 0 && hn_graph_output(graph, tensor, &error) == HN_OK);
    return graph;
}

/* y (rows, outputs) = the network with these weights on x (rows, inputs). */
static void network_predict(const hn_graph *graph, const float *weights, const float *x, int64_t rows, float *y)
{
    hn_isa isa;
    must(hn_isa_default(&isa, &error) == HN_OK);
    hn_plan *plan = hn_plan_create(graph, NULL, isa, &error);
    must(plan != NULL);
    hn_workspace *workspace = hn_workspace_create(plan, 1, rows, HN_MODE_INFERENCE, hn_threads_get(), &error);
    must(workspace != NULL);
    hn_source *sources = numbers(hn_graph_entry_count(graph), sizeof *sources);
    hn_graph_bind(graph, weights, NULL, sources);
    hn_view input = {.data = (void *)x, .row_stride = hn_shape_size(&hn_plan_input(plan, 0)->shape)};
    hn_view output = {.data = y, .row_stride = hn_shape_size(&hn_plan_output(plan, 0)->shape)};
    hn_run run = {.groups = 1, .rows = rows, .threads = hn_threads_get(), .inputs = &input, .outputs = &output,
                  .sources = sources, .workspace = workspace};
    hn_plan_forward(plan, &run);
    hn_memory_free(sources);
    hn_workspace_free(workspace);
    hn_plan_free(plan);
}

/* ---- part one: generate, use ---- */

static void tutorial(const hn_graph *generator, const float *generator_weights, const hn_graph *target)
{
    int64_t count = hn_graph_parameter_count(target);
    float *condition = numbers(CONDITION, sizeof *condition), *theta = numbers(count, sizeof *theta);
    float *x = numbers(FEATURES, sizeof *x), y[CLASSES];
    for (int i = 0; i < CONDITION; i++)
        condition[i] = x[i] = 1.0f;
    network_predict(generator, generator_weights, condition, 1, theta);
    network_predict(target, theta, x, 1, y); /* theta is in the target's layout: nothing to unpack */
    printf("the generated network's prediction:");
    for (int i = 0; i < CLASSES; i++)
        printf(" %.4f", (double)y[i]);
    printf("\n");
    hn_memory_free(x);
    hn_memory_free(theta);
    hn_memory_free(condition);
}

/* ---- part two: train the generator through the target ---- */

typedef struct task_data {
    float *patterns;   /* (CLASSES, FEATURES) */
    float *conditions; /* (TASKS, CONDITION) */
    float *x;          /* (TASKS, ROWS, FEATURES) */
    int64_t *labels;   /* (TASKS, ROWS) */
} task_data;

/* `count` uniform numbers in [-1, 1), the same for the same (stream, row). */
static void draw(uint32_t stream, uint64_t row, int64_t count, float *values)
{
    hn_random_key key = {.seed = 1, .layer = stream};
    hn_random_uniform(&key, row, 0, count, values);
    for (int64_t i = 0; i < count; i++)
        values[i] = 2.0f * values[i] - 1.0f;
}

/* Fresh rows: pattern + noise; in task t, pattern p is of class (p + t) mod 10. */
static void rows_draw(task_data *data, int64_t step)
{
    for (int64_t row = 0; row < TASKS * ROWS; row++) {
        float *x = data->x + row * FEATURES, choice;
        uint64_t number = (uint64_t)(step * TASKS * ROWS + row);
        hn_random_key key = {.seed = 1, .layer = 3};
        hn_random_uniform(&key, number, 0, 1, &choice);
        int64_t pattern = (int64_t)(choice * CLASSES);
        draw(2, number, FEATURES, x);
        for (int i = 0; i < FEATURES; i++)
            x[i] = data->patterns[pattern * FEATURES + i] + noise * x[i];
        data->labels[row] = (pattern + row / ROWS) % CLASSES;
    }
}

/* The mean loss of one step over all tasks, whose gradient goes into `gradient`. */
static double gradients(const hn_hyper *hyper, const hn_graph *generator, const hn_graph *target, const float *weights,
                        float *gradient, const task_data *data, float *y, hn_hyper_workspace *workspace)
{
    hn_view condition = {.data = data->conditions, .group_stride = CONDITION};
    hn_view input = {.data = data->x, .group_stride = ROWS * FEATURES, .row_stride = FEATURES};
    hn_view output = {.data = y, .group_stride = ROWS * CLASSES, .row_stride = CLASSES};
    hn_loss loss = {.kind = HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY, .input = HN_LOSS_PROBABILITIES, .scale = 1.0};
    hn_target labels = {.data = data->labels, .group_stride = ROWS, .row_stride = 1};
    hn_step_sums sums;
    hn_source *sources = numbers(hn_graph_entry_count(generator), sizeof *sources);
    hn_source *own = numbers(hn_graph_entry_count(target), sizeof *own); /* the target has no weights of its own here */
    hn_graph_bind(generator, weights, gradient, sources);
    hn_hyper_run run = {.groups = TASKS, .rows = ROWS, .training = 1, .threads = hn_threads_get(),
                        .conditions = &condition, .inputs = &input, .outputs = &output, .generator_sources = sources,
                        .target_sources = own, .workspace = workspace, .losses = &loss, .targets = &labels,
                        .normalizer = TASKS * ROWS, .sums = &sums};
    must(hn_hyper_gradients(hyper, &run, &error) == HN_OK);
    hn_memory_free(own);
    hn_memory_free(sources);
    return sums.loss[0] / sums.count[0];
}

static double accuracy(const float *y, const int64_t *labels)
{
    int64_t right = 0;
    for (int64_t row = 0; row < TASKS * ROWS; row++) {
        int64_t best = 0;
        for (int64_t i = 1; i < CLASSES; i++)
            if (y[row * CLASSES + i] > y[row * CLASSES + best])
                best = i;
        right += best == labels[row];
    }
    return (double)right / (TASKS * ROWS);
}

static void train(const hn_graph *generator, float *weights, const hn_graph *target)
{
    hn_isa isa;
    must(hn_isa_default(&isa, &error) == HN_OK);
    hn_hyper *hyper = hn_hyper_create(generator, target, NULL, NULL, NULL, isa, &error);
    must(hyper != NULL);
    hn_hyper_workspace *workspace =
        hn_hyper_workspace_create(hyper, TASKS, ROWS, HN_MODE_TRAINING, hn_threads_get(), &error);
    must(workspace != NULL);
    int64_t count = hn_graph_parameter_count(generator);
    float *gradient = numbers(count, sizeof *gradient), *moments = numbers(2 * count, sizeof *moments);
    float *y = numbers(TASKS * ROWS * CLASSES, sizeof *y);
    task_data data = {numbers(CLASSES * FEATURES, sizeof(float)), numbers(TASKS * CONDITION, sizeof(float)),
                      numbers(TASKS * ROWS * FEATURES, sizeof(float)), numbers(TASKS * ROWS, sizeof(int64_t))};
    draw(0, 0, CLASSES * FEATURES, data.patterns);
    draw(1, 0, TASKS * CONDITION, data.conditions);
    hn_span all = {.count = count, .trainable = 1, .decay = 1};
    hn_update adam = {.kind = HN_OPTIMIZER_ADAM, .params = {0.9, 0.999, 1e-7}, .learning_rate = learning_rate,
                      .grad_scale = 1.0 / (TASKS * ROWS), .clipnorm = INFINITY, .clipvalue = INFINITY,
                      .global_clipnorm = INFINITY, .threads = hn_threads_get(), .spans = &all, .span_count = 1,
                      .weights = weights, .gradient = gradient, .slots = {moments, moments + count}};
    for (adam.step = 1; adam.step <= STEPS; adam.step++) {
        rows_draw(&data, adam.step);
        double loss = gradients(hyper, generator, target, weights, gradient, &data, y, workspace);
        hn_optimizer_update(hn_kernels_get(isa, HN_FLOAT32), &adam);
        if (adam.step == 1 || adam.step % REPORT_EVERY == 0)
            printf("step %3lld   loss %.4f   accuracy %.3f\n", (long long)adam.step, loss, accuracy(y, data.labels));
    }
    void *all_memory[] = {gradient, moments, y, data.patterns, data.conditions, data.x, data.labels};
    for (size_t i = 0; i < sizeof all_memory / sizeof *all_memory; i++)
        hn_memory_free(all_memory[i]);
    hn_hyper_workspace_free(workspace);
    hn_hyper_free(hyper);
}

int main(void)
{
    hn_graph *target = network_describe(FEATURES, 128, CLASSES, "softmax");
    hn_graph *generator = network_describe(CONDITION, 64, hn_graph_parameter_count(target), "linear");
    int64_t count = hn_graph_parameter_count(generator);
    printf("the target has %lld weights, its generator %lld\n", (long long)hn_graph_parameter_count(target),
           (long long)count);
    float *weights = numbers(count, sizeof *weights);
    hn_graph_initialize(generator, 0, weights);
    tutorial(generator, weights, target);
    train(generator, weights, target);
    hn_memory_free(weights);
    hn_graph_free(generator);
    hn_graph_free(target);
    return 0;
}
