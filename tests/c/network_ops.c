/* Every op of the table in generated graphs: forward against one row at a time, backward against finite differences.
     network_ops <isa> <configurations>     prints what it checked, or exits 1 with the place of the first failure

   A configuration is a graph around one op (dense layers before and after it, outputs read again or declared twice, the
   same layers on two sets of inputs), groups x rows, and a layout for every tensor. */
#include "network.h"

enum { TENSORS = 8, ENTRIES = 16, IDS = 4, TRIES = 300, ROW = 2048 };
static const double STEP = 4e-6, TOLERANCE = 1e-6, RELIABLE = 2e-7;

typedef struct config {
    random_state random;
    const hn_op *op;
    hn_isa isa;
    hn_graph *graph;
    hn_plan *plan;
    hn_workspace *training, *inference;
    int64_t groups, rows;
    int32_t inputs, outputs, entries;
    field x[TENSORS], y[TENSORS], dy[TENSORS], dx[TENSORS];
    field w[ENTRIES], dw[ENTRIES]; /* groups x 1 row */
    hn_view xs[TENSORS], ys[TENSORS], dys[TENSORS], dxs[TENSORS];
    hn_source sources[ENTRIES];
    hn_run run;
    double penalty;
} config;

static hn_error error;

/* ---- drawing a graph ---- */

static hn_attribute text_attribute(const char *name, const char *text)
{
    hn_attribute attribute = {.name = name, .type = HN_ATTRIBUTE_NAME};
    snprintf(attribute.text, sizeof attribute.text, "%s", text);
    return attribute;
}

static const char *draw_activation(random_state *random)
{
    static const char *const more[] = {"softmax", "log_softmax", "leaky_relu", "relu6"};
    int64_t i = below(random, HN_MAP_COUNT + 4);
    return i < HN_MAP_COUNT ? hn_map_describe((hn_map)i)->name : more[i - HN_MAP_COUNT];
}

/* Values for attributes by their names; a new op's other attributes keep their defaults. */
static int32_t draw_attributes(random_state *random, const hn_op *op, const hn_shape *shape, hn_attribute *to)
{
    int32_t count = 0;
    for (int32_t i = 0; i < op->attribute_count; i++) {
        hn_attribute next = {.name = op->attributes[i].name, .type = op->attributes[i].type};
        if (strcmp(next.name, "activation") == 0)
            next = text_attribute("activation", draw_activation(random));
        else if (strcmp(next.name, "units") == 0 || strcmp(next.name, "output_dim") == 0)
            next.integer = 1 + below(random, 5);
        else if (strcmp(next.name, "use_bias") == 0 || strcmp(next.name, "center") == 0 ||
                 strcmp(next.name, "scale") == 0)
            next.integer = below(random, 3) > 0;
        else if (strcmp(next.name, "input_dim") == 0)
            next.integer = IDS;
        else if (strcmp(next.name, "axes") == 0)
            next.integer = 1 + below(random, 2);
        else if (strcmp(next.name, "axis") == 0)
            next.integer = below(random, 3) - 1;
        else if (strcmp(next.name, "rate") == 0 || strcmp(next.name, "l1") == 0 || strcmp(next.name, "l2") == 0)
            next.number = 0.25 * (double)below(random, 4);
        else if (strcmp(next.name, "target") == 0 && below(random, 2))
            next.shape = (hn_shape){2, {shape->rank > 0 ? shape->dims[shape->rank - 1] : 1, -1}};
        else if (strcmp(next.name, "target") == 0)
            next.shape = (hn_shape){1, {-1}};
        else if (strcmp(next.name, "shared_axes") == 0 && below(random, 2))
            next.shape = (hn_shape){1, {1}};
        else
            continue;
        to[count++] = next;
    }
    return count;
}

static hn_shape draw_shape(random_state *random)
{
    hn_shape shape = {.rank = (int32_t)below(random, 4)};
    for (int32_t i = 0; i < shape.rank; i++)
        shape.dims[i] = 1 + below(random, 4);
    return shape;
}

/* A shape that may go together with `shape`: the same, broadcast to it, or of another length along one axis. */
static hn_shape draw_partner(random_state *random, const hn_shape *shape)
{
    hn_shape partner = *shape;
    int64_t kind = below(random, 3);
    if (partner.rank > 0 && kind == 1)
        partner.dims[below(random, partner.rank)] = 1 + below(random, 3);
    if (partner.rank > 1 && kind == 2) {
        partner.rank--;
        memmove(partner.dims, partner.dims + 1, (size_t)partner.rank * sizeof *partner.dims);
    }
    return partner;
}

static int32_t add_dense(hn_graph *graph, const char *layer, int32_t input, int64_t units, const char *activation)
{
    hn_attribute attributes[] = {{.name = "units", .type = HN_ATTRIBUTE_INTEGER, .integer = units},
                                 text_attribute("activation", activation)};
    return hn_graph_add(graph, "dense", layer, attributes, 2, &input, 1, NULL);
}

/* What the op reads: an input of the graph, a dense layer on it, or the tensor before once more. -1: not possible. */
static int32_t draw_origin(random_state *random, hn_graph *graph, const hn_shape *shape, hn_dtype dtype, int32_t number)
{
    char name[32];
    snprintf(name, sizeof name, "x%d", number);
    int32_t x = hn_graph_input(graph, name, shape, dtype, &error);
    CHECK(x >= 0);
    if (dtype == HN_INT64)
        return x;
    snprintf(name, sizeof name, "before%d", number);
    if (below(random, 2) && shape->rank > 0)
        return add_dense(graph, name, x, shape->dims[shape->rank - 1], "tanh");
    return x;
}

/* Integers may be moved before they are read. */
static int32_t draw_moved(random_state *random, hn_graph *graph, int32_t ids)
{
    hn_attribute flat = {.name = "target", .type = HN_ATTRIBUTE_SHAPE, .shape = {1, {-1}}};
    int64_t kind = below(random, 3);
    int32_t moved = kind ? hn_graph_add(graph, "reshape", "flat_ids", &flat, 1, &ids, 1, &error) : ids;
    if (kind < 2)
        return moved;
    return hn_graph_add(graph, "concatenate", "more_ids", NULL, 0, (int32_t[]){moved, moved}, 2, &error);
}

/* Layers behind the op, and the outputs. */
static void draw_outputs(random_state *random, hn_graph *graph, int32_t y)
{
    hn_shape shape = hn_graph_tensor(graph, y)->shape;
    hn_attribute flat = {.name = "target", .type = HN_ATTRIBUTE_SHAPE, .shape = {1, {-1}}};
    int real = hn_graph_tensor(graph, y)->dtype != HN_INT64;
    int64_t kind = real ? below(random, 5) : 0;
    int32_t z = real && shape.rank ? add_dense(graph, "after", y, 2, "softplus") : -1;
    if (kind < 3 || z < 0)
        CHECK(hn_graph_output(graph, y, &error) == HN_OK);
    if (kind > 0 && z >= 0)
        CHECK(hn_graph_output(graph, z, &error) == HN_OK);
    if (kind == 2) { /* declared again, as it is and under another shape */
        CHECK(hn_graph_output(graph, y, &error) == HN_OK);
        int32_t other = hn_graph_add(graph, "reshape", "flat", &flat, 1, &y, 1, &error);
        CHECK(other >= 0 && hn_graph_output(graph, other, &error) == HN_OK);
        int32_t twice = hn_graph_add(graph, "add", "twice", NULL, 0, (int32_t[]){y, y}, 2, &error);
        CHECK(twice >= 0 && hn_graph_output(graph, twice, &error) == HN_OK);
    }
    if (kind == 3) /* an output that is an input */
        CHECK(hn_graph_output(graph, hn_graph_input_tensor(graph, 0), &error) == HN_OK);
}

/* One try at a graph around the op; NULL if what was drawn does not fit together. */
static hn_graph *draw_graph(random_state *random, const hn_op *op, hn_dtype dtype)
{
    hn_graph *graph = hn_graph_create(dtype, &error);
    hn_shape shape = draw_shape(random);
    hn_attribute attributes[HN_MAX_ATTRIBUTES];
    int32_t origins[TENSORS], most = op->max_inputs < 4 ? op->max_inputs : 4;
    int32_t count = op->min_inputs + (int32_t)below(random, most - op->min_inputs + 1);
    hn_dtype kind = below(random, 3) ? dtype : HN_INT64;
    for (int32_t i = 0; i < count; i++) {
        hn_shape own = i ? draw_partner(random, &shape) : shape;
        origins[i] = i && below(random, 4) == 0 ? origins[i - 1] : draw_origin(random, graph, &own, kind, i);
        if (kind == HN_INT64 && i == 0)
            origins[0] = draw_moved(random, graph, origins[0]);
    }
    if (below(random, 3) == 0)
        hn_graph_input(graph, "unused", &shape, dtype, &error);
    int32_t set = draw_attributes(random, op, &shape, attributes);
    int32_t y = origins[0] < 0 ? -1
                               : hn_graph_add(graph, op->name, "it", attributes, set, origins, count, &error);
    if (y >= 0 && below(random, 3) == 0) { /* the same layer once more, where it fits */
        int32_t again = hn_graph_add(graph, op->name, "it", attributes, set, (int32_t[]){y, y, y, y}, count, NULL);
        y = again >= 0 ? again : y;
    }
    if (y >= 0)
        draw_outputs(random, graph, y);
    if (y >= 0)
        return graph;
    hn_graph_free(graph);
    return NULL;
}

/* A graph that calls `inner` as a nested model, perhaps twice, with the same weights on other inputs. */
static hn_graph *nest(random_state *random, hn_graph *inner)
{
    int32_t inputs[TENSORS], outputs[TENSORS], count = hn_graph_input_count(inner);
    int64_t calls = below(random, 3);
    if (calls == 0 || calls * count > TENSORS || calls * hn_graph_output_count(inner) > TENSORS)
        return inner;
    hn_graph *outer = hn_graph_create(hn_graph_dtype(inner), &error);
    for (int64_t call = 0; call < calls; call++) {
        for (int32_t i = 0; i < count; i++) {
            const hn_tensor_info *info = hn_graph_tensor(inner, hn_graph_input_tensor(inner, i));
            inputs[i] = hn_graph_input(outer, "x", &info->shape, info->dtype, &error);
        }
        CHECK(hn_graph_call(outer, inner, "model", inputs, count, outputs, &error) == HN_OK);
        for (int32_t i = 0; i < hn_graph_output_count(inner); i++)
            CHECK(hn_graph_output(outer, outputs[i], &error) == HN_OK);
    }
    hn_graph_free(inner);
    return outer;
}

/* ---- drawing a run ---- */

static layout draw_layout(random_state *random, int32_t choices)
{
    return (layout)below(random, choices);
}

static void draw_weights(config *c)
{
    hn_dtype dtype = hn_graph_dtype(c->graph);
    for (int32_t i = 0; i < c->entries; i++) {
        int64_t size = hn_graph_entry(c->graph, i)->size;
        int own = below(&c->random, 2) != 0, own_gradient = own && below(&c->random, 4) != 0;
        c->w[i] = field_make(dtype, size, own ? c->groups : 1, 1, GAPS);
        c->dw[i] = field_make(dtype, size, own_gradient ? c->groups : 1, 1, GAPS);
        field_fill(&c->w[i], &c->random, 0);
        c->sources[i] = (hn_source){.data = c->w[i].view.data, .group_stride = own ? c->w[i].view.group_stride : 0,
                                    .gradient_group_stride = own_gradient ? c->dw[i].view.group_stride : 0};
        if (below(&c->random, 8))
            c->sources[i].gradient = c->dw[i].view.data;
        c->sources[i].accumulate = below(&c->random, 2) != 0;
        if (c->sources[i].accumulate)
            field_fill(&c->dw[i], &c->random, 0);
    }
}

static void draw_inputs(config *c)
{
    for (int32_t i = 0; i < c->inputs; i++) {
        const hn_tensor_info *info = hn_plan_input(c->plan, i);
        int64_t size = hn_shape_size(&info->shape);
        layout how = draw_layout(&c->random, SHARED + 1);
        int shared = how == SHARED && c->groups > 1;
        c->x[i] = field_make(info->dtype, size, c->groups, c->rows, how);
        c->dx[i] = field_make(info->dtype, size, shared ? 1 : c->groups, c->rows, draw_layout(&c->random, SHARED));
        field_fill(&c->x[i], &c->random, IDS);
        c->xs[i] = c->x[i].view;
        c->dxs[i] = c->dx[i].view;
        if (info->dtype == HN_INT64 || below(&c->random, 6) == 0)
            c->dxs[i].data = NULL;
        if (c->run.accumulate_input_gradients)
            field_fill(&c->dx[i], &c->random, IDS);
    }
}

static void draw_tensors(config *c)
{
    draw_inputs(c);
    draw_weights(c);
    for (int32_t i = 0; i < c->outputs; i++) {
        const hn_tensor_info *info = hn_plan_output(c->plan, i);
        int64_t size = hn_shape_size(&info->shape);
        c->y[i] = field_make(info->dtype, size, c->groups, c->rows, draw_layout(&c->random, SHARED));
        c->dy[i] = field_make(info->dtype, size, c->groups, c->rows, draw_layout(&c->random, LAYOUTS));
        field_fill(&c->dy[i], &c->random, IDS);
        field_remember(&c->dy[i]);
        c->ys[i] = c->y[i].view;
        c->dys[i] = c->dy[i].view;
        if (info->dtype == HN_INT64 || below(&c->random, 6) == 0)
            c->dys[i].data = NULL;
    }
}

/* Configuration number `seed`; the same draws whatever isa and dtype are. */
static void config_make(config *c, uint64_t seed, const hn_op *op, int mode, hn_isa isa, hn_dtype dtype)
{
    *c = (config){.random = {seed * 1000003u + (uint64_t)mode}, .op = op, .isa = isa};
    c->groups = mode & 2 ? 2 + below(&c->random, 2) : 1;
    c->rows = mode & 1 ? 2 + below(&c->random, 3) : 1;
    for (int i = 0; i < TRIES && !c->graph; i++)
        c->graph = draw_graph(&c->random, op, dtype);
    CHECK(c->graph);
    c->graph = nest(&c->random, c->graph);
    c->plan = hn_plan_create(c->graph, NULL, isa, &error);
    CHECK(c->plan);
    c->inputs = hn_plan_input_count(c->plan);
    c->outputs = hn_plan_output_count(c->plan);
    c->entries = hn_plan_entry_count(c->plan);
    CHECK(c->inputs <= TENSORS && c->outputs <= TENSORS && c->entries <= ENTRIES);
    c->run = (hn_run){.groups = c->groups, .rows = c->rows, .training = below(&c->random, 4) != 0, .seed = seed,
                      .call = 3, .first_row = 7, .threads = 1, .inputs = c->xs, .outputs = c->ys,
                      .sources = c->sources, .output_gradients = c->dys, .input_gradients = c->dxs,
                      .accumulate_input_gradients = (int)below(&c->random, 2), .activity_scale = 0.7,
                      .activity_penalty = &c->penalty};
    draw_tensors(c);
    int64_t rows = c->rows + below(&c->random, 2); /* larger than needed, now and then */
    c->training = hn_workspace_create(c->plan, c->groups, rows, HN_MODE_TRAINING, 1, &error);
    c->inference = hn_workspace_create(c->plan, rows, c->groups, HN_MODE_INFERENCE, 2, &error);
    CHECK(c->training && c->inference);
    CHECK(hn_plan_check(c->plan, &c->run, &error) == HN_OK);
}

static void config_free(config *c)
{
    for (int32_t i = 0; i < TENSORS; i++) {
        field_free(&c->x[i]);
        field_free(&c->y[i]);
        field_free(&c->dy[i]);
        field_free(&c->dx[i]);
    }
    for (int32_t i = 0; i < ENTRIES; i++) {
        field_free(&c->w[i]);
        field_free(&c->dw[i]);
    }
    hn_workspace_free(c->training);
    hn_workspace_free(c->inference);
    hn_plan_free(c->plan);
    hn_graph_free(c->graph);
}

/* ---- forward against one row at a time ---- */

static void forward(config *c, hn_workspace *workspace)
{
    c->penalty = 0.0;
    c->run.workspace = workspace;
    hn_plan_forward(c->plan, &c->run);
}

/* Runs row (g, r) alone with the reference kernels and compares; adds its penalty. */
static void check_row(config *c, const hn_plan *plain, hn_workspace *workspace, int64_t g, int64_t r, double *penalty)
{
    hn_view inputs[TENSORS], outputs[TENSORS];
    hn_source sources[ENTRIES];
    double expected[TENSORS][ROW];
    hn_run run = c->run;
    for (int32_t i = 0; i < c->inputs; i++)
        inputs[i] = (hn_view){field_at(&c->x[i], g, r), 0, 0};
    for (int32_t i = 0; i < c->outputs; i++)
        outputs[i] = (hn_view){expected[i], 0, 0};
    for (int32_t i = 0; i < c->entries; i++)
        sources[i] = (hn_source){.data = field_at(&c->w[i], c->sources[i].group_stride ? g : 0, 0)};
    run.groups = run.rows = 1;
    run.first_row += (uint64_t)(g * c->rows + r);
    run.inputs = inputs;
    run.outputs = outputs;
    run.sources = sources;
    run.workspace = workspace;
    run.activity_penalty = penalty;
    hn_plan_forward(plain, &run);
    for (int32_t i = 0; i < c->outputs; i++) {
        CHECK(c->y[i].size <= ROW);
        double largest = 1.0, difference = 0.0;
        for (int64_t j = 0; j < c->y[i].size; j++) {
            int integer = c->y[i].dtype == HN_INT64;
            double is = integer ? (double)((int64_t *)field_at(&c->y[i], g, r))[j] : field_get(&c->y[i], g, r, j);
            double should = integer ? (double)((int64_t *)expected[i])[j] : expected[i][j];
            CHECK(isfinite(should));
            largest = fmax(largest, fabs(should));
            difference = fabs(is - should) <= difference ? difference : fabs(is - should); /* keeps nan */
        }
        CHECK(difference <= 1e-12 * largest);
    }
}

static void check_forward(config *c)
{
    hn_plan *plain = hn_plan_create(c->graph, NULL, HN_ISA_REFERENCE, &error);
    hn_workspace *one = hn_workspace_create(plain, 1, 1, HN_MODE_INFERENCE, 1, &error);
    CHECK(plain && one);
    for (int mode = 0; mode < 2; mode++) {
        double penalty = 0.0;
        forward(c, mode ? c->training : c->inference);
        for (int64_t g = 0; g < c->groups; g++)
            for (int64_t r = 0; r < c->rows; r++)
                check_row(c, plain, one, g, r, &penalty);
        CHECK(fabs(penalty - c->penalty) <= 1e-12 * fmax(1.0, penalty));
        for (int32_t i = 0; i < c->outputs; i++)
            CHECK(field_surroundings_intact(&c->y[i]));
    }
    hn_workspace_free(one);
    hn_plan_free(plain);
}

/* ---- backward against finite differences ---- */

/* sum(outputs * output gradients) + scale * penalty */
static double objective(config *c)
{
    double sum = 0.0;
    forward(c, c->training);
    for (int32_t i = 0; i < c->outputs; i++)
        for (int64_t g = 0; c->dys[i].data && g < c->groups; g++)
            for (int64_t r = 0; r < c->rows; r++)
                for (int64_t j = 0; j < c->y[i].size; j++)
                    sum += field_get(&c->y[i], g, r, j) * field_get(&c->dy[i], g, r, j);
    return sum + c->run.activity_scale * c->penalty;
}

/* What has been compared. `kinks`: the slopes of two steps differ, so that the numbers mean nothing. */
typedef struct comparison {
    double difference, largest;
    int kinks;
    int64_t count;
} comparison;

/* The slope along elements `first`, `first` + stride, ... of one field, against `analytic`. */
static void compare_slope(config *c, comparison *to, hn_dtype dtype, void *first, int64_t stride, int64_t copies,
                          double analytic)
{
    double slopes[2], saved[TENSORS];
    for (int64_t i = 0; i < copies; i++)
        saved[i] = get(dtype, first, i * stride);
    for (int s = 0; s < 2; s++) {
        double step = STEP * (s + 1), sides[2];
        for (int side = 0; side < 2; side++) {
            for (int64_t i = 0; i < copies; i++)
                put(dtype, first, i * stride, saved[i] + (side ? -step : step));
            sides[side] = objective(c);
        }
        slopes[s] = (sides[0] - sides[1]) / (2.0 * step);
    }
    for (int64_t i = 0; i < copies; i++)
        put(dtype, first, i * stride, saved[i]);
    double difference = fabs(analytic - slopes[0]);
    to->difference = difference <= to->difference ? to->difference : difference;
    to->largest = fmax(to->largest, fabs(slopes[0]));
    to->kinks = to->kinks || fabs(slopes[0] - slopes[1]) > RELIABLE * fmax(1.0, fabs(slopes[0]));
    to->count++;
}

static comparison compare_gradients(config *c, const field *dx_before, const field *dw_before)
{
    comparison result = {.largest = 1.0};
    for (int32_t i = 0; i < c->inputs; i++)
        for (int64_t g = 0; c->dxs[i].data && g < c->dx[i].groups; g++)
            for (int64_t r = 0; r < c->rows; r++)
                for (int64_t j = 0; j < c->x[i].size; j++) {
                    double before = c->run.accumulate_input_gradients ? field_get(&dx_before[i], g, r, j) : 0.0;
                    compare_slope(c, &result, c->x[i].dtype, (double *)field_at(&c->x[i], g, r) + j, 0, 1,
                                  field_get(&c->dx[i], g, r, j) - before);
                }
    for (int32_t i = 0; i < c->entries; i++)
        for (int64_t g = 0; c->sources[i].gradient && g < c->dw[i].groups; g++)
            for (int64_t j = 0; j < c->w[i].size; j++) {
                double before = c->sources[i].accumulate ? field_get(&dw_before[i], g, 0, j) : 0.0;
                int64_t copies = c->dw[i].groups == 1 ? c->w[i].groups : 1; /* one gradient for all groups' weights */
                compare_slope(c, &result, c->w[i].dtype, (double *)field_at(&c->w[i], g, 0) + j,
                              c->w[i].view.group_stride, copies, field_get(&c->dw[i], g, 0, j) - before);
            }
    return result;
}

static field field_clone(const field *f)
{
    field clone = *f;
    size_t bytes = (size_t)f->count * hn_dtype_size(f->dtype);
    clone.memory = malloc(bytes);
    clone.copy = malloc(bytes);
    memcpy(clone.memory, f->memory, bytes);
    clone.view.data = clone.memory + ((char *)f->view.data - f->memory);
    return clone;
}

/* A second backward after the same forward gives the same bits, and output gradients stay as they are. */
static void check_repeat(config *c, field *dx, field *dw)
{
    hn_view dxs[TENSORS];
    hn_source sources[ENTRIES];
    hn_run run = c->run;
    memcpy(sources, c->sources, sizeof sources);
    for (int32_t i = 0; i < c->inputs; i++)
        dxs[i] = c->dxs[i].data ? dx[i].view : c->dxs[i];
    for (int32_t i = 0; i < c->entries; i++)
        sources[i].gradient = c->sources[i].gradient ? dw[i].view.data : NULL;
    run.input_gradients = dxs;
    run.sources = sources;
    hn_plan_backward(c->plan, &run);
    for (int32_t i = 0; i < c->inputs; i++)
        CHECK(memcmp(dx[i].memory, c->dx[i].memory, (size_t)dx[i].count * hn_dtype_size(dx[i].dtype)) == 0);
    for (int32_t i = 0; i < c->entries; i++)
        CHECK(memcmp(dw[i].memory, c->dw[i].memory, (size_t)dw[i].count * hn_dtype_size(dw[i].dtype)) == 0);
    for (int32_t i = 0; i < c->outputs; i++)
        CHECK(field_unchanged(&c->dy[i]));
}

/* 0 if the configuration has a kink too near and must be drawn again. */
static int check_backward(config *c, int64_t *slopes)
{
    field dx[TENSORS], dw[ENTRIES];
    for (int32_t i = 0; i < c->inputs; i++)
        dx[i] = field_clone(&c->dx[i]);
    for (int32_t i = 0; i < c->entries; i++)
        dw[i] = field_clone(&c->dw[i]);
    forward(c, c->training);
    for (int32_t i = 0; i < c->outputs; i++) /* they are the caller's: backward does not need them */
        memset(c->y[i].memory, FIELD_BYTE, (size_t)c->y[i].count * hn_dtype_size(c->y[i].dtype));
    hn_plan_backward(c->plan, &c->run);
    comparison result = compare_gradients(c, dx, dw); /* what they were before */
    forward(c, c->training);
    check_repeat(c, dx, dw);
    for (int32_t i = 0; i < c->inputs; i++) {
        CHECK(c->run.accumulate_input_gradients || field_surroundings_intact(&c->dx[i]));
        field_free(&dx[i]);
    }
    for (int32_t i = 0; i < c->entries; i++) {
        CHECK(c->sources[i].accumulate || field_surroundings_intact(&c->dw[i]));
        field_free(&dw[i]);
    }
    if (result.kinks)
        return 0;
    if (!(result.difference <= TOLERANCE * result.largest))
        fprintf(stderr, "difference %g of %g\n", result.difference, result.largest);
    CHECK(result.difference <= TOLERANCE * result.largest);
    *slopes += result.count;
    return 1;
}

/* ---- float32 against float64 ---- */

static void check_close(const field *single, const field *accurate, const char *what)
{
    double difference = 0.0, largest = 1.0;
    for (int64_t g = 0; g < accurate->groups; g++)
        for (int64_t r = 0; r < accurate->rows; r++)
            for (int64_t i = 0; accurate->dtype != HN_INT64 && i < accurate->size; i++) {
                double should = field_get(accurate, g, r, i), gap = fabs(field_get(single, g, r, i) - should);
                difference = gap <= difference ? difference : gap;
                largest = fmax(largest, fabs(should));
            }
    if (!(difference <= 1e-4 * largest))
        fprintf(stderr, "%s in float32: difference %g of %g\n", what, difference, largest);
    CHECK(difference <= 1e-4 * largest);
}

static void check_single(config *accurate, uint64_t seed, int mode)
{
    config c;
    config_make(&c, seed, accurate->op, mode, accurate->isa, HN_FLOAT32);
    forward(&c, c.training);
    hn_plan_backward(c.plan, &c.run);
    for (int32_t i = 0; i < c.outputs; i++)
        check_close(&c.y[i], &accurate->y[i], "output");
    for (int32_t i = 0; i < c.inputs; i++)
        if (c.dxs[i].data)
            check_close(&c.dx[i], &accurate->dx[i], "input gradient");
    for (int32_t i = 0; i < c.entries; i++)
        if (c.sources[i].gradient)
            check_close(&c.dw[i], &accurate->dw[i], "weight gradient");
    config_free(&c);
}

int main(int count, char **arguments)
{
    CHECK(count == 3);
    char text[128];
    int64_t wanted = strtol(arguments[2], NULL, 10), checked = 0, redrawn = 0, slopes = 0;
    hn_isa isa = HN_ISA_COUNT;
    for (int i = 0; i < HN_ISA_COUNT; i++)
        if (strcmp(hn_isa_name((hn_isa)i), arguments[1]) == 0)
            isa = (hn_isa)i;
    CHECK(isa < HN_ISA_COUNT);
    if (!hn_isa_available(isa)) {
        printf("not available\n");
        return 0;
    }
    context = text;
    for (int32_t op = 0; op < hn_op_count(); op++)
        for (int mode = 0; mode < 4; mode++) /* groups x rows: 1x1, 1xM, Nx1, NxM */
            for (int64_t done = 0, seed = 1; done < wanted; seed++) {
                config c;
                snprintf(text, sizeof text, "%s, mode %d, seed %d, %s", hn_op_at(op)->name, mode, (int)seed,
                         arguments[1]);
                config_make(&c, (uint64_t)seed, hn_op_at(op), mode, isa, HN_FLOAT64);
                check_forward(&c);
                if (check_backward(&c, &slopes)) {
                    check_single(&c, (uint64_t)seed, mode);
                    done++;
                    checked++;
                } else {
                    redrawn++;
                }
                config_free(&c);
                CHECK(hn_memory_live_blocks() == 0);
            }
    CHECK(redrawn <= checked / 4);
    printf("%lld configurations, %lld slopes, %lld redrawn\n", (long long)checked, (long long)slopes,
           (long long)redrawn);
    return 0;
}
