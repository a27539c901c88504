/* Networks with an axis of no elements, plain and generated: weights of no elements have no memory (NULL), and no
   pointer to them may be moved, which clang's sanitizer sees. Prints how many runs it made; exits 1 on a refusal. */
#include "fuzz.h"

static hn_error error;

static int32_t add(hn_graph *graph, const char *op, int64_t units, int32_t x)
{
    hn_attribute width = {.name = "units", .type = HN_ATTRIBUTE_INTEGER, .integer = units};
    int32_t y = hn_graph_add(graph, op, op, &width, units > 0, &x, 1, &error);
    CHECK(y >= 0);
    return y;
}

/* A sample of `width` numbers -> the op (with weights of that width) -> Dense(2). */
static hn_graph *target_make(const char *op, int64_t width)
{
    hn_graph *graph = hn_graph_create(HN_FLOAT32, &error);
    int32_t x = hn_graph_input(graph, "x", &(hn_shape){1, {width}}, HN_FLOAT32, &error);
    CHECK(hn_graph_output(graph, add(graph, "dense", 2, add(graph, op, 0, x)), &error) == HN_OK);
    return graph;
}

static hn_graph *generator_make(int64_t count)
{
    hn_graph *graph = hn_graph_create(HN_FLOAT32, &error);
    int32_t x = hn_graph_input(graph, "c", &(hn_shape){1, {1}}, HN_FLOAT32, &error);
    CHECK(hn_graph_output(graph, add(graph, "dense", count, x), &error) == HN_OK);
    return graph;
}

static void hyper_run(const hn_graph *generator, const hn_graph *target, hn_order order, hn_isa isa)
{
    enum { GROUPS = 3, ROWS = 2, OUT = 2 };
    float conditions[GROUPS] = {1, 2, 3}, y[GROUPS * ROWS * OUT], dy[GROUPS * ROWS * OUT] = {1}, none[1];
    float weights[64] = {0}, gradient[64];
    hn_source sources[4], own[8] = {{0}};
    hn_hyper *hyper = hn_hyper_create(generator, target, NULL, NULL, NULL, isa, &error);
    CHECK(hyper && hn_graph_parameter_count(generator) <= 64);
    hn_hyper_set_order(hyper, order);
    hn_hyper_workspace *workspace = hn_hyper_workspace_create(hyper, GROUPS, ROWS, HN_MODE_TRAINING, 1, &error);
    CHECK(workspace);
    hn_graph_bind(generator, weights, gradient, sources);
    hn_view condition = {conditions, 1, 1}, input = {none, 0, 0}, output = {y, ROWS * OUT, OUT};
    hn_view output_gradient = {dy, ROWS * OUT, OUT};
    hn_hyper_run run = {.groups = GROUPS, .rows = ROWS, .training = 1, .threads = 1, .conditions = &condition,
                        .inputs = &input, .outputs = &output, .generator_sources = sources, .target_sources = own,
                        .workspace = workspace, .normalizer = 1.0, .output_gradients = &output_gradient};
    CHECK(hn_hyper_gradients(hyper, &run, &error) == HN_OK);
    CHECK(hn_hyper_predict(hyper, &run, &error) == HN_OK);
    for (int i = 0; i < GROUPS * ROWS * OUT; i++)
        CHECK(y[i] == 0.0f); /* of no inputs and biases of 0 */
    hn_hyper_workspace_free(workspace);
    hn_hyper_free(hyper);
}

int main(void)
{
    static const char *const ops[] = {"prelu", "layer_normalization", "activation", "dropout"};
    int runs = 0;
    for (int i = 0; i < 4; i++)
        for (int order = HN_ORDER_BY_COST; order <= HN_ORDER_MIXTURE; order++)
            for (int isa = 0; isa < HN_ISA_COUNT; isa++) {
                hn_graph *target = target_make(ops[i], 0);
                hn_graph *generator = generator_make(hn_graph_parameter_count(target));
                if (hn_isa_available((hn_isa)isa))
                    hyper_run(generator, target, (hn_order)order, (hn_isa)isa);
                hn_graph_free(generator);
                hn_graph_free(target);
                fuzz_bytes none = {NULL, 0};
                float weights[2] = {0};
                target = target_make(ops[i], 0);
                network_run(target, weights, 1, 3, &none);
                hn_graph_free(target);
                runs++;
            }
    CHECK(hn_memory_live_blocks() == 0);
    printf("%d checked\n", runs);
    return 0;
}
