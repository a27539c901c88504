/* Which table serves which instruction set and element type. */
#include "tables.h"

const hn_kernels *hn_kernels_get(hn_isa isa, hn_dtype dtype)
{
    static const hn_kernels *const tables[HN_ISA_COUNT][2] = {
        [HN_ISA_REFERENCE] = {&hn_kernels_reference_f32, &hn_kernels_reference_f64},
    };
    if (isa < 0 || isa >= HN_ISA_COUNT || (dtype != HN_FLOAT32 && dtype != HN_FLOAT64) || !hn_isa_available(isa))
        return 0;
    const hn_kernels *table = tables[isa][dtype];
    return table ? table : tables[HN_ISA_REFERENCE][dtype];
}
