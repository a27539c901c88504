/* Products with weights that are mixtures, forward and both gradients, of random shapes against the reference twin. */
#include "kernels_support.h"

enum { WORK = 250000, X = 0, FACTORS, TERMS, DY, RESULT, X_AGAIN, FACTORS_AGAIN, TERMS_AGAIN, DY_AGAIN, RESULT_AGAIN,
       SCRATCH };

typedef enum kind { FORWARD = 0, OF_TERMS, OF_FACTORS, KIND_COUNT } kind;

static const char *const kind_names[] = {"forward", "terms", "factors"};

typedef struct mixture {
    kind kind;
    hn_factored shape; /* without data */
    int64_t ld;        /* of y or dy; in d_factors: of that */
    int64_t sizes[5];  /* elements of x, factors, terms, dy, result */
    int64_t rows, cols, result_ld, slabs, slab_stride; /* the result: slabs of rows x cols */
    int accumulate, plain; /* plain: without factors */
} mixture;

static mixture random_mixture(void)
{
    mixture m = {.kind = (kind)random_below(KIND_COUNT)};
    hn_factored *f = &m.shape;
    do {
        f->rows = random_size(700);
        f->in = random_size(one_in(3) ? 9 : 900);
        f->out = random_size(one_in(3) ? 20 : 700);
        f->count = random_size(70);
    } while ((double)f->rows * (double)f->in * (double)f->out * (double)f->count > WORK ||
             f->rows * f->in > WORK || f->rows * f->out > WORK || f->rows * f->count > WORK ||
             (f->in * f->out + 20) * f->count > WORK);
    int64_t gap = one_in(2) ? random_below(20) : 0;
    f->transposed = m.kind == FORWARD && one_in(3);
    f->ldx = one_in(6) ? 0 : f->in + gap;
    f->ldf = f->count + (one_in(2) ? gap : 0);
    f->term_stride = f->in * f->out + (one_in(2) ? gap : 0);
    m.ld = f->out + (one_in(2) ? gap : 0);
    m.accumulate = one_in(2);
    m.plain = one_in(6);
    m.rows = m.kind == OF_TERMS ? f->in : f->rows;
    m.cols = m.kind == OF_FACTORS ? f->count : f->out;
    m.result_ld = m.kind == FORWARD ? m.ld : m.kind == OF_TERMS ? f->out : f->ldf;
    m.slabs = m.kind == OF_TERMS ? f->count : 1;
    m.slab_stride = f->term_stride;
    m.sizes[X] = f->ldx ? matrix_size(f->rows, f->in, f->ldx) : f->in;
    m.sizes[FACTORS] = matrix_size(f->rows, f->count, f->ldf);
    m.sizes[TERMS] = matrix_size(f->count, f->in * f->out, f->term_stride);
    m.sizes[DY] = matrix_size(f->rows, f->out, m.ld);
    m.sizes[RESULT] = m.kind == OF_TERMS ? m.sizes[TERMS] : matrix_size(m.rows, m.cols, m.result_ld);
    shape("factored %s rows %lld in %lld out %lld count %lld ldx %lld ldf %lld stride %lld ld %lld transposed %d "
          "accumulate %d plain %d", kind_names[m.kind], (long long)f->rows, (long long)f->in, (long long)f->out,
          (long long)f->count, (long long)f->ldx, (long long)f->ldf, (long long)f->term_stride, (long long)m.ld,
          f->transposed, m.accumulate, m.plain);
    return m;
}

static void multiply(const hn_kernels *kernels, const mixture *m, const void *x, const void *factors, const void *terms,
                     const void *dy, void *result, void *scratch)
{
    hn_factored f = m->shape;
    f.x = x;
    f.factors = m->kind == OF_FACTORS || m->plain ? NULL : factors; /* what is not read need not be there */
    f.terms = m->kind == OF_TERMS ? NULL : terms;
    if (m->kind == FORWARD)
        kernels->factored_forward(&f, m->accumulate, result, m->ld, scratch);
    else if (m->kind == OF_TERMS)
        kernels->factored_terms(&f, dy, m->ld, m->accumulate, result, m->slab_stride, scratch);
    else
        kernels->factored_factors(&f, dy, m->ld, m->accumulate, result, m->result_ld, scratch);
}

static void make_absolute(const test *t, void *data, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        set(t, data, i, fabs(get(t, data, i)));
}

/* 1 if element i of the result belongs to it, 0 in the gaps. */
static int belongs(const mixture *m, int64_t i)
{
    int64_t within = m->slab_stride && m->slabs > 1 ? i % m->slab_stride : i;
    return within / (m->result_ld ? m->result_ld : 1) < m->rows && within % m->result_ld < m->cols;
}

/* (K + 3) eps sum |products| for each of two sums, where the old result counts as a product. */
static void compare_mixture(const test *t, const mixture *m, const void *got, const void *before, const void *expected,
                            const void *magnitude)
{
    const hn_factored *f = &m->shape;
    int64_t products = m->kind == FORWARD ? f->in * f->count : m->kind == OF_TERMS ? f->rows : f->in * f->out;
    double count = (double)(products + m->accumulate) + 3;
    for (int64_t i = 0; i < m->sizes[RESULT]; i++) {
        if (!belongs(m, i)) {
            same_bits(t, "gap", (const char *)got + (size_t)i * t->element,
                      (const char *)before + (size_t)i * t->element, 1);
            continue;
        }
        compare(t, "result", i, get(t, got, i), get(t, expected, i),
                count * (t->epsilon * get(t, magnitude, i) + t->smallest) * t->twin);
    }
}

/* Rows are summed alike wherever they are cut: `again` holds the whole result, and is made once more in two parts. */
static void test_cut(const test *t, mixture m, void *const *data, void *again, const void *before, void *scratch)
{
    hn_factored *f = &m.shape;
    int64_t rows = f->rows, first = 1 + random_below(rows - 1);
    size_t element = t->element;
    memcpy(again, before, (size_t)m.sizes[RESULT] * element);
    f->rows = first;
    multiply(t->kernels, &m, data[X], data[FACTORS], data[TERMS], NULL, again, scratch);
    f->rows = rows - first;
    multiply(t->kernels, &m, (char *)data[X] + (size_t)(first * f->ldx) * element,
             (char *)data[FACTORS] + (size_t)(first * f->ldf) * element, data[TERMS], NULL,
             (char *)again + (size_t)(first * m.ld) * element, scratch);
    same_bits(t, "cut rows", data[RESULT], again, m.sizes[RESULT]);
}

static void test_mixture(const test *t)
{
    static char *work[3];
    void *data[5], *again[5];
    for (int i = 0; i < 3; i++)
        if (!work[i] && !(work[i] = malloc(SLOT_BYTES)))
            exit(2);
    mixture m = random_mixture();
    int special = one_in(8), in_dy = m.kind != OF_FACTORS || (one_in(2) && m.shape.in <= 256);
    for (int i = X; i <= RESULT; i++) {
        data[i] = array_new(t, i, m.sizes[i], 1);
        /* the gradient of factors multiplies dy with sums: inf there and what may sum up to 0 or not go apart */
        if (special && (i == RESULT || (i == DY ? in_dy : m.kind != OF_FACTORS || !in_dy)))
            fill_specials(t, data[i], m.sizes[i], 2);
    }
    for (int64_t i = 0; !m.accumulate && i < m.sizes[RESULT]; i++)
        set(t, data[RESULT], i, (double)NAN); /* overwritten, whatever it held */
    for (int i = X; i <= RESULT; i++)
        again[i] = array_copy(t, X_AGAIN + i, data[i], m.sizes[i]);
    char *scratch = slots[SCRATCH] + SLOT_BYTES - (t->kernels->scratch + 63) / 64 * 64;
    for (int i = 0; i < 3; i++)
        memcpy(work[i], data[RESULT], (size_t)m.sizes[RESULT] * t->element);
    multiply(t->reference, &m, data[X], data[FACTORS], data[TERMS], data[DY], work[1], NULL);
    multiply(t->kernels, &m, data[X], data[FACTORS], data[TERMS], data[DY], data[RESULT], scratch);
    memset(scratch, 0xFF, t->kernels->scratch); /* what it held does not count */
    multiply(t->kernels, &m, again[X], again[FACTORS], again[TERMS], again[DY], again[RESULT], scratch);
    same_bits(t, "result", data[RESULT], again[RESULT], m.sizes[RESULT]);
    if (m.kind == FORWARD && m.shape.rows > 1 && m.shape.out > 0)
        test_cut(t, m, data, again[RESULT], work[0], scratch);
    for (int slot = X; slot <= RESULT_AGAIN; slot++)
        array_check(t, slot);
    for (int i = X; i < RESULT; i++)
        make_absolute(t, data[i], m.sizes[i]);
    make_absolute(t, work[2], m.sizes[RESULT]);
    multiply(t->reference, &m, data[X], data[FACTORS], data[TERMS], data[DY], work[2], NULL);
    compare_mixture(t, &m, data[RESULT], work[0], work[1], work[2]);
}

static void run(const test *t, int64_t shapes)
{
    for (int64_t i = 0; i < shapes; i++)
        test_mixture(t);
}

int main(int count, char **arguments)
{
    return kernels_main(count, arguments, run);
}
