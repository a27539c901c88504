/* Matrix products of random shapes against the reference twin. */
#include "kernels_support.h"

enum { WORK = 600000, A = 0, B, BIAS, C, AGAIN, BAGAIN, BIAS_AGAIN, CAGAIN, SCRATCH };

typedef struct product {
    hn_gemm_form form;
    int64_t m, n, k, lda, ldb, ldc;
    int64_t sizes[4]; /* elements of A, B, bias, C */
    int accumulate, with_bias;
} product;

static const char *const form_names[] = {"NN", "NT", "TN"};

static void random_sizes(product *p)
{
    do {
        p->m = random_size(one_in(4) ? 6 : 700);
        p->n = random_size(9000);
        p->k = random_size(one_in(4) ? 8 : 1400);
    } while ((double)p->m * (double)p->n * (double)p->k > WORK || p->n * p->k > WORK || p->m * p->n > WORK);
    p->form = (hn_gemm_form)random_below(HN_GEMM_FORM_COUNT);
}

/* Every form with 1 to 48 columns in turn: few panels, of which the last has any number of vectors. */
static void narrow_sizes(product *p, int64_t number)
{
    p->n = 1 + number % 48;
    p->form = (hn_gemm_form)(number / 48 % HN_GEMM_FORM_COUNT);
    p->m = 6 + random_below(55);
    p->k = 1 + random_below(300);
}

static product random_product(int64_t number)
{
    product p;
    if (number % 3 == 0)
        narrow_sizes(&p, number / 3);
    else
        random_sizes(&p);
    int64_t gap = one_in(2) ? random_below(20) : 0;
    int64_t a_rows = p.form == HN_GEMM_TN ? p.k : p.m, a_cols = p.form == HN_GEMM_TN ? p.m : p.k;
    int64_t b_rows = p.form == HN_GEMM_NT ? p.n : p.k, b_cols = p.form == HN_GEMM_NT ? p.k : p.n;
    p.lda = a_cols + gap;
    p.ldb = b_cols + (one_in(2) ? gap : 0);
    p.ldc = p.n + (one_in(2) ? gap : 0);
    p.accumulate = one_in(2);
    p.with_bias = one_in(2);
    p.sizes[0] = matrix_size(a_rows, a_cols, p.lda);
    p.sizes[1] = matrix_size(b_rows, b_cols, p.ldb);
    p.sizes[2] = p.n;
    p.sizes[3] = matrix_size(p.m, p.n, p.ldc);
    shape("gemm %s m %lld n %lld k %lld lda %lld ldb %lld ldc %lld accumulate %d bias %d", form_names[p.form],
          (long long)p.m, (long long)p.n, (long long)p.k, (long long)p.lda, (long long)p.ldb, (long long)p.ldc,
          p.accumulate, p.with_bias);
    return p;
}

static void multiply(const hn_kernels *kernels, const product *p, const void *a, const void *b, const void *bias,
                     void *c, void *scratch)
{
    kernels->gemm(p->form, p->m, p->n, p->k, a, p->lda, b, p->ldb, p->with_bias ? bias : NULL, p->accumulate, c, p->ldc,
                  scratch);
}

static void make_absolute(const test *t, void *data, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        set(t, data, i, fabs(get(t, data, i)));
}

/* (K + 2) eps sum |products| for each of two sums, where bias and C count as products. */
static void compare_product(const test *t, const product *p, const void *got, const void *before, const void *expected,
                            const void *magnitude)
{
    double terms = (double)(p->k + p->with_bias + p->accumulate) + 2;
    for (int64_t i = 0; i < p->sizes[3]; i++) {
        if (i % p->ldc >= p->n) {
            same_bits(t, "gap", (const char *)got + (size_t)i * t->element,
                      (const char *)before + (size_t)i * t->element, 1);
            continue;
        }
        compare(t, "c", i, get(t, got, i), get(t, expected, i),
                terms * (t->epsilon * get(t, magnitude, i) + t->smallest) * t->twin);
    }
}

static void test_product(const test *t, int64_t number)
{
    static char *work[3];
    for (int i = 0; i < 3; i++)
        if (!work[i] && !(work[i] = malloc(SLOT_BYTES)))
            exit(2);
    product p = random_product(number);
    void *a = array_new(t, A, p.sizes[0], 1), *b = array_new(t, B, p.sizes[1], 1);
    void *bias = array_new(t, BIAS, p.sizes[2], 1), *c = array_new(t, C, p.sizes[3], 1);
    if (one_in(8)) {
        fill_specials(t, a, p.sizes[0], 2);
        fill_specials(t, b, p.sizes[1], 2);
        fill_specials(t, c, p.sizes[3], 2);
        fill_specials(t, bias, p.sizes[2], 1);
    }
    for (int64_t i = 0; !p.accumulate && i < p.sizes[3]; i++)
        set(t, c, i, (double)NAN); /* overwritten, whatever it held */
    void *a2 = array_copy(t, AGAIN, a, p.sizes[0]), *b2 = array_copy(t, BAGAIN, b, p.sizes[1]);
    void *bias2 = array_copy(t, BIAS_AGAIN, bias, p.sizes[2]), *c2 = array_copy(t, CAGAIN, c, p.sizes[3]);
    char *scratch = slots[SCRATCH] + SLOT_BYTES - (t->kernels->scratch + 63) / 64 * 64;
    size_t bytes = (size_t)p.sizes[3] * t->element;
    memcpy(work[0], c, bytes);
    memcpy(work[1], c, bytes);
    memcpy(work[2], c, bytes);
    multiply(t->reference, &p, a, b, bias, work[1], NULL);
    multiply(t->kernels, &p, a, b, bias, c, scratch);
    memset(scratch, 0xFF, t->kernels->scratch); /* what it held does not count */
    multiply(t->kernels, &p, a2, b2, bias2, c2, scratch);
    same_bits(t, "c", c, c2, p.sizes[3]);
    for (int slot = A; slot <= CAGAIN; slot++)
        array_check(t, slot);
    make_absolute(t, a, p.sizes[0]);
    make_absolute(t, b, p.sizes[1]);
    make_absolute(t, bias, p.sizes[2]);
    make_absolute(t, work[2], p.sizes[3]);
    multiply(t->reference, &p, a, b, bias, work[2], NULL);
    compare_product(t, &p, c, work[0], work[1], work[2]);
}

static void run(const test *t, int64_t shapes)
{
    for (int64_t i = 0; i < shapes; i++)
        test_product(t, i);
}

int main(int count, char **arguments)
{
    return kernels_main(count, arguments, run);
}
