/* Instruction sets: which are there, and which one is used. Features are detected, never processor models. */
#ifndef HN_BASE_CPU_H
#define HN_BASE_CPU_H

#include "status.h"

typedef enum hn_isa {
    HN_ISA_REFERENCE = 0, /* the naive twins: an executable specification, for tests */
    HN_ISA_SCALAR,        /* portable C */
    HN_ISA_AVX2,          /* AVX2 and FMA */
    HN_ISA_AVX512,        /* AVX-512 F, BW, DQ, VL */
    HN_ISA_NEON,
    HN_ISA_COUNT
} hn_isa;

/* "reference", "scalar", "avx2", "avx512", "neon". */
const char *hn_isa_name(hn_isa isa);

/* 1 if this processor and build can run `isa`. */
int hn_isa_available(hn_isa isa);

/* The best available ISA, or the one that the environment variable HYPERNET_ISA names (HN_ERROR_VALUE when that
   name is unknown or cannot run here). Decided at the first call. */
hn_status hn_isa_default(hn_isa *isa, hn_error *error);

#endif
