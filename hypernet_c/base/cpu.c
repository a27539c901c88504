#include "cpu.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[HN_ISA_COUNT] = {"reference", "scalar", "avx2", "avx512", "neon"};

const char *hn_isa_name(hn_isa isa)
{
    return isa >= 0 && isa < HN_ISA_COUNT ? names[isa] : "unknown";
}

int hn_isa_available(hn_isa isa)
{
    switch (isa) {
    case HN_ISA_REFERENCE:
    case HN_ISA_SCALAR:
        return 1;
#if defined(__x86_64__)
    /* The compiler's run-time checks include the operating system's support for the wide registers. */
    case HN_ISA_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case HN_ISA_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
#if defined(__aarch64__)
    case HN_ISA_NEON:
        return 1;
#endif
    default:
        return 0;
    }
}

static hn_isa best_isa(void)
{
    static const hn_isa order[] = {HN_ISA_AVX512, HN_ISA_AVX2, HN_ISA_NEON};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (hn_isa_available(order[i]))
            return order[i];
    return HN_ISA_SCALAR;
}

static hn_status choose_isa(hn_isa *isa, hn_error *error)
{
    const char *wanted = getenv("HYPERNET_ISA");
    if (!wanted || !*wanted) {
        *isa = best_isa();
        return HN_OK;
    }
    for (int i = 0; i < HN_ISA_COUNT; i++)
        if (strcmp(wanted, names[i]) == 0) {
            if (!hn_isa_available((hn_isa)i))
                return hn_error_set(error, HN_ERROR_VALUE,
                                    "HYPERNET_ISA=%s: this processor (or build) cannot run it; unset the variable",
                                    wanted);
            *isa = (hn_isa)i;
            return HN_OK;
        }
    char known[80] = "";
    for (int i = 0; i < HN_ISA_COUNT; i++)
        (void)snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "", names[i]);
    return hn_error_set(error, HN_ERROR_VALUE, "HYPERNET_ISA=%.40s is unknown: expected one of %s", wanted, known);
}

hn_status hn_isa_default(hn_isa *isa, hn_error *error)
{
    static _Atomic int decided = -1;
    int known = atomic_load_explicit(&decided, memory_order_acquire);
    if (known < 0) {
        hn_isa chosen = HN_ISA_SCALAR;
        hn_status status = choose_isa(&chosen, error);
        if (status != HN_OK)
            return status;
        known = (int)chosen;
        atomic_store_explicit(&decided, known, memory_order_release);
    }
    *isa = (hn_isa)known;
    return HN_OK;
}
