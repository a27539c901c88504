/* Which table serves which instruction set and element type. */
#include "tables.h"

const hn_kernels *hn_kernels_get(hn_isa isa, hn_dtype dtype)
{
    static const hn_kernels *const tables[HN_ISA_COUNT][2] = {
        [HN_ISA_REFERENCE] = {&hn_kernels_reference_f32, &hn_kernels_reference_f64},
        [HN_ISA_SCALAR] = {&hn_kernels_scalar_f32, &hn_kernels_scalar_f64},
#if defined(__x86_64__)
        [HN_ISA_AVX2] = {&hn_kernels_avx2_f32, &hn_kernels_avx2_f64},
        [HN_ISA_AVX512] = {&hn_kernels_avx512_f32, &hn_kernels_avx512_f64},
#endif
#if defined(__aarch64__)
        [HN_ISA_NEON] = {&hn_kernels_neon_f32, &hn_kernels_neon_f64},
#endif
    };
    if (isa < 0 || isa >= HN_ISA_COUNT || (dtype != HN_FLOAT32 && dtype != HN_FLOAT64) || !hn_isa_available(isa))
        return 0;
    return tables[isa][dtype];
}
