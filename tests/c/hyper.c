/* The hypernetwork floor, tested from C:
     hyper predict      against generating all theta and running the target group by group
     hyper gradients    against central differences, in float64
     hyper blocks       cuts of every kind agree, and the number of threads changes no bit
     hyper mistakes     bad arguments, failing allocations, cancelled calls
     hyper resources    memory that does not grow with the number of groups; counters
   A number after it: only every so manieth case of the first three, for slow machines.
   Prints what it checked. Exits 1 with the place of the first failure. */
#include "hyper_world.h"

static int64_t checked, share = 1;

/* Whether the next case is of the share that was asked for. */
static int is_taken(void)
{
    static int64_t number;
    return number++ % share == 0;
}

static const hyper_limits cuts[] = {
    {0},
    {.groups = 2, .rows = 1000, .kept_groups = 2, .keep = 1},  /* blocks of groups, theta kept */
    {.groups = 3, .rows = 1000, .kept_groups = 2, .keep = 0},  /* a node's weights at a time */
    {.groups = 4, .rows = 6, .kept_groups = 4, .keep = 1},     /* some groups of a block at a time */
    {.groups = 3, .rows = 2, .kept_groups = 2, .keep = 0},     /* some rows of a group at a time */
};
enum { CUTS = sizeof cuts / sizeof *cuts };

static const hn_order orders[] = {HN_ORDER_WEIGHTS, HN_ORDER_SLICES, HN_ORDER_MIXTURE};
enum { ORDERS = sizeof orders / sizeof *orders };

/* 1 if the generator's head is one whose rows can be mixed. */
static int mixes(int generator)
{
    return generator != G_VALUES && generator != G_GIVEN;
}

static hn_hyper_workspace *workspace_of(const world *w, hn_mode mode, int32_t threads)
{
    hn_hyper_workspace *workspace = hn_hyper_workspace_create(w->hyper, w->spec.groups, w->spec.rows, mode, threads,
                                                              &error);
    CHECK(workspace);
    return workspace;
}

/* ---- predict ---- */

static void run_plain(const hn_graph *graph, int64_t rows, const hn_view *inputs, const hn_view *outputs,
                      const hn_source *sources)
{
    hn_isa isa;
    CHECK(hn_isa_default(&isa, &error) == HN_OK);
    hn_plan *plan = hn_plan_create(graph, NULL, isa, &error);
    hn_workspace *workspace = hn_workspace_create(plan, 1, rows, HN_MODE_INFERENCE, 1, &error);
    hn_run run = {.groups = 1, .rows = rows, .threads = 1, .inputs = inputs, .outputs = outputs, .sources = sources,
                  .workspace = workspace};
    hn_plan_forward(plan, &run);
    hn_workspace_free(workspace);
    hn_plan_free(plan);
}

/* theta of one group, from the whole generator run as an ordinary network. */
static void plain_theta(const world *w, int64_t group, void *theta)
{
    int64_t count = hn_hyper_generated_count(w->hyper);
    hn_view inputs[MOST], output = {.data = theta, .row_stride = count};
    for (int i = 0; i < MOST; i++) {
        inputs[i] = w->conditions[i];
        inputs[i].data = hn_move(inputs[i].data, group * inputs[i].group_stride, i ? 8 : w->element);
    }
    if (w->generator)
        run_plain(w->generator, 1, inputs, &output, w->generator_sources);
    else
        memcpy(theta, hn_move(w->run.theta, group * w->run.theta_stride, w->element), (size_t)count * w->element);
    for (int64_t j = 0; w->run.base && j < count; j++)
        put(w, theta, j, get(w, theta, j) + get(w, w->run.base, j));
}

static void check_predict(const spec *s)
{
    world *w = make_world(s);
    hn_source sources[16];
    void *theta = own(w, hn_hyper_generated_count(w->hyper), w->element);
    double largest = 0.0, bound = w->element == 4 ? 2e-5 : 1e-13;
    w->run.workspace = workspace_of(w, HN_MODE_INFERENCE, 1);
    CHECK(hn_hyper_predict(w->hyper, &w->run, &error) == HN_OK);
    for (int64_t g = 0; g < w->spec.groups; g++) {
        hn_view inputs[MOST], outputs[MOST];
        int64_t column = 0;
        plain_theta(w, g, theta);
        for (int32_t e = 0; e < hn_graph_entry_count(w->target); e++) {
            sources[e] = w->target_sources[e];
            if (!w->generated[e])
                continue;
            sources[e].data = hn_move(theta, column, w->element);
            column += hn_graph_entry(w->target, e)->size;
        }
        for (int i = 0; i < MOST; i++) {
            inputs[i] = w->inputs[i];
            inputs[i].data = hn_move(inputs[i].data, g * inputs[i].group_stride, i ? 8 : w->element);
            outputs[i] = w->outputs[i];
            outputs[i].data = own(w, w->outputs[i].group_stride, w->element);
        }
        run_plain(w->target, w->spec.rows, inputs, outputs, sources);
        for (int i = 0; i < hn_graph_output_count(w->target); i++)
            for (int64_t r = 0; r < w->spec.rows; r++)
                for (int64_t j = 0; j < w->outputs[i].row_stride - (i ? 3 : 0); j++) {
                    int64_t at = r * w->outputs[i].row_stride + j;
                    double is = get(w, w->outputs[i].data, g * w->outputs[i].group_stride + at);
                    double difference = fabs(is - get(w, outputs[i].data, at));
                    largest = difference > largest || isnan(difference) ? difference : largest;
                }
        w->owned_count -= 2;
        for (int i = 0; i < MOST; i++)
            hn_memory_free(outputs[i].data);
    }
    CHECK(largest <= bound);
    hn_hyper_workspace_free(w->run.workspace);
    free_world(w);
    CHECK(hn_memory_live_blocks() == 0);
    checked++;
}

static void test_predict(void)
{
    for (int generator = 0; generator < G_COUNT; generator++)
        for (int target = 0; target < T_COUNT; target++)
            for (int m = 0; m < M_COUNT; m++)
                for (int turn = 0; turn < ORDERS * CUTS; turn++) {
                    int cut = turn / ORDERS;
                    spec s = {.generator = generator, .target = target, .mode = m, .groups = 7, .rows = 3,
                              .dtype = (cut + m) % 2 ? HN_FLOAT64 : HN_FLOAT32, .limits = cuts[cut],
                              .partial = (generator + target + cut) % 2, .base = (target + m + cut) % 2,
                              .theta_shared = (target + cut) % 2,
                              .order = orders[turn % ORDERS]};
                    if ((s.order == HN_ORDER_WEIGHTS || mixes(generator)) && is_taken())
                        check_predict(&s);
                }
}

/* ---- gradients ---- */

static void wish(world *w, int gradients)
{
    hn_source *sources[] = {w->generator_sources, w->target_sources};
    const hn_graph *graphs[] = {w->generator, w->target};
    w->run.condition_gradients = gradients ? w->condition_gradients : NULL;
    w->run.input_gradients = gradients ? w->input_gradients : NULL;
    w->run.theta_gradient = gradients && !w->generator ? w->tracked[w->tracked_count - 1].gradient : NULL;
    for (int i = 0, t = 0; i < 2; i++)
        if (graphs[i])
            hn_graph_bind(graphs[i], w->tracked[t].data, gradients ? w->tracked[t].gradient : NULL, sources[i]), t++;
}

/* What the gradients are gradients of. */
static double objective(world *w)
{
    const spec *s = &w->spec;
    double total = 0.0;
    wish(w, 0);
    if (s->losses) {
        CHECK(hn_hyper_gradients(w->hyper, &w->run, &error) == HN_OK);
        for (int i = 0; i < hn_graph_output_count(w->target); i++)
            total += w->losses[i].scale * w->sums.loss[i];
        return total + w->penalty + w->sums.activity / (double)(s->groups * s->rows);
    }
    CHECK(hn_hyper_predict(w->hyper, &w->run, &error) == HN_OK);
    for (int i = 0; i < hn_graph_output_count(w->target); i++)
        for (int64_t r = 0; r < s->groups * s->rows; r++)
            for (int64_t j = 0; j < hn_shape_size(&hn_plan_output(hn_hyper_target_plan(w->hyper), i)->shape); j++) {
                int64_t at = r * w->outputs[i].row_stride + j;
                total += get(w, w->outputs[i].data, at) * get(w, w->output_gradients[i].data, at);
            }
    return total;
}

/* Whether element `i` has a gradient: not the target's generated weights, nor what lies between rows of theta. */
static int has_gradient(const world *w, const tracked *t, int64_t i)
{
    if (strcmp(t->name, "theta") == 0)
        return w->spec.theta_shared || i % w->run.theta_stride < hn_hyper_generated_count(w->hyper);
    if (strcmp(t->name, "target") != 0)
        return 1;
    for (int32_t e = 0; e < hn_graph_entry_count(w->target); e++) {
        const hn_entry *entry = hn_graph_entry(w->target, e);
        if (i >= entry->offset && i < entry->offset + entry->size)
            return !w->generated[e];
    }
    return 0;
}

static void want_all(world *w)
{
    w->run.losses = w->spec.losses ? w->losses : NULL;
    w->run.targets = w->targets;
    w->run.output_gradients = w->spec.losses ? NULL : w->output_gradients;
    w->run.normalizer = w->spec.losses ? 1.0 : 0.0; /* without losses there are no activity penalties */
    w->run.sums = &w->sums;
    w->run.penalty = &w->penalty;
    w->run.penalty_l1 = w->spec.penalties ? w->l1 : NULL;
    w->run.penalty_l2 = w->spec.penalties ? w->l2 : NULL;
}

static void check_gradients(const spec *s)
{
    const double step = 1e-5;
    world *w = make_world(s);
    double worst = 0.0, largest = 1.0;
    want_all(w);
    w->run.workspace = workspace_of(w, HN_MODE_TRAINING, 1);
    wish(w, 1);
    CHECK(hn_hyper_gradients(w->hyper, &w->run, &error) == HN_OK);
    for (int t = 0; t < w->tracked_count; t++) {
        const tracked *at = &w->tracked[t];
        int64_t stride = at->count > 40 ? at->count / 20 : 1;
        for (int64_t i = (int64_t)(uniform() * (double)stride); i < at->count; i += stride) {
            double value = get(w, at->data, i), is = get(w, at->gradient, i), up, down;
            if (!has_gradient(w, at, i)) {
                CHECK(isnan(is));
                continue;
            }
            put(w, at->data, i, value + step);
            up = objective(w);
            put(w, at->data, i, value - step);
            down = objective(w);
            put(w, at->data, i, value);
            double numeric = (up - down) / (2.0 * step), difference = fabs(is - numeric);
            largest = fabs(numeric) > largest ? fabs(numeric) : largest;
            if (!(difference <= worst))
                worst = difference;
            if (!(difference <= 1e-6 * largest))
                fprintf(stderr, "%s[%d]: %.10g, numerically %.10g\n", at->name, (int)i, is, numeric);
        }
    }
    CHECK(worst <= 1e-6 * largest);
    hn_hyper_workspace_free(w->run.workspace);
    free_world(w);
    CHECK(hn_memory_live_blocks() == 0);
    checked++;
}

static void test_gradients(void)
{
    for (int generator = 0; generator < G_COUNT; generator++)
        for (int target = 0; target < T_COUNT; target++)
            for (int m = 0; m < M_COUNT; m++)
                for (int cut = 0; cut < CUTS; cut++) {
                    int turn = generator + target + m + cut;
                    spec s = {.generator = generator, .target = target, .mode = m, .groups = 5, .rows = 3,
                              .dtype = HN_FLOAT64, .limits = cuts[cut], .partial = turn % 2, .base = turn / 2 % 2,
                              .theta_shared = turn % 2, .losses = (turn / 2 + m) % 3 != 0, .training = turn % 3 != 0};
                    s.penalties = s.losses && (turn + m) % 2;
                    for (int i = 0; i < ORDERS; i++) {
                        s.order = orders[i];
                        s.penalties = s.penalties && s.order == HN_ORDER_WEIGHTS;
                        if ((s.order == HN_ORDER_WEIGHTS || mixes(generator)) && is_taken())
                            check_gradients(&s);
                    }
                }
}

/* ---- blocks and threads ---- */

/* All results, one after the other, as numbers (of `w`). */
static double *results_of(world *w, int32_t threads, int64_t *count)
{
    double *results = malloc(sizeof *results * 4000000);
    int64_t n = 0;
    for (int training = 0; training < 2; training++) {
        w->run.workspace = workspace_of(w, training ? HN_MODE_TRAINING : HN_MODE_INFERENCE, threads);
        w->run.threads = threads;
        wish(w, training);
        CHECK((training ? hn_hyper_gradients : hn_hyper_predict)(w->hyper, &w->run, &error) == HN_OK);
        hn_hyper_workspace_free(w->run.workspace);
        for (int i = 0; i < hn_graph_output_count(w->target); i++)
            for (int64_t r = 0; r < w->spec.groups * w->spec.rows; r++)
                for (int64_t j = 0; j < hn_shape_size(&hn_plan_output(hn_hyper_target_plan(w->hyper), i)->shape); j++)
                    results[n++] = get(w, w->outputs[i].data, r * w->outputs[i].row_stride + j);
    }
    for (int t = 0; t < w->tracked_count; t++)
        for (int64_t i = 0; i < w->tracked[t].count; i++)
            if (has_gradient(w, &w->tracked[t], i))
                results[n++] = get(w, w->tracked[t].gradient, i);
    results[n++] = w->sums.loss[0];
    results[n++] = w->sums.weight[0];
    results[n++] = w->sums.activity;
    results[n++] = w->penalty;
    CHECK(n <= 4000000);
    *count = n;
    return results;
}

static void check_threads(const spec *s)
{
    static const int32_t counts[] = {1, 2, 3, 8};
    int64_t count, again;
    world *w = make_world(s);
    want_all(w);
    double *one = results_of(w, 1, &count);
    for (int i = 0; i < 8; i++) {
        double *other = results_of(w, counts[i % 4], &again);
        CHECK(again == count && memcmp(one, other, sizeof *one * (size_t)count) == 0);
        free(other);
    }
    free(one);
    free_world(w);
    checked++;
}

/* Cuts change sums by rounding only; random numbers not at all. */
static void check_cuts(spec s)
{
    int64_t count, again;
    world *w = make_world(&s);
    want_all(w);
    double *first = results_of(w, 1, &count);
    for (int cut = 1; cut < CUTS; cut++) {
        double worst = 0.0, largest = 1.0;
        set_limits(w, &cuts[cut]);
        double *other = results_of(w, 1, &again);
        for (int64_t i = 0; i < count; i++) {
            largest = fabs(first[i]) > largest ? fabs(first[i]) : largest;
            if (!(fabs(first[i] - other[i]) <= worst))
                worst = fabs(first[i] - other[i]);
        }
        CHECK(again == count && worst <= 1e-12 * largest);
        free(other);
    }
    free(first);
    free_world(w);
    checked++;
}

static void test_blocks(void)
{
    for (int generator = 0; generator < G_COUNT; generator++)
        for (int target = 0; target < T_COUNT; target++) {
            int turn = generator + target;
            spec s = {.generator = generator, .target = target, .mode = turn % M_COUNT, .groups = 11, .rows = 7,
                      .dtype = HN_FLOAT64, .training = 1, .losses = 1, .penalties = 1, .partial = turn % 2,
                      .base = turn / 2 % 2, .theta_shared = generator % 2};
            if (!is_taken())
                continue;
            check_cuts(s);
            s.penalties = 0;
            s.order = HN_ORDER_SLICES;
            check_cuts(s);
            s.order = HN_ORDER_MIXTURE;
            check_cuts(s);
            s.dtype = turn % 2 ? HN_FLOAT32 : HN_FLOAT64;
            s.groups = 150;
            s.width = 96;
            if (turn % 2) /* many blocks, side by side; else threads work together inside a large one */
                s.limits = (hyper_limits){.groups = 6, .rows = turn % 3 ? 20 : 200, .kept_groups = 5,
                                          .keep = turn % 4 == 1};
            check_threads(&s);
            s.order = HN_ORDER_SLICES;
            check_threads(&s);
            s.order = HN_ORDER_BY_COST;
            s.rows = 1;
            check_threads(&s);
        }
}

/* ---- mistakes ---- */

static void check_untouched(const world *w)
{
    for (int t = 0; t < w->tracked_count; t++)
        for (int64_t i = 0; i < w->tracked[t].count; i++)
            CHECK(isnan(get(w, w->tracked[t].gradient, i)));
    for (int64_t i = 0; i < w->spec.groups * w->outputs[0].group_stride; i++)
        CHECK(get(w, w->outputs[0].data, i) == 0.0);
}

static void test_bad_data(void)
{
    spec s = {.generator = G_IDS, .target = T_TWO, .mode = M_TASKS, .groups = 40, .rows = 3, .dtype = HN_FLOAT32,
              .losses = 1, .training = 1, .limits = cuts[1]};
    world *w = make_world(&s);
    int64_t *labels = (int64_t *)(uintptr_t)w->targets[1].data, *ids = w->inputs[1].data;
    int64_t *tasks = w->conditions[1].data, *places[] = {&labels[40 * 3 - 1], &ids[40 * 3 * 2 - 1], &tasks[39]};
    want_all(w);
    w->run.workspace = workspace_of(w, HN_MODE_TRAINING, 1);
    wish(w, 1);
    for (int i = 0; i < 3; i++)
        for (int64_t bad = -1; bad <= IDS; bad += IDS + 1) {
            int64_t was = *places[i];
            *places[i] = bad;
            CHECK(hn_hyper_gradients(w->hyper, &w->run, &error) == HN_ERROR_VALUE);
            CHECK(strstr(error.message, bad < 0 ? "-1" : "6"));
            CHECK(i == 0 || hn_hyper_predict(w->hyper, &w->run, &error) == HN_ERROR_VALUE);
            *places[i] = was;
            check_untouched(w);
        }
    CHECK(hn_hyper_gradients(w->hyper, &w->run, &error) == HN_OK);
    hn_hyper_workspace_free(w->run.workspace);
    free_world(w);
    checked++;
}

static void test_bad_arguments(void)
{
    spec s = {.generator = G_MLP, .target = T_MLP, .mode = M_TASKS, .groups = 4, .rows = 3, .dtype = HN_FLOAT32,
              .losses = 1, .training = 1};
    hn_isa isa;
    world *w = make_world(&s);
    CHECK(hn_isa_default(&isa, &error) == HN_OK);
    unsigned char none[16] = {0}, fewer[16] = {1};
    CHECK(!hn_hyper_create(w->generator, w->target, none, NULL, NULL, isa, &error) && error.status == HN_ERROR_VALUE);
    CHECK(!hn_hyper_create(w->generator, w->target, fewer, NULL, NULL, isa, &error) && strstr(error.message, "30") &&
          error.status == HN_ERROR_VALUE);
    CHECK(!hn_hyper_workspace_create(w->hyper, -1, 1, HN_MODE_TRAINING, 1, &error) && error.status == HN_ERROR_VALUE);
    want_all(w);
    wish(w, 1);
    CHECK(hn_hyper_gradients(w->hyper, &w->run, &error) == HN_ERROR_VALUE);
    w->run.workspace = workspace_of(w, HN_MODE_INFERENCE, 1);
    CHECK(hn_hyper_gradients(w->hyper, &w->run, &error) == HN_ERROR_RUNTIME);
    w->run.threads = 2;
    CHECK(hn_hyper_predict(w->hyper, &w->run, &error) == HN_ERROR_VALUE);
    w->run.threads = 1;
    w->run.groups = 5;
    CHECK(hn_hyper_predict(w->hyper, &w->run, &error) == HN_ERROR_VALUE);
    w->run.groups = 0;
    CHECK(hn_hyper_predict(w->hyper, &w->run, &error) == HN_OK);
    CHECK(hn_hyper_gradients(w->hyper, &w->run, &error) == HN_ERROR_VALUE);
    check_untouched(w);
    CHECK(hn_hyper_workspace_fits(w->run.workspace, w->hyper, 4, 3, HN_MODE_INFERENCE, 1));
    CHECK(!hn_hyper_workspace_fits(w->run.workspace, w->hyper, 4, 3, HN_MODE_TRAINING, 1));
    hn_hyper_workspace_free(w->run.workspace);
    free_world(w);
    checked++;
}

static int polls_left;
static int poll(void *context)
{
    (void)context;
    return --polls_left < 0;
}

static void test_cancelling(void)
{
    spec s = {.generator = G_MLP, .target = T_MLP, .mode = M_TASKS, .groups = 400, .rows = 20, .dtype = HN_FLOAT32,
              .losses = 1, .training = 1, .width = 400, .limits = cuts[0]};
    int64_t before, after, calls;
    for (int32_t threads = 1; threads < 4; threads++)
        for (int training = 0; training < 2; training++) {
            world *w = make_world(&s);
            want_all(w);
            wish(w, 1);
            w->run.threads = threads;
            w->run.cancel.poll = poll;
            w->run.workspace = workspace_of(w, training ? HN_MODE_TRAINING : HN_MODE_INFERENCE, threads);
            polls_left = 0;
            hn_hyper_counters(&before, &calls);
            CHECK((training ? hn_hyper_gradients : hn_hyper_predict)(w->hyper, &w->run, &error) == HN_CANCELLED);
            CHECK(polls_left == -1); /* who said so is not asked again */
            hn_hyper_counters(&after, &calls);
            if (!training && threads == 1) /* a generator ends between its nodes */
                CHECK(after == before);
            hn_hyper_workspace_free(w->run.workspace);
            free_world(w);
            checked++;
        }
}

static void test_failing_allocations(void)
{
    spec s = {.generator = G_IDS, .target = T_TWO, .mode = M_TASKS, .groups = 40, .rows = 3, .dtype = HN_FLOAT32,
              .limits = cuts[1]};
    hn_isa isa;
    world *w = make_world(&s);
    CHECK(hn_isa_default(&isa, &error) == HN_OK);
    int64_t before = hn_memory_live_blocks(), k = 1;
    for (;; k++, checked++) {
        hn_memory_fail_at(k);
        hn_hyper *hyper = hn_hyper_create(w->generator, w->target, w->generated, NULL, NULL, isa, &error);
        hn_hyper_workspace *workspace = NULL;
        if (hyper)
            workspace = hn_hyper_workspace_create(hyper, 4000, 3, HN_MODE_INFERENCE, 2, &error);
        hn_memory_fail_at(0);
        int done = workspace != NULL;
        CHECK(done || error.status == HN_ERROR_MEMORY);
        hn_hyper_workspace_free(workspace);
        hn_hyper_free(hyper);
        CHECK(hn_memory_live_blocks() == before);
        if (done)
            break;
    }
    CHECK(k > 10);
    CHECK(!hn_hyper_workspace_create(w->hyper, INT64_MAX, INT64_MAX, HN_MODE_TRAINING, INT32_MAX, &error) &&
          error.status == HN_ERROR_VALUE);
    free_world(w);
}

static void test_mistakes(void)
{
    test_bad_data();
    test_bad_arguments();
    test_cancelling();
    test_failing_allocations();
}

/* ---- resources ---- */

static void test_resources(void)
{
    static const char *const heads[] = {"dense", "dense", "dense", "values", "dense", "dense", "given"};
    for (int generator = 0; generator < G_COUNT; generator++)
        for (int m = 0; m < M_COUNT; m++) {
            spec s = {.generator = generator, .target = T_MLP, .mode = m, .groups = 50, .rows = 3, .width = 64,
                      .dtype = HN_FLOAT32, .limits = cuts[1 + m % (CUTS - 1)]};
            int64_t rows[2], calls[2];
            world *w = make_world(&s);
            CHECK(strcmp(hn_hyper_head_name(w->hyper), heads[generator]) == 0);
            CHECK(hn_head_find(heads[generator]) && !hn_head_find("none"));
            for (int mode = 0; mode < 2; mode++) {
                hn_hyper_workspace *large = hn_hyper_workspace_create(w->hyper, 100000, 100000, mode, 2, &error);
                hn_hyper_workspace *larger = hn_hyper_workspace_create(w->hyper, 10000000, 1000000, mode, 2, &error);
                CHECK(large && larger && hn_hyper_workspace_bytes(large) == hn_hyper_workspace_bytes(larger));
                hn_hyper_workspace_free(large);
                hn_hyper_workspace_free(larger);
            }
            w->run.workspace = workspace_of(w, HN_MODE_INFERENCE, 1);
            hn_hyper_counters(&rows[0], &calls[0]);
            CHECK(hn_hyper_predict(w->hyper, &w->run, &error) == HN_OK);
            hn_hyper_counters(&rows[1], &calls[1]);
            CHECK(rows[1] - rows[0] == (w->generator ? w->spec.groups : 0) && calls[1] - calls[0] == 1);
            hn_hyper_workspace_free(w->run.workspace);
            free_world(w);
            CHECK(hn_memory_live_blocks() == 0);
            checked++;
        }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(void);
    } tests[] = {{"predict", test_predict}, {"gradients", test_gradients}, {"blocks", test_blocks},
                 {"mistakes", test_mistakes}, {"resources", test_resources}};
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if ((argc == 2 || argc == 3) && strcmp(argv[1], tests[i].name) == 0) {
            share = argc == 3 ? strtol(argv[2], NULL, 10) : 1;
            CHECK(share >= 1);
            tests[i].test();
            CHECK(hn_memory_live_blocks() == 0);
            printf("%lld checked\n", (long long)checked);
            return 0;
        }
    fprintf(stderr, "usage: hyper predict|gradients|blocks|mistakes|resources [share]\n");
    return 2;
}
