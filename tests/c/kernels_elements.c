/* Arithmetic on arrays (binary, scale, dot, penalty, dropout) and moving rows, against the reference twin. */
#include "kernels_support.h"

enum { LEFT, RIGHT, OUT, AGAIN, TABLE, MOST = 9000 };

static double expected[4 * MOST], before[4 * MOST]; /* results of the reference, of either type */

/* One rounding for a sum or a product, two for y + a b. */
static void test_binary(const test *t, hn_binary op, int64_t n)
{
    int64_t a_step = !one_in(4), b_step = !one_in(4);
    void *a = array_new(t, LEFT, a_step ? n : 1, 2), *b = array_new(t, RIGHT, b_step ? n : 1, 2);
    fill_specials(t, a, n && a_step ? n : 0, one_in(6) ? 2 : 0);
    fill_specials(t, b, n && b_step ? n : 0, one_in(6) ? 2 : 0);
    void *y = one_in(3) && a_step   ? array_copy(t, OUT, a, n)
              : one_in(2) && b_step ? array_copy(t, OUT, b, n)
                                    : array_new(t, OUT, n, 2);
    memcpy(before, y, (size_t)n * t->element);
    memcpy(expected, y, (size_t)n * t->element);
    int in_a = a_step && n > 0 && memcmp(y, a, (size_t)n * t->element) == 0;
    int in_b = b_step && n > 0 && !in_a && memcmp(y, b, (size_t)n * t->element) == 0;
    t->reference->binary(op, n, in_a ? expected : a, a_step, in_b ? expected : b, b_step, expected);
    t->kernels->binary(op, n, in_a ? y : a, a_step, in_b ? y : b, b_step, y);
    for (int64_t i = 0; i < n; i++) {
        double left = get(t, a, i * a_step), right = get(t, b, i * b_step);
        double size = op == HN_BINARY_ADD ? fabs(left) + fabs(right) : fabs(left * right);
        if (op == HN_BINARY_MULTIPLY_ADD)
            size = 2 * size + fabs(get(t, before, i));
        compare(t, "y", i, get(t, y, i), get(t, expected, i), t->epsilon * size + t->smallest);
    }
    array_check(t, OUT);
}

static void test_scale(const test *t, int64_t n)
{
    double alpha = one_in(4) ? 1 : 3 * random_real();
    int accumulate = one_in(2), in_place = one_in(3);
    void *x = array_new(t, LEFT, n, 2), *y = in_place ? x : array_new(t, OUT, n, 2);
    fill_specials(t, x, n, one_in(6) ? 2 : 0);
    memcpy(before, y, (size_t)n * t->element);
    memcpy(expected, y, (size_t)n * t->element);
    t->reference->scale(n, alpha, in_place ? expected : x, accumulate, expected);
    double sizes = 0;
    for (int64_t i = 0; i < n; i++)
        sizes = fmax(sizes, isfinite(get(t, x, i)) ? fabs(alpha * get(t, x, i)) : 0);
    t->kernels->scale(n, alpha, x, accumulate, y);
    for (int64_t i = 0; i < n; i++)
        compare(t, "y", i, get(t, y, i), get(t, expected, i),
                t->epsilon * (2 * sizes + (accumulate ? fabs(get(t, before, i)) : 0)) + t->smallest);
    array_check(t, in_place ? LEFT : OUT);
}

/* In double, whatever the elements: (n + 2) 2^-52 sum |products| for each of the two sums. */
static void test_dot(const test *t, int64_t n)
{
    int with_b = !one_in(4);
    void *a = array_new(t, LEFT, n, 2), *b = array_new(t, RIGHT, n, 2);
    void *moved_a = array_copy(t, AGAIN, a, n), *moved_b = array_copy(t, OUT, b, n);
    double magnitude = 0;
    for (int64_t i = 0; i < n; i++)
        magnitude += fabs(get(t, a, i) * (with_b ? get(t, b, i) : 1));
    double got = t->kernels->dot(n, a, with_b ? b : NULL), again = t->kernels->dot(n, moved_a, with_b ? moved_b : NULL);
    if (got != again)
        fail(t, "dot is %.17g in one place and %.17g in another", got, again);
    compare(t, "dot", 0, got, t->reference->dot(n, a, with_b ? b : NULL),
            2 * ((double)n + 2) * DBL_EPSILON * magnitude);
    fill_specials(t, a, n, 1);
    compare(t, "dot", 1, t->kernels->dot(n, a, NULL), t->reference->dot(n, a, NULL),
            2 * ((double)n + 2) * DBL_EPSILON * 2 * (double)n);
}

static void test_penalty(const test *t, int64_t n)
{
    double l1 = one_in(3) ? 0 : fabs(random_real()), l2 = one_in(3) ? 0 : fabs(random_real());
    double scale = 2 * random_real();
    int with_gradient = one_in(2);
    void *w = array_new(t, LEFT, n, 2), *g = array_new(t, OUT, n, 1);
    for (int64_t i = 0; i < n; i += 5)
        set(t, w, i, 0);
    memcpy(before, g, (size_t)n * t->element);
    memcpy(expected, g, (size_t)n * t->element);
    double wanted = t->reference->penalty(n, w, l1, l2, scale, with_gradient ? expected : NULL);
    double got = t->kernels->penalty(n, w, l1, l2, scale, with_gradient ? g : NULL);
    compare(t, "penalty", 0, got, wanted, 2 * ((double)n + 4) * DBL_EPSILON * wanted);
    for (int64_t i = 0; i < n; i++) {
        double size = fabs(get(t, before, i)) + 3 * fabs(scale) * (l1 + 2 * l2 * fabs(get(t, w, i)));
        compare(t, "g", i, get(t, g, i), get(t, expected, i), t->twin * t->epsilon * size);
    }
    array_check(t, OUT);
}

/* The same elements are dropped, bit for bit, wherever the call begins. */
static void test_dropout(const test *t, int64_t n)
{
    double rate = one_in(8) ? 0 : 0.99 * fabs(random_real());
    hn_random_key key = {random_bits(), (uint32_t)random_bits(), (uint32_t)random_bits()};
    uint64_t row = random_bits();
    int64_t first = random_below(1000);
    void *x = array_new(t, LEFT, n, 2), *y = array_new(t, OUT, n, 1), *in_place = array_copy(t, AGAIN, x, n);
    t->kernels->dropout(n, rate, &key, row, first, x, y);
    t->kernels->dropout(n, rate, &key, row, first, in_place, in_place);
    t->reference->dropout(n, rate, &key, row, first, x, expected);
    same_bits(t, "y in place", y, in_place, n);
    for (int64_t i = 0; i < n; i++) {
        double wanted = get(t, expected, i), got = get(t, y, i);
        compare(t, "y", i, got, wanted, 2 * t->epsilon * fabs(wanted));
        if ((got == 0) != (wanted == 0))
            fail(t, "y[%lld] is %g, expected %g", (long long)i, got, wanted);
    }
    array_check(t, OUT);
    array_check(t, AGAIN);
}

/* Bits are the reference's: rows are moved, or added one after the other. */
static void test_rows(const test *t, int64_t count, int scatter)
{
    int64_t width = random_size(40), entries = 1 + random_size(50);
    int64_t ld = width + random_below(4), ldy = width + random_below(4);
    int64_t table_size = matrix_size(entries, width, ld), y_size = matrix_size(count, width, ldy);
    void *table = array_new(t, TABLE, table_size, 1), *y = array_new(t, OUT, y_size, 1);
    int64_t *ids = array_place(LEFT, count * 8);
    for (int64_t i = 0; i < count; i++)
        ids[i] = random_below(entries);
    void *changed = scatter ? table : y;
    int64_t size = scatter ? table_size : y_size;
    memcpy(expected, changed, (size_t)size * t->element);
    if (scatter) {
        t->reference->scatter_add(count, ids, width, y, ldy, expected, ld);
        t->kernels->scatter_add(count, ids, width, y, ldy, table, ld);
    } else {
        t->reference->gather(count, ids, width, table, ld, expected, ldy);
        t->kernels->gather(count, ids, width, table, ld, y, ldy);
    }
    same_bits(t, scatter ? "table" : "y", changed, expected, size);
    array_check(t, TABLE);
    array_check(t, OUT);
}

static void run(const test *t, int64_t shapes)
{
    static const char *const names[] = {"binary", "scale", "dot", "penalty", "dropout", "gather", "scatter_add"};
    for (int64_t i = 0; i < shapes; i++) {
        int64_t n = random_size(one_in(20) ? MOST - 1 : 300);
        if (i % 7 > 4 && n > 600)
            n = 600;
        shape("%s n %lld", names[i % 7], (long long)n);
        switch (i % 7) {
        case 0:
            test_binary(t, (hn_binary)random_below(HN_BINARY_COUNT), n);
            break;
        case 1:
            test_scale(t, n);
            break;
        case 2:
            test_dot(t, n);
            break;
        case 3:
            test_penalty(t, n);
            break;
        case 4:
            test_dropout(t, n);
            break;
        default:
            test_rows(t, n, i % 7 == 6);
        }
    }
}

int main(int count, char **arguments)
{
    return kernels_main(count, arguments, run);
}
