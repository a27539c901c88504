/* Heads in fewer bits, tested from C:
     quantized rounding     what hn_head_quantize makes of random, tied, huge and subnormal numbers
     quantized predict      against the same hypernetwork with the kernel that is meant, in every mode and cut
     quantized mistakes     wrong sizes and types, training, failing allocations
   Prints what it checked. Exits 1 with the place of the first failure. */
#include "hyper_world.h"

static int64_t checked;

/* ---- rounding ---- */

enum { WIDTH = 37, COLUMNS = 1100, MANY = WIDTH * COLUMNS };

static float kernel[MANY], scale[COLUMNS];
static uint16_t halves[MANY];
static int8_t bytes[MANY];

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double bfloat16_value(uint16_t half)
{
    return (double)float_of((uint32_t)half << 16);
}

/* The nearest of all bfloat16 numbers around `half`, of two equally near ones the even one. */
static void check_nearest(float value, uint16_t half)
{
    double made = fabs((double)value - bfloat16_value(half));
    CHECK((half & 0x7F80) != 0x7F80);
    for (int step = -1; step <= 1; step += 2) {
        uint16_t other = (uint16_t)(half + step);
        if ((half & 0x7FFF) == 0 && step < 0)
            other = half ^ 0x8001; /* the smallest number of the other sign */
        if ((other & 0x7F80) == 0x7F80)
            continue;
        double also = fabs((double)value - bfloat16_value(other));
        CHECK(made < also || (made == also && half % 2 == 0));
    }
    CHECK(made <= 0x1p-8 * fabs((double)value) + 0x1p-134);
    CHECK(made <= fabs(bfloat16_value(half)) / 255 + 0x1p-134);
    CHECK(value != 0 || (half & 0x7FFF) == 0);
    CHECK((signbit(value) != 0) == (half >> 15 != 0));
    checked++;
}

/* Every sign and exponent, with mantissas at, beside and between ties; the largest number of all. */
static void test_bfloat16(void)
{
    static const uint32_t rests[] = {0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF};
    int64_t i = 0;
    for (uint32_t exponent = 0; exponent < 255; exponent++)
        for (uint32_t sign = 0; sign < 2; sign++)
            for (int m = 0; m < 78; m++) {
                uint32_t upper = m < 6 ? (uint32_t)(m % 3) : m < 12 ? 0x7Du + (uint32_t)(m % 3)
                                                                    : (uint32_t)(uniform() * 128);
                uint32_t lower = m % 2 ? rests[(uint32_t)(uniform() * 6)] : (uint32_t)(uniform() * 65536);
                kernel[i++] = float_of(sign << 31 | exponent << 23 | upper << 16 | lower);
            }
    kernel[i++] = float_of(0x7F7FFFFF);
    kernel[i++] = float_of(0xFF7FFFFF);
    CHECK(i <= MANY);
    while (i < MANY)
        kernel[i++] = (float)(uniform() - 0.5);
    double worst, largest = 0;
    CHECK(hn_head_quantize(HN_BFLOAT16, WIDTH, COLUMNS, kernel, halves, NULL, &worst, &error) == HN_OK);
    for (i = 0; i < MANY; i++) {
        check_nearest(kernel[i], halves[i]);
        largest = fmax(largest, fabs((double)kernel[i] - bfloat16_value(halves[i])));
    }
    CHECK(worst == largest);
}

/* One column: its scale, and every number within half of it, at a tie even. */
static void check_column(int64_t j)
{
    double step = (double)scale[j], most = 0;
    for (int64_t k = 0; k < WIDTH; k++)
        most = fmax(most, fabs((double)kernel[k * COLUMNS + j]));
    CHECK(isfinite(step) && (step > 0) == (most > 0));
    CHECK(fabs(step * 127 - most) <= fmax(0x1p-24 * most, 127 * 0x1p-149));
    for (int64_t k = 0; k < WIDTH; k++) {
        double value = (double)kernel[k * COLUMNS + j], q = bytes[k * COLUMNS + j];
        double made = fabs(value - q * step);
        CHECK(fabs(q) <= 127 && made <= step / 2);
        CHECK(made < step / 2 || step == 0 || fmod(q, 2) == 0);
        checked++;
    }
}

/* Columns of every size, down to the smallest subnormal number and up to the largest; of zeros; of nothing but ties. */
static void test_int8(void)
{
    for (int64_t j = 0; j < COLUMNS; j++) {
        int exponent = (int)(uniform() * 277) - 149;
        for (int64_t k = 0; k < WIDTH; k++) {
            double value = ldexp(2 * uniform() - 1, exponent);
            if (j % 5 == 1) /* a scale of 2^e: every other number is a tie */
                value = k == 0 ? 127 * ldexp(1, exponent - 7) : ldexp(floor(254 * uniform()) - 127, exponent - 8);
            else if (j % 5 == 2) /* few units of the smallest number there is */
                value = 0x1p-149 * floor((double)(j + 1) * (2 * uniform() - 1));
            else if (j % 50 == 3)
                value = k % 2 ? -0.0 : 0.0;
            else if (j % 50 == 4)
                value = (k % 2 ? -1 : 1) * 3.4028234663852886e38 * (k < 2 ? 1 : uniform());
            kernel[k * COLUMNS + j] = (float)value;
        }
    }
    for (int64_t j = 2, units = 1; j < COLUMNS; j += 5, units++) /* largest numbers of 1, 2, ... units, on any row */
        kernel[j % WIDTH * COLUMNS + j] = (float)(0x1p-149 * (double)units * 2.0);
    double worst, largest = 0;
    CHECK(hn_head_quantize(HN_INT8, WIDTH, COLUMNS, kernel, bytes, scale, &worst, &error) == HN_OK);
    for (int64_t j = 0; j < COLUMNS; j++)
        check_column(j);
    for (int64_t i = 0; i < MANY; i++)
        largest = fmax(largest, fabs((double)kernel[i] - bytes[i] * (double)scale[i % COLUMNS]));
    CHECK(worst == largest);
}

static void test_rounding(void)
{
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    test_bfloat16();
    test_int8();
    for (int i = 0; i < 6; i++) {
        float before = kernel[MANY - 1 - i];
        kernel[MANY - 1 - i] = bad[i % 3];
        CHECK(hn_head_quantize(i < 3 ? HN_INT8 : HN_BFLOAT16, WIDTH, COLUMNS, kernel, halves, scale, NULL, &error) ==
              HN_ERROR_VALUE);
        CHECK(strstr(error.message, "feature 36 of weight") && strstr(error.message, "not finite"));
        kernel[MANY - 1 - i] = before;
        checked++;
    }
    CHECK(hn_head_quantize(HN_FLOAT32, 1, 1, kernel, halves, NULL, NULL, &error) == HN_ERROR_TYPE);
    CHECK(hn_head_quantize(HN_INT8, -1, 1, kernel, bytes, scale, NULL, &error) == HN_ERROR_VALUE);
    CHECK(hn_head_quantize(HN_INT8, 0, 0, NULL, bytes, scale, NULL, &error) == HN_OK);
}

/* ---- predict ---- */

/* A hypernetwork whose generator is `w`'s without its head, and whose head is in fewer bits; `w`'s head becomes the
   kernel that these stand for, so that both are to give the same. */
typedef struct pair {
    world *w;
    hn_graph *trunk;
    hn_hyper *hyper;
    hn_quantized_head head;
    hn_hyper_run run;
} pair;

static hn_graph *make_trunk(const spec *s)
{
    hn_graph *graph = hn_graph_create(s->dtype, &error);
    int32_t x = input(graph, "condition", (hn_shape){1, {3}}, s->dtype);
    if (s->generator != G_EMPTY)
        x = one_number(graph, "dropout", "drop", "rate", 0.25,
                       dense(graph, "a", s->width ? s->width : 4, "tanh", 1, x));
    CHECK(hn_graph_output(graph, x, &error) == HN_OK);
    return graph;
}

static double stored_at(const hn_quantized_head *head, int64_t i)
{
    return head->stored == HN_INT8 ? ((const int8_t *)head->kernel)[i] * (double)head->scale[i % head->count]
                                   : bfloat16_value(((const uint16_t *)head->kernel)[i]);
}

static pair make_pair(const spec *s, hn_dtype stored)
{
    hn_isa isa;
    pair p = {.w = make_world(s), .trunk = make_trunk(s)};
    world *w = p.w;
    const int entries = hn_graph_entry_count(w->generator), at = entries - (s->generator == G_NO_BIAS ? 1 : 2);
    const hn_entry *entry = hn_graph_entry(w->generator, at);
    float *weights = (float *)w->tracked[0].data + entry->offset; /* of the generator */
    int64_t width = entry->spec.shape.dims[0], count = entry->spec.shape.dims[1];
    void *to = own(w, width * count, hn_dtype_size(stored));
    float *scales = own(w, count, sizeof(float));
    CHECK(strstr(entry->name, "head/kernel") == entry->name);
    CHECK(hn_head_quantize(stored, width, count, weights, to, scales, NULL, &error) == HN_OK);
    p.head = (hn_quantized_head){stored, width, count, to, stored == HN_INT8 ? scales : NULL,
                                 s->generator == G_NO_BIAS ? NULL : weights + width * count};
    for (int64_t i = 0; i < width * count; i++)
        weights[i] = (float)stored_at(&p.head, i);
    CHECK(hn_isa_default(&isa, &error) == HN_OK);
    p.hyper = hn_hyper_create_quantized(p.trunk, &p.head, w->target, w->generated, NULL, NULL, isa, &error);
    CHECK(p.hyper && strcmp(hn_hyper_head_name(p.hyper), stored == HN_INT8 ? "int8" : "bfloat16") == 0);
    for (int mode = HN_MODE_INFERENCE; s->limits.groups && mode <= HN_MODE_TRAINING; mode++)
        memcpy(p.hyper->limits[mode], w->hyper->limits[mode], sizeof p.hyper->limits[mode]);
    p.run = w->run; /* the trunk's entries come first in the generator's layout, too */
    return p;
}

static void free_pair(pair *p)
{
    hn_hyper_free(p->hyper);
    hn_graph_free(p->trunk);
    free_world(p->w);
}

/* The outputs of all groups and rows into `to`. */
static int64_t outputs_copy(const world *w, float *to)
{
    int64_t count = 0;
    for (int i = 0; i < hn_graph_output_count(w->target); i++)
        for (int64_t j = 0; j < w->spec.groups * w->outputs[i].group_stride; j++)
            to[count++] = ((const float *)w->outputs[i].data)[j];
    return count;
}

static void predict(const hn_hyper *hyper, hn_hyper_run run, int32_t threads)
{
    run.threads = threads;
    run.workspace = hn_hyper_workspace_create(hyper, run.groups, run.rows, HN_MODE_INFERENCE, threads, &error);
    CHECK(run.workspace && hn_hyper_predict(hyper, &run, &error) == HN_OK);
    hn_hyper_workspace_free(run.workspace);
}

static void generate(const hn_hyper *hyper, hn_hyper_run run, int32_t threads, float *theta, int64_t stride)
{
    run.threads = threads;
    run.rows = 0;
    run.inputs = NULL;
    run.workspace = hn_hyper_workspace_create(hyper, run.groups, 0, HN_MODE_INFERENCE, threads, &error);
    CHECK(run.workspace && hn_hyper_generate(hyper, &run, theta, stride, &error) == HN_OK);
    hn_hyper_workspace_free(run.workspace);
}

static void check_pair(const spec *s, hn_dtype stored)
{
    enum { MOST_OUTPUTS = 4096 };
    static float got[MOST_OUTPUTS], again[MOST_OUTPUTS], expected[MOST_OUTPUTS];
    pair p = make_pair(s, stored);
    world *w = p.w;
    int64_t columns = hn_hyper_generated_count(p.hyper), stride = columns + 3, groups = w->spec.groups;
    float *theta = own(w, groups * stride, 4), *theta2 = own(w, groups * stride, 4);
    float *meant = own(w, groups * columns, 4);
    predict(p.hyper, p.run, 1);
    int64_t count = outputs_copy(w, got);
    predict(p.hyper, p.run, 3);
    outputs_copy(w, again);
    CHECK(count <= MOST_OUTPUTS && memcmp(got, again, (size_t)count * 4) == 0); /* not a bit from the threads */
    predict(w->hyper, w->run, 1);
    outputs_copy(w, expected);
    for (int64_t i = 0; i < count; i++)
        CHECK(fabsf(got[i] - expected[i]) <= 2e-5f);
    generate(p.hyper, p.run, 1, theta, stride);
    generate(p.hyper, p.run, 3, theta2, stride);
    generate(w->hyper, w->run, 1, meant, columns);
    CHECK(memcmp(theta, theta2, (size_t)(groups * stride) * 4) == 0);
    for (int64_t g = 0; g < groups; g++)
        for (int64_t j = 0; j < stride; j++)
            CHECK(j < columns ? fabsf(theta[g * stride + j] - meant[g * columns + j]) <= 1e-5f
                              : theta[g * stride + j] == 0);
    free_pair(&p);
    CHECK(hn_memory_live_blocks() == 0);
    checked++;
}

static void test_predict(void)
{
    static const hyper_limits cuts[] = {{0}, {2, 1000, 2, 1}, {3, 1000, 2, 0}, {3, 2, 2, 0}};
    static const generator_kind generators[] = {G_MLP, G_EMPTY, G_NO_BIAS};
    for (int g = 0; g < 3; g++)
        for (int target = 0; target < T_COUNT; target++)
            for (int m = 0; m < M_COUNT; m++)
                for (int cut = 0; cut < 4; cut++) {
                    spec s = {.generator = generators[g], .target = target, .mode = m, .groups = 9, .rows = 3,
                              .dtype = HN_FLOAT32, .limits = cuts[cut], .partial = (g + target + cut) % 2,
                              .base = (target + m + cut) % 2, .width = cut == 1 ? 40 : 0};
                    check_pair(&s, (cut + m) % 2 ? HN_INT8 : HN_BFLOAT16);
                }
}

/* ---- mistakes ---- */

static int polls_left;
static int poll(void *context)
{
    (void)context;
    return --polls_left < 0;
}

static void refused(const pair *p, hn_quantized_head head, const hn_graph *trunk, hn_status status, const char *part)
{
    hn_isa isa;
    CHECK(hn_isa_default(&isa, &error) == HN_OK);
    CHECK(!hn_hyper_create_quantized(trunk, &head, p->w->target, p->w->generated, NULL, NULL, isa, &error));
    CHECK(error.status == status && strstr(error.message, part));
    checked++;
}

static void test_refusals(pair *p)
{
    hn_quantized_head head = p->head;
    refused(p, (hn_quantized_head){head.stored, head.width + 1, head.count, head.kernel, head.scale, head.bias},
            p->trunk, HN_ERROR_VALUE, "features");
    refused(p, (hn_quantized_head){head.stored, head.width, head.count + 1, head.kernel, head.scale, head.bias},
            p->trunk, HN_ERROR_VALUE, "generated");
    refused(p, (hn_quantized_head){head.stored, head.width, head.count, head.kernel, NULL, head.bias}, p->trunk,
            HN_ERROR_VALUE, "scale");
    refused(p, (hn_quantized_head){HN_BFLOAT16, head.width, head.count, head.kernel, head.scale, head.bias}, p->trunk,
            HN_ERROR_VALUE, "scale");
    refused(p, (hn_quantized_head){head.stored, head.width, head.count, NULL, head.scale, head.bias}, p->trunk,
            HN_ERROR_VALUE, "kernel");
    refused(p, (hn_quantized_head){HN_FLOAT32, head.width, head.count, head.kernel, NULL, head.bias}, p->trunk,
            HN_ERROR_TYPE, "bfloat16");
    CHECK(!hn_hyper_workspace_create(p->hyper, 4, 3, HN_MODE_TRAINING, 1, &error));
    CHECK(error.status == HN_ERROR_RUNTIME && strstr(error.message, "inference"));
}

static void test_runs(pair *p)
{
    hn_hyper_run run = p->run;
    float *theta = own(p->w, run.groups * hn_hyper_generated_count(p->hyper), sizeof *theta);
    int64_t stride = hn_hyper_generated_count(p->hyper);
    run.workspace = hn_hyper_workspace_create(p->hyper, run.groups, run.rows, HN_MODE_INFERENCE, 1, &error);
    CHECK(run.workspace);
    hn_graph_bind(p->w->generator, p->w->tracked[0].data, NULL, p->w->generator_sources);
    hn_graph_bind(p->w->target, p->w->tracked[1].data, NULL, p->w->target_sources);
    run.losses = p->w->losses;
    run.targets = p->w->targets;
    CHECK(hn_hyper_gradients(p->hyper, &run, &error) == HN_OK); /* losses alone */
    run.condition_gradients = p->w->condition_gradients;
    CHECK(hn_hyper_gradients(p->hyper, &run, &error) == HN_ERROR_RUNTIME);
    run.conditions = NULL;
    CHECK(hn_hyper_generate(p->hyper, &run, theta, stride, &error) == HN_ERROR_VALUE);
    run.conditions = p->run.conditions;
    run.groups++;
    CHECK(hn_hyper_generate(p->hyper, &run, theta, stride, &error) == HN_ERROR_VALUE);
    run.groups = 0;
    CHECK(hn_hyper_generate(p->hyper, &run, theta, stride, &error) == HN_OK);
    run.groups = p->run.groups;
    run.cancel.poll = poll;
    polls_left = 0;
    CHECK(hn_hyper_generate(p->hyper, &run, theta, stride, &error) == HN_CANCELLED && polls_left == -1);
    hn_hyper_workspace_free(run.workspace);
    checked += 6;
}

static void test_allocations(const pair *p)
{
    hn_isa isa;
    int64_t before = hn_memory_live_blocks();
    CHECK(hn_isa_default(&isa, &error) == HN_OK);
    for (int64_t k = 1;; k++, checked++) {
        hn_memory_fail_at(k);
        hn_hyper *hyper = hn_hyper_create_quantized(p->trunk, &p->head, p->w->target, p->w->generated, NULL, NULL, isa,
                                                    &error);
        hn_memory_fail_at(0);
        int done = hyper != NULL;
        CHECK(done || error.status == HN_ERROR_MEMORY);
        hn_hyper_free(hyper);
        CHECK(hn_memory_live_blocks() == before);
        if (done)
            return;
    }
}

static void test_mistakes(void)
{
    spec s = {.generator = G_MLP, .target = T_MLP, .mode = M_TASKS, .groups = 400, .rows = 3, .dtype = HN_FLOAT32,
              .losses = 1, .width = 400};
    pair p = make_pair(&s, HN_INT8);
    test_refusals(&p);
    test_runs(&p);
    test_allocations(&p);
    spec wide = s;
    wide.dtype = HN_FLOAT64;
    hn_graph *trunk = make_trunk(&wide);
    world *doubles = make_world(&wide);
    pair of_doubles = {.w = doubles};
    refused(&of_doubles, p.head, trunk, HN_ERROR_TYPE, "float32");
    hn_graph_free(trunk);
    free_world(doubles);
    free_pair(&p);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(void);
    } tests[] = {{"rounding", test_rounding}, {"predict", test_predict}, {"mistakes", test_mistakes}};
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (argc == 2 && strcmp(argv[1], tests[i].name) == 0) {
            tests[i].test();
            CHECK(hn_memory_live_blocks() == 0);
            printf("%lld checked\n", (long long)checked);
            return 0;
        }
    fprintf(stderr, "usage: quantized rounding|predict|mistakes\n");
    return 2;
}
