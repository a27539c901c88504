/* Products with a matrix stored in fewer bits, of random shapes, against the reference twin. */
#include "kernels_support.h"

enum { WORK = 600000, A = 0, Q, SCALE, BIAS, C, A_AGAIN, Q_AGAIN, SCALE_AGAIN, BIAS_AGAIN, C_AGAIN, SCRATCH };

typedef struct product {
    hn_dtype stored;
    int64_t m, n, k, lda, ldq, ldc;
    int64_t a_size, q_size, c_size;
    int with_scale, with_bias;
} product;

static product random_product(void)
{
    product p;
    do {
        p.m = random_size(one_in(3) ? 200 : 7);
        p.n = random_size(9000);
        p.k = random_size(one_in(4) ? 8 : 700);
    } while ((double)p.m * (double)p.n * (double)p.k > WORK || p.n * p.k > WORK || p.m * p.n > WORK);
    int64_t gap = one_in(2) ? random_below(20) : 0;
    p.stored = one_in(2) ? HN_INT8 : HN_BFLOAT16;
    p.lda = p.k + gap;
    p.ldq = p.n + (one_in(2) ? gap : 0);
    p.ldc = p.n + (one_in(2) ? gap : 0);
    p.with_scale = one_in(2);
    p.with_bias = one_in(2);
    p.a_size = matrix_size(p.m, p.k, p.lda);
    p.q_size = matrix_size(p.k, p.n, p.ldq);
    p.c_size = matrix_size(p.m, p.n, p.ldc);
    shape("gemm_quantized %s m %lld n %lld k %lld lda %lld ldq %lld ldc %lld scale %d bias %d",
          p.stored == HN_INT8 ? "int8" : "bfloat16", (long long)p.m, (long long)p.n, (long long)p.k, (long long)p.lda,
          (long long)p.ldq, (long long)p.ldc, p.with_scale, p.with_bias);
    return p;
}

/* Every int8; of bfloat16 numbers between -1 and 1, and where asked for any bits at all: inf, nan, subnormal. */
static void *stored_new(const product *p, int any)
{
    unsigned char *data = array_place(Q, p->q_size * (int64_t)hn_dtype_size(p->stored));
    for (int64_t i = 0; i < p->q_size; i++) {
        float value = (float)random_real();
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        uint16_t half = any && one_in(50) ? (uint16_t)random_below(1 << 16) : (uint16_t)(bits >> 16);
        if (p->stored == HN_INT8)
            data[i] = (unsigned char)random_below(256);
        else
            memcpy(data + 2 * i, &half, sizeof half);
    }
    return data;
}

static void *stored_copy(const product *p, const void *from)
{
    size_t bytes = (size_t)p->q_size * hn_dtype_size(p->stored);
    return memcpy(array_place(Q_AGAIN, (int64_t)bytes), from, bytes);
}

static void stored_absolute(const product *p, void *data)
{
    int8_t *numbers = data;
    uint16_t *halves = data;
    for (int64_t i = 0; i < p->q_size; i++)
        if (p->stored == HN_BFLOAT16)
            halves[i] &= 0x7FFF;
        else if (numbers[i] < 0)
            numbers[i] = (int8_t)(numbers[i] == -128 ? 127 : -numbers[i]);
}

static void make_absolute(const test *t, void *data, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        set(t, data, i, fabs(get(t, data, i)));
}

static void multiply(const hn_kernels *kernels, const product *p, const void *a, const void *q, const void *scale,
                     const void *bias, void *c, void *scratch)
{
    kernels->gemm_quantized(p->stored, p->m, p->n, p->k, a, p->lda, q, p->ldq, p->with_scale ? scale : NULL,
                            p->with_bias ? bias : NULL, c, p->ldc, scratch);
}

/* (K + 3) eps (scale sum|products| + |bias|); what becomes subnormal on the way is rounded there, times the scale.
   There is no int8 for 128: 127 stands for it. */
static void compare_product(const test *t, const product *p, const void *got, const void *before, const void *expected,
                            const void *magnitude)
{
    for (int64_t i = 0; i < p->c_size; i++) {
        if (i % p->ldc >= p->n) {
            same_bits(t, "gap", (const char *)got + (size_t)i * t->element,
                      (const char *)before + (size_t)i * t->element, 1);
            continue;
        }
        double size = 128.0 / 127.0 * get(t, magnitude, i);
        compare(t, "c", i, get(t, got, i), get(t, expected, i),
                ((double)p->k + 3) * (t->epsilon * size + 4 * t->smallest) * t->twin);
    }
}

static void test_product(const test *t)
{
    static char *work[3];
    for (int i = 0; i < 3; i++)
        if (!work[i] && !(work[i] = malloc(SLOT_BYTES)))
            exit(2);
    product p = random_product();
    int special = one_in(8);
    void *a = array_new(t, A, p.a_size, 1), *q = stored_new(&p, special), *scale = array_new(t, SCALE, p.n, 0.01);
    void *bias = array_new(t, BIAS, p.n, 1), *c = array_new(t, C, p.c_size, 1);
    make_absolute(t, scale, p.n);
    if (special) {
        fill_specials(t, a, p.a_size, 2);
        fill_specials(t, bias, p.n, 1);
        for (int64_t i = 0; i < 3 && p.n > 0; i++) /* a column of zeros has scale 0 */
            set(t, scale, random_below(p.n), 0.0);
    }
    for (int64_t i = 0; i < p.c_size; i++)
        set(t, c, i, (double)NAN); /* overwritten, whatever it held */
    void *a2 = array_copy(t, A_AGAIN, a, p.a_size), *q2 = stored_copy(&p, q);
    void *scale2 = array_copy(t, SCALE_AGAIN, scale, p.n), *bias2 = array_copy(t, BIAS_AGAIN, bias, p.n);
    void *c2 = array_copy(t, C_AGAIN, c, p.c_size);
    char *scratch = slots[SCRATCH] + SLOT_BYTES - (t->kernels->quantized_scratch + 63) / 64 * 64;
    size_t bytes = (size_t)p.c_size * t->element;
    memcpy(work[0], c, bytes);
    memcpy(work[1], c, bytes);
    memcpy(work[2], c, bytes);
    multiply(t->reference, &p, a, q, scale, bias, work[1], NULL);
    multiply(t->kernels, &p, a, q, scale, bias, c, scratch);
    memset(scratch, 0xFF, t->kernels->quantized_scratch); /* what it held does not count */
    multiply(t->kernels, &p, a2, q2, scale2, bias2, c2, scratch);
    same_bits(t, "c", c, c2, p.c_size);
    for (int slot = A; slot <= C_AGAIN; slot++)
        array_check(t, slot);
    make_absolute(t, a, p.a_size);
    make_absolute(t, bias, p.n);
    stored_absolute(&p, q);
    multiply(t->reference, &p, a, q, scale, bias, work[2], NULL);
    compare_product(t, &p, c, work[0], work[1], work[2]);
}

static void run(const test *t, int64_t shapes)
{
    for (int64_t i = 0; i < shapes; i++)
        test_product(t);
}

int main(int count, char **arguments)
{
    return kernels_main(count, arguments, run);
}
