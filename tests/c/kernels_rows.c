/* Kernels that work on rows, softmax and layer normalisation, and sums of columns, against the reference twin. */
#include "kernels_support.h"

enum { IN, OUT, AGAIN, GRADIENT, GAMMA, BETA, MEAN, RSTD, DGAMMA, DBETA, MOST = 40000 };

static double expected[MOST], other[MOST], third[MOST]; /* results of the reference, of either type */

/* Rows and columns of at most MOST elements. */
static void random_matrix(int64_t *rows, int64_t *cols)
{
    do {
        *rows = random_size(600);
        *cols = random_size(9000);
    } while (*rows * *cols > (one_in(20) ? MOST : 3000));
}

/* A softmax's input: of every size, with a few inf and nan. */
static void fill_logits(const test *t, void *data, int64_t count)
{
    static const double sizes[] = {0.1, 3, 30, 300, 1e6};
    fill(t, data, count, sizes[random_below(5)]);
    fill_specials(t, data, count, one_in(6) ? 1 : 0);
}

/* Sum over a row of |a b|; b NULL: of |a|. */
static double row_magnitude(const test *t, const void *a, const void *b, int64_t first, int64_t cols)
{
    double sum = 0;
    for (int64_t j = first; j < first + cols; j++)
        sum += fabs(get(t, a, j) * (b ? get(t, b, j) : 1));
    return sum;
}

static double row_largest(const test *t, const void *x, int64_t first, int64_t cols)
{
    double largest = -(double)INFINITY;
    for (int64_t j = first; j < first + cols; j++)
        largest = get(t, x, j) > largest ? get(t, x, j) : largest;
    return largest;
}

/* Roundings of a sum of `cols`: at most 64 in a lane and 16 of lanes; beyond that blocks are added in double. */
static double sum_terms(int64_t cols)
{
    return (double)(cols < 80 ? cols : 80);
}

/* y = e / sum: x - max is rounded (eps / 2 |x - max|), then exp, a sum of `cols`, a division. In log-softmax the same
   difference, log(sum) and their difference are rounded, and the sum's error counts as it is. */
static void check_softmax_forward(const test *t, const void *x, int64_t rows, int64_t cols, int logarithm)
{
    int64_t n = rows * cols;
    void *y = array_new(t, OUT, n, 1), *in_place = array_copy(t, AGAIN, x, n);
    const hn_kernels *kernels = t->kernels, *reference = t->reference;
    (logarithm ? kernels->log_softmax_forward : kernels->softmax_forward)(rows, cols, x, y);
    (logarithm ? kernels->log_softmax_forward : kernels->softmax_forward)(rows, cols, in_place, in_place);
    (logarithm ? reference->log_softmax_forward : reference->softmax_forward)(rows, cols, x, expected);
    same_bits(t, "y in place", y, in_place, n);
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i % cols == 0)
            largest = row_largest(t, x, i, cols);
        double wanted = get(t, expected, i), off = fabs(get(t, x, i) - largest);
        double sum = fabs(wanted + off) + sum_terms(cols) + 8;
        double bound = logarithm ? 2 * off + sum : fabs(wanted) * (off + sum_terms(cols) + 8);
        if (!isfinite(off))
            bound = 0; /* 0 or nan */
        compare(t, "y", i, get(t, y, i), wanted, t->twin * (t->epsilon * bound + t->smallest));
    }
    if (rows > 0) { /* a row's bits do not depend on the others */
        int64_t row = random_below(rows);
        void *one = array_place(GRADIENT, cols * (int64_t)t->element);
        const char *from = (char *)x + (size_t)(row * cols) * t->element;
        (logarithm ? kernels->log_softmax_forward : kernels->softmax_forward)(1, cols, from, one);
        same_bits(t, "row alone", one, (char *)y + (size_t)(row * cols) * t->element, cols);
    }
    array_check(t, OUT);
    array_check(t, AGAIN);
}

static void test_softmax_forward(const test *t, int64_t rows, int64_t cols, int logarithm)
{
    void *x = array_place(IN, rows * cols * (int64_t)t->element);
    fill_logits(t, x, rows * cols);
    check_softmax_forward(t, x, rows, cols, logarithm);
}

/* Every width of a row that stays in registers, and some beyond: rows of equal numbers, and rows with one of what makes
   others 0 or nan, between ordinary ones, which in place must not feel them. */
static void test_softmax_short(const test *t)
{
    enum { ROWS = 10, WIDEST = 2 * 16 + 3 };
    const double specials[] = {(double)NAN, -(double)INFINITY, (double)INFINITY};
    for (int64_t cols = 1; cols <= WIDEST; cols++)
        for (int64_t rows = 1; rows <= ROWS; rows++) {
            snprintf(shape_text, sizeof shape_text, "softmax of short rows, rows %lld cols %lld", (long long)rows,
                     (long long)cols);
            void *x = array_new(t, IN, rows * cols, 5);
            for (int64_t row = 0; row < rows; row++) {
                int64_t kind = random_below(6), first = row * cols; /* 3: equal numbers, 4 and 5: ordinary ones */
                if (kind < 3)
                    set(t, x, first + random_below(cols), specials[kind]);
                for (int64_t j = 1; kind == 3 && j < cols; j++)
                    set(t, x, first + j, get(t, x, first));
            }
            check_softmax_forward(t, x, rows, cols, 0);
        }
}

/* softmax: y (dy - sum(dy y)), log-softmax: dy - exp(y) sum(dy): a sum of `cols` products and a few roundings. */
static void test_softmax_backward(const test *t, int64_t rows, int64_t cols, int logarithm)
{
    int64_t n = rows * cols;
    void *y = array_new(t, IN, n, 5), *dy = array_new(t, GRADIENT, n, 2);
    (logarithm ? t->reference->log_softmax_forward : t->reference->softmax_forward)(rows, cols, y, y);
    fill_specials(t, dy, n, one_in(6) ? 1 : 0);
    void *dx = array_new(t, OUT, n, 1), *over = array_copy(t, AGAIN, dy, n);
    const hn_kernels *kernels = t->kernels, *reference = t->reference;
    (logarithm ? kernels->log_softmax_backward : kernels->softmax_backward)(rows, cols, y, dy, dx);
    (logarithm ? kernels->log_softmax_backward : kernels->softmax_backward)(rows, cols, y, over, over);
    (logarithm ? reference->log_softmax_backward : reference->softmax_backward)(rows, cols, y, dy, expected);
    same_bits(t, "dx over dy", dx, over, n);
    double sum = 0, terms = sum_terms(cols) + 8;
    for (int64_t i = 0; i < n; i++) {
        if (i % cols == 0)
            sum = row_magnitude(t, dy, logarithm ? NULL : y, i, cols);
        double at = get(t, y, i), back = fabs(get(t, dy, i));
        double bound = logarithm ? back + exp(at) * terms * sum : at * (back * 2 + terms * sum);
        compare(t, "dx", i, get(t, dx, i), get(t, expected, i), t->twin * (t->epsilon * bound + t->smallest));
    }
    array_check(t, OUT);
    array_check(t, AGAIN);
}

static void test_column_sum(const test *t, int64_t rows, int64_t cols)
{
    int64_t ld = cols + (one_in(2) ? random_below(9) : 0), n = matrix_size(rows, cols, ld);
    int accumulate = one_in(2);
    void *a = array_new(t, IN, n, 1), *out = array_new(t, OUT, cols, 1);
    fill_specials(t, a, n, one_in(6) ? 1 : 0);
    for (int64_t j = 0; !accumulate && j < cols; j++)
        set(t, out, j, (double)NAN);
    void *again = array_copy(t, AGAIN, out, cols), *moved = array_copy(t, GRADIENT, a, n);
    memcpy(expected, out, (size_t)cols * t->element);
    memcpy(other, out, (size_t)cols * t->element);
    t->kernels->column_sum(rows, cols, a, ld, accumulate, out);
    t->kernels->column_sum(rows, cols, moved, ld, accumulate, again);
    t->reference->column_sum(rows, cols, a, ld, accumulate, expected);
    same_bits(t, "sum", out, again, cols);
    for (int64_t j = 0; j < cols; j++) {
        double sum = accumulate ? fabs(get(t, other, j)) : 0;
        for (int64_t i = 0; i < rows; i++)
            sum += fabs(get(t, a, i * ld + j));
        double terms = (double)(rows < 256 ? rows : 256) + 4;
        compare(t, "sum", j, get(t, out, j), get(t, expected, j), t->twin * terms * t->epsilon * sum);
    }
    array_check(t, OUT);
}

/* What rounding leaves of a row of layer normalisation: relatively rstd is off by `scale`, the mean by `center`, after
   a first mean in T that is off by `drift`. */
typedef struct row_error {
    double drift, center, scale;
} row_error;

static row_error row_errors(const test *t, const void *x, int64_t first, int64_t cols, double mean, double rstd)
{
    double size = 0, spread = 0, square = 0, terms = (sum_terms(cols) + 4) * t->epsilon * t->twin;
    double start = cols > 0 ? get(t, x, first) : 0, from_start = 0;
    for (int64_t j = first; j < first + cols; j++) {
        double off = get(t, x, j) - mean;
        size += fabs(get(t, x, j)) / (double)cols;
        from_start += fabs(get(t, x, j) - start) / (double)cols;
        spread += fabs(off) / (double)cols;
        square += off * off / (double)cols;
    }
    row_error error = {.drift = size * t->epsilon * t->twin + terms * from_start};
    error.center = terms * (spread + error.drift);
    /* mean (x - first)^2 - off^2, each within `terms`; rstd is the power -1/2 of that and epsilon */
    error.scale = terms * (square + 2 * error.drift * (error.drift + spread)) * rstd * rstd + 4 * t->epsilon * t->twin;
    return error;
}

static void test_layer_norm_forward(const test *t, int64_t rows, int64_t cols)
{
    int64_t n = rows * cols;
    const double epsilon = one_in(2) ? 1e-3 : 1e-6;
    int with_gamma = one_in(2), with_beta = one_in(2), with_statistics = one_in(2);
    void *x = array_new(t, IN, n, one_in(2) ? 1 : 100), *y = array_new(t, OUT, n, 1);
    double shift = one_in(2) ? 0 : 10 * random_real();
    for (int64_t i = 0; i < n; i++)
        set(t, x, i, get(t, x, i) + shift);
    fill_specials(t, x, n, one_in(8) ? 1 : 0);
    void *gamma = array_new(t, GAMMA, cols, 2), *beta = array_new(t, BETA, cols, 2);
    void *mean = array_new(t, MEAN, rows, 1), *rstd = array_new(t, RSTD, rows, 1);
    t->kernels->layer_norm_forward(rows, cols, epsilon, x, with_gamma ? gamma : NULL, with_beta ? beta : NULL, y,
                                   with_statistics ? mean : NULL, with_statistics ? rstd : NULL);
    t->reference->layer_norm_forward(rows, cols, epsilon, x, with_gamma ? gamma : NULL, with_beta ? beta : NULL,
                                     expected, other, third);
    row_error error = {0, 0, 0};
    for (int64_t i = 0; i < n; i++) {
        int64_t row = i / cols;
        double center = get(t, other, row), scale = get(t, third, row), at = fabs(get(t, x, i) - center);
        if (i % cols == 0)
            error = row_errors(t, x, i, cols, center, scale);
        double factor = with_gamma ? fabs(get(t, gamma, i % cols)) : 1;
        double add = with_beta ? fabs(get(t, beta, i % cols)) : 0;
        double bound = factor * scale * (error.center + (at + error.drift) * (error.scale + 4 * t->epsilon)) +
                       2 * t->epsilon * add;
        compare(t, "y", i, get(t, y, i), get(t, expected, i), bound);
        if (with_statistics && i % cols == 0) {
            compare(t, "mean", row, get(t, mean, row), center, error.center + t->epsilon * fabs(center));
            compare(t, "rstd", row, get(t, rstd, row), scale, scale * (error.scale + 2 * t->epsilon));
        }
    }
    array_check(t, OUT);
    array_check(t, MEAN);
    array_check(t, RSTD);
}

/* The mean of equal numbers is that number, however long the row and however large they are, and what is left of them
   is nothing: neither forward nor in the slope of gamma. */
static void test_layer_norm_equal(const test *t)
{
    static const int64_t widths[] = {2, 7, 64, 1000, 300000};
    static const double values[] = {0.1, 300.3, 10000.1, 1000000.3}, epsilons[] = {1e-3, 1e-6};
    for (int c = 0; c < 5 * 4 * 2; c++) {
        int64_t cols = widths[c % 5];
        double value = values[c / 5 % 4], epsilon = epsilons[c / 20], mean = 0, rstd = 0;
        void *x = array_place(IN, cols * (int64_t)t->element), *y = array_place(OUT, cols * (int64_t)t->element);
        void *dy = array_place(GRADIENT, cols * (int64_t)t->element);
        void *dgamma = array_place(DGAMMA, cols * (int64_t)t->element);
        shape("layer_norm of %lld times %g, epsilon %g", (long long)cols, value, epsilon);
        for (int64_t i = 0; i < cols; i++) {
            set(t, x, i, value);
            set(t, dy, i, 1);
            set(t, dgamma, i, 0);
        }
        value = get(t, x, 0); /* as the type holds it */
        /* sums of blocks are in double, for double as well: what is off by `drift` at first is so by its 84 eps then */
        double drift = value * (t->epsilon + (double)cols / 128 * DBL_EPSILON);
        double bound = 84 * t->epsilon * drift / sqrt(epsilon);
        t->kernels->layer_norm_forward(1, cols, epsilon, x, NULL, NULL, y, &mean, &rstd);
        t->kernels->layer_norm_backward(1, cols, x, NULL, &mean, &rstd, dy, NULL, dgamma, NULL);
        compare(t, "mean", 0, get(t, &mean, 0), value, 2 * drift);
        for (int64_t i = 0; i < cols; i++) {
            compare(t, "y", i, get(t, y, i), 0, bound);
            compare(t, "dgamma", i, get(t, dgamma, i), 0, 2 * bound);
        }
    }
}

/* Sums over very many rows, and of very long rows, of numbers of one sign, whose sum is known: errors of additions that
   follow each other would add up. */
static void test_long_sums(const test *t)
{
    const int64_t count = 1000000;
    const double value = t->dtype == HN_FLOAT32 ? (double)0.1f : 0.1;
    void *x = array_place(IN, count * (int64_t)t->element), *y = array_place(OUT, count * (int64_t)t->element);
    double sum = 0;
    shape("sums of %lld equal numbers", (long long)count);
    for (int64_t i = 0; i < count; i++)
        set(t, x, i, value);
    t->kernels->column_sum(count, 1, x, 1, 0, &sum);
    compare(t, "column_sum", 0, get(t, &sum, 0), value * (double)count,
            t->twin * (260 * t->epsilon + (double)count / 256 * DBL_EPSILON) * value * (double)count);
    t->kernels->softmax_forward(1, count, x, y);
    t->kernels->log_softmax_forward(1, count, x, x);
    double terms = 90 * t->epsilon + (double)count / 128 * DBL_EPSILON, share = 1 / (double)count;
    for (int64_t i = 0; i < count; i++) {
        compare(t, "softmax", i, get(t, y, i), share, terms * share);
        compare(t, "log_softmax", i, get(t, x, i), log(share), terms + 4 * t->epsilon * fabs(log(share)));
    }
}

/* dx = rstd (h - mean(h) - xh mean(h xh)): two sums of `cols` products; dgamma, dbeta: sums over the rows. */
static void test_layer_norm_backward(const test *t, int64_t rows, int64_t cols)
{
    int64_t n = rows * cols;
    int with_gamma = one_in(2), with_dx = !one_in(4), with_dgamma = !one_in(4), with_dbeta = !one_in(4);
    void *x = array_new(t, IN, n, 3), *dy = array_new(t, GRADIENT, n, 1), *gamma = array_new(t, GAMMA, cols, 2);
    fill_specials(t, dy, n, one_in(8) ? 1 : 0);
    void *mean = array_new(t, MEAN, rows, 0), *rstd = array_new(t, RSTD, rows, 0);
    t->reference->layer_norm_forward(rows, cols, 1e-3, x, NULL, NULL, expected, mean, rstd);
    void *dgamma = array_new(t, DGAMMA, cols, 1), *dbeta = array_new(t, DBETA, cols, 1);
    memcpy(other, dgamma, (size_t)cols * t->element);
    memcpy(third, dbeta, (size_t)cols * t->element);
    static double before[2][9001], moved[9001]; /* moved: what the errors of the rows' means add to dgamma */
    for (int64_t j = 0; j < cols; j++) {
        before[0][j] = fabs(get(t, other, j));
        before[1][j] = fabs(get(t, third, j));
        moved[j] = 0;
    }
    void *dx = one_in(2) ? array_copy(t, OUT, dy, n) : NULL, *from = dx ? dx : dy; /* dx may be dy */
    if (!dx)
        dx = array_new(t, OUT, n, 1);
    t->reference->layer_norm_backward(rows, cols, x, with_gamma ? gamma : NULL, mean, rstd, dy,
                                      with_dx ? expected : NULL, with_dgamma ? other : NULL, with_dbeta ? third : NULL);
    t->kernels->layer_norm_backward(rows, cols, x, with_gamma ? gamma : NULL, mean, rstd, from, with_dx ? dx : NULL,
                                    with_dgamma ? dgamma : NULL, with_dbeta ? dbeta : NULL);
    double terms = t->twin * t->epsilon * (sum_terms(cols) + 14);
    double down = t->twin * t->epsilon * ((double)(rows < 64 ? rows : 64 + rows / 64) + 8);
    for (int64_t row = 0; row < rows; row++) {
        double center = get(t, mean, row), scale = get(t, rstd, row), sum_h = 0, sum_hx = 0;
        double error = row_errors(t, x, row * cols, cols, center, scale).center * scale + 2 * t->epsilon;
        for (int64_t i = row * cols; i < (row + 1) * cols; i++) {
            double xh = fabs(get(t, x, i) - center) * scale, back = fabs(get(t, dy, i));
            double h = back * (with_gamma ? fabs(get(t, gamma, i % cols)) : 1);
            sum_h += h / (double)cols;
            sum_hx += h * xh / (double)cols;
            before[0][i % cols] += back * xh;
            moved[i % cols] += back * error;
            before[1][i % cols] += back;
        }
        for (int64_t i = row * cols; with_dx && i < (row + 1) * cols; i++) {
            double xh = fabs(get(t, x, i) - center) * scale;
            double h = fabs(get(t, dy, i)) * (with_gamma ? fabs(get(t, gamma, i % cols)) : 1);
            double bound = terms * scale * (h + sum_h + xh * sum_hx) + scale * error * sum_hx;
            compare(t, "dx", i, get(t, dx, i), get(t, expected, i), bound);
        }
    }
    for (int64_t j = 0; j < cols; j++) {
        if (with_dgamma)
            compare(t, "dgamma", j, get(t, dgamma, j), get(t, other, j), down * before[0][j] * 2 + moved[j]);
        if (with_dbeta)
            compare(t, "dbeta", j, get(t, dbeta, j), get(t, third, j), down * before[1][j] * 2);
    }
    array_check(t, OUT);
    array_check(t, DGAMMA);
    array_check(t, DBETA);
}

static void run(const test *t, int64_t shapes)
{
    static const char *const names[] = {"softmax", "log_softmax", "column_sum", "layer_norm_forward",
                                        "layer_norm_backward"};
    int64_t tried = shapes_tried;
    test_softmax_short(t);
    test_layer_norm_equal(t);
    test_long_sums(t);
    shapes_tried = tried; /* those are no random ones */
    for (int64_t i = 0; i < shapes; i++) {
        int64_t rows, cols;
        random_matrix(&rows, &cols);
        shape("%s rows %lld cols %lld", names[i % 5], (long long)rows, (long long)cols);
        if (i % 5 < 2) {
            test_softmax_forward(t, rows, cols, i % 5 == 1);
            test_softmax_backward(t, rows, cols, i % 5 == 1);
        } else if (i % 5 == 2) {
            test_column_sum(t, rows, cols);
        } else if (i % 5 == 3) {
            test_layer_norm_forward(t, rows, cols);
        } else {
            test_layer_norm_backward(t, rows, cols);
        }
    }
}

int main(int count, char **arguments)
{
    return kernels_main(count, arguments, run);
}
