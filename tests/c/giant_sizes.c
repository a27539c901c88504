/* Every dimension that a C program gives, with sizes around 2^31 to 2^63: what cannot be is refused, at once, with a
   message, by the first function that knows. Inputs are small numbers, so that nothing is refused before the library's
   own arithmetic, and the address space is limited, so that nothing is granted lazily. Prints "N tried R refused". */
#include "check.h"
#include "files/model.h"
#include "hypernet.h"
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const int64_t sizes[] = {
    INT32_MAX, INT64_C(1) << 31, UINT32_MAX, INT64_C(1) << 32, (INT64_C(1) << 33) + 1, INT64_C(1) << 40,
    INT64_C(1) << 50, INT64_C(1) << 59, INT64_C(1) << 60, (INT64_C(1) << 61) - 1, INT64_C(1) << 61,
    (INT64_C(1) << 61) + 1, INT64_C(1) << 62, (INT64_C(1) << 62) + 1, INT64_MAX - 1, INT64_MAX,
};
static const size_t room = (size_t)1 << 29; /* more than this is never granted */
static hn_isa isa;
static hn_error error;
static int64_t tried, refused;
static const char *name = "";
static int64_t size_now;

/* 1: refused, with a message. */
static int is_refused(int failed)
{
    if (!failed)
        return 0;
    int said = (error.status == HN_ERROR_MEMORY || error.status == HN_ERROR_VALUE) && error.message[0];
    if (!said)
        fprintf(stderr, "%s, %" PRId64 ": status %d, \"%s\"\n", name, size_now, (int)error.status, error.message);
    CHECK(said);
    error = (hn_error){.status = HN_OK};
    return 1;
}

/* Counts a case that must be refused. */
static void expect_refusal(int was_refused)
{
    tried++;
    refused += was_refused;
    if (!was_refused)
        fprintf(stderr, "%s, %" PRId64 ": not refused\n", name, size_now);
    CHECK(was_refused);
}

/* 1: memory that is asked for is refused. */
static int memory_refused(size_t count, size_t size)
{
    void *memory = hn_memory_allocate(count, size, &error);
    hn_memory_free(memory);
    return is_refused(!memory);
}

/* ---- networks of one or two layers ---- */

static int32_t input(hn_graph *graph, const char *label, hn_shape shape)
{
    return hn_graph_input(graph, label, &shape, hn_graph_dtype(graph), &error);
}

static int32_t ids(hn_graph *graph, hn_shape shape)
{
    return hn_graph_input(graph, "ids", &shape, HN_INT64, &error);
}

/* One more layer, on a tensor that may be -1 already. */
static int32_t layer(hn_graph *graph, const char *op, const char *label, int32_t x, const hn_attribute *attributes,
                     int32_t count)
{
    return x < 0 ? -1 : hn_graph_add(graph, op, label, attributes, count, &x, 1, &error);
}

static int32_t plain(hn_graph *graph, const char *op, int32_t x)
{
    return layer(graph, op, op, x, NULL, 0);
}

static int32_t dense(hn_graph *graph, const char *label, int32_t x, int64_t units, int bias)
{
    hn_attribute attributes[] = {{.name = "units", .type = HN_ATTRIBUTE_INTEGER, .integer = units},
                                 {.name = "use_bias", .type = HN_ATTRIBUTE_INTEGER, .integer = bias}};
    return layer(graph, "dense", label, x, attributes, 2);
}

static int32_t embedding(hn_graph *graph, int32_t x, int64_t rows, int64_t width)
{
    hn_attribute attributes[] = {{.name = "input_dim", .type = HN_ATTRIBUTE_INTEGER, .integer = rows},
                                 {.name = "output_dim", .type = HN_ATTRIBUTE_INTEGER, .integer = width}};
    return layer(graph, "embedding", "embedding", x, attributes, 2);
}

static int32_t reshape(hn_graph *graph, int32_t x, hn_shape to)
{
    hn_attribute target = {.name = "target", .type = HN_ATTRIBUTE_SHAPE, .shape = to};
    return layer(graph, "reshape", "reshape", x, &target, 1);
}

/* An op of two inputs of these shapes. */
static int32_t pair(hn_graph *graph, const char *op, hn_shape a, hn_shape b)
{
    int32_t x[] = {input(graph, "a", a), -1};
    x[1] = x[0] < 0 ? -1 : input(graph, "b", b);
    return x[1] < 0 ? -1 : hn_graph_add(graph, op, op, NULL, 0, x, 2, &error);
}

/* Layers side by side, each with so many weights. */
static int32_t many(hn_graph *graph, int64_t units)
{
    static const char *const labels[] = {"1", "2", "3", "4", "5", "6", "7", "8", "9"};
    int32_t x = input(graph, "x", (hn_shape){1, {1}}), y = x;
    for (int i = 0; y >= 0 && i < 9; i++)
        y = dense(graph, labels[i], x, units, 1);
    return y;
}

#define ONE(n) ((hn_shape){1, {n}})
#define TWO(n, m) ((hn_shape){2, {n, m}})
#define IN(...) input(graph, "x", __VA_ARGS__)

enum { BUILDS = 31 };

/* Adds what number `which` is; the output's tensor, or -1: refused. */
static int32_t build(hn_graph *graph, int which, int64_t n)
{
    switch (which) {
    case 0: return name = "units of one input", dense(graph, "d", IN(ONE(1)), n, 1);
    case 1: return name = "units of seven inputs", dense(graph, "d", IN(ONE(7)), n, 1);
    case 2: return name = "inputs of units", dense(graph, "d", IN(ONE(n)), 3, 1);
    case 3: return name = "inputs and units", dense(graph, "d", IN(ONE(n)), n, 0);
    case 4: return name = "units after units", dense(graph, "e", dense(graph, "d", IN(ONE(2)), 4, 0), n, 0);
    case 5: return name = "units before units", dense(graph, "e", dense(graph, "d", IN(ONE(2)), n, 1), n, 1);
    case 6: return name = "units at many positions", dense(graph, "d", IN(TWO(n, 2)), 1 << 20, 1);
    case 7: return name = "ids", embedding(graph, ids(graph, ONE(2)), n, 3);
    case 8: return name = "width of an embedding", embedding(graph, ids(graph, ONE(2)), 3, n);
    case 9: return name = "ids and width", embedding(graph, ids(graph, ONE(2)), n, n);
    case 10: return name = "positions of ids", embedding(graph, ids(graph, ONE(n)), 3, 5);
    case 11: return name = "normalization", plain(graph, "layer_normalization", IN(ONE(n)));
    case 12: return name = "rows of a normalization", plain(graph, "layer_normalization", IN(TWO(n, 1 << 20)));
    case 13: return name = "normalization of rows", plain(graph, "layer_normalization", IN(TWO(1 << 20, n)));
    case 14: return name = "prelu", plain(graph, "prelu", IN(ONE(n)));
    case 15: return name = "prelu of two axes", plain(graph, "prelu", IN(TWO(n, n)));
    case 16: return name = "activation", plain(graph, "activation", IN(ONE(n)));
    case 17: return name = "activation of two axes", plain(graph, "activation", IN(TWO(1 << 10, n)));
    case 18: return name = "dropout", plain(graph, "dropout", IN(ONE(n)));
    case 19: return name = "penalty", plain(graph, "activity_regularizer", plain(graph, "dropout", IN(ONE(n))));
    case 20: return name = "sum", pair(graph, "add", ONE(n), ONE(n));
    case 21: return name = "sum along two axes", pair(graph, "add", TWO(n, 1), TWO(1, n));
    case 22: return name = "product along two axes", pair(graph, "multiply", TWO(n, 1), TWO(1, 1 << 20));
    case 23: return name = "concatenation", pair(graph, "concatenate", ONE(n), ONE(n));
    case 24: return name = "concatenation with a few", pair(graph, "concatenate", ONE(n), ONE(3));
    case 25: return name = "concatenation of rows", pair(graph, "concatenate", TWO(n, 2), TWO(n, INT64_C(1) << 40));
    case 26: return name = "reshape", plain(graph, "dropout", reshape(graph, IN(ONE(n)), TWO(-1, 1)));
    case 27: return name = "reshape to what is given", reshape(graph, IN(ONE(6)), TWO(n, -1));
    case 28: return name = "reshape to two axes", reshape(graph, IN(TWO(n, 2)), TWO(2, n));
    case 29: return name = "layers side by side", many(graph, n);
    default: return name = "three axes", plain(graph, "dropout", IN((hn_shape){3, {n, n, n}}));
    }
}

static double elements(const hn_shape *shape)
{
    double product = 1;
    for (int32_t i = 0; i < shape->rank; i++)
        product *= (double)shape->dims[i];
    return product;
}

/* 1: a workspace for one row is refused; one that is granted is large enough for the outputs of the last layers. */
static int workspace_refused(const hn_plan *plan, hn_mode mode, int makes_outputs)
{
    hn_workspace *workspace = hn_workspace_create(plan, 1, 1, mode, 1, &error);
    if (is_refused(!workspace))
        return 1;
    CHECK(hn_workspace_bytes(workspace) < room);
    for (int32_t i = 0; makes_outputs && i < hn_plan_output_count(plan); i++)
        CHECK(elements(&hn_plan_output(plan, i)->shape) * 4 <= (double)hn_workspace_bytes(workspace));
    hn_workspace_free(workspace);
    return 0;
}

/* 1: a plan of the graph, its weights, a workspace for one row, or memory for its inputs is refused. */
static int graph_refused(const hn_graph *graph, const hn_shape *shapes, hn_mode mode)
{
    const hn_graph_node *last = hn_graph_node_at(graph, hn_graph_node_count(graph) - 1);
    hn_plan *plan = hn_plan_create(graph, shapes, isa, &error);
    if (is_refused(!plan))
        return 1;
    size_t element = hn_dtype_size(hn_graph_dtype(graph)), scratch = hn_step_scratch(plan, 1, 1);
    int stopped = workspace_refused(plan, mode, strcmp(last->op->name, "reshape") != 0);
    stopped |= memory_refused((size_t)hn_graph_parameter_count(graph), element);
    CHECK((double)scratch >= elements(&hn_plan_output(plan, 0)->shape) * 4);
    stopped |= scratch > room && memory_refused(scratch, 1);
    for (int32_t i = 0; !stopped && i < hn_plan_input_count(plan); i++)
        stopped = memory_refused((size_t)hn_shape_size(&hn_plan_input(plan, i)->shape), element);
    hn_plan_free(plan);
    return stopped;
}

static void check_networks(int64_t n)
{
    size_now = n;
    for (int which = 0; which < BUILDS; which++)
        for (int way = 0; way < 4; way++) {
            hn_graph *graph = hn_graph_create(way & 1 ? HN_FLOAT64 : HN_FLOAT32, &error);
            int32_t output = build(graph, which, n);
            int stopped = is_refused(output < 0);
            CHECK(stopped || hn_graph_output(graph, output, &error) == HN_OK);
            expect_refusal(stopped || graph_refused(graph, NULL, way & 2 ? HN_MODE_TRAINING : HN_MODE_INFERENCE));
            hn_graph_free(graph);
        }
}

/* Axes that a graph leaves open, and a plan closes. */
static void check_open(int64_t n)
{
    hn_shape closed[][2] = {{ONE(n)}, {TWO(n, 2)}, {TWO(2, n)}, {TWO(n, n)}};
    static const char *const ops[] = {"activation", "dropout", "activity_regularizer", "reshape"};
    size_now = n;
    for (size_t op = 0; op < sizeof ops / sizeof *ops; op++)
        for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
            hn_graph *graph = hn_graph_create(HN_FLOAT32, &error);
            hn_shape open = {closed[i]->rank, {-1, -1}};
            int32_t y = plain(graph, "dropout", plain(graph, name = ops[op], IN(open)));
            CHECK(y >= 0 && hn_graph_output(graph, y, &error) == HN_OK);
            for (int mode = HN_MODE_INFERENCE; mode <= HN_MODE_TRAINING; mode++)
                expect_refusal(graph_refused(graph, closed[i], (hn_mode)mode));
            hn_graph_free(graph);
        }
}

/* ---- numbers of groups, rows and threads ---- */

static hn_graph *small_graph(int64_t in, int64_t width, int64_t out)
{
    hn_graph *graph = hn_graph_create(HN_FLOAT32, &error);
    int32_t y = dense(graph, "e", dense(graph, "d", IN(ONE(in)), width, 1), out, 1);
    CHECK(y >= 0 && hn_graph_output(graph, y, &error) == HN_OK);
    return graph;
}

static void check_workspaces(int64_t n)
{
    int64_t runs[][2] = {{n, 1}, {1, n}, {n, n}, {1 << 20, n}, {n, 3}, {7, n}};
    hn_graph *graph = small_graph(3, 5, 2);
    hn_plan *plan = hn_plan_create(graph, NULL, isa, &error);
    size_now = n;
    CHECK(plan);
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        name = "groups and rows";
        for (int mode = HN_MODE_INFERENCE; mode <= HN_MODE_TRAINING; mode++)
            expect_refusal(is_refused(!hn_workspace_create(plan, runs[i][0], runs[i][1], (hn_mode)mode, 1, &error)));
        name = "scratch of a step";
        size_t scratch = hn_step_scratch(plan, runs[i][0], runs[i][1]);
        CHECK((double)scratch >= 8.0 * (double)runs[i][0] * (double)runs[i][1] || scratch == SIZE_MAX);
        expect_refusal(memory_refused(scratch, 1));
    }
    name = "memory";
    expect_refusal(memory_refused((size_t)n, 8));
    expect_refusal(memory_refused((size_t)n, (size_t)n));
    expect_refusal(memory_refused((size_t)n * 2 + 1, 4));
    hn_plan_free(plan);
    hn_graph_free(graph);
}

static void check_threads(int64_t n)
{
    int32_t threads = n > INT32_MAX - 100 ? INT32_MAX : (int32_t)n;
    hn_graph *graph = small_graph(3, 5, 2), *generator = small_graph(4, 6, hn_graph_parameter_count(graph));
    hn_plan *plan = hn_plan_create(graph, NULL, isa, &error);
    hn_hyper *hyper = hn_hyper_create(generator, graph, NULL, NULL, NULL, isa, &error);
    size_now = threads;
    CHECK(plan && hyper);
    name = "threads";
    expect_refusal(is_refused(!hn_workspace_create(plan, 1, 1, HN_MODE_TRAINING, threads, &error)));
    name = "threads of a hypernetwork";
    expect_refusal(is_refused(!hn_hyper_workspace_create(hyper, 1, 1, HN_MODE_TRAINING, threads, &error)));
    name = "threads with blocks of their own";
    expect_refusal(is_refused(!hn_hyper_workspace_create(hyper, INT64_MAX, 1, HN_MODE_INFERENCE, threads, &error)));
    expect_refusal(is_refused(hn_threads_set(threads, &error) != HN_OK));
    hn_hyper_free(hyper);
    hn_plan_free(plan);
    hn_graph_free(generator);
    hn_graph_free(graph);
}

/* ---- hypernetworks ---- */

/* Memory does not grow with groups or rows: what is granted is small. */
static void check_hyper_runs(int64_t n)
{
    int64_t runs[][2] = {{n, 1}, {1, n}, {n, n}, {1 << 16, n}, {n, 1 << 16}, {INT64_MAX, n}};
    hn_graph *target = small_graph(3, 5, 2), *generator = small_graph(4, 6, hn_graph_parameter_count(target));
    hn_hyper *hypers[] = {hn_hyper_create(generator, target, NULL, NULL, NULL, isa, &error),
                          hn_hyper_create_given(target, NULL, NULL, isa, &error)};
    size_now = n;
    name = "groups and rows of a hypernetwork";
    CHECK(hypers[0] && hypers[1]);
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        for (int way = 0; way < 8; way++) {
            hn_mode mode = way & 1 ? HN_MODE_TRAINING : HN_MODE_INFERENCE;
            hn_hyper *hyper = hypers[way >> 1 & 1];
            int32_t threads = way & 4 ? 3 : 1;
            hn_hyper_workspace *made =
                hn_hyper_workspace_create(hyper, runs[i][0], runs[i][1], mode, threads, &error);
            tried++;
            refused += is_refused(!made);
            CHECK(!made || (hn_hyper_workspace_bytes(made) < room &&
                            hn_hyper_workspace_fits(made, hyper, runs[i][0], runs[i][1], mode, threads)));
            hn_hyper_workspace_free(made);
        }
    hn_hyper_free(hypers[0]);
    hn_hyper_free(hypers[1]);
    hn_graph_free(generator);
    hn_graph_free(target);
}

/* 1: the hypernetwork, or a workspace for one group of one row, is refused. */
static int hyper_refused(hn_hyper *hyper, hn_mode mode)
{
    if (is_refused(!hyper))
        return 1;
    hn_hyper_workspace *made = hn_hyper_workspace_create(hyper, 1, 1, mode, 1, &error);
    int stopped = is_refused(!made);
    hn_hyper_workspace_free(made);
    hn_hyper_free(hyper);
    return stopped;
}

/* A graph of one layer; NULL: refused. */
static hn_graph *layer_graph(int64_t in, int64_t units)
{
    hn_graph *graph = hn_graph_create(HN_FLOAT32, &error);
    int32_t y = dense(graph, "d", IN(ONE(in)), units, 0);
    if (y >= 0 && hn_graph_output(graph, y, &error) == HN_OK)
        return graph;
    hn_graph_free(graph);
    return NULL;
}

/* Targets of n weights, generated whole; trunks of n features; and heads of n features or weights in fewer bits. */
static void check_hyper_widths(int64_t n)
{
    static const float numbers[4];
    hn_graph *one = layer_graph(1, 3), *wide = layer_graph(1, n), *trunk = layer_graph(3, 1);
    size_now = n;
    name = "a layer of this width";
    if (!wide)
        expect_refusal(is_refused(1));
    for (int mode = HN_MODE_INFERENCE; wide && mode <= HN_MODE_TRAINING; mode++) {
        hn_graph *generator = layer_graph(3, n);
        int unmade = is_refused(!generator);
        name = "generated weights";
        expect_refusal(unmade || hyper_refused(hn_hyper_create(generator, wide, NULL, NULL, NULL, isa, &error),
                                               (hn_mode)mode));
        name = "given weights";
        expect_refusal(hyper_refused(hn_hyper_create_given(wide, NULL, NULL, isa, &error), (hn_mode)mode));
        name = "weights of a head in fewer bits";
        hn_quantized_head head = {HN_INT8, 1, n, numbers, numbers, NULL};
        expect_refusal(hyper_refused(hn_hyper_create_quantized(trunk, &head, wide, NULL, NULL, NULL, isa, &error),
                                     HN_MODE_INFERENCE));
        name = "features of a head in fewer bits";
        head = (hn_quantized_head){HN_INT8, n, 3, numbers, numbers, NULL};
        expect_refusal(hyper_refused(hn_hyper_create_quantized(wide, &head, one, NULL, NULL, NULL, isa, &error),
                                     HN_MODE_INFERENCE));
        name = "features";
        hn_graph *features = hn_graph_create(HN_FLOAT32, &error);
        int32_t x = input(features, "x", ONE(3));
        int32_t y = dense(features, "e", dense(features, "d", x, n, 0), 3, 0);
        unmade = is_refused(y < 0);
        CHECK(unmade || hn_graph_output(features, y, &error) == HN_OK);
        expect_refusal(unmade || hyper_refused(hn_hyper_create(features, one, NULL, NULL, NULL, isa, &error),
                                               (hn_mode)mode));
        hn_graph_free(features);
        hn_graph_free(generator);
    }
    hn_graph_free(one);
    hn_graph_free(wide);
    hn_graph_free(trunk);
}

/* ---- files ---- */

/* A file with this header, of which it says that it has `length` bytes, is refused. */
static int file_refused(const char *path, const char *header, uint64_t length)
{
    FILE *file = fopen(path, "wb");
    CHECK(file);
    for (int i = 0; i < 8; i++)
        fputc((int)(length >> (8 * i) & 255), file);
    fputs(header, file);
    CHECK(fclose(file) == 0);
    hn_tensor_file *read = hn_tensor_file_read(path, &error);
    hn_tensor_file_free(read);
    return is_refused(!read);
}

static void check_files(int64_t n, const char *path)
{
    static const char *const shapes[] = {"[%" PRId64 "]", "[%" PRId64 ", 2]", "[4, %" PRId64 "]", "[%" PRId64 ", 0]",
                                         "[1073741824, %" PRId64 ", 16]"};
    static const float number = 1;
    char header[256], shape[64], text[256];
    size_now = n;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        (void)snprintf(shape, sizeof shape, shapes[i], n);
        name = "shape in a file";
        int zero = strstr(shape, ", 0]") != NULL;
        int length = snprintf(header, sizeof header, "{\"a\": {\"dtype\": \"F32\", \"shape\": %s, \"data_offsets\": "
                              "[0, %" PRId64 "]}}", shape, zero ? n : (int64_t)0);
        expect_refusal(file_refused(path, header, (uint64_t)length));
        name = "offsets in a file";
        length = snprintf(header, sizeof header, "{\"a\": {\"dtype\": \"F32\", \"shape\": %s, \"data_offsets\": "
                          "[%" PRId64 ", %" PRId64 "]}}", shape, n, INT64_MAX);
        expect_refusal(file_refused(path, header, (uint64_t)length));
    }
    name = "length of a header";
    expect_refusal(file_refused(path, "{}", (uint64_t)n));
    expect_refusal(file_refused(path, "{}", (uint64_t)n * 2 + 1));
    name = "tensor to write";
    hn_file_tensor tensor = {"a", HN_FLOAT32, {2, {n, INT64_C(1) << 32}}, &number, (size_t)n << 34};
    expect_refusal(is_refused(hn_tensor_file_write(path, &tensor, 1, NULL, 0, &error) != HN_OK));
    name = "graph in JSON";
    (void)snprintf(text, sizeof text, "{\"dtype\": \"float32\", \"inputs\": [{\"name\": \"x\", \"shape\": [%" PRId64
                   "], \"dtype\": \"float32\"}], \"nodes\": [{\"op\": \"dense\", \"layer\": \"d\", \"inputs\": [0], "
                   "\"attributes\": {\"units\": %" PRId64 "}}], \"outputs\": [1]}", n, n);
    hn_graph *graph = hn_graph_from_json(text, &error);
    expect_refusal(is_refused(!graph) || graph_refused(graph, NULL, HN_MODE_INFERENCE));
    hn_graph_free(graph);
}

int main(int count, char **arguments)
{
    CHECK(count == 2);
    CHECK(hn_isa_default(&isa, &error) == HN_OK);
    struct rlimit limit = {room, room};
    CHECK(getenv("HYPERNET_UNLIMITED") || setrlimit(RLIMIT_AS, &limit) == 0);
    alarm(100); /* what takes minutes is no refusal */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_networks(sizes[i]);
        check_open(sizes[i]);
        check_workspaces(sizes[i]);
        check_threads(sizes[i]);
        check_hyper_runs(sizes[i]);
        check_hyper_widths(sizes[i]);
        check_files(sizes[i], arguments[1]);
    }
    CHECK(hn_memory_live_blocks() == 0);
    printf("%" PRId64 " tried %" PRId64 " refused\n", tried, refused);
    return 0;
}
