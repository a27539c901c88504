/* The network floor, tested from C: memory, sizes, order, and what no single op shows. Prints "ok", or exits 1 with the
   place of the first failure. The ops themselves: network_ops.c; losses and steps: step.c. Under the address sanitizer
   run it with ASAN_OPTIONS=allocator_may_return_null=1. */
#include "network.h"

static hn_error error;
static random_state random_numbers = {1};

static hn_attribute integer(const char *name, int64_t value)
{
    return (hn_attribute){.name = name, .type = HN_ATTRIBUTE_INTEGER, .integer = value};
}

static hn_attribute text(const char *name, const char *value)
{
    hn_attribute attribute = {.name = name, .type = HN_ATTRIBUTE_NAME};
    snprintf(attribute.text, sizeof attribute.text, "%s", value);
    return attribute;
}

static int32_t dense(hn_graph *graph, const char *layer, int32_t input, int64_t units, const char *activation)
{
    hn_attribute attributes[] = {integer("units", units), text("activation", activation)};
    return hn_graph_add(graph, "dense", layer, attributes, 2, &input, 1, &error);
}

static int32_t add(hn_graph *graph, const char *op, const char *layer, int32_t a, int32_t b)
{
    return hn_graph_add(graph, op, layer, NULL, 0, (int32_t[]){a, b}, b < 0 ? 1 : 2, &error);
}

static int32_t input(hn_graph *graph, const char *name, hn_shape shape, hn_dtype dtype)
{
    return hn_graph_input(graph, name, &shape, dtype, &error);
}

/* ---- a graph with every kind of op that has weights, and one run of it ---- */

enum { WIDTH = 4, INPUTS = 3, OUTPUTS = 2, ENTRIES = 16, IDS = 5 };

/* NULL if memory is out. Inputs: x (4), ids (2), and z (4), which nothing reads. */
static hn_graph *make_graph(hn_dtype dtype)
{
    hn_graph *graph = hn_graph_create(dtype, &error), *inner = graph ? hn_graph_create(dtype, &error) : NULL;
    hn_attribute table[] = {integer("input_dim", IDS), integer("output_dim", WIDTH)};
    int32_t x = -1, ids = -1, y = -1, z = -1, out = -1;
    if (inner && (x = input(inner, "a", (hn_shape){1, {WIDTH}}, dtype)) >= 0 &&
        (x = dense(inner, "one", x, WIDTH, "gelu")) >= 0 && (x = add(inner, "layer_normalization", "two", x, -1)) >= 0)
        out = hn_graph_output(inner, x, &error) == HN_OK ? 0 : -1;
    if (out == 0 && (x = input(graph, "x", (hn_shape){1, {WIDTH}}, dtype)) >= 0 &&
        (ids = input(graph, "ids", (hn_shape){1, {2}}, HN_INT64)) >= 0 &&
        (z = input(graph, "z", (hn_shape){1, {WIDTH}}, dtype)) >= 0 &&
        (ids = hn_graph_add(graph, "embedding", "table", table, 2, &ids, 1, &error)) >= 0 &&
        hn_graph_call(graph, inner, "model", &x, 1, &x, &error) == HN_OK &&
        (y = add(graph, "multiply", "film", ids, x)) >= 0 && (y = add(graph, "prelu", "prelu", y, -1)) >= 0 &&
        (out = dense(graph, "out", y, 3, "softmax")) >= 0 && hn_graph_output(graph, out, &error) == HN_OK &&
        hn_graph_output(graph, y, &error) == HN_OK) {
        hn_graph_free(inner);
        return graph;
    }
    hn_graph_free(inner);
    hn_graph_free(graph);
    return NULL;
}

typedef struct everything {
    hn_dtype dtype;
    hn_graph *graph;
    hn_plan *plan;
    hn_run run;
    field inputs[INPUTS], outputs[OUTPUTS], output_gradients[OUTPUTS], input_gradients[INPUTS], weights, gradient;
    hn_view views[4][INPUTS];
    hn_source sources[ENTRIES];
} everything;

static void everything_make(everything *e, int64_t groups, int64_t rows, hn_dtype dtype)
{
    *e = (everything){.dtype = dtype, .graph = make_graph(dtype)};
    e->plan = hn_plan_create(e->graph, NULL, HN_ISA_REFERENCE, &error);
    CHECK(e->plan && hn_plan_input_count(e->plan) == INPUTS && hn_plan_output_count(e->plan) == OUTPUTS);
    for (int32_t i = 0; i < INPUTS; i++) {
        const hn_tensor_info *info = hn_plan_input(e->plan, i);
        int64_t size = hn_shape_size(&info->shape);
        e->inputs[i] = field_make(info->dtype, size, groups, rows, i == 0 ? SHARED : PACKED);
        e->input_gradients[i] = field_make(dtype, size, i == 0 ? 1 : groups, rows, PACKED);
        field_fill(&e->inputs[i], &random_numbers, IDS);
        e->views[0][i] = e->inputs[i].view;
        e->views[1][i] = e->input_gradients[i].view;
    }
    e->views[1][1].data = NULL; /* ids */
    for (int32_t i = 0; i < OUTPUTS; i++) {
        int64_t size = hn_shape_size(&hn_plan_output(e->plan, i)->shape);
        e->outputs[i] = field_make(dtype, size, groups, rows, PACKED);
        e->output_gradients[i] = field_make(dtype, size, groups, rows, GAPS);
        field_fill(&e->output_gradients[i], &random_numbers, 0);
        e->views[2][i] = e->outputs[i].view;
        e->views[3][i] = e->output_gradients[i].view;
    }
    int64_t parameters = hn_graph_parameter_count(e->graph);
    e->weights = field_make(dtype, parameters, 1, 1, PACKED);
    e->gradient = field_make(dtype, parameters, 1, 1, PACKED);
    field_fill(&e->weights, &random_numbers, 0);
    hn_graph_bind(e->graph, e->weights.view.data, e->gradient.view.data, e->sources);
    e->run = (hn_run){.groups = groups, .rows = rows, .training = 1, .threads = 1, .inputs = e->views[0],
                      .input_gradients = e->views[1], .outputs = e->views[2], .output_gradients = e->views[3],
                      .sources = e->sources};
}

static void everything_free(everything *e)
{
    for (int32_t i = 0; i < INPUTS; i++) {
        field_free(&e->inputs[i]);
        field_free(&e->input_gradients[i]);
    }
    for (int32_t i = 0; i < OUTPUTS; i++) {
        field_free(&e->outputs[i]);
        field_free(&e->output_gradients[i]);
    }
    field_free(&e->weights);
    field_free(&e->gradient);
    hn_plan_free(e->plan);
    hn_graph_free(e->graph);
}

static void field_poison(field *f)
{
    memset(f->memory, FIELD_BYTE, (size_t)f->count * hn_dtype_size(f->dtype));
}

/* Forward and backward with this workspace; results go over nans, and are remembered. */
static void everything_run(everything *e, hn_workspace *workspace)
{
    e->run.workspace = workspace;
    for (int32_t i = 0; i < OUTPUTS; i++)
        field_poison(&e->outputs[i]);
    for (int32_t i = 0; i < INPUTS; i++)
        field_poison(&e->input_gradients[i]);
    field_poison(&e->gradient);
    hn_plan_forward(e->plan, &e->run);
    hn_plan_backward(e->plan, &e->run);
}

static void everything_remember(everything *e)
{
    for (int32_t i = 0; i < OUTPUTS; i++)
        field_remember(&e->outputs[i]);
    for (int32_t i = 0; i < INPUTS; i++)
        field_remember(&e->input_gradients[i]);
    field_remember(&e->gradient);
}

static int everything_same(const everything *e)
{
    int same = field_unchanged(&e->gradient);
    for (int32_t i = 0; i < OUTPUTS; i++)
        same = same && field_unchanged(&e->outputs[i]);
    for (int32_t i = 0; i < INPUTS; i++)
        same = same && field_unchanged(&e->input_gradients[i]);
    return same;
}

static int all_zero(const field *f)
{
    int zero = 1;
    for (int64_t g = 0; g < f->groups; g++)
        for (int64_t r = 0; r < f->rows; r++)
            for (int64_t i = 0; i < f->size; i++)
                zero = zero && field_get(f, g, r, i) == 0.0;
    return zero;
}

static int all_finite(const field *f)
{
    int finite = 1;
    for (int64_t g = 0; g < f->groups; g++)
        for (int64_t r = 0; r < f->rows; r++)
            for (int64_t i = 0; i < f->size; i++)
                finite = finite && isfinite(field_get(f, g, r, i));
    return finite;
}

/* ---- memory and sizes ---- */

/* Every allocation fails in turn: the error says so, and nothing is left behind. */
static void test_failing_allocations(void)
{
    int finished = 0;
    int64_t k = 0;
    while (!finished) {
        hn_error_set(&error, HN_OK, "nothing");
        hn_memory_fail_at(++k);
        hn_graph *graph = make_graph(HN_FLOAT32);
        hn_plan *plan = graph ? hn_plan_create(graph, NULL, HN_ISA_REFERENCE, &error) : NULL;
        hn_workspace *one = plan ? hn_workspace_create(plan, 2, 3, HN_MODE_INFERENCE, 2, &error) : NULL;
        hn_workspace *two = one ? hn_workspace_create(plan, 2, 3, HN_MODE_TRAINING, 2, &error) : NULL;
        finished = two != NULL;
        CHECK(finished || (error.status == HN_ERROR_MEMORY && strstr(error.message, "allocate")));
        hn_memory_fail_at(0);
        hn_workspace_free(one);
        hn_workspace_free(two);
        hn_plan_free(plan);
        hn_graph_free(graph);
        CHECK(hn_memory_live_blocks() == 0);
    }
    CHECK(k > 50);
}

static hn_plan *plan_of_sum(hn_shape a, hn_shape b)
{
    hn_graph *graph = hn_graph_create(HN_FLOAT32, &error);
    int32_t y = add(graph, "add", "sum", input(graph, "a", a, HN_FLOAT32), input(graph, "b", b, HN_FLOAT32));
    CHECK(y >= 0 && hn_graph_output(graph, y, &error) == HN_OK);
    hn_plan *plan = hn_plan_create(graph, NULL, HN_ISA_REFERENCE, &error);
    hn_graph_free(graph);
    return plan;
}

static void test_sizes_that_overflow(void)
{
    CHECK(!plan_of_sum((hn_shape){2, {1LL << 31, 1}}, (hn_shape){2, {1, 1LL << 31}}));
    CHECK(error.status == HN_ERROR_VALUE && strstr(error.message, "too large"));
    CHECK(!plan_of_sum((hn_shape){1, {1LL << 41}}, (hn_shape){1, {1}}));
    CHECK(error.status == HN_ERROR_VALUE && strstr(error.message, "too large"));
    CHECK(!plan_of_sum((hn_shape){1, {-1}}, (hn_shape){1, {1}}));
    CHECK(error.status == HN_ERROR_VALUE && strstr(error.message, "closed"));
    hn_graph *graph = hn_graph_create(HN_FLOAT32, &error);
    int32_t wide = input(graph, "a", (hn_shape){1, {INT64_MAX}}, HN_FLOAT32);
    CHECK(add(graph, "concatenate", "both", wide, wide) == -1 && error.status == HN_ERROR_VALUE);
    CHECK(strstr(error.message, "too large"));
    hn_graph_free(graph);
    hn_plan *plan = plan_of_sum((hn_shape){1, {1 << 20}}, (hn_shape){1, {1}});
    CHECK(plan);
    for (int mode = 0; mode < 2; mode++) {
        CHECK(!hn_workspace_create(plan, INT64_MAX, 2, (hn_mode)mode, 1, &error) && error.status == HN_ERROR_MEMORY);
        CHECK(!hn_workspace_create(plan, 1LL << 42, 1, (hn_mode)mode, 1, &error) && error.status == HN_ERROR_MEMORY);
        CHECK(!hn_workspace_create(plan, 1LL << 40, 1, (hn_mode)mode, 1, &error) && error.status == HN_ERROR_MEMORY);
        CHECK(!hn_workspace_create(plan, -1, 2, (hn_mode)mode, 1, &error) && error.status == HN_ERROR_VALUE);
        CHECK(!hn_workspace_create(plan, 1, 2, (hn_mode)mode, 0, &error) && error.status == HN_ERROR_VALUE);
    }
    hn_plan_free(plan);
    CHECK(hn_memory_live_blocks() == 0);
}

/* One workspace serves runs of other shapes in any order, and leaves the same bits as one of its own. */
static void test_reuse(void)
{
    static const int64_t sizes[][2] = {{4, 5}, {2, 3}, {20, 1}, {1, 20}, {1, 1}, {0, 5}, {5, 0}, {0, 0}, {3, 6}};
    everything large;
    everything_make(&large, 4, 5, HN_FLOAT64);
    const hn_plan *plan = large.plan;
    hn_workspace *reused = hn_workspace_create(plan, 4, 5, HN_MODE_TRAINING, 2, &error);
    CHECK(reused && (uintptr_t)reused % HN_ALIGNMENT == 0 && hn_workspace_bytes(reused) > 4 * 5 * 8);
    CHECK(hn_workspace_fits(reused, plan, 20, 1, HN_MODE_TRAINING, 2));
    CHECK(hn_workspace_fits(reused, plan, 4, 5, HN_MODE_INFERENCE, 1));
    CHECK(!hn_workspace_fits(reused, plan, 3, 7, HN_MODE_TRAINING, 1));
    CHECK(!hn_workspace_fits(reused, plan, 4, 5, HN_MODE_TRAINING, 3));
    CHECK(!hn_workspace_fits(reused, plan, INT64_MAX, INT64_MAX, HN_MODE_TRAINING, 1));
    CHECK(!hn_workspace_fits(reused, NULL, 1, 1, HN_MODE_TRAINING, 1));
    hn_workspace *inference = hn_workspace_create(plan, 4, 5, HN_MODE_INFERENCE, 2, &error);
    CHECK(inference && !hn_workspace_fits(inference, plan, 1, 1, HN_MODE_TRAINING, 1));
    CHECK(hn_workspace_bytes(inference) < hn_workspace_bytes(reused));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        everything e;
        everything_make(&e, sizes[i][0], sizes[i][1], HN_FLOAT64);
        hn_plan *own_plan = e.plan;
        hn_workspace *own = hn_workspace_create(e.plan, sizes[i][0], sizes[i][1], HN_MODE_TRAINING, 1, &error);
        everything_run(&e, own);
        everything_remember(&e);
        e.plan = large.plan;
        everything_run(&e, reused);
        CHECK(everything_same(&e) && all_finite(&e.gradient));
        CHECK((sizes[i][0] > 0 && sizes[i][1] > 0) || all_zero(&e.gradient));
        CHECK(all_finite(&e.input_gradients[0]) && all_zero(&e.input_gradients[2]));
        e.plan = own_plan;
        hn_workspace_free(own);
        everything_free(&e);
    }
    hn_workspace_free(inference);
    hn_workspace_free(reused);
    everything_free(&large);
}

/* ---- checks ---- */

/* Ids are checked through ops that move them, for more groups than the workspace holds, before anything is written. */
static void test_check(void)
{
    hn_graph *graph = hn_graph_create(HN_FLOAT64, &error);
    hn_attribute table[] = {integer("input_dim", IDS), integer("output_dim", 2)};
    int32_t a = input(graph, "a", (hn_shape){1, {2}}, HN_INT64), b = input(graph, "b", (hn_shape){1, {1}}, HN_INT64);
    int32_t c = input(graph, "c", (hn_shape){1, {1}}, HN_INT64); /* read by nobody who minds */
    int32_t joined = add(graph, "concatenate", "joined", a, b);
    int32_t y = hn_graph_add(graph, "embedding", "table", table, 2, &joined, 1, &error);
    CHECK(y >= 0 && hn_graph_output(graph, y, &error) == HN_OK);
    CHECK(hn_graph_output(graph, add(graph, "concatenate", "other", joined, c), &error) == HN_OK);
    hn_plan *plan = hn_plan_create(graph, NULL, HN_ISA_REFERENCE, &error);
    int64_t ids[3][6] = {{0, 1, 2, 3, 4, 0}, {4, 0, 2}, {99, -99, 7}};
    hn_view views[] = {{ids[0], 2, 2}, {ids[1], 1, 1}, {ids[2], 1, 1}};
    hn_run run = {.groups = 3, .rows = 1, .threads = 1, .inputs = views};
    CHECK(plan && hn_plan_check(plan, &run, &error) == HN_OK);
    ids[1][2] = IDS;
    CHECK(hn_plan_check(plan, &run, &error) == HN_ERROR_VALUE && strstr(error.message, "received 5 in row 2"));
    run.groups = 2;
    CHECK(hn_plan_check(plan, &run, &error) == HN_OK);
    ids[0][3] = -1;
    CHECK(hn_plan_check(plan, &run, &error) == HN_ERROR_VALUE && strstr(error.message, "received -1 in row 1"));
    run.groups = 0;
    CHECK(hn_plan_check(plan, &run, &error) == HN_OK);
    hn_plan_free(plan);
    hn_graph_free(graph);
}

/* ---- op by op ---- */

/* Weights put at one place just before each node: the same bits; and backward reads no weights but those it says. */
static void test_just_in_time(void)
{
    everything e;
    double tile[256];
    everything_make(&e, 2, 3, HN_FLOAT64);
    hn_workspace *workspace = hn_workspace_create(e.plan, 2, 3, HN_MODE_TRAINING, 1, &error);
    int32_t nodes = hn_plan_node_count(e.plan), spared = 0;
    for (int with_inputs = 0; with_inputs < 2; with_inputs++) {
        e.run.input_gradients = with_inputs ? e.views[1] : NULL;
        everything_run(&e, workspace);
        everything_remember(&e);
        hn_plan_forward_begin(e.plan, &e.run);
        for (int32_t step = 0; step < 2 * nodes; step++) {
            int back = step >= nodes;
            int32_t node = back ? 2 * nodes - 1 - step : step, count;
            const int32_t *entries = hn_plan_node_entries(e.plan, node, &count);
            if (step == nodes) {
                hn_plan_forward_end(e.plan, &e.run);
                field_poison(&e.gradient);
                hn_plan_backward_begin(e.plan, &e.run);
            }
            int needs = !back || hn_plan_node_needs_weights(e.plan, &e.run, node);
            spared += count > 0 && !needs;
            memset(tile, FIELD_BYTE, sizeof tile);
            char *next = (char *)tile;
            for (int32_t i = 0; i < count; i++) {
                const hn_entry *entry = hn_graph_entry(e.graph, entries[i]);
                if (needs)
                    memcpy(next, (double *)e.weights.view.data + entry->offset, (size_t)entry->size * 8);
                e.sources[entries[i]].data = next;
                next += entry->size * 8;
                CHECK(next <= (char *)(tile + 256));
            }
            if (back)
                hn_plan_backward_node(e.plan, &e.run, node);
            else
                hn_plan_forward_node(e.plan, &e.run, node);
        }
        hn_plan_backward_end(e.plan, &e.run);
        CHECK(everything_same(&e) && all_finite(&e.gradient));
        hn_graph_bind(e.graph, e.weights.view.data, e.gradient.view.data, e.sources);
    }
    CHECK(spared == 2 + 1); /* the embedding, and the first dense layer where no input gradient is wanted */
    hn_workspace_free(workspace);
    everything_free(&e);
}

/* ---- gradients that nothing reaches ---- */

/* y = dense a(x), z = penalty(dense b(x)); only y, or neither, gets a gradient. */
static void test_unreached(void)
{
    hn_graph *graph = hn_graph_create(HN_FLOAT64, &error);
    hn_attribute l2 = {.name = "l2", .type = HN_ATTRIBUTE_NUMBER, .number = 0.5};
    int32_t x = input(graph, "x", (hn_shape){1, {2}}, HN_FLOAT64), y = dense(graph, "a", x, 1, "linear");
    int32_t z = dense(graph, "b", x, 1, "linear");
    z = hn_graph_add(graph, "activity_regularizer", "p", &l2, 1, &z, 1, &error);
    CHECK(dense(graph, "c", x, 1, "linear") >= 0); /* no output needs it */
    CHECK(hn_graph_output(graph, y, &error) == HN_OK && hn_graph_output(graph, z, &error) == HN_OK);
    hn_plan *plan = hn_plan_create(graph, NULL, HN_ISA_REFERENCE, &error);
    hn_workspace *workspace = hn_workspace_create(plan, 1, 1, HN_MODE_TRAINING, 1, &error);
    double weights[9] = {1, 2, 0, 3, 4, 0.5, 0, 0, 0}, gradient[9], data[2] = {2, -1}, dx[2], one = 1, penalty = 0;
    hn_source sources[6];
    hn_view inputs = {data, 2, 2}, dxs = {dx, 2, 2}, dys[2] = {{&one, 1, 1}, {NULL, 0, 0}};
    hn_run run = {.groups = 1, .rows = 1, .training = 1, .threads = 1, .inputs = &inputs, .sources = sources,
                  .workspace = workspace, .output_gradients = dys, .input_gradients = &dxs,
                  .activity_penalty = &penalty};
    hn_graph_bind(graph, weights, gradient, sources);
    hn_plan_forward(plan, &run);
    CHECK(penalty == 0.5 * 2.5 * 2.5); /* z = 3 * 2 - 4 + 0.5 */
    memset(gradient, FIELD_BYTE, sizeof gradient);
    hn_plan_backward(plan, &run);
    static const double plain[9] = {2, -1, 1, 0, 0, 0, 0, 0, 0};
    for (int i = 0; i < 9; i++)
        CHECK(gradient[i] == plain[i]);
    CHECK(dx[0] == 1 && dx[1] == 2);
    run.activity_scale = 2.0; /* dz = 2 * 2 * 0.5 * z = 5 */
    run.output_gradients = NULL;
    memset(gradient, FIELD_BYTE, sizeof gradient);
    hn_plan_backward(plan, &run);
    static const double penalized[9] = {0, 0, 0, 10, -5, 5, 0, 0, 0};
    for (int i = 0; i < 9; i++)
        CHECK(gradient[i] == penalized[i]);
    CHECK(dx[0] == 15 && dx[1] == 20);
    run.accumulate_input_gradients = 1;
    hn_plan_backward(plan, &run);
    CHECK(dx[0] == 30 && dx[1] == 40);
    hn_plan *part = hn_plan_create_part(graph, &y, 1, NULL, HN_ISA_REFERENCE, &error);
    run.workspace = hn_workspace_create(part, 1, 1, HN_MODE_TRAINING, 1, &error);
    CHECK(part && run.workspace && hn_plan_node_count(part) == 1);
    for (int i = 0; i < 9; i++)
        gradient[i] = 7;
    run.output_gradients = dys;
    hn_plan_forward(part, &run);
    hn_plan_backward(part, &run);
    for (int i = 0; i < 9; i++) /* what the part does not need is not touched */
        CHECK(gradient[i] == (i < 3 ? plain[i] : 7));
    hn_workspace_free(run.workspace);
    hn_plan_free(part);
    hn_workspace_free(workspace);
    hn_plan_free(plan);
    hn_graph_free(graph);
    CHECK(hn_memory_live_blocks() == 0);
}

/* ---- sizes that are cut into blocks ---- */

/* Forward and backward of one dense layer, all groups and rows at once, or one row after the other. */
static void run_dense(hn_plan *plan, hn_run run, int one_by_one)
{
    hn_view x = *run.inputs, y = *run.outputs, dy = *run.output_gradients, dx = *run.input_gradients;
    const hn_view views[] = {x, y, dy, dx};
    hn_view moved[4];
    hn_source sources[2];
    hn_run part = run;
    int64_t groups = one_by_one ? run.groups : 1, rows = one_by_one ? run.rows : 1;
    part.workspace = hn_workspace_create(plan, run.groups, run.rows, HN_MODE_TRAINING, 1, &error);
    part.sources = sources;
    part.inputs = &moved[0];
    part.outputs = &moved[1];
    part.output_gradients = &moved[2];
    part.input_gradients = &moved[3];
    for (int64_t g = 0; g < groups; g++)
        for (int64_t r = 0; r < rows; r++) {
            for (int i = 0; i < 4; i++) {
                moved[i] = views[i];
                moved[i].data = (double *)views[i].data + g * views[i].group_stride + r * views[i].row_stride;
            }
            for (int i = 0; i < 2; i++) {
                sources[i] = run.sources[i];
                sources[i].data = (const double *)sources[i].data + g * sources[i].group_stride;
                sources[i].gradient = (double *)sources[i].gradient + g * sources[i].gradient_group_stride;
                sources[i].accumulate = r > 0 || (g > 0 && sources[i].gradient_group_stride == 0);
            }
            if (one_by_one)
                part.groups = part.rows = 1;
            hn_plan_forward(plan, &part);
            hn_plan_backward(plan, &part);
        }
    hn_workspace_free(part.workspace);
}

static void check_equal(const field *a, const field *b)
{
    double difference = 0.0, largest = 1.0;
    for (int64_t g = 0; g < a->groups; g++)
        for (int64_t r = 0; r < a->rows; r++)
            for (int64_t i = 0; i < a->size; i++) {
                double gap = fabs(field_get(a, g, r, i) - field_get(b, g, r, i));
                difference = gap <= difference ? difference : gap;
                largest = fmax(largest, fabs(field_get(b, g, r, i)));
            }
    CHECK(difference <= 1e-12 * largest);
}

/* A dense layer that is wide enough for blocks of rows and of columns, with rows that lie in every way. Of all cases
   every `share`-th. */
static void test_blocks(hn_isa isa, int64_t share)
{
    static const char *const activations[] = {"linear", "tanh", "gelu", "softmax", "log_softmax"};
    enum { GROUPS = 2, IN = 70, UNITS = 330 };
    for (int64_t c = 0; c < 5 * 5 * 2; c += share) {
        int64_t positions = c % 2 ? 3 : 1, rows = c % 4 < 2 ? 2 : 50, own = c % 3 != 0;
        layout how = (layout)(c / 2 % 5 == 4 ? REPEATED : c / 2 % 5);
        hn_graph *graph = hn_graph_create(HN_FLOAT64, &error);
        int32_t x = input(graph, "x", (hn_shape){2, {positions, IN}}, HN_FLOAT64);
        CHECK(hn_graph_output(graph, dense(graph, "d", x, UNITS, activations[c / 10]), &error) == HN_OK);
        hn_plan *plans[] = {hn_plan_create(graph, NULL, HN_ISA_REFERENCE, &error),
                            hn_plan_create(graph, NULL, isa, &error)};
        int64_t parameters = hn_graph_parameter_count(graph);
        field in = field_make(HN_FLOAT64, positions * IN, GROUPS, rows, how), w, dx[2], y[2], dw[2];
        field dy = field_make(HN_FLOAT64, positions * UNITS, GROUPS, rows, how);
        w = field_make(HN_FLOAT64, parameters, GROUPS, 1, GAPS);
        field_fill(&in, &random_numbers, 0);
        field_fill(&dy, &random_numbers, 0);
        field_fill(&w, &random_numbers, 0);
        for (int64_t i = 0; i < w.count; i++) /* sums of moderate size */
            ((double *)w.memory)[i] *= 0.1;
        for (int run = 0; run < 2; run++) {
            hn_source sources[2];
            y[run] = field_make(HN_FLOAT64, positions * UNITS, GROUPS, rows, how < REPEATED ? how : PACKED);
            dx[run] = field_make(HN_FLOAT64, positions * IN, GROUPS, rows, PACKED);
            dw[run] = field_make(HN_FLOAT64, parameters, own ? GROUPS : 1, 1, PACKED);
            hn_graph_bind(graph, w.view.data, dw[run].view.data, sources);
            for (int i = 0; own && i < 2; i++) {
                sources[i].group_stride = w.view.group_stride;
                sources[i].gradient_group_stride = parameters;
            }
            run_dense(plans[run], (hn_run){.groups = GROUPS, .rows = rows, .training = 1, .threads = 1,
                                           .inputs = &in.view, .outputs = &y[run].view, .sources = sources,
                                           .output_gradients = &dy.view, .input_gradients = &dx[run].view}, !run);
        }
        check_equal(&y[1], &y[0]);
        check_equal(&dw[1], &dw[0]);
        if (how != REPEATED) /* else it is the sum over groups */
            check_equal(&dx[1], &dx[0]);
        field *fields[] = {&in, &dy, &w, &y[0], &y[1], &dx[0], &dx[1], &dw[0], &dw[1]};
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
            field_free(fields[i]);
        hn_plan_free(plans[0]);
        hn_plan_free(plans[1]);
        hn_graph_free(graph);
    }
}

/* ---- threads ---- */

/* Sizes that are cut into many blocks: the same bits for any number of threads. */
static void test_threads(hn_isa isa)
{
    enum { ROWS = 100, GROUPS = 5, IN = 65, HIDDEN = 150, OUT = 70 };
    hn_graph *graph = hn_graph_create(HN_FLOAT32, &error);
    int32_t x = input(graph, "x", (hn_shape){1, {IN}}, HN_FLOAT32), h = dense(graph, "a", x, HIDDEN, "tanh");
    h = add(graph, "dropout", "drop", add(graph, "layer_normalization", "norm", h, -1), -1);
    h = add(graph, "prelu", "prelu", h, -1);
    h = add(graph, "concatenate", "both", h, dense(graph, "b", x, OUT, "gelu"));
    int32_t y = dense(graph, "y", h, OUT, "softmax");
    CHECK(y >= 0 && hn_graph_output(graph, y, &error) == HN_OK);
    hn_plan *plan = hn_plan_create(graph, NULL, isa, &error);
    CHECK(plan);
    int64_t parameters = hn_graph_parameter_count(graph);
    field in = field_make(HN_FLOAT32, IN, GROUPS, ROWS, SHARED), dx = field_make(HN_FLOAT32, IN, 1, ROWS, PACKED);
    field out = field_make(HN_FLOAT32, OUT, GROUPS, ROWS, PACKED), dy = field_make(HN_FLOAT32, OUT, GROUPS, ROWS, GAPS);
    field w = field_make(HN_FLOAT32, parameters, GROUPS, 1, PACKED);
    field dw = field_make(HN_FLOAT32, parameters, GROUPS, 1, PACKED);
    field_fill(&in, &random_numbers, 0);
    field_fill(&dy, &random_numbers, 0);
    field_fill(&w, &random_numbers, 0);
    for (int own = 0; own < 2; own++)
        for (int32_t threads = 1; threads <= 8; threads = threads < 3 ? threads + 1 : threads + 5) {
            hn_source sources[ENTRIES];
            hn_graph_bind(graph, w.view.data, dw.view.data, sources);
            for (int32_t i = 0; own && i < hn_graph_entry_count(graph); i++)
                sources[i].group_stride = sources[i].gradient_group_stride = parameters;
            hn_run run = {.groups = GROUPS, .rows = ROWS, .training = 1, .seed = 5, .threads = threads,
                          .inputs = &in.view, .outputs = &out.view, .sources = sources, .output_gradients = &dy.view,
                          .input_gradients = &dx.view};
            run.workspace = hn_workspace_create(plan, GROUPS, ROWS, HN_MODE_TRAINING, threads, &error);
            field_poison(&dw);
            hn_plan_forward(plan, &run);
            hn_plan_backward(plan, &run);
            CHECK(threads == 1 || (field_unchanged(&out) && field_unchanged(&dx) && field_unchanged(&dw)));
            field_remember(&out);
            field_remember(&dx);
            field_remember(&dw);
            hn_workspace_free(run.workspace);
        }
    CHECK(all_finite(&dw) && all_finite(&dx));
    field *fields[] = {&in, &dx, &out, &dy, &w, &dw};
    for (int i = 0; i < 6; i++)
        field_free(fields[i]);
    hn_plan_free(plan);
    hn_graph_free(graph);
}

int main(int count, char **arguments)
{
    int64_t share = count > 1 ? strtol(arguments[1], NULL, 10) : 1; /* for slow machines more than 1, and one isa */
    const char *only = count > 2 ? arguments[2] : NULL;
    int found = 0;
    CHECK(share >= 1);
    test_failing_allocations();
    test_sizes_that_overflow();
    test_reuse();
    test_check();
    test_just_in_time();
    test_unreached();
    for (int isa = 0; isa < HN_ISA_COUNT; isa++)
        if (hn_isa_available((hn_isa)isa) && (!only || strcmp(only, hn_isa_name((hn_isa)isa)) == 0)) {
            test_blocks((hn_isa)isa, share);
            test_threads((hn_isa)isa);
            found++;
        }
    CHECK(found > 0);
    CHECK(hn_memory_live_blocks() == 0);
    puts("ok");
    return 0;
}
