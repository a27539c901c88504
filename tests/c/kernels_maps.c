/* Every elementwise function and its slope against the reference twin. */
#include "kernels_support.h"

enum { X, Y, DY, DX, ONE, MOST = 6000 };

/* Numbers of every size that the function and its tails know. */
static void fill_widely(const test *t, void *data, int64_t count)
{
    static const double sizes[] = {1e-30, 1e-3, 0.5, 2, 8, 20, 110, 800, 1e10};
    double size = sizes[random_below(9)];
    fill(t, data, count, size);
    fill_specials(t, data, count, one_in(3) ? 3 : 0);
}

/* 4 ulp; of a function with `conditioned` as much again as an x that is off by eps makes. The double twin is held to 2
   ulp more, by libm; a product with a subnormal factor is off by the other factor times the smallest number. */
static double forward_bound(const test *t, hn_map map, const double *params, double x, double y)
{
    double bound = 4 * ulp_of(t, y);
    if (t->dtype == HN_FLOAT64)
        bound += 2 * ulp_of(t, y) + (1 + fabs(x)) * t->smallest;
    if (hn_map_describe(map)->conditioned)
        bound += t->twin * t->epsilon * fabs(x * slope_at(map, params, x));
    return bound;
}

/* 8 eps |dy| (|f'| + |v f''|), v being what backward reads. The smallest numbers are not rounded to that: of the double
   twin, factors are not. */
static double backward_bound(const test *t, hn_map map, const double *params, double v, double dy)
{
    const double step = 1e-5;
    double slope = slope_at(map, params, v);
    if (!isfinite(v))
        return isnan(slope) ? 0 : 8 * t->twin * t->epsilon * fabs(slope * dy);
    double bend = (slope_at(map, params, v * (1 + step)) - slope_at(map, params, v * (1 - step))) / (2 * step);
    double subnormal = t->smallest * (t->dtype == HN_FLOAT32 ? 1 : 1 + v * v);
    return 8 * t->twin * (t->epsilon * (fabs(slope) + fabs(bend)) + subnormal) * fabs(dy) + 2 * t->smallest;
}

static void round_params(const test *t, double *params)
{
    for (int i = 0; i < 3; i++)
        params[i] = t->dtype == HN_FLOAT32 ? (double)(float)params[i] : params[i];
}

static void test_forward(const test *t, hn_map map, const double *params, int64_t n)
{
    static double expected[MOST + 2];
    void *x = array_place(X, n * (int64_t)t->element);
    fill_widely(t, x, n);
    void *y = array_new(t, Y, n, 1), *again = array_copy(t, DX, x, n);
    t->kernels->map_forward(map, params, n, x, y);
    t->kernels->map_forward(map, params, n, again, again);
    t->reference->map_forward(map, params, n, x, expected);
    same_bits(t, "y in place", y, again, n);
    for (int64_t i = 0; i < n; i++) {
        double wanted = get(t, expected, i), got = get(t, y, i), at = get(t, x, i);
        compare(t, "y", i, got, wanted, forward_bound(t, map, params, at, wanted));
        if (wanted == 0 && got == 0 && at == 0 && signbit(wanted) != signbit(got))
            fail(t, "y[%lld] is a zero with the wrong sign, of %g", (long long)i, at);
    }
    if (n > 0) { /* an element's bits do not depend on its place */
        int64_t i = random_below(n);
        void *one = array_place(ONE, (int64_t)t->element);
        t->kernels->map_forward(map, params, 1, (char *)x + (size_t)i * t->element, one);
        same_bits(t, "y alone", one, (char *)y + (size_t)i * t->element, 1);
    }
    array_check(t, X);
    array_check(t, Y);
    array_check(t, DX);
}

static void test_backward(const test *t, hn_map map, const double *params, int64_t n)
{
    static double expected[MOST + 2];
    void *v = array_place(X, n * (int64_t)t->element), *dy = array_new(t, DY, n, 3);
    fill_widely(t, v, n);
    if (hn_map_describe(map)->from_output)
        t->reference->map_forward(map, params, n, v, v);
    void *dx = array_new(t, DX, n, 1), *over_dy = array_copy(t, Y, dy, n), *over_v = array_copy(t, ONE, v, n);
    t->kernels->map_backward(map, params, n, v, dy, dx);
    t->kernels->map_backward(map, params, n, v, over_dy, over_dy);
    t->kernels->map_backward(map, params, n, over_v, dy, over_v);
    t->reference->map_backward(map, params, n, v, dy, expected);
    same_bits(t, "dx over dy", dx, over_dy, n);
    same_bits(t, "dx over x or y", dx, over_v, n);
    for (int64_t i = 0; i < n; i++)
        compare(t, "dx", i, get(t, dx, i), get(t, expected, i),
                backward_bound(t, map, params, get(t, v, i), get(t, dy, i)));
    array_check(t, DX);
    array_check(t, Y);
    array_check(t, ONE);
}

/* Where a formula taken at its word overflows, underflows or multiplies 0 by inf: exact values, of 60 digits. */
static void test_extremes(const test *t)
{
    const int single = t->dtype == HN_FLOAT32;
    const double most = single ? (double)FLT_MAX : DBL_MAX, small = single ? 1e-30 : 1e-200;
    const double far = single ? -100 : -740, tail = single ? -10.5 : -21.375;
    const double far_slope = single ? -3.6828752162606276e-42 : -3.0954787713555082e-319;
    const double tail_slope = single ? -1.8637344242040153e-41 : -7.4771903690018806e-315;
    const struct extreme {
        hn_map map;
        double param, x, y, slope; /* y: nan is not compared */
    } extremes[] = {
        {HN_MAP_GELU_TANH, 0, 1e25, 1e25, 1}, {HN_MAP_GELU_TANH, 0, -1e25, 0, 0},
        {HN_MAP_GELU_TANH, 0, most, most, 1}, {HN_MAP_GELU_TANH, 0, -most, 0, 0},
        {HN_MAP_GELU_TANH, 0, tail, (double)NAN, tail_slope},
        {HN_MAP_SILU, 0, most, most, 1}, {HN_MAP_SILU, 0, -most, 0, 0}, {HN_MAP_SILU, 0, far, (double)NAN, far_slope},
        {HN_MAP_MISH, 0, most, most, 1}, {HN_MAP_MISH, 0, -most, 0, 0}, {HN_MAP_MISH, 0, far, (double)NAN, far_slope},
        {HN_MAP_SOFTSIGN, 0, single ? 2e19 : 2e155, 1, single ? 2.5e-39 : 2.5e-311},
        {HN_MAP_SQUAREPLUS, 4, most, most, 1}, {HN_MAP_SQUAREPLUS, 4, -most, 1 / most, 0},
        {HN_MAP_SQUAREPLUS, 0, small, small, 1}, {HN_MAP_SQUAREPLUS, 0, -small, 0, 0},
    };
    for (int i = 0; i < (int)(sizeof extremes / sizeof *extremes); i++) {
        const struct extreme *e = &extremes[i];
        const double params[3] = {e->param};
        double x, dy, out;
        set(t, &x, 0, e->x);
        set(t, &dy, 0, 1);
        snprintf(shape_text, sizeof shape_text, "map %s at %g", hn_map_describe(e->map)->name, e->x);
        for (int twin = 0; twin < 2; twin++) { /* the double twin rounds what is subnormal too often */
            const hn_kernels *kernels = twin ? t->reference : t->kernels;
            double loose = twin ? (1 + e->x * e->x) * t->smallest : 0;
            kernels->map_forward(e->map, params, 1, &x, &out);
            if (!isnan(e->y))
                compare(t, "y", i, get(t, &out, 0), e->y, 4 * ulp_of(t, e->y));
            kernels->map_backward(e->map, params, 1, &x, &dy, &out);
            compare(t, "slope", i, get(t, &out, 0), e->slope,
                    (fabs(e->slope) < 1e-30 ? 16 * t->smallest + loose : 4 * t->epsilon));
        }
    }
}

static void run(const test *t, int64_t shapes)
{
    test_extremes(t);
    for (int64_t i = 0; i < shapes; i++) {
        hn_map map = (hn_map)(i % HN_MAP_COUNT);
        int64_t n = random_size(one_in(20) ? MOST : 300);
        double params[3] = {fabs(random_real()), 3 + 2 * random_real(), random_real()};
        if (one_in(3))
            params[1] = (double)INFINITY;
        round_params(t, params);
        shape("map %s n %lld params %.17g %.17g %.17g", hn_map_describe(map)->name, (long long)n, params[0], params[1],
              params[2]);
        test_forward(t, map, params, n);
        test_backward(t, map, params, n);
    }
}

int main(int count, char **arguments)
{
    return kernels_main(count, arguments, run);
}
