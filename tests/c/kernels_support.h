/* What the kernel tests share: random numbers, arrays between guard pages, comparison with a bound.

   Each program is called with the name of an instruction set, a seed and a number of shapes, tests both element types
   and prints "shapes N", the number of random shapes it tried. A failed check prints the shape and exits with 1; a read
   or write outside an array kills the program. */
#ifndef HN_TESTS_KERNELS_SUPPORT_H
#define HN_TESTS_KERNELS_SUPPORT_H

#include "base/cpu.h"
#include "kernels/kernels.h"
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOTS = 12, SLOT_BYTES = 1 << 23, CANARY = 192 };

typedef struct test {
    const hn_kernels *kernels, *reference;
    hn_dtype dtype;
    size_t element;
    double epsilon, smallest; /* 2^-23 or 2^-52, and the smallest subnormal number */
    double twin;              /* what the reference itself may be off: 1 + twin kernels' bounds */
} test;

static uint64_t random_state = 1;
static long long shapes_tried;
static char shape_text[400];

static __attribute__((unused)) uint64_t random_bits(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545F4914F6CDD1Du >> 11;
}

static __attribute__((unused)) int64_t random_below(int64_t limit)
{
    return (int64_t)(random_bits() % (uint64_t)limit);
}

/* In (-1, 1). */
static __attribute__((unused)) double random_real(void)
{
    return (double)random_bits() * 0x1p-52 - 1.0;
}

static __attribute__((unused)) int one_in(int64_t n)
{
    return random_below(n) == 0;
}

/* 0 seldom; up to `most`, log-uniform, or near a size at which tiles and blocks begin and end. */
static __attribute__((unused)) int64_t random_size(int64_t most)
{
    static const int edges[] = {1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 320, 512, 2048, 4096};
    if (one_in(60))
        return 0;
    if (one_in(2)) {
        int64_t size = edges[random_below((int64_t)(sizeof edges / sizeof *edges))] * (1 + random_below(2));
        size += random_below(3) - 1;
        if (size <= most)
            return size;
    }
    return (int64_t)exp((random_real() + 1) / 2 * log((double)most + 1));
}

/* Says which shape is tried, for the message of a failure. */
static __attribute__((unused, format(printf, 1, 2))) void shape(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(shape_text, sizeof shape_text, format, arguments);
    va_end(arguments);
    shapes_tried++;
}

static __attribute__((unused, noreturn, format(printf, 2, 3))) void fail(const test *t, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s %s: %s: ", hn_isa_name(t->kernels->isa), t->dtype == HN_FLOAT32 ? "float" : "double",
            shape_text);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

/* ---- arrays ---- */

static char *slots[SLOTS];
static struct placed { char *begin, *end; } placed[SLOTS];

static __attribute__((unused)) void slots_create(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < SLOTS; i++) {
        char *memory = mmap(NULL, SLOT_BYTES + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED || mprotect(memory + page, SLOT_BYTES, PROT_READ | PROT_WRITE))
            exit(2);
        slots[i] = memory + page;
    }
}

/* `bytes` bytes in a slot, directly before or behind a page that cannot be read; canaries on the other side. */
static __attribute__((unused)) void *array_place(int slot, int64_t bytes)
{
    if (bytes > SLOT_BYTES - CANARY) {
        fprintf(stderr, "%s: an array of %lld bytes does not fit\n", shape_text, (long long)bytes);
        exit(2);
    }
    char *begin = one_in(3) ? slots[slot] : slots[slot] + SLOT_BYTES - bytes;
    placed[slot] = (struct placed){begin, begin + bytes};
    if (begin != slots[slot])
        memset(begin - CANARY, 0x5A, CANARY);
    else
        memset(begin + bytes, 0x5A, CANARY);
    return begin;
}

static __attribute__((unused)) void array_check(const test *t, int slot)
{
    const struct placed *p = &placed[slot];
    const char *canary = p->begin != slots[slot] ? p->begin - CANARY : p->end;
    for (int i = 0; i < CANARY; i++)
        if (canary[i] != 0x5A)
            fail(t, "wrote outside array %d", slot);
}

static __attribute__((unused)) double get(const test *t, const void *data, int64_t i)
{
    return t->dtype == HN_FLOAT32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

static __attribute__((unused)) void set(const test *t, void *data, int64_t i, double value)
{
    if (t->dtype == HN_FLOAT32)
        ((float *)data)[i] = (float)value;
    else
        ((double *)data)[i] = value;
}

/* Numbers in (-size, size). */
static __attribute__((unused)) void fill(const test *t, void *data, int64_t count, double size)
{
    for (int64_t i = 0; i < count; i++)
        set(t, data, i, size * random_real());
}

/* Puts an inf, a nan, a zero with a sign or a subnormal number into some places. */
static __attribute__((unused)) void fill_specials(const test *t, void *data, int64_t count, int64_t how_many)
{
    const double specials[] = {(double)INFINITY, -(double)INFINITY, (double)NAN, -0.0, 0.0, 3 * t->smallest};
    for (int64_t i = 0; count > 0 && i < how_many; i++)
        set(t, data, random_below(count), specials[random_below(6)]);
}

static __attribute__((unused)) void *array_new(const test *t, int slot, int64_t count, double size)
{
    void *data = array_place(slot, count * (int64_t)t->element);
    fill(t, data, count, size);
    return data;
}

/* A copy between the guard pages of another slot. */
static __attribute__((unused)) void *array_copy(const test *t, int slot, const void *from, int64_t count)
{
    void *data = array_place(slot, count * (int64_t)t->element);
    memcpy(data, from, (size_t)count * t->element);
    return data;
}

/* Elements of a matrix, without what would follow its last row. */
static __attribute__((unused)) int64_t matrix_size(int64_t rows, int64_t cols, int64_t ld)
{
    return rows > 0 && cols > 0 ? (rows - 1) * ld + cols : 0;
}

/* ---- comparison ---- */

static double largest_share; /* of its bound, that an error has taken */

/* `got` against the reference's `expected`: the same nan and inf, else within the bound. */
static __attribute__((unused)) void compare(const test *t, const char *what, int64_t i, double got, double expected,
                                            double bound)
{
    if (isnan(expected) ? isnan(got) : isinf(expected) ? got == expected : fabs(got - expected) <= bound) {
        if (isfinite(expected) && isfinite(bound) && fabs(got - expected) > largest_share * bound)
            largest_share = fabs(got - expected) / bound;
        return;
    }
    fail(t, "%s[%lld] is %.17g, expected %.17g, error %.3g, bound %.3g", what, (long long)i, got, expected,
         fabs(got - expected), bound);
}

static __attribute__((unused)) void same_bits(const test *t, const char *what, const void *a, const void *b,
                                              int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (memcmp((const char *)a + (size_t)i * t->element, (const char *)b + (size_t)i * t->element, t->element) &&
            !(isnan(get(t, a, i)) && isnan(get(t, b, i))))
            fail(t, "%s[%lld] is %.17g in one call and %.17g in the other", what, (long long)i, get(t, a, i),
                 get(t, b, i));
}

/* Distance from |v| to the next number of the type. */
static __attribute__((unused)) double ulp_of(const test *t, double v)
{
    int exponent;
    frexp(v, &exponent);
    double ulp = ldexp(t->epsilon, exponent - 1);
    return v != 0 && isfinite(v) && ulp > t->smallest ? ulp : t->smallest;
}

/* The instruction set of this name; HN_ISA_COUNT if there is none. */
static __attribute__((unused)) hn_isa isa_named(const char *name)
{
    int isa = 0;
    while (isa < HN_ISA_COUNT && strcmp(hn_isa_name((hn_isa)isa), name) != 0)
        isa++;
    return (hn_isa)isa;
}

/* f'(x) of a map from the reference in double. */
static __attribute__((unused)) double slope_at(hn_map map, const double *params, double x)
{
    double one = 1, slope;
    hn_kernels_get(HN_ISA_REFERENCE, HN_FLOAT64)->map_backward(map, params, 1, &x, &one, &slope);
    return slope;
}

/* The tests of one program run for both element types; returns the exit code. */
static __attribute__((unused)) int kernels_main(int count, char **arguments, void (*run)(const test *t, int64_t shapes))
{
    if (count == 2 && strcmp(arguments[1], "list") == 0) {
        for (int i = 1; i < HN_ISA_COUNT; i++)
            if (hn_isa_available((hn_isa)i))
                puts(hn_isa_name((hn_isa)i));
        return 0;
    }
    if (count != 4)
        return 2;
    slots_create();
    hn_isa isa = isa_named(arguments[1]);
    random_state = strtoull(arguments[2], NULL, 10) * 0x9E3779B97F4A7C15u + 1;
    for (int dtype = HN_FLOAT32; dtype <= HN_FLOAT64; dtype++) {
        test t = {.dtype = (hn_dtype)dtype, .element = hn_dtype_size((hn_dtype)dtype)};
        t.kernels = hn_kernels_get(isa, t.dtype);
        t.reference = hn_kernels_get(HN_ISA_REFERENCE, t.dtype);
        t.epsilon = dtype == HN_FLOAT32 ? (double)FLT_EPSILON : DBL_EPSILON;
        t.smallest = dtype == HN_FLOAT32 ? 0x1p-149 : 0x1p-1074;
        t.twin = dtype == HN_FLOAT32 ? 1.0 : 2.0;
        if (!t.kernels || t.kernels->dtype != t.dtype || t.kernels->isa != isa)
            return 2;
        run(&t, strtoll(arguments[3], NULL, 10) / 2);
    }
    printf("shapes %lld, at most %.3f of the bound\n", shapes_tried, largest_share);
    return 0;
}

#endif
