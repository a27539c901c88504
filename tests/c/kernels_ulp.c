/* Every elementwise function of float against the exact one, over the inputs first, first + step, ... of all 2^32:

     kernels_ulp ISA,... FIRST STEP [MAP]

   prints for each map and instruction set how many inputs it tried, and the worst error in ulp with its input. A result
   outside the bound that kernels.h states is printed and ends the program with 1. */
#include "kernels_support.h"

enum { BATCH = 8192 };

static const double params[HN_MAP_COUNT][3] = {
    [HN_MAP_RELU_GENERAL] = {0.25, 6.0, 0.5}, [HN_MAP_ELU] = {1.25}, [HN_MAP_SQUAREPLUS] = {4.0},
    [HN_MAP_SOFT_SHRINK] = {0.5}, [HN_MAP_HARD_SHRINK] = {0.5},
};

typedef struct worst {
    double ulp;
    float at;
} worst;

/* The distance in units of the last place of the exact value: at least the smallest number. */
static double distance(const test *t, double got, double exact)
{
    if (isnan(exact))
        return isnan(got) ? 0 : (double)INFINITY;
    double rounded = (double)(float)exact;
    if (isinf(rounded) || isinf(got))
        return got == rounded ? 0 : (double)INFINITY;
    return fabs(got - exact) / ulp_of(t, exact);
}

/* How much more than 4 ulp a `conditioned` function may be off. */
static double allowance(const test *t, hn_map map, double x, double exact)
{
    if (!hn_map_describe(map)->conditioned)
        return 0;
    return t->epsilon * fabs(x * slope_at(map, params[map], x)) / ulp_of(t, exact);
}

/* Whether the exact value is so near to the largest number that overflow and the largest number are both near. */
static int overflows(double got, double exact)
{
    return fabs(exact) > (double)FLT_MAX * (1 - 4 * (double)FLT_EPSILON) && fabs(got) >= (double)FLT_MAX * (1 - 4e-7) &&
           signbit(got) == signbit(exact);
}

/* Whether all are at most `ulp` off, without a branch or a call for each: 2^-23 of the exact value's power of two. */
static int all_within(const float *y, const double *exact, int count, double ulp)
{
    int over = 0;
    for (int i = 0; i < count; i++) {
        union {
            double number;
            uint64_t bits;
        } power = {exact[i]};
        power.bits &= UINT64_C(0x7FF) << 52;
        double unit = power.number * 0x1p-23;
        unit = unit > 0x1p-149 ? unit : 0x1p-149;
        over |= !(fabs((double)y[i] - exact[i]) <= ulp * unit);
    }
    return !over;
}

static void check_batch(const test *t, hn_map map, int count, const float *x, const double *wide, const double *exact,
                        worst *worst)
{
    static float y[BATCH];
    t->kernels->map_forward(map, params[map], count, x, y);
    if (all_within(y, exact, count, worst->ulp))
        return;
    for (int i = 0; i < count; i++) {
        double ulp = distance(t, (double)y[i], exact[i]);
        if (ulp <= worst->ulp || overflows((double)y[i], exact[i]))
            continue;
        if (!(ulp <= 4 + allowance(t, map, wide[i], exact[i]))) {
            shape("map %s at %.9g", hn_map_describe(map)->name, wide[i]);
            fail(t, "%.9g is %.3g ulp from %.17g", (double)y[i], ulp, exact[i]);
        }
        *worst = (struct worst){ulp, x[i]};
    }
}

/* The exact values are taken once for all instruction sets. */
static void check_map(const test *tests, const char *const *names, hn_map map, uint64_t first, uint64_t step)
{
    static float x[BATCH];
    static double wide[BATCH], exact[BATCH];
    worst worst[HN_ISA_COUNT] = {{0, 0}};
    uint64_t tried = 0;
    for (uint64_t bits = first; bits <= UINT32_MAX;) {
        int count = 0;
        for (; count < BATCH && bits <= UINT32_MAX; count++, bits += step) {
            uint32_t low = (uint32_t)bits;
            memcpy(&x[count], &low, sizeof low);
            wide[count] = (double)x[count];
        }
        hn_kernels_get(HN_ISA_REFERENCE, HN_FLOAT64)->map_forward(map, params[map], count, wide, exact);
        for (int k = 0; names[k]; k++)
            check_batch(&tests[k], map, count, x, wide, exact, &worst[k]);
        tried += (uint64_t)count;
    }
    for (int k = 0; names[k]; k++)
        printf("%s %s inputs %llu worst %.3f at %.9g\n", names[k], hn_map_describe(map)->name,
               (unsigned long long)tried, worst[k].ulp, (double)worst[k].at);
}

int main(int count, char **arguments)
{
    if (count < 4)
        return 2;
    test tests[HN_ISA_COUNT];
    const char *names[HN_ISA_COUNT + 1] = {NULL};
    int isas = 0;
    for (char *name = strtok(arguments[1], ","); name && isas < HN_ISA_COUNT; name = strtok(NULL, ",")) {
        tests[isas] = (test){.dtype = HN_FLOAT32, .element = sizeof(float), .epsilon = (double)FLT_EPSILON,
                             .smallest = 0x1p-149, .kernels = hn_kernels_get(isa_named(name), HN_FLOAT32)};
        if (!tests[isas].kernels)
            return 2;
        names[isas++] = name;
    }
    uint64_t first = strtoull(arguments[2], NULL, 10), step = strtoull(arguments[3], NULL, 10);
    if (step == 0)
        return 2;
    for (int map = 0; map < HN_MAP_COUNT; map++)
        if (count == 4 || strcmp(hn_map_describe((hn_map)map)->name, arguments[4]) == 0)
            check_map(tests, names, (hn_map)map, first, step);
    return 0;
}
