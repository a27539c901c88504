/* What the tests of the hypernetwork floor run: generators and targets of every kind, filled with numbers. */
#ifndef HYPER_WORLD_H
#define HYPER_WORLD_H

#include "hypernet.h"
#include "hyper/head.h"
#include "hyper/hyper_internal.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                              \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            fprintf(stderr, "%s:%d: %s\n%s\n", __FILE__, __LINE__, #condition, where);                                \
            exit(1);                                                                                                  \
        }                                                                                                             \
    } while (0)

typedef enum generator_kind { G_MLP, G_EMPTY, G_NO_BIAS, G_VALUES, G_IDS, G_EXTRA, G_GIVEN, G_COUNT } generator_kind;
typedef enum target_kind { T_MLP, T_SHARED, T_TWO, T_DROPOUT, T_UNUSED, T_COUNT } target_kind;
typedef enum mode { M_ONE, M_ROWS, M_TASKS, M_SHARED, M_COUNT } mode;

typedef struct spec {
    generator_kind generator;
    target_kind target;
    mode mode;
    hn_dtype dtype;
    int64_t groups, rows;
    int partial;         /* every other weight is the target's own */
    int base, penalties, losses, training;
    int theta_shared;    /* G_GIVEN: theta_stride 0 */
    int64_t width;       /* of hidden layers; 0: small */
    hyper_limits limits; /* groups 0: as chosen */
    hn_order order;
} spec;

enum { MOST = 2, TRACKED = 12 };

/* Numbers with their gradients, for finite differences. */
typedef struct tracked {
    const char *name;
    void *data, *gradient;
    int64_t count;
} tracked;

typedef struct world {
    spec spec;
    size_t element;
    hn_graph *generator, *target;
    hn_hyper *hyper;
    unsigned char *generated;
    hn_source *generator_sources, *target_sources;
    hn_view conditions[MOST], condition_gradients[MOST], inputs[MOST], input_gradients[MOST], outputs[MOST],
        output_gradients[MOST];
    hn_target targets[MOST];
    hn_loss losses[MOST];
    double l1[16], l2[16];
    hn_step_sums sums;
    double penalty;
    hn_hyper_run run;
    tracked tracked[TRACKED];
    int tracked_count;
    void *owned[64];
    int owned_count;
} world;

static hn_error error;
static char where[sizeof(hn_error)] = "";
static uint64_t state = 1;

static double uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

static double get(const world *w, const void *data, int64_t i)
{
    return w->element == 4 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

static void put(const world *w, void *data, int64_t i, double value)
{
    if (w->element == 4)
        ((float *)data)[i] = (float)value;
    else
        ((double *)data)[i] = value;
}

static void *own(world *w, int64_t count, size_t size)
{
    void *memory = hn_memory_allocate((size_t)count, size, &error);
    CHECK(memory && w->owned_count < 64);
    return w->owned[w->owned_count++] = memory;
}

static void *numbers(world *w, int64_t count, double scale)
{
    void *data = own(w, count, w->element);
    for (int64_t i = 0; i < count; i++)
        put(w, data, i, scale * (2.0 * uniform() - 1.0));
    return data;
}

/* Numbers that are followed, and a gradient that starts as nonsense. */
static void *follow(world *w, const char *name, int64_t count, double scale, void **gradient)
{
    void *data = numbers(w, count, scale);
    *gradient = own(w, count, w->element);
    for (int64_t i = 0; i < count; i++)
        put(w, *gradient, i, NAN);
    CHECK(w->tracked_count < TRACKED);
    w->tracked[w->tracked_count++] = (tracked){name, data, *gradient, count};
    return data;
}

/* ---- graphs ---- */

static int32_t add(hn_graph *graph, const char *op, const char *layer, const hn_attribute *attributes, int32_t count,
                   int32_t x)
{
    int32_t y = hn_graph_add(graph, op, layer, attributes, count, &x, 1, &error);
    if (y < 0)
        snprintf(where, sizeof where, "%s", error.message);
    CHECK(y >= 0);
    return y;
}

static int32_t dense(hn_graph *graph, const char *layer, int64_t units, const char *activation, int bias, int32_t x)
{
    hn_attribute attributes[] = {{.name = "units", .type = HN_ATTRIBUTE_INTEGER, .integer = units},
                                 {.name = "activation", .type = HN_ATTRIBUTE_NAME},
                                 {.name = "use_bias", .type = HN_ATTRIBUTE_INTEGER, .integer = bias}};
    snprintf(attributes[1].text, sizeof attributes[1].text, "%s", activation);
    return add(graph, "dense", layer, attributes, 3, x);
}

static int32_t one_number(hn_graph *graph, const char *op, const char *layer, const char *name, double value, int32_t x)
{
    hn_attribute attribute = {.name = name, .type = HN_ATTRIBUTE_NUMBER, .number = value};
    return add(graph, op, layer, &attribute, 1, x);
}

static int32_t embedding(hn_graph *graph, const char *layer, int64_t ids, int64_t width, int32_t x)
{
    hn_attribute attributes[] = {{.name = "input_dim", .type = HN_ATTRIBUTE_INTEGER, .integer = ids},
                                 {.name = "output_dim", .type = HN_ATTRIBUTE_INTEGER, .integer = width}};
    return add(graph, "embedding", layer, attributes, 2, x);
}

static int32_t input(hn_graph *graph, const char *name, hn_shape shape, hn_dtype dtype)
{
    int32_t x = hn_graph_input(graph, name, &shape, dtype, &error);
    CHECK(x >= 0);
    return x;
}

enum { IDS = 6 };

static hn_graph *make_target(const spec *s)
{
    hn_graph *graph = hn_graph_create(s->dtype, &error);
    int64_t width = s->width ? s->width : 6;
    int32_t x = input(graph, "x", (hn_shape){1, {5}}, s->dtype), y;
    if (s->target == T_MLP) {
        y = add(graph, "layer_normalization", "norm", NULL, 0, dense(graph, "hidden", width, "tanh", 1, x));
        y = dense(graph, "out", 3, "softmax", 1, y);
    } else if (s->target == T_SHARED) {
        y = dense(graph, "twice", 5, "tanh", 1, dense(graph, "twice", 5, "tanh", 1, x));
        y = dense(graph, "out", 2, "linear", 1, y);
    } else if (s->target == T_TWO) {
        int32_t ids = input(graph, "ids", (hn_shape){1, {2}}, HN_INT64);
        int32_t both[] = {x, add(graph, "reshape", "flat", NULL, 0, embedding(graph, "table", IDS, 3, ids))};
        int32_t joined = hn_graph_add(graph, "concatenate", "joined", NULL, 0, both, 2, &error);
        y = dense(graph, "hidden", width, "gelu", 1, joined);
        CHECK(hn_graph_output(graph, dense(graph, "second", 2, "linear", 0, y), &error) == HN_OK);
        y = dense(graph, "first", 3, "softmax", 1, y);
    } else if (s->target == T_DROPOUT) {
        y = one_number(graph, "dropout", "drop", "rate", 0.3, dense(graph, "hidden", width, "silu", 1, x));
        y = one_number(graph, "activity_regularizer", "activity", "l2", 0.1, y);
        y = dense(graph, "out", 2, "sigmoid", 1, y);
    } else {
        dense(graph, "nobody", 2, "linear", 1, x);
        y = dense(graph, "out", 2, "linear", 1, dense(graph, "hidden", width, "tanh", 1, x));
    }
    CHECK(hn_graph_output(graph, y, &error) == HN_OK);
    return graph;
}

static hn_graph *make_generator(const spec *s, int64_t count)
{
    hn_graph *graph = hn_graph_create(s->dtype, &error);
    int64_t width = s->width ? s->width : 4;
    int32_t x = input(graph, "condition", (hn_shape){1, {3}}, s->dtype), y = x;
    if (s->generator == G_IDS) {
        int32_t both[] = {embedding(graph, "table", IDS, 3, input(graph, "task", (hn_shape){.rank = 0}, HN_INT64)), x};
        y = hn_graph_add(graph, "concatenate", "joined", NULL, 0, both, 2, &error);
    } else if (s->generator == G_EXTRA) {
        dense(graph, "nobody", 3, "linear", 1, x);
        y = one_number(graph, "activity_regularizer", "activity", "l2", 0.2, dense(graph, "a", width, "tanh", 1, x));
    } else if (s->generator != G_EMPTY) {
        y = one_number(graph, "dropout", "drop", "rate", 0.25, dense(graph, "a", width, "tanh", 1, x));
    }
    y = dense(graph, "head", count, s->generator == G_VALUES ? "tanh" : "linear", s->generator != G_NO_BIAS, y);
    CHECK(hn_graph_output(graph, y, &error) == HN_OK);
    return graph;
}

/* ---- data ---- */

static hn_view make_view(world *w, const char *name, const hn_tensor_info *info, int64_t groups, int64_t rows,
                         int shared, hn_view *gradient)
{
    int64_t size = hn_shape_size(&info->shape), count = (shared ? 1 : groups) * rows * size;
    hn_view view = {.group_stride = shared ? 0 : rows * size, .row_stride = size};
    *gradient = view;
    if (info->dtype == HN_INT64) {
        int64_t *ids = view.data = own(w, count, sizeof *ids);
        for (int64_t i = 0; i < count; i++)
            ids[i] = (int64_t)(uniform() * IDS);
        gradient->data = NULL;
    } else {
        view.data = follow(w, name, count, 1.0, &gradient->data);
    }
    return view;
}

static void make_generated(world *w)
{
    int32_t entries = hn_graph_entry_count(w->target);
    w->generated = own(w, entries, 1);
    for (int32_t i = 0; i < entries; i++) {
        w->generated[i] = !w->spec.partial || i % 2 == 0;
        w->l1[i] = i % 3 == 0 ? 0.01 : 0.0;
        w->l2[i] = i % 2 == 0 ? 0.02 : 0.0;
    }
}

static void make_weights(world *w)
{
    const hn_graph *graphs[] = {w->generator, w->target};
    hn_source **sources[] = {&w->generator_sources, &w->target_sources};
    for (int i = 0; i < 2; i++) {
        void *gradient;
        if (!graphs[i])
            continue;
        *sources[i] = own(w, hn_graph_entry_count(graphs[i]), sizeof(hn_source));
        void *weights = follow(w, i ? "target" : "generator", hn_graph_parameter_count(graphs[i]), 0.7, &gradient);
        hn_graph_bind(graphs[i], weights, gradient, *sources[i]);
    }
}

/* Targets and weights; the weights' strides are a group's and a row's. */
static void make_losses(world *w, int32_t i)
{
    const spec *s = &w->spec;
    const hn_tensor_info *info = hn_plan_output(hn_hyper_target_plan(w->hyper), i);
    int64_t size = info->shape.dims[0], rows = s->groups * s->rows;
    hn_loss *loss = &w->losses[i];
    hn_target *target = &w->targets[i];
    *loss = (hn_loss){.kind = HN_LOSS_MEAN_SQUARED_ERROR, .scale = 1.5};
    if (size == 3) {
        *loss = (hn_loss){.kind = HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY, .scale = 0.7};
        int64_t *labels = own(w, rows, sizeof *labels);
        for (int64_t r = 0; r < rows; r++)
            labels[r] = (int64_t)(uniform() * 3.0);
        *target = (hn_target){.data = labels, .group_stride = s->rows, .row_stride = 1};
    } else {
        if (s->target == T_DROPOUT)
            loss->kind = HN_LOSS_BINARY_CROSSENTROPY;
        void *data = numbers(w, rows * size, 0.4);
        for (int64_t j = 0; j < rows * size; j++)
            put(w, data, j, get(w, data, j) + 0.5);
        *target = (hn_target){.data = data, .group_stride = s->rows * size, .row_stride = size};
    }
    void *weights = numbers(w, s->groups + s->rows, 0.3);
    for (int64_t j = 0; j < s->groups + s->rows; j++)
        put(w, weights, j, get(w, weights, j) + 1.0);
    target->weight = weights;
    target->weight_group_stride = target->weight_row_stride = 1;
}

static void make_data(world *w)
{
    const spec *s = &w->spec;
    const hn_plan *plan = hn_hyper_target_plan(w->hyper);
    for (int32_t i = 0; w->generator && i < hn_graph_input_count(w->generator); i++)
        w->conditions[i] = make_view(w, "condition", hn_graph_tensor(w->generator,
                                     hn_graph_input_tensor(w->generator, i)), s->groups, 1, 0,
                                     &w->condition_gradients[i]);
    for (int32_t i = 0; i < hn_plan_input_count(plan); i++)
        w->inputs[i] = make_view(w, "input", hn_plan_input(plan, i), s->groups, s->rows, s->mode == M_SHARED,
                                 &w->input_gradients[i]);
    for (int32_t i = 0; i < hn_plan_output_count(plan); i++) {
        int64_t size = hn_shape_size(&hn_plan_output(plan, i)->shape), gap = i ? 3 : 0; /* gaps in the second */
        int64_t stride = s->rows * (size + gap);
        w->outputs[i] = (hn_view){own(w, s->groups * stride, w->element), stride, size + gap};
        w->output_gradients[i] = (hn_view){numbers(w, s->groups * stride, 1.0), stride, size + gap};
        make_losses(w, i);
    }
}

/* Forces a cut. What is complete only at the end of a block must be kept: the library sees to that too. */
static void set_limits(world *w, const hyper_limits *limits)
{
    for (int i = 0; i < 2 * HYPER_WAYS; i++) {
        int mode = i / HYPER_WAYS;
        hyper_limits *to = &w->hyper->limits[mode][i % HYPER_WAYS];
        *to = *limits;
        if (mode == HN_MODE_TRAINING && (w->hyper->shared || w->hyper->head->identity))
            to->keep = 1;
        if (to->keep)
            to->kept_groups = limits->groups;
    }
}

static world *make_world(const spec *given)
{
    hn_isa isa;
    world *w = calloc(1, sizeof *w);
    w->spec = *given;
    spec *s = &w->spec;
    s->groups = s->mode == M_ONE ? 1 : s->groups;
    s->rows = s->mode == M_ROWS ? 1 : s->rows;
    snprintf(where, sizeof where, "generator %d target %d mode %d dtype %d groups %d rows %d partial %d base %d "
             "penalties %d losses %d training %d shared %d limits %d %d %d %d order %d", s->generator, s->target,
             s->mode, s->dtype,
             (int)s->groups, (int)s->rows, s->partial, s->base, s->penalties, s->losses, s->training, s->theta_shared,
             (int)s->limits.groups, (int)s->limits.rows, (int)s->limits.kept_groups, s->limits.keep, (int)s->order);
    w->element = hn_dtype_size(s->dtype);
    CHECK(hn_isa_default(&isa, &error) == HN_OK);
    w->target = make_target(s);
    make_generated(w);
    int64_t count = 0;
    for (int32_t i = 0; i < hn_graph_entry_count(w->target); i++)
        count += w->generated[i] ? hn_graph_entry(w->target, i)->size : 0;
    if (s->generator != G_GIVEN)
        w->generator = make_generator(s, count);
    w->hyper = w->generator ? hn_hyper_create(w->generator, w->target, w->generated, NULL, NULL, isa, &error)
                            : hn_hyper_create_given(w->target, w->generated, NULL, isa, &error);
    CHECK(w->hyper && hn_hyper_generated_count(w->hyper) == count);
    hn_hyper_set_order(w->hyper, s->order);
    if (s->limits.groups)
        set_limits(w, &s->limits);
    make_weights(w);
    make_data(w);
    w->run = (hn_hyper_run){.groups = s->groups, .rows = s->rows, .training = s->training, .seed = 5, .call = 9,
                            .threads = 1, .conditions = w->conditions, .inputs = w->inputs, .outputs = w->outputs,
                            .generator_sources = w->generator_sources, .target_sources = w->target_sources,
                            .normalizer = 1.0};
    if (!w->generator) {
        w->run.theta_stride = s->theta_shared ? 0 : count + 5;
        w->run.theta_gradient_stride = count + 5;
        w->run.theta = follow(w, "theta", s->theta_shared ? count : s->groups * (count + 5), 0.7,
                              &w->run.theta_gradient);
    }
    if (s->base)
        w->run.base = numbers(w, count, 0.5);
    return w;
}

static void free_world(world *w)
{
    hn_hyper_free(w->hyper);
    hn_graph_free(w->generator);
    hn_graph_free(w->target);
    while (w->owned_count)
        hn_memory_free(w->owned[--w->owned_count]);
    free(w);
}

#endif
