/* What the fuzzing targets share: numbers taken from the input's bytes, and a network run in every way it allows. */
#ifndef FUZZ_H
#define FUZZ_H

#include "hypernet.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Anything may be described, but only what fits in here is run. */
enum { MOST_NUMBERS = 1 << 16, MOST_SIDES = 8, SMALL_AXIS = 3 };
static const double most_work = 2e6;

#define CHECK(condition)                                                                                              \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                           \
            abort();                                                                                                  \
        }                                                                                                             \
    } while (0)

/* The bytes that are left; behind the end come zeros. */
typedef struct fuzz_bytes {
    const uint8_t *place;
    size_t left;
} fuzz_bytes;

static uint8_t byte_take(fuzz_bytes *bytes)
{
    if (bytes->left == 0)
        return 0;
    bytes->left--;
    return *bytes->place++;
}

static int64_t below(fuzz_bytes *bytes, int64_t end)
{
    return byte_take(bytes) % end;
}

/* A failed call says so and says why. */
static void check_refused(const hn_error *error)
{
    CHECK(error->status != HN_OK && error->message[0] != 0);
}

/* ---- data ---- */

typedef enum data_kind { DATA_ORDINARY, DATA_ZERO, DATA_SPECIAL, DATA_KINDS } data_kind;

static double number_make(data_kind kind, uint64_t *state)
{
    static const double special[] = {NAN, INFINITY, -INFINITY, 3e38, -3e38, 1e-45, -0.0, 1.0};
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    if (kind == DATA_SPECIAL)
        return special[*state >> 61];
    return kind == DATA_ZERO ? 0.0 : (double)(*state >> 11) * 0x1p-52 - 1.0;
}

static void numbers_fill(void *data, hn_dtype dtype, int64_t count, data_kind kind, uint64_t seed)
{
    uint64_t state = seed;
    for (int64_t i = 0; i < count; i++) {
        double value = number_make(kind, &state);
        if (dtype == HN_FLOAT32)
            ((float *)data)[i] = (float)value;
        else if (dtype == HN_FLOAT64)
            ((double *)data)[i] = value;
        else if (kind == DATA_SPECIAL)
            ((int64_t *)data)[i] = (int64_t)(state >> 61) - 1;
        else
            ((int64_t *)data)[i] = kind == DATA_ZERO ? 0 : (int64_t)(state >> 63); /* ids of most tables */
    }
}

/* Memory of exactly this size, so that the sanitizer sees the first byte behind it; freed by data_free. */
static void *data_make(hn_dtype dtype, int64_t count, data_kind kind, uint64_t seed)
{
    size_t element = hn_dtype_size(dtype);
    char *block = malloc(((size_t)count + 1) * element); /* one before: not aligned to more than an element */
    CHECK(block);
    numbers_fill(block + element, dtype, count, kind, seed);
    return block + element;
}

static void data_free(void *data, hn_dtype dtype)
{
    if (data)
        free((char *)data - hn_dtype_size(dtype));
}

/* ---- sizes ---- */

/* The inputs' shapes with open axes closed; 0 if one is too large to be run. */
static int shapes_close(const hn_graph *graph, fuzz_bytes *bytes, hn_shape *shapes)
{
    if (hn_graph_input_count(graph) > MOST_SIDES || hn_graph_output_count(graph) > MOST_SIDES)
        return 0;
    for (int32_t i = 0; i < hn_graph_input_count(graph); i++) {
        shapes[i] = hn_graph_tensor(graph, hn_graph_input_tensor(graph, i))->shape;
        for (int32_t axis = 0; axis < shapes[i].rank; axis++)
            if (shapes[i].dims[axis] < 0)
                shapes[i].dims[axis] = below(bytes, SMALL_AXIS + 1);
        if (hn_shape_size(&shapes[i]) < 0 || hn_shape_size(&shapes[i]) > MOST_NUMBERS)
            return 0;
    }
    return 1;
}

static int plan_is_small(const hn_plan *plan, int64_t rows)
{
    for (int32_t i = 0; i < hn_plan_output_count(plan); i++)
        if (hn_shape_size(&hn_plan_output(plan, i)->shape) > MOST_NUMBERS / rows)
            return 0;
    for (int32_t i = 0; i < hn_plan_input_count(plan); i++)
        if (hn_shape_size(&hn_plan_input(plan, i)->shape) > MOST_NUMBERS / rows)
            return 0;
    return hn_plan_row_elements(plan, HN_MODE_TRAINING) <= MOST_NUMBERS / rows &&
           hn_plan_work(plan) * (double)rows <= most_work;
}

static hn_isa isa_take(fuzz_bytes *bytes)
{
    hn_isa isa = (hn_isa)below(bytes, HN_ISA_COUNT);
    return hn_isa_available(isa) ? isa : HN_ISA_SCALAR;
}

/* ---- views ---- */

typedef struct fuzz_side {
    int32_t count;
    hn_dtype dtypes[MOST_SIDES];
    hn_view views[MOST_SIDES];
} fuzz_side;

static void side_add(fuzz_side *side, const hn_tensor_info *info, int64_t groups, int64_t rows, int shared,
                     data_kind kind)
{
    int64_t size = hn_shape_size(&info->shape);
    int32_t i = side->count++;
    side->dtypes[i] = info->dtype;
    side->views[i] = (hn_view){data_make(info->dtype, (shared ? 1 : groups) * rows * size, kind, (uint64_t)i + 1),
                               shared ? 0 : rows * size, size};
}

static void side_free(fuzz_side *side)
{
    for (int32_t i = 0; i < side->count; i++)
        data_free(side->views[i].data, side->dtypes[i]);
    side->count = 0;
}

/* Gradients are of real numbers; some are not wanted. */
static void side_forget(fuzz_side *side, fuzz_bytes *bytes)
{
    for (int32_t i = 0; i < side->count; i++)
        if (side->dtypes[i] == HN_INT64 || below(bytes, 4) == 0) {
            data_free(side->views[i].data, side->dtypes[i]);
            side->views[i].data = NULL;
        }
}

/* ---- losses ---- */

typedef struct fuzz_losses {
    int32_t count;
    hn_loss losses[MOST_SIDES];
    hn_target targets[MOST_SIDES];
    hn_dtype dtypes[MOST_SIDES];
} fuzz_losses;

static void losses_make(fuzz_losses *all, const hn_plan *plan, int64_t groups, int64_t rows, fuzz_bytes *bytes)
{
    all->count = hn_plan_output_count(plan);
    for (int32_t i = 0; i < all->count; i++) {
        const hn_tensor_info *info = hn_plan_output(plan, i);
        hn_loss_kind kind = (hn_loss_kind)below(bytes, HN_LOSS_KIND_COUNT);
        int labels = kind == HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY;
        int64_t size = hn_shape_size(&info->shape);
        int64_t cols = info->shape.rank > 0 ? info->shape.dims[info->shape.rank - 1] : 1;
        int64_t width = labels ? (cols > 0 ? size / cols : 0) : size;
        hn_loss_input input = (hn_loss_input)below(bytes, 2);
        all->losses[i] = (hn_loss){.kind = kind, .input = input, .params = {0.5}, .scale = 1.5};
        all->dtypes[i] = labels ? HN_INT64 : hn_plan_kernels(plan)->dtype;
        void *data = data_make(all->dtypes[i], groups * rows * width, (data_kind)below(bytes, DATA_KINDS), 7);
        all->targets[i] = (hn_target){.data = data, .group_stride = rows * width, .row_stride = width};
    }
}

static void losses_free(fuzz_losses *all)
{
    for (int32_t i = 0; i < all->count; i++)
        data_free((void *)all->targets[i].data, all->dtypes[i]);
    all->count = 0;
}

/* ---- a plain network ---- */

typedef struct fuzz_run {
    const hn_plan *plan;
    fuzz_side inputs, outputs, input_gradients, output_gradients;
    hn_run run;
} fuzz_run;

static void run_step(fuzz_run *r, fuzz_bytes *bytes)
{
    hn_error error;
    hn_step_sums sums;
    fuzz_losses all;
    losses_make(&all, r->plan, r->run.groups, r->run.rows, bytes);
    void *scratch = hn_memory_allocate(hn_step_scratch(r->plan, r->run.groups, r->run.rows), 1, &error);
    CHECK(scratch);
    if (hn_step_gradients(r->plan, &r->run, all.losses, all.targets, below(bytes, 2) == 0, scratch, &sums, &error) !=
        HN_OK)
        check_refused(&error);
    hn_memory_free(scratch);
    losses_free(&all);
}

static void run_in_mode(fuzz_run *r, hn_mode mode, fuzz_bytes *bytes)
{
    hn_error error;
    r->run.threads = 1 + (int32_t)below(bytes, 3);
    r->run.training = mode == HN_MODE_TRAINING;
    r->run.workspace = hn_workspace_create(r->plan, r->run.groups, r->run.rows, mode, r->run.threads, &error);
    CHECK(r->run.workspace);
    if (hn_plan_check(r->plan, &r->run, &error) != HN_OK) {
        check_refused(&error);
    } else {
        hn_plan_forward(r->plan, &r->run);
        if (mode == HN_MODE_TRAINING) {
            hn_plan_backward(r->plan, &r->run);
            run_step(r, bytes);
        }
    }
    hn_workspace_free(r->run.workspace);
}

static void run_sides(fuzz_run *r, int64_t groups, int64_t rows, fuzz_bytes *bytes)
{
    data_kind kind = (data_kind)below(bytes, DATA_KINDS);
    int shared = below(bytes, 2) == 1;
    for (int32_t i = 0; i < hn_plan_input_count(r->plan); i++) {
        side_add(&r->inputs, hn_plan_input(r->plan, i), groups, rows, shared, kind);
        side_add(&r->input_gradients, hn_plan_input(r->plan, i), groups, rows, shared, kind);
    }
    for (int32_t i = 0; i < hn_plan_output_count(r->plan); i++) {
        side_add(&r->outputs, hn_plan_output(r->plan, i), groups, rows, 0, kind);
        side_add(&r->output_gradients, hn_plan_output(r->plan, i), groups, rows, 0, kind);
    }
    side_forget(&r->input_gradients, bytes);
    side_forget(&r->output_gradients, bytes);
    r->run = (hn_run){.groups = groups, .rows = rows, .seed = 5, .inputs = r->inputs.views,
                      .outputs = r->outputs.views, .input_gradients = r->input_gradients.views,
                      .output_gradients = r->output_gradients.views};
}

/* Forward, backward and a training step of a plan with these weights. */
static void plan_run(const hn_plan *plan, const hn_graph *graph, const void *weights, int64_t groups, int64_t rows,
                     fuzz_bytes *bytes)
{
    hn_dtype dtype = hn_graph_dtype(graph);
    fuzz_run r = {.plan = plan};
    void *gradient = data_make(dtype, hn_graph_parameter_count(graph), DATA_ORDINARY, 3);
    hn_source *sources = calloc((size_t)hn_graph_entry_count(graph) + 1, sizeof *sources);
    CHECK(sources);
    hn_graph_bind(graph, weights, gradient, sources);
    run_sides(&r, groups, rows, bytes);
    r.run.sources = sources;
    run_in_mode(&r, HN_MODE_INFERENCE, bytes);
    run_in_mode(&r, HN_MODE_TRAINING, bytes);
    side_free(&r.inputs);
    side_free(&r.outputs);
    side_free(&r.input_gradients);
    side_free(&r.output_gradients);
    free(sources);
    data_free(gradient, dtype);
}

/* A network as an ordinary one, if it is small enough. */
static void network_run(const hn_graph *graph, const void *weights, int64_t groups, int64_t rows, fuzz_bytes *bytes)
{
    hn_error error;
    hn_shape shapes[MOST_SIDES];
    if (!shapes_close(graph, bytes, shapes))
        return;
    hn_plan *plan = hn_plan_create(graph, shapes, isa_take(bytes), &error);
    if (!plan)
        check_refused(&error);
    else if (plan_is_small(plan, groups * rows > 0 ? groups * rows : 1))
        plan_run(plan, graph, weights, groups, rows, bytes);
    hn_plan_free(plan);
}

#endif
