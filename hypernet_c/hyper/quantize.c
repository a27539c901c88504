/* A head's kernel in fewer bits; quantized.h has the formulas and what they guarantee. */
#include "quantized.h"
#include "../base/threads.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum { COLUMNS = 1024 }; /* at a time: what is known of them stays in the first-level cache */

typedef struct quantizing {
    hn_dtype stored;
    int64_t width, count;
    const float *kernel;
    void *to;
    float *scale;
    _Atomic int64_t not_finite; /* an element that is not, or -1 */
    _Atomic uint64_t worst;     /* bits of a double that is not negative: they are ordered as the numbers are */
} quantizing;

static void worst_raise(quantizing *q, double made)
{
    uint64_t bits, known = atomic_load(&q->worst);
    memcpy(&bits, &made, sizeof bits);
    while (bits > known && !atomic_compare_exchange_weak(&q->worst, &known, bits))
        ;
}

/* ---- bfloat16 ---- */

/* To nearest, ties to even; what would become inf stays finite. */
static uint16_t bfloat16_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t rounded = bits + 0x7FFFu + (bits >> 16 & 1u);
    return (uint16_t)((rounded & 0x7F800000u) == 0x7F800000u ? (bits >> 16 & 0x8000u) | 0x7F7Fu : rounded >> 16);
}

static double bfloat16_row(const float *from, int64_t count, uint16_t *to)
{
    double worst = 0;
    for (int64_t j = 0; j < count; j++) {
        float back;
        to[j] = bfloat16_of(from[j]);
        uint32_t bits = (uint32_t)to[j] << 16;
        memcpy(&back, &bits, sizeof back);
        double made = fabs((double)from[j] - (double)back);
        worst = made > worst ? made : worst;
    }
    return worst;
}

/* ---- int8 ---- */

/* max / 127; where that is subnormal and was rounded down so far that max would round to 128 of it, one bit more. */
static float scale_of(float most)
{
    float scale = most / 127.0f;
    return most > 0 && (double)most >= 127.5 * (double)scale ? nextafterf(scale, INFINITY) : scale;
}

/* Adding 1.5 * 2^52 and taking it away rounds to the nearest integer. A quotient of two floats that is no tie is
   further from one than the quotient's own rounding, so that none is decided wrongly. */
static double int8_row(const float *from, int64_t count, const double *scales, int8_t *to)
{
    const double magic = 0x1.8p52;
    double worst = 0;
    for (int64_t j = 0; j < count; j++) {
        double step = scales[j], value = (double)from[j] / step, whole = value + magic - magic;
        double made = fabs((double)from[j] - whole * step);
        to[j] = (int8_t)whole;
        worst = made > worst ? made : worst;
    }
    return worst;
}

/* ---- all columns ---- */

/* Row `row` of columns first .. first + count - 1; the largest magnitudes so far. 0: a number is not finite. */
static int magnitudes_take(quantizing *q, int64_t row, int64_t first, int64_t count, float *most)
{
    const float *from = q->kernel + row * q->count + first;
    int good = 1;
    for (int64_t j = 0; j < count; j++) {
        float size = fabsf(from[j]);
        good &= size <= 3.4028234663852886e38f;
        most[j] = size > most[j] ? size : most[j];
    }
    for (int64_t j = 0; !good && j < count; j++)
        if (!isfinite(from[j])) {
            atomic_store(&q->not_finite, row * q->count + first + j);
            break;
        }
    return good;
}

static void columns_quantize(void *context, int64_t chunk, int32_t worker)
{
    (void)worker;
    quantizing *q = context;
    int64_t first = chunk * COLUMNS, count = q->count - first < COLUMNS ? q->count - first : COLUMNS;
    float most[COLUMNS] = {0};
    double scales[COLUMNS], worst = 0;
    for (int64_t row = 0; row < q->width; row++)
        if (!magnitudes_take(q, row, first, count, most))
            return;
    for (int64_t j = 0; q->stored == HN_INT8 && j < count; j++) {
        q->scale[first + j] = scale_of(most[j]);
        scales[j] = most[j] > 0 ? (double)q->scale[first + j] : 1.0;
    }
    for (int64_t row = 0; row < q->width; row++) {
        int64_t at = row * q->count + first;
        double made = q->stored == HN_INT8 ? int8_row(q->kernel + at, count, scales, (int8_t *)q->to + at)
                                           : bfloat16_row(q->kernel + at, count, (uint16_t *)q->to + at);
        worst = made > worst ? made : worst;
    }
    worst_raise(q, worst);
}

hn_status hn_head_quantize(hn_dtype stored, int64_t width, int64_t count, const float *kernel, void *to, float *scale,
                           double *worst, hn_error *error)
{
    if (stored != HN_BFLOAT16 && stored != HN_INT8)
        return hn_error_set(error, HN_ERROR_TYPE, "a head is stored as bfloat16 or int8");
    if (width < 0 || count < 0)
        return hn_error_set(error, HN_ERROR_VALUE, "a head cannot have %lld features and %lld outputs",
                            (long long)width, (long long)count);
    quantizing q = {.stored = stored, .width = width, .count = count, .kernel = kernel, .to = to, .scale = scale,
                    .not_finite = -1};
    if (width > 0 && count > 0) {
        hn_parallel(hn_threads_get(), (count + COLUMNS - 1) / COLUMNS, 3.0 * (double)width * (double)count,
                    columns_quantize, &q);
        int64_t place = atomic_load(&q.not_finite);
        if (place >= 0)
            return hn_error_set(error, HN_ERROR_VALUE, "the head is not finite: feature %lld of weight %lld is %g",
                                (long long)(place / count), (long long)(place % count), (double)kernel[place]);
    }
    uint64_t bits = atomic_load(&q.worst);
    if (worst)
        memcpy(worst, &bits, sizeof bits);
    return HN_OK;
}
