/* Losses and training steps, tested from C: the sums of hn_step_gradients against formulas written out here, its
   gradients against finite differences, fused and not. Prints "ok", or exits 1 with the place of the first failure. */
#include "network.h"

enum { POSITIONS = 3, IN = 4, COLUMNS = 3, GROUPS = 2, ROWS = 70, ENTRIES = 4, OUTPUTS = 2 };
static const double STEP = 4e-6, TOLERANCE = 1e-6, SMOOTHING = 0.1, DELTA = 0.8;

static hn_error error;
static random_state random_numbers = {42};

typedef struct step_case {
    hn_loss_kind kind;
    hn_loss_input input;
    const char *activation;
    int fused;
} step_case;

static const step_case cases[] = {
    {HN_LOSS_MEAN_SQUARED_ERROR, HN_LOSS_PROBABILITIES, "linear", 0},
    {HN_LOSS_MEAN_SQUARED_ERROR, HN_LOSS_PROBABILITIES, "softmax", 0},
    {HN_LOSS_MEAN_ABSOLUTE_ERROR, HN_LOSS_PROBABILITIES, "tanh", 0},
    {HN_LOSS_HUBER, HN_LOSS_PROBABILITIES, "linear", 0},
    {HN_LOSS_BINARY_CROSSENTROPY, HN_LOSS_PROBABILITIES, "sigmoid", 1},
    {HN_LOSS_BINARY_CROSSENTROPY, HN_LOSS_PROBABILITIES, "softmax", 0},
    {HN_LOSS_BINARY_CROSSENTROPY, HN_LOSS_LOGITS, "linear", 0},
    {HN_LOSS_BINARY_CROSSENTROPY, HN_LOSS_LOGITS, "sigmoid", 0},
    {HN_LOSS_CATEGORICAL_CROSSENTROPY, HN_LOSS_PROBABILITIES, "softmax", 1},
    {HN_LOSS_CATEGORICAL_CROSSENTROPY, HN_LOSS_PROBABILITIES, "softplus", 0},
    {HN_LOSS_CATEGORICAL_CROSSENTROPY, HN_LOSS_LOGITS, "linear", 0},
    {HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY, HN_LOSS_PROBABILITIES, "softmax", 1},
    {HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY, HN_LOSS_PROBABILITIES, "sigmoid", 0},
    {HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY, HN_LOSS_LOGITS, "linear", 0},
};

/* ---- formulas ---- */

static double clip(double p)
{
    return p < 1e-7 ? 1e-7 : p > 1 - 1e-7 ? 1 - 1e-7 : p;
}

static double cross_entropy(const step_case *c, const double *t, const double *p)
{
    double sum = 0.0, loss = 0.0;
    for (int i = 0; i < COLUMNS; i++)
        sum += c->input == HN_LOSS_LOGITS ? exp(p[i]) : p[i];
    for (int i = 0; i < COLUMNS; i++)
        loss -= t[i] * (c->input == HN_LOSS_LOGITS ? p[i] - log(sum) : log(clip(p[i] / sum)));
    return loss;
}

/* The loss of one position; t: targets after label smoothing, or one-hot. */
static double formula(const step_case *c, const double *t, const double *p)
{
    double loss = 0.0;
    if (c->kind >= HN_LOSS_CATEGORICAL_CROSSENTROPY)
        return cross_entropy(c, t, p);
    for (int i = 0; i < COLUMNS; i++) {
        double e = fabs(p[i] - t[i]), q = clip(c->input == HN_LOSS_LOGITS ? 1 / (1 + exp(-p[i])) : p[i]);
        if (c->kind == HN_LOSS_MEAN_SQUARED_ERROR)
            loss += e * e;
        else if (c->kind == HN_LOSS_MEAN_ABSOLUTE_ERROR)
            loss += e;
        else if (c->kind == HN_LOSS_HUBER)
            loss += e <= DELTA ? e * e / 2 : DELTA * e - DELTA * DELTA / 2;
        else
            loss -= t[i] * log(q) + (1 - t[i]) * log(1 - q);
    }
    return loss / COLUMNS;
}

/* ---- a network with two outputs, and its targets ---- */

typedef struct problem {
    const step_case *c;
    hn_graph *graph;
    hn_plan *plan;
    hn_run run;
    field x, y[OUTPUTS], target[OUTPUTS], labels, weight, parameters, gradient;
    hn_view outputs[OUTPUTS];
    hn_source sources[ENTRIES];
    hn_loss losses[OUTPUTS];
    hn_target targets[OUTPUTS];
    void *scratch;
} problem;

static int32_t dense(hn_graph *graph, const char *layer, int32_t input, const char *activation)
{
    hn_attribute attributes[] = {{.name = "units", .type = HN_ATTRIBUTE_INTEGER, .integer = COLUMNS},
                                 {.name = "activation", .type = HN_ATTRIBUTE_NAME}};
    snprintf(attributes[1].text, sizeof attributes[1].text, "%s", activation);
    return hn_graph_add(graph, "dense", layer, attributes, 2, &input, 1, &error);
}

/* Targets of the first output: whatever the loss takes; not normalised, so that their sum counts. */
static void make_targets(problem *p)
{
    int sparse = p->c->kind == HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY;
    for (int i = 0; i < OUTPUTS; i++) {
        p->target[i] = field_make(HN_FLOAT64, POSITIONS * COLUMNS, GROUPS, ROWS, i ? SHARED : GAPS);
        for (int64_t g = 0; g < GROUPS; g++)
            for (int64_t r = 0; r < ROWS; r++)
                for (int64_t j = 0; j < POSITIONS * COLUMNS; j++)
                    put(HN_FLOAT64, field_at(&p->target[i], g, r), j, fabs(number(&random_numbers)) / 1.5);
    }
    p->labels = field_make(HN_INT64, POSITIONS, GROUPS, ROWS, INTERLEAVED);
    field_fill(&p->labels, &random_numbers, COLUMNS);
    p->weight = field_make(HN_FLOAT64, POSITIONS, GROUPS, ROWS, BACKWARDS);
    field_fill(&p->weight, &random_numbers, 0);
    const field *first = sparse ? &p->labels : &p->target[0];
    const hn_view *weight = &p->weight.view;
    p->targets[0] = (hn_target){first->view.data, first->view.group_stride, first->view.row_stride,
                                weight->data, weight->group_stride, weight->row_stride, 1};
    p->targets[1] = (hn_target){.data = p->target[1].view.data, .group_stride = 0,
                                .row_stride = p->target[1].view.row_stride};
    p->losses[0] = (hn_loss){p->c->kind, p->c->input, {p->c->kind == HN_LOSS_HUBER ? DELTA : SMOOTHING, 0}, 0.3};
    p->losses[1] = (hn_loss){HN_LOSS_MEAN_SQUARED_ERROR, HN_LOSS_PROBABILITIES, {0, 0}, 2.0};
    if (sparse || p->c->kind < HN_LOSS_HUBER)
        p->losses[0].params[0] = 0;
}

static void problem_make(problem *p, const step_case *c, hn_isa isa)
{
    hn_shape shape = {2, {POSITIONS, IN}};
    *p = (problem){.c = c, .graph = hn_graph_create(HN_FLOAT64, &error)};
    int32_t x = hn_graph_input(p->graph, "x", &shape, HN_FLOAT64, &error);
    CHECK(hn_graph_output(p->graph, dense(p->graph, "a", x, c->activation), &error) == HN_OK);
    CHECK(hn_graph_output(p->graph, dense(p->graph, "b", x, "tanh"), &error) == HN_OK);
    p->plan = hn_plan_create(p->graph, NULL, isa, &error);
    CHECK(p->plan);
    int64_t parameters = hn_graph_parameter_count(p->graph);
    p->x = field_make(HN_FLOAT64, POSITIONS * IN, GROUPS, ROWS, INTERLEAVED);
    p->parameters = field_make(HN_FLOAT64, parameters, 1, 1, PACKED);
    p->gradient = field_make(HN_FLOAT64, parameters, 1, 1, PACKED);
    field_fill(&p->x, &random_numbers, 0);
    field_fill(&p->parameters, &random_numbers, 0);
    for (int i = 0; i < OUTPUTS; i++) {
        p->y[i] = field_make(HN_FLOAT64, POSITIONS * COLUMNS, GROUPS, ROWS, PACKED);
        p->outputs[i] = p->y[i].view;
    }
    make_targets(p);
    hn_graph_bind(p->graph, p->parameters.view.data, p->gradient.view.data, p->sources);
    p->run = (hn_run){.groups = GROUPS, .rows = ROWS, .training = 1, .threads = 2, .inputs = &p->x.view,
                      .outputs = p->outputs, .sources = p->sources};
    p->run.workspace = hn_workspace_create(p->plan, GROUPS, ROWS, HN_MODE_TRAINING, 2, &error);
    p->scratch = malloc(hn_step_scratch(p->plan, GROUPS, ROWS));
    CHECK(p->run.workspace && p->scratch);
}

static void problem_free(problem *p)
{
    field *fields[] = {&p->x, &p->y[0], &p->y[1], &p->target[0], &p->target[1], &p->labels, &p->weight,
                       &p->parameters, &p->gradient};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        field_free(fields[i]);
    free(p->scratch);
    hn_workspace_free(p->run.workspace);
    hn_plan_free(p->plan);
    hn_graph_free(p->graph);
}

static hn_status step(problem *p, int backward, hn_step_sums *sums)
{
    return hn_step_gradients(p->plan, &p->run, p->losses, p->targets, backward, p->scratch, sums, &error);
}

/* ---- the tests ---- */

/* Sums by the formulas, from the outputs that the step has written. */
static void check_sums(const problem *p, const hn_step_sums *sums)
{
    static const step_case squared = {HN_LOSS_MEAN_SQUARED_ERROR, HN_LOSS_PROBABILITIES, "tanh", 0};
    double loss[OUTPUTS] = {0, 0}, weights = 0, smooth = p->c->kind == HN_LOSS_HUBER ? 0 : p->losses[0].params[0];
    double even = p->c->kind == HN_LOSS_BINARY_CROSSENTROPY ? 0.5 : 1.0 / COLUMNS;
    for (int64_t g = 0; g < GROUPS; g++)
        for (int64_t r = 0; r < ROWS; r++)
            for (int64_t q = 0; q < POSITIONS; q++) {
                double t[COLUMNS], weight = field_get(&p->weight, g, r, q);
                const double *y = (const double *)field_at(&p->y[0], g, r) + q * COLUMNS;
                for (int64_t i = 0; i < COLUMNS; i++) {
                    t[i] = field_get(&p->target[0], g, r, q * COLUMNS + i) * (1 - smooth) + smooth * even;
                    if (p->c->kind == HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY)
                        t[i] = ((const int64_t *)field_at(&p->labels, g, r))[q] == i;
                }
                loss[0] += weight * formula(p->c, t, y);
                weights += weight;
                loss[1] += formula(&squared, (const double *)field_at(&p->target[1], g, r) + q * COLUMNS,
                                   (const double *)field_at(&p->y[1], g, r) + q * COLUMNS);
            }
    for (int i = 0; i < OUTPUTS; i++) {
        CHECK(fabs(sums->loss[i] - loss[i]) <= 1e-11 * fmax(1.0, fabs(loss[i])));
        CHECK(sums->count[i] == GROUPS * ROWS * POSITIONS);
    }
    CHECK(fabs(sums->weight[0] - weights) <= 1e-11 && sums->weight[1] == sums->count[1]);
    CHECK(sums->activity == 0.0);
}

static double objective(problem *p)
{
    hn_step_sums sums;
    CHECK(step(p, 0, &sums) == HN_OK);
    return p->losses[0].scale * sums.loss[0] + p->losses[1].scale * sums.loss[1];
}

static void check_case(const step_case *c, hn_isa isa)
{
    problem p;
    hn_step_sums sums;
    double difference = 0.0, largest = 1.0;
    problem_make(&p, c, isa);
    CHECK(step(&p, 1, &sums) == HN_OK);
    check_sums(&p, &sums);
    hn_loss loss = p.losses[0];
    CHECK(hn_step_fuse(p.plan, 0, &loss) == c->fused && (loss.input == HN_LOSS_FUSED) == c->fused);
    field_remember(&p.gradient);
    double *w = p.parameters.view.data;
    for (int64_t i = 0; i < p.parameters.size; i++) {
        double was = w[i];
        w[i] = was + STEP;
        double up = objective(&p);
        w[i] = was - STEP;
        double slope = (up - objective(&p)) / (2 * STEP);
        w[i] = was;
        double gap = fabs(field_get(&p.gradient, 0, 0, i) - slope);
        difference = gap <= difference ? difference : gap;
        largest = fmax(largest, fabs(slope));
    }
    CHECK(difference <= TOLERANCE * largest);
    CHECK(field_unchanged(&p.gradient)); /* steps without backward leave it alone */
    problem_free(&p);
}

/* A label out of range is refused before anything is written. */
static void test_labels(void)
{
    problem p;
    hn_step_sums sums;
    static const step_case sparse = {HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY, HN_LOSS_PROBABILITIES, "softmax", 1};
    for (int64_t wrong = -1; wrong <= COLUMNS; wrong += COLUMNS + 1) {
        problem_make(&p, &sparse, HN_ISA_REFERENCE);
        ((int64_t *)field_at(&p.labels, 1, 2))[1] = wrong;
        field_remember(&p.y[0]);
        field_remember(&p.gradient);
        CHECK(step(&p, 1, &sums) == HN_ERROR_VALUE && strstr(error.message, "in row 72"));
        CHECK(field_unchanged(&p.y[0]) && field_unchanged(&p.gradient));
        problem_free(&p);
    }
}

/* Scratch that cannot be counted is refused by any allocation; integers have no loss. */
static void test_refusals(void)
{
    hn_graph *graph = hn_graph_create(HN_FLOAT32, &error);
    hn_shape shape = {1, {1 << 20}};
    int32_t x = hn_graph_input(graph, "x", &shape, HN_FLOAT32, &error);
    int32_t ids = hn_graph_input(graph, "ids", &shape, HN_INT64, &error);
    CHECK(hn_graph_output(graph, x, &error) == HN_OK && hn_graph_output(graph, ids, &error) == HN_OK);
    hn_plan *plan = hn_plan_create(graph, NULL, HN_ISA_REFERENCE, &error);
    hn_loss losses[OUTPUTS] = {{.kind = HN_LOSS_MEAN_SQUARED_ERROR}, {.kind = HN_LOSS_MEAN_SQUARED_ERROR}};
    hn_target targets[OUTPUTS] = {{.data = NULL}, {.data = NULL}};
    CHECK(hn_step_scratch(plan, 1LL << 40, 1LL << 40) == SIZE_MAX && hn_step_scratch(plan, 1LL << 41, 1) == SIZE_MAX);
    CHECK(hn_step_scratch(plan, 3, 5) >= 2 * 3 * 5 * ((size_t)4 << 20));
    CHECK(hn_step_check(plan, losses, targets, 1, 1, &error) == HN_ERROR_TYPE && strstr(error.message, "output 1"));
    hn_plan_free(plan);
    hn_graph_free(graph);
}

/* Confident and wrong: fused gradients do not vanish where the clipped formula's would, and nothing overflows. */
static void test_saturation(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        problem p;
        hn_step_sums sums;
        int divides = cases[i].kind >= HN_LOSS_CATEGORICAL_CROSSENTROPY && cases[i].input == HN_LOSS_PROBABILITIES;
        if (divides && !cases[i].fused) /* columns that are all 0: 0 / 0, as in Keras */
            continue;
        problem_make(&p, &cases[i], HN_ISA_REFERENCE);
        for (int64_t j = 0; j < p.parameters.size; j++)
            ((double *)p.parameters.view.data)[j] *= 1e3;
        double sum = 0.0;
        CHECK(step(&p, 1, &sums) == HN_OK && isfinite(sums.loss[0]));
        for (int64_t j = 0; j < p.gradient.size; j++) {
            double g = field_get(&p.gradient, 0, 0, j);
            CHECK(isfinite(g));
            sum += j < (IN + 1) * COLUMNS ? fabs(g) : 0.0;
        }
        CHECK(!cases[i].fused || sum > 1.0);
        problem_free(&p);
    }
}

int main(void)
{
    char text[64];
    context = text;
    for (int isa = 0; isa < HN_ISA_COUNT; isa++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases && hn_isa_available((hn_isa)isa); i++) {
            snprintf(text, sizeof text, "case %d, %s", (int)i, hn_isa_name((hn_isa)isa));
            check_case(&cases[i], (hn_isa)isa);
        }
    test_labels();
    test_refusals();
    test_saturation();
    CHECK(hn_memory_live_blocks() == 0);
    puts("ok");
    return 0;
}
