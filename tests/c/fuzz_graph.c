/* Fuzzing of the calls: the input's bytes say which graphs are described, with which layers, sizes and attributes (odd
   ones too), and what is then done with them: plain runs, hypernetworks in every mode, updates of the weights. A call
   may refuse, with a message; nothing may crash, leak or hang. */
#include "fuzz.h"
#include "kernels/kernels.h"

enum { MOST_GRAPHS = 3, MOST_NODES = 12, MOST_SETTINGS = 4, MOST_ROWS = 6, MOST_ACTIONS = 6 };

static int64_t odd_number(fuzz_bytes *bytes)
{
    static const int64_t odd[] = {0, -1, -2, INT64_MAX, INT64_MIN, INT32_MAX, (int64_t)1 << 32, (int64_t)1 << 62};
    uint8_t byte = byte_take(bytes);
    return byte < 240 ? 1 + byte % 5 : odd[byte % 8];
}

static hn_shape shape_take(fuzz_bytes *bytes)
{
    hn_shape shape = {.rank = (int32_t)below(bytes, 4)};
    if (byte_take(bytes) == 255)
        shape.rank = (int32_t)below(bytes, 20) - 4; /* more axes than there may be, or fewer than none */
    for (int32_t i = 0; i < shape.rank && i < HN_MAX_RANK; i++)
        shape.dims[i] = odd_number(bytes);
    return shape;
}

static void text_take(fuzz_bytes *bytes, char *text, size_t capacity)
{
    static const char *const names[] = {"relu", "linear", "softmax", "sigmoid", "tanh", "gelu", "silu", "elu", "selu",
                                        "softplus", "exponential", "leaky_relu", "hard_sigmoid", "mish", "nonsense",
                                        ""};
    snprintf(text, capacity, "%s", names[below(bytes, sizeof names / sizeof *names)]);
}

/* ---- graphs ---- */

static hn_attribute attribute_take(const hn_op *op, fuzz_bytes *bytes)
{
    hn_attribute made = op->attributes[below(bytes, op->attribute_count)];
    uint8_t byte = byte_take(bytes);
    if (byte > 250)
        made.type = (hn_attribute_type)(byte % 4);
    if (made.type == HN_ATTRIBUTE_INTEGER)
        made.integer = odd_number(bytes);
    else if (made.type == HN_ATTRIBUTE_NUMBER)
        made.number = byte > 240 ? (double)odd_number(bytes) : byte == 240 ? (double)NAN : byte / 256.0;
    else if (made.type == HN_ATTRIBUTE_NAME)
        text_take(bytes, made.text, sizeof made.text);
    else
        made.shape = shape_take(bytes);
    return made;
}

/* A tensor of the graph, most often one of the last; now and then none of it. */
static int32_t tensor_take(const hn_graph *graph, fuzz_bytes *bytes)
{
    int32_t count = hn_graph_tensor_count(graph);
    uint8_t byte = byte_take(bytes);
    return byte > 250 ? (int32_t)byte - 253 : count - 1 - (int32_t)(byte % (count < 4 ? count + (count == 0) : 4));
}

static void node_add(hn_graph *graph, fuzz_bytes *bytes)
{
    static const char *const layers[] = {"a", "b", "c", "d/e", "f", "g", "h", ""};
    const hn_op *op = hn_op_at((int32_t)below(bytes, hn_op_count()));
    hn_attribute attributes[MOST_SETTINGS];
    int32_t inputs[MOST_SIDES], count = 0, input_count = op->min_inputs + (int32_t)below(bytes, 3);
    hn_error error;
    for (int64_t wanted = below(bytes, MOST_SETTINGS + 1); op->attribute_count > 0 && count < wanted; count++)
        attributes[count] = attribute_take(op, bytes);
    for (int32_t i = 0; i < input_count; i++)
        inputs[i] = tensor_take(graph, bytes);
    int32_t before = hn_graph_tensor_count(graph), entries = hn_graph_entry_count(graph);
    if (hn_graph_add(graph, op->name, layers[below(bytes, 8)], attributes, count, inputs, input_count, &error) < 0) {
        check_refused(&error);
        CHECK(hn_graph_tensor_count(graph) == before && hn_graph_entry_count(graph) == entries);
    }
}

static void inner_call(hn_graph *graph, const hn_graph *inner, fuzz_bytes *bytes)
{
    int32_t inputs[MOST_SIDES], outputs[MOST_SIDES], count = hn_graph_input_count(inner);
    hn_error error;
    if (count > MOST_SIDES || hn_graph_output_count(inner) > MOST_SIDES)
        return;
    for (int32_t i = 0; i < count; i++)
        inputs[i] = tensor_take(graph, bytes);
    count -= below(bytes, 16) == 15;
    if (hn_graph_call(graph, inner, below(bytes, 2) ? "inner" : "a", inputs, count, outputs, &error) != HN_OK)
        check_refused(&error);
}

static void input_add(hn_graph *graph, fuzz_bytes *bytes)
{
    hn_shape shape = shape_take(bytes);
    hn_error error;
    static const hn_dtype dtypes[] = {HN_INT64, HN_INT64, HN_INT64, HN_FLOAT32, HN_FLOAT64, HN_BFLOAT16, HN_INT8};
    hn_dtype dtype = below(bytes, 3) == 2 ? dtypes[below(bytes, 7)] : hn_graph_dtype(graph);
    if (hn_graph_input(graph, "x", &shape, dtype, &error) < 0)
        check_refused(&error);
}

/* Layers until the bytes say stop. `units`: the width of a last Dense, 0 for none. */
static hn_graph *graph_make(const hn_graph *inner, int64_t units, fuzz_bytes *bytes)
{
    hn_error error;
    hn_graph *graph = hn_graph_create(below(bytes, 4) == 3 ? HN_FLOAT64 : HN_FLOAT32, &error);
    CHECK(graph);
    input_add(graph, bytes);
    for (int i = 0; i < MOST_NODES && bytes->left > 0; i++) {
        int64_t choice = below(bytes, 16);
        if (choice == 0)
            break;
        if (choice == 1)
            input_add(graph, bytes);
        else if (choice == 2 && inner)
            inner_call(graph, inner, bytes);
        else if (choice == 3 && hn_graph_output(graph, tensor_take(graph, bytes), &error) != HN_OK)
            check_refused(&error);
        else if (choice > 3)
            node_add(graph, bytes);
    }
    int32_t last = hn_graph_tensor_count(graph) - 1;
    hn_attribute width = {.name = "units", .type = HN_ATTRIBUTE_INTEGER, .integer = units};
    int32_t head = units > 0 ? hn_graph_add(graph, "dense", "head", &width, 1, &last, 1, &error) : last;
    if (hn_graph_output(graph, head, &error) != HN_OK)
        check_refused(&error);
    return graph;
}

/* The graph's weights, or NULL if there are too many. */
static void *weights_make(const hn_graph *graph, fuzz_bytes *bytes)
{
    int64_t count = hn_graph_parameter_count(graph);
    if (count > MOST_NUMBERS)
        return NULL;
    void *weights = data_make(hn_graph_dtype(graph), count, (data_kind)below(bytes, DATA_KINDS), 11);
    if (below(bytes, 2) == 0)
        hn_graph_initialize(graph, byte_take(bytes), weights);
    return weights;
}

/* ---- updates ---- */

static void weights_update(const hn_graph *graph, void *weights, fuzz_bytes *bytes)
{
    hn_dtype dtype = hn_graph_dtype(graph);
    int64_t count = hn_graph_parameter_count(graph), half = count / 2;
    hn_span spans[2] = {{0, 0, half, 1, (int)below(bytes, 2)}, {half, half, count - half, (int)below(bytes, 2), 1}};
    hn_update update = {.kind = (hn_optimizer_kind)below(bytes, HN_OPTIMIZER_KIND_COUNT),
                        .params = {0.9, below(bytes, 2) ? 0.5 : 0.0, 1e-7, (double)below(bytes, 2)},
                        .learning_rate = 0.1, .weight_decay = (double)below(bytes, 2), .grad_scale = 0.5,
                        .clipnorm = below(bytes, 2) ? 1.0 : INFINITY, .clipvalue = below(bytes, 2) ? 1.0 : INFINITY,
                        .global_clipnorm = below(bytes, 2) ? 1.0 : INFINITY, .step = 1 + below(bytes, 3), .threads = 2,
                        .spans = spans, .span_count = 2, .weights = weights};
    void *gradient = data_make(dtype, count, (data_kind)below(bytes, DATA_KINDS), 12);
    update.gradient = gradient;
    for (int32_t i = 0; i < hn_optimizer_slot_count(update.kind, update.params); i++)
        update.slots[i] = data_make(dtype, count, DATA_ZERO, 0);
    hn_optimizer_update(hn_kernels_get(isa_take(bytes), dtype), &update);
    for (int i = 0; i < 3; i++)
        data_free(update.slots[i], dtype);
    data_free(gradient, dtype);
}

/* ---- hypernetworks ---- */

typedef struct fuzz_hyper {
    const hn_graph *generator, *target;
    void *generator_weights, *target_weights, *generator_gradient, *target_gradient, *base, *theta, *theta_gradient;
    hn_source *generator_sources, *target_sources;
    hn_hyper *hyper;
    hn_shape condition_shapes[MOST_SIDES];
    fuzz_side conditions, condition_gradients, inputs, input_gradients, outputs, output_gradients;
    hn_hyper_run run;
} fuzz_hyper;

static hn_source *sources_make(const hn_graph *graph, const void *weights, void *gradient)
{
    hn_source *sources = calloc((size_t)hn_graph_entry_count(graph) + 1, sizeof *sources);
    CHECK(sources);
    hn_graph_bind(graph, weights, gradient, sources);
    return sources;
}

static void conditions_make(fuzz_hyper *h, data_kind kind, fuzz_bytes *bytes)
{
    for (int32_t i = 0; h->generator && i < hn_graph_input_count(h->generator); i++) {
        hn_tensor_info info = *hn_graph_tensor(h->generator, hn_graph_input_tensor(h->generator, i));
        info.shape = h->condition_shapes[i];
        side_add(&h->conditions, &info, h->run.groups, 1, 0, kind);
        side_add(&h->condition_gradients, &info, h->run.groups, 1, 0, kind);
    }
    side_forget(&h->condition_gradients, bytes);
}

static void hyper_sides_make(fuzz_hyper *h, fuzz_bytes *bytes)
{
    const hn_plan *plan = hn_hyper_target_plan(h->hyper);
    int64_t groups = h->run.groups, rows = h->run.rows;
    data_kind kind = (data_kind)below(bytes, DATA_KINDS);
    int shared = below(bytes, 2) == 1;
    conditions_make(h, kind, bytes);
    for (int32_t i = 0; i < hn_plan_input_count(plan); i++) {
        side_add(&h->inputs, hn_plan_input(plan, i), groups, rows, shared, kind);
        side_add(&h->input_gradients, hn_plan_input(plan, i), groups, rows, shared, kind);
    }
    for (int32_t i = 0; i < hn_plan_output_count(plan); i++) {
        side_add(&h->outputs, hn_plan_output(plan, i), groups, rows, 0, kind);
        side_add(&h->output_gradients, hn_plan_output(plan, i), groups, rows, 0, kind);
    }
    side_forget(&h->input_gradients, bytes);
    side_forget(&h->output_gradients, bytes);
}

/* All that a run points at. */
static void hyper_run_make(fuzz_hyper *h, fuzz_bytes *bytes)
{
    hn_dtype dtype = hn_graph_dtype(h->target);
    int64_t count = hn_hyper_generated_count(h->hyper);
    h->run = (hn_hyper_run){.groups = below(bytes, MOST_ROWS), .rows = below(bytes, MOST_ROWS), .seed = 3,
                            .threads = 1 + (int32_t)below(bytes, 3), .normalizer = 4.0};
    hyper_sides_make(h, bytes);
    int64_t groups = below(bytes, 2) ? 1 : h->run.groups;
    h->theta = data_make(dtype, groups * count, DATA_ORDINARY, 8);
    h->theta_gradient = data_make(dtype, groups * count, DATA_ORDINARY, 8);
    h->base = data_make(dtype, count, DATA_ORDINARY, 9);
    h->run.target_sources = h->target_sources;
    h->run.inputs = h->inputs.views;
    h->run.outputs = h->outputs.views;
    h->run.input_gradients = h->input_gradients.views;
    h->run.output_gradients = h->output_gradients.views;
    h->run.base = below(bytes, 2) && h->generator ? h->base : NULL;
    if (h->generator) {
        h->run.generator_sources = h->generator_sources;
        h->run.conditions = h->conditions.views;
        h->run.condition_gradients = h->condition_gradients.views;
    } else {
        h->run.theta = h->theta;
        h->run.theta_stride = groups == h->run.groups ? count : 0;
        h->run.theta_gradient = below(bytes, 2) ? h->theta_gradient : NULL;
        h->run.theta_gradient_stride = count;
    }
}

static void hyper_run_free(fuzz_hyper *h)
{
    hn_dtype dtype = hn_graph_dtype(h->target);
    fuzz_side *const sides[] = {&h->conditions, &h->condition_gradients, &h->inputs,
                                &h->input_gradients, &h->outputs, &h->output_gradients};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        side_free(sides[i]);
    data_free(h->theta, dtype);
    data_free(h->theta_gradient, dtype);
    data_free(h->base, dtype);
}

static void hyper_gradients(fuzz_hyper *h, fuzz_bytes *bytes)
{
    hn_error error;
    hn_step_sums sums;
    fuzz_losses all = {0};
    double penalty, l[64];
    for (int i = 0; i < 64; i++)
        l[i] = 0.01 * i;
    if (below(bytes, 2)) {
        losses_make(&all, hn_hyper_target_plan(h->hyper), h->run.groups, h->run.rows, bytes);
        h->run.losses = all.losses;
        h->run.targets = all.targets;
    }
    if (below(bytes, 2) && hn_graph_entry_count(h->target) <= 64)
        h->run.penalty_l1 = h->run.penalty_l2 = l;
    h->run.sums = &sums;
    h->run.penalty = &penalty;
    h->run.training = 1;
    if (hn_hyper_gradients(h->hyper, &h->run, &error) != HN_OK)
        check_refused(&error);
    losses_free(&all);
    h->run.losses = NULL;
    h->run.targets = NULL;
}

static void hyper_generate(fuzz_hyper *h)
{
    hn_error error;
    int64_t count = hn_hyper_generated_count(h->hyper);
    hn_dtype dtype = hn_graph_dtype(h->target);
    void *theta = data_make(dtype, h->run.groups * (count + 1), DATA_ZERO, 0);
    if (hn_hyper_generate(h->hyper, &h->run, theta, count + 1, &error) != HN_OK)
        check_refused(&error);
    data_free(theta, dtype);
}

static void hyper_actions(fuzz_hyper *h, fuzz_bytes *bytes)
{
    hn_error error;
    for (int i = 0; i < MOST_ACTIONS && bytes->left > 0; i++) {
        hn_mode mode = below(bytes, 2) ? HN_MODE_TRAINING : HN_MODE_INFERENCE;
        hn_hyper_set_order(h->hyper, (hn_order)below(bytes, HN_ORDER_MIXTURE + 1));
        hyper_run_make(h, bytes);
        h->run.workspace =
            hn_hyper_workspace_create(h->hyper, h->run.groups, h->run.rows, mode, h->run.threads, &error);
        if (!h->run.workspace)
            check_refused(&error);
        else if (mode == HN_MODE_TRAINING)
            hyper_gradients(h, bytes);
        else if (h->generator && below(bytes, 2))
            hyper_generate(h);
        else if (hn_hyper_predict(h->hyper, &h->run, &error) != HN_OK)
            check_refused(&error);
        hn_hyper_workspace_free(h->run.workspace);
        hyper_run_free(h);
        memset(&h->conditions, 0, offsetof(fuzz_hyper, run) - offsetof(fuzz_hyper, conditions));
    }
}

static int hyper_is_small(const fuzz_hyper *h, hn_isa isa)
{
    hn_error error;
    hn_plan *plan = NULL;
    int small = plan_is_small(hn_hyper_target_plan(h->hyper), MOST_ROWS * MOST_ROWS);
    if (h->generator)
        plan = hn_plan_create(h->generator, h->condition_shapes, isa, &error);
    small = small && (!plan || plan_is_small(plan, MOST_ROWS));
    hn_plan_free(plan);
    return small;
}

static void hyper_try(fuzz_hyper *h, fuzz_bytes *bytes)
{
    hn_error error;
    hn_shape shapes[MOST_SIDES];
    unsigned char *generated = calloc((size_t)hn_graph_entry_count(h->target) + 1, 1);
    hn_isa isa = isa_take(bytes);
    int some = below(bytes, 2) == 1;
    CHECK(generated);
    for (int32_t i = 0; some && i < hn_graph_entry_count(h->target); i++)
        generated[i] = byte_take(bytes) & 1;
    if (shapes_close(h->target, bytes, shapes) && (!h->generator || shapes_close(h->generator, bytes,
                                                                                h->condition_shapes))) {
        const unsigned char *flags = some ? generated : NULL;
        h->hyper = h->generator
                       ? hn_hyper_create(h->generator, h->target, flags, h->condition_shapes, shapes, isa, &error)
                       : hn_hyper_create_given(h->target, flags, shapes, isa, &error);
        if (!h->hyper)
            check_refused(&error);
        else if (hyper_is_small(h, isa))
            hyper_actions(h, bytes);
        hn_hyper_free(h->hyper);
    }
    free(generated);
}

static void hyper_run(const hn_graph *generator, void *generator_weights, const hn_graph *target, void *target_weights,
                      fuzz_bytes *bytes)
{
    fuzz_hyper h = {.generator = generator, .target = target};
    hn_dtype dtype = hn_graph_dtype(target);
    h.target_gradient = data_make(dtype, hn_graph_parameter_count(target), DATA_ORDINARY, 6);
    h.target_sources = sources_make(target, target_weights, h.target_gradient);
    if (generator) {
        h.generator_gradient =
            data_make(hn_graph_dtype(generator), hn_graph_parameter_count(generator), DATA_ORDINARY, 6);
        h.generator_sources = sources_make(generator, generator_weights, h.generator_gradient);
    }
    hyper_try(&h, bytes);
    if (generator)
        data_free(h.generator_gradient, hn_graph_dtype(generator));
    data_free(h.target_gradient, dtype);
    free(h.generator_sources);
    free(h.target_sources);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_bytes bytes = {data, size};
    hn_graph *inner = below(&bytes, 2) ? graph_make(NULL, 0, &bytes) : NULL;
    hn_graph *target = graph_make(inner, 0, &bytes);
    int64_t count = hn_graph_parameter_count(target);
    void *target_weights = weights_make(target, &bytes);
    int64_t groups = below(&bytes, MOST_ROWS), rows = below(&bytes, MOST_ROWS);
    if (target_weights)
        network_run(target, target_weights, groups, rows, &bytes);
    if (target_weights && below(&bytes, 2)) {
        int64_t units = below(&bytes, 8) == 7 ? odd_number(&bytes) : count;
        hn_graph *generator = below(&bytes, 4) ? graph_make(inner, units, &bytes) : NULL;
        void *generator_weights = generator ? weights_make(generator, &bytes) : NULL;
        if (!generator || generator_weights)
            hyper_run(generator, generator_weights, target, target_weights, &bytes);
        if (generator_weights)
            data_free(generator_weights, hn_graph_dtype(generator));
        hn_graph_free(generator);
    }
    if (target_weights)
        weights_update(target, target_weights, &bytes);
    if (target_weights)
        data_free(target_weights, hn_graph_dtype(target));
    hn_graph_free(target);
    hn_graph_free(inner);
    CHECK(hn_memory_live_blocks() == 0);
    return 0;
}
