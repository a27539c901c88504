/* What C programs say wrongly when they describe networks, hypernetworks and files: every refusal leaves everything as
   it was and says in words what is wrong. Python checks most of this before it calls the library. And first weights. */
#include "network.h"
#include <time.h>
#include <unistd.h>

static hn_error error;
static int64_t refused;

/* The last call has failed with this status, and a message that holds `text`. */
static void expect(int failed, hn_status status, const char *text)
{
    context = text;
    if (!failed || error.status != status || !strstr(error.message, text))
        fprintf(stderr, "failed: %d, status %d: %s\n", failed, (int)error.status, error.message);
    CHECK(failed && error.status == status && strstr(error.message, text));
    error = (hn_error){.status = HN_OK};
    refused++;
}

static hn_attribute integer(const char *name, int64_t value)
{
    return (hn_attribute){.name = name, .type = HN_ATTRIBUTE_INTEGER, .integer = value};
}

static hn_attribute real(const char *name, double value)
{
    return (hn_attribute){.name = name, .type = HN_ATTRIBUTE_NUMBER, .number = value};
}

static hn_attribute shape_of(const char *name, hn_shape value)
{
    return (hn_attribute){.name = name, .type = HN_ATTRIBUTE_SHAPE, .shape = value};
}

/* A graph of inputs x (4 numbers), table (2, 3), ids (2 integers) and open (any number of numbers). */
enum { X, TABLE, IDS_INPUT, OPEN };

static hn_graph *graph_make(hn_dtype dtype)
{
    hn_graph *graph = hn_graph_create(dtype, &error);
    CHECK(graph && hn_graph_input(graph, "x", &(hn_shape){1, {4}}, dtype, &error) == X &&
          hn_graph_input(graph, "table", &(hn_shape){2, {2, 3}}, dtype, &error) == TABLE &&
          hn_graph_input(graph, "ids", &(hn_shape){1, {2}}, HN_INT64, &error) == IDS_INPUT &&
          hn_graph_input(graph, "open", &(hn_shape){1, {-1}}, dtype, &error) == OPEN);
    return graph;
}

static int32_t dense(hn_graph *graph, const char *layer, int64_t units, int32_t x)
{
    hn_attribute width = integer("units", units);
    int32_t y = hn_graph_add(graph, "dense", layer, &width, 1, &x, 1, &error);
    CHECK(y >= 0);
    return y;
}

/* ---- graphs ---- */

static void test_inputs(void)
{
    hn_graph *graph = graph_make(HN_FLOAT32);
    expect(hn_graph_input(graph, "", &(hn_shape){1, {2}}, HN_FLOAT32, &error) < 0, HN_ERROR_VALUE, "needs a name");
    expect(hn_graph_input(graph, "a", &(hn_shape){-1, {0}}, HN_FLOAT32, &error) < 0, HN_ERROR_VALUE, "rank -1");
    expect(hn_graph_input(graph, "a", &(hn_shape){1, {-2}}, HN_FLOAT32, &error) < 0, HN_ERROR_VALUE, "(-2,)");
    CHECK(hn_graph_input_count(graph) == 4 && hn_graph_tensor_count(graph) == 4);
    hn_graph_free(graph);
}

/* One op that is refused; the graph stays as it is. */
static void refuse_op(const char *op, const hn_attribute *attributes, int32_t count, int32_t x, const char *text)
{
    hn_graph *graph = graph_make(HN_FLOAT32);
    expect(hn_graph_add(graph, op, "layer", attributes, count, &x, 1, &error) < 0, HN_ERROR_VALUE, text);
    CHECK(hn_graph_node_count(graph) == 0 && hn_graph_tensor_count(graph) == 4);
    hn_graph_free(graph);
}

static void test_ops(void)
{
    hn_attribute odd = {.name = "activation", .type = HN_ATTRIBUTE_NAME, .text = "odd"};
    hn_attribute twice[] = {integer("units", 3), integer("units", 3)};
    hn_attribute named[] = {integer("units", 3), odd};
    hn_attribute rate = real("rate", 2.0), nothing = real("rate", NAN), epsilon = real("epsilon", -1.0);
    hn_attribute ranked = shape_of("target", (hn_shape){HN_MAX_RANK + 1, {0}});
    hn_attribute large = shape_of("target", (hn_shape){2, {INT64_MAX / 2, 3}});
    refuse_op("dense", twice, 2, X, "\"units\" is given twice");
    refuse_op("dense", named, 2, X, "unknown activation \"odd\"; there are ");
    refuse_op("activation", &odd, 1, X, "unknown activation \"odd\"; there are ");
    refuse_op("dropout", &rate, 1, X, "rate must be in [0, 1], received 2");
    refuse_op("dropout", &nothing, 1, X, "\"rate\" is nan");
    refuse_op("layer_normalization", &epsilon, 1, X, "epsilon must not be negative");
    refuse_op("layer_normalization", NULL, 0, OPEN, "the normalised axes must be known");
    refuse_op("reshape", &ranked, 1, X, "may have up to");
    refuse_op("reshape", &large, 1, X, "target is too large");
    refuse_op("add", NULL, 0, X, "add expects 2 to ");
}

/* Concatenation along an axis that one input leaves open, and beside one that it leaves open. */
static void test_concatenation(void)
{
    hn_graph *graph = hn_graph_create(HN_FLOAT32, &error);
    hn_attribute first = integer("axis", 0);
    hn_shape shapes[] = {{2, {2, -1}}, {2, {3, 4}}, {2, {-1, 4}}};
    int32_t x[3];
    for (int i = 0; i < 3; i++) {
        char name[] = {(char)('a' + i), 0};
        x[i] = hn_graph_input(graph, name, &shapes[i], HN_FLOAT32, &error);
    }
    struct {
        int32_t inputs[2];
        hn_shape shape;
    } cases[] = {{{x[0], x[1]}, {2, {5, 4}}}, {{x[1], x[2]}, {2, {-1, 4}}}, {{x[2], x[1]}, {2, {-1, 4}}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t y = hn_graph_add(graph, "concatenate", "joined", &first, 1, cases[i].inputs, 2, &error);
        CHECK(y >= 0 && hn_shape_equal(&hn_graph_tensor(graph, y)->shape, &cases[i].shape));
    }
    hn_graph_free(graph);
}

static void test_embedding_rank(void)
{
    hn_graph *graph = hn_graph_create(HN_FLOAT32, &error);
    hn_shape shape = {HN_MAX_RANK, {0}};
    hn_attribute sizes[] = {integer("input_dim", 3), integer("output_dim", 2)};
    for (int32_t i = 0; i < HN_MAX_RANK; i++)
        shape.dims[i] = 1;
    int32_t ids = hn_graph_input(graph, "ids", &shape, HN_INT64, &error);
    expect(hn_graph_add(graph, "embedding", "table", sizes, 2, &ids, 1, &error) < 0, HN_ERROR_VALUE,
           "embedding: samples");
    hn_graph_free(graph);
}

static void test_layers(void)
{
    hn_graph *graph = graph_make(HN_FLOAT32);
    hn_attribute width = integer("units", 3);
    int32_t x = X, many[HN_MAX_INPUTS + 1] = {0};
    expect(hn_graph_add(graph, "dense", "", &width, 1, &x, 1, &error) < 0, HN_ERROR_VALUE,
           "a dense needs a layer name");
    dense(graph, "d", 3, X);
    expect(hn_graph_add(graph, "prelu", "d", NULL, 0, &x, 1, &error) < 0, HN_ERROR_VALUE, "is a dense already");
    expect(hn_graph_add(graph, "add", "a", NULL, 0, many, HN_MAX_INPUTS + 1, &error) < 0, HN_ERROR_VALUE, "at most");
    CHECK(hn_graph_node_count(graph) == 1);
    hn_graph_free(graph);
}

/* ---- nested graphs ---- */

static void test_calls(void)
{
    hn_graph *outer = graph_make(HN_FLOAT32), *inner = hn_graph_create(HN_FLOAT32, &error);
    hn_graph *wide = hn_graph_create(HN_FLOAT64, &error);
    int32_t input = hn_graph_input(inner, "x", &(hn_shape){1, {4}}, HN_FLOAT32, &error), y = -1;
    CHECK(hn_graph_output(inner, dense(inner, "d", 2, input), &error) == HN_OK);
    struct {
        const hn_graph *graph;
        const char *prefix;
        int32_t input, count;
        hn_status status;
        const char *text;
    } cases[] = {
        {outer, "m", X, 1, HN_ERROR_VALUE, "a graph cannot call itself"},
        {inner, "", X, 1, HN_ERROR_VALUE, "a nested model needs a name"},
        {inner, NULL, X, 1, HN_ERROR_VALUE, "a nested model needs a name"},
        {wide, "m", X, 1, HN_ERROR_TYPE, "another dtype"},
        {inner, "m", X, 0, HN_ERROR_VALUE, "expects 1 input(s), received 0"},
        {inner, "m", 99, 1, HN_ERROR_VALUE, "input 0 is tensor 99"},
        {inner, "m", -1, 1, HN_ERROR_VALUE, "input 0 is tensor -1"},
        {inner, "m", IDS_INPUT, 1, HN_ERROR_TYPE, "input 0 must be real numbers"},
        {inner, "m", TABLE, 1, HN_ERROR_VALUE, "expects samples of shape (4,), received (2, 3)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(hn_graph_call(outer, cases[i].graph, cases[i].prefix, &cases[i].input, cases[i].count, &y, &error),
               cases[i].status, cases[i].text);
    CHECK(hn_graph_node_count(outer) == 0 && hn_graph_entry_count(outer) == 0);
    input = X;
    CHECK(hn_graph_call(outer, inner, "m", &input, 1, &y, &error) == HN_OK && y >= 0);
    hn_graph_free(wide);
    hn_graph_free(inner);
    hn_graph_free(outer);
}

/* ---- plans and hypernetworks ---- */

static void test_plans(void)
{
    hn_graph *graph = graph_make(HN_FLOAT32);
    expect(!hn_plan_create(graph, NULL, HN_ISA_REFERENCE, &error), HN_ERROR_VALUE, "at least one output");
    int32_t open = OPEN;
    hn_attribute target = shape_of("target", (hn_shape){2, {2, -1}});
    int32_t folded = hn_graph_add(graph, "reshape", "fold", &target, 1, &open, 1, &error);
    CHECK(hn_graph_output(graph, folded, &error) == HN_OK);
    hn_shape shapes[] = {{1, {4}}, {2, {2, 3}}, {1, {2}}, {1, {5}}};
    expect(!hn_plan_create(graph, shapes, HN_ISA_REFERENCE, &error), HN_ERROR_VALUE, "layer \"fold\": ");
    for (int isa = 0; isa < HN_ISA_COUNT; isa++)
        if (!hn_isa_available((hn_isa)isa))
            expect(!hn_plan_create(graph, shapes, (hn_isa)isa, &error), HN_ERROR_VALUE, "is not available here");
    hn_graph_free(graph);
}

static hn_graph *generator_make(hn_dtype dtype, int64_t count, int outputs)
{
    hn_graph *graph = hn_graph_create(dtype, &error);
    int32_t c = hn_graph_input(graph, "c", &(hn_shape){1, {2}}, dtype, &error), y = dense(graph, "head", count, c);
    for (int i = 0; i < outputs; i++)
        CHECK(hn_graph_output(graph, y, &error) == HN_OK);
    return graph;
}

static void test_hypernetworks(void)
{
    hn_graph *target = hn_graph_create(HN_FLOAT32, &error), *two = generator_make(HN_FLOAT32, 10, 2);
    hn_graph *wide = generator_make(HN_FLOAT64, 10, 1), *good = generator_make(HN_FLOAT32, 10, 1);
    hn_graph *whole = hn_graph_create(HN_FLOAT32, &error);
    int32_t x = hn_graph_input(target, "x", &(hn_shape){1, {4}}, HN_FLOAT32, &error);
    CHECK(hn_graph_output(target, dense(target, "d", 2, x), &error) == HN_OK);
    CHECK(hn_graph_output(whole, hn_graph_input(whole, "c", &(hn_shape){1, {10}}, HN_INT64, &error), &error) == HN_OK);
    hn_isa isa = HN_ISA_REFERENCE;
    expect(!hn_hyper_create(two, target, NULL, NULL, NULL, isa, &error), HN_ERROR_VALUE,
           "has one output; this one has 2");
    expect(!hn_hyper_create(wide, target, NULL, NULL, NULL, isa, &error), HN_ERROR_TYPE, "of one dtype");
    expect(!hn_hyper_create(whole, target, NULL, NULL, NULL, isa, &error), HN_ERROR_TYPE, "its output is integers");
    hn_hyper *hyper = hn_hyper_create(good, target, NULL, NULL, NULL, isa, &error);
    CHECK(hyper);
    hn_hyper_workspace *workspace = hn_hyper_workspace_create(hyper, 1, 1, HN_MODE_TRAINING, 1, &error);
    float numbers[64] = {0}, y[2], gradient[64];
    hn_source own[4];
    hn_graph_bind(good, numbers, gradient, own);
    hn_view condition = {numbers, 2, 2}, input = {numbers, 4, 4}, output = {y, 2, 2};
    hn_hyper_run run = {.groups = 1, .rows = 1, .threads = 0, .conditions = &condition, .inputs = NULL,
                        .outputs = &output, .generator_sources = own, .workspace = workspace};
    expect(hn_hyper_predict(hyper, &run, &error) != HN_OK, HN_ERROR_VALUE, "threads >= 1, received 1, 1 and 0");
    run.threads = 1;
    expect(hn_hyper_predict(hyper, &run, &error) != HN_OK, HN_ERROR_VALUE, "the target needs inputs");
    run.inputs = &input;
    expect(hn_hyper_gradients(hyper, &run, &error) != HN_OK, HN_ERROR_VALUE, "losses or the gradients of the outputs");
    run.losses = &(hn_loss){.kind = HN_LOSS_MEAN_SQUARED_ERROR};
    expect(hn_hyper_gradients(hyper, &run, &error) != HN_OK, HN_ERROR_VALUE, "losses need targets");
    hn_hyper_workspace_free(workspace);
    hn_hyper_free(hyper);
    hn_graph *graphs[] = {target, two, wide, good, whole};
    for (int i = 0; i < 5; i++)
        hn_graph_free(graphs[i]);
}

/* One output more than a step can have losses of. */
static void test_steps(void)
{
    hn_graph *graph = hn_graph_create(HN_FLOAT32, &error);
    int32_t x = hn_graph_input(graph, "x", &(hn_shape){1, {4}}, HN_FLOAT32, &error);
    for (int i = 0; i <= HN_MAX_INPUTS; i++)
        CHECK(hn_graph_output(graph, x, &error) == HN_OK);
    hn_plan *plan = hn_plan_create(graph, NULL, HN_ISA_REFERENCE, &error);
    CHECK(plan);
    expect(hn_step_check(plan, NULL, NULL, 1, 1, &error) != HN_OK, HN_ERROR_VALUE, "may have at most");
    hn_plan_free(plan);
    hn_graph_free(graph);
}

/* ---- files ---- */

static void test_files(const char *path)
{
    float numbers[6] = {0};
    hn_file_tensor tensor = {.name = "t", .dtype = (hn_dtype)99, .shape = {1, {6}}, .data = numbers,
                             .bytes = sizeof numbers};
    hn_file_text text = {.key = "k", .value = NULL};
    expect(hn_tensor_file_write(path, &tensor, 1, NULL, 0, &error) != HN_OK, HN_ERROR_TYPE, "must be of float32");
    tensor.dtype = HN_FLOAT32;
    tensor.shape.rank = HN_MAX_RANK + 1;
    expect(hn_tensor_file_write(path, &tensor, 1, NULL, 0, &error) != HN_OK, HN_ERROR_VALUE, "axes, at most");
    tensor.shape.rank = 1;
    expect(hn_tensor_file_write(path, &tensor, 1, &text, 1, &error) != HN_OK, HN_ERROR_VALUE, "no key or no value");
    CHECK(!fopen(path, "rb"));
}

static int polls_left;

/* Takes longer than a scope waits between two polls, so that it is polled wherever it is asked. */
static int poll_slowly(void *unused)
{
    (void)unused;
    nanosleep(&(struct timespec){.tv_nsec = 6000000}, NULL);
    return polls_left-- == 0;
}

/* Cancelled at the k-th place that asks, for every k: no file is there before all of it is written, none is read. */
static void test_cancelled_files(const char *path)
{
    float numbers[6] = {0};
    hn_file_tensor tensor = {.name = "t", .dtype = HN_FLOAT32, .shape = {1, {6}}, .data = numbers,
                             .bytes = sizeof numbers};
    hn_cancel cancel = {.poll = poll_slowly};
    hn_cancel_scope scope;
    for (int reads = 0; reads < 2; reads++)
        for (int k = 0, cancelled = 1; cancelled; k++) {
            hn_tensor_file *file = NULL;
            int failed = 0;
            polls_left = k;
            hn_cancel_begin(&scope, &cancel);
            if (reads)
                failed = !(file = hn_tensor_file_read(path, &error));
            else
                failed = hn_tensor_file_write(path, &tensor, 1, NULL, 0, &error) != HN_OK;
            cancelled = hn_cancel_end(&scope);
            if (cancelled)
                expect(failed, HN_CANCELLED, reads ? "reading '" : "writing '");
            CHECK(failed == cancelled && (access(path, F_OK) == 0) == (reads || !cancelled));
            hn_tensor_file_free(file);
        }
    CHECK(remove(path) == 0);
}

static void test_specialize(void)
{
    float weights[10];
    hn_model ordinary = {.graph = graph_make(HN_FLOAT32)};
    expect(hn_model_specialize(&ordinary, weights, 2, weights, &error) != HN_OK, HN_ERROR_VALUE, "an ordinary model");
    hn_graph_free(ordinary.graph);
}

/* ---- names and first weights ---- */

static void test_names(void)
{
    for (int kind = 0; kind < HN_LOSS_KIND_COUNT; kind++)
        for (int other = 0; other < kind; other++)
            CHECK(strcmp(hn_loss_name((hn_loss_kind)kind), hn_loss_name((hn_loss_kind)other)) != 0);
    for (int kind = 0; kind < HN_OPTIMIZER_KIND_COUNT; kind++)
        for (int other = 0; other < kind; other++)
            CHECK(strcmp(hn_optimizer_name((hn_optimizer_kind)kind), hn_optimizer_name((hn_optimizer_kind)other)) != 0);
    CHECK(!hn_loss_name((hn_loss_kind)HN_LOSS_KIND_COUNT) && strcmp(hn_loss_name(HN_LOSS_HUBER), "huber") == 0);
    CHECK(!hn_optimizer_name((hn_optimizer_kind)HN_OPTIMIZER_KIND_COUNT));
    CHECK(strcmp(hn_optimizer_name(HN_OPTIMIZER_ADAM), "adam") == 0);
}

/* A table, a scale and a kernel of more numbers than are drawn at a time. */
static hn_graph *weights_make(hn_dtype dtype)
{
    hn_graph *graph = graph_make(dtype);
    hn_attribute sizes[] = {integer("input_dim", 50), integer("output_dim", 40)};
    int32_t ids = IDS_INPUT, rows = hn_graph_add(graph, "embedding", "table", sizes, 2, &ids, 1, &error);
    int32_t scaled = hn_graph_add(graph, "layer_normalization", "norm", NULL, 0, &rows, 1, &error);
    CHECK(scaled >= 0 && hn_graph_output(graph, dense(graph, "kernel", 60, scaled), &error) == HN_OK);
    return graph;
}

/* The limits of Keras's defaults are kept and nearly reached, and doubles are the same numbers as floats. */
static void test_first_weights(void)
{
    static const struct {
        const char *name;
        double least, most;
    } limits[] = {{"table/embeddings", -0.05, 0.05}, {"norm/gamma", 1, 1}, {"norm/beta", 0, 0}, {"kernel/bias", 0, 0},
                  {"kernel/kernel", -0.24494897427831783, 0.24494897427831783}}; /* sqrt(6 / (40 + 60)) */
    hn_graph *graphs[] = {weights_make(HN_FLOAT32), weights_make(HN_FLOAT64)};
    int64_t count = hn_graph_parameter_count(graphs[0]);
    float *floats = calloc((size_t)count, sizeof *floats);
    double *doubles = calloc((size_t)count, sizeof *doubles);
    CHECK(floats && doubles);
    hn_graph_initialize(graphs[0], 3, floats);
    hn_graph_initialize(graphs[1], 3, doubles);
    for (int64_t i = 0; i < count; i++)
        CHECK(floats[i] == (float)doubles[i]);
    for (size_t l = 0; l < sizeof limits / sizeof *limits; l++) {
        context = limits[l].name;
        const hn_entry *entry = hn_graph_entry(graphs[1], hn_graph_entry_find(graphs[1], limits[l].name));
        double least = INFINITY, most = -INFINITY, sum = 0;
        for (int64_t i = 0; i < entry->size; i++) {
            double weight = doubles[entry->offset + i];
            least = fmin(least, weight);
            most = fmax(most, weight);
            sum += weight / (double)entry->size;
        }
        double width = limits[l].most - limits[l].least, middle = (limits[l].most + limits[l].least) / 2;
        CHECK(least >= limits[l].least && most <= limits[l].most);
        CHECK(least <= limits[l].least + 0.01 * width && most >= limits[l].most - 0.01 * width);
        CHECK(fabs(sum - middle) <= 0.05 * width + 1e-12);
    }
    free(floats);
    free(doubles);
    hn_graph_free(graphs[0]);
    hn_graph_free(graphs[1]);
}

int main(int count, char **arguments)
{
    CHECK(count == 2);
    test_inputs();
    test_ops();
    test_concatenation();
    test_embedding_rank();
    test_layers();
    test_calls();
    test_plans();
    test_hypernetworks();
    test_steps();
    test_files(arguments[1]);
    test_cancelled_files(arguments[1]);
    test_specialize();
    test_names();
    test_first_weights();
    CHECK(hn_memory_live_blocks() == 0);
    printf("%lld checked\n", (long long)refused);
    return 0;
}
