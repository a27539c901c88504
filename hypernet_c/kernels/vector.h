/* What the vector source needs from the compiler: a target for a region of code, unrolling, shuffles. */
#ifndef HN_KERNELS_VECTOR_H
#define HN_KERNELS_VECTOR_H

#define HN_PRAGMA(text) _Pragma(#text)
#define HN_GLUE_(a, b) a##b
#define HN_GLUE(a, b) HN_GLUE_(a, b)
#define HN_NAME_(isa, type, name) isa##_##type##_##name
#define HN_NAME(isa, type, name) HN_NAME_(isa, type, name)

/* HN_TARGET_BEGIN("avx2,fma") ... HN_TARGET_END: functions in between may use these instructions, with no flags for the
   file. Vectors are passed by value only between functions of one region. */
#if defined(__clang__)
#define HN_TARGET_BEGIN(features) \
    HN_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define HN_TARGET_END HN_PRAGMA(clang attribute pop)
#define HN_UNROLL HN_PRAGMA(clang loop unroll(full))
#pragma clang diagnostic ignored "-Wpass-failed" /* a loop of one pass is gone before its turn to be unrolled */
#else
#define HN_TARGET_BEGIN(features) HN_PRAGMA(GCC push_options) HN_PRAGMA(GCC target(features))
#define HN_TARGET_END HN_PRAGMA(GCC pop_options)
#define HN_UNROLL HN_PRAGMA(GCC unroll 64)
#endif

/* A helper of the vector source: inlined always (its constant arguments shape the code), and not used by every type. */
#define HN_HELPER static inline __attribute__((always_inline, unused))

/* A body of one loop, kept out of line: one copy, so that the same element gets the same bits wherever it lies. */
#define HN_BODY static __attribute__((noinline))

/* Lanes of a and b (those of b follow a's) picked by a list of numbers. */
#if defined(__clang__)
#define HN_SHUFFLE_(index, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define HN_SHUFFLE_(index, a, b, ...) __builtin_shuffle(a, b, (index){__VA_ARGS__})
#endif
#define HN_SHUFFLE(index, a, b, list) HN_SHUFFLE_(index, a, b, list)

/* Lane i from lane i ^ step, for vectors of 2, 4, 8 and 16 lanes. */
#define HN_SWAP1_2 1, 0
#define HN_SWAP1_4 1, 0, 3, 2
#define HN_SWAP2_4 2, 3, 0, 1
#define HN_SWAP1_8 HN_SWAP1_4, 5, 4, 7, 6
#define HN_SWAP2_8 HN_SWAP2_4, 6, 7, 4, 5
#define HN_SWAP4_8 4, 5, 6, 7, 0, 1, 2, 3
#define HN_SWAP1_16 HN_SWAP1_8, 9, 8, 11, 10, 13, 12, 15, 14
#define HN_SWAP2_16 HN_SWAP2_8, 10, 11, 8, 9, 14, 15, 12, 13
#define HN_SWAP4_16 HN_SWAP4_8, 12, 13, 14, 15, 8, 9, 10, 11
#define HN_SWAP8_16 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7

/* The lower (upper) halves of two vectors, lane by lane in turn: log2(lanes) rounds of it transpose a square. */
#define HN_ZIP_LOW_2 0, 2
#define HN_ZIP_HIGH_2 1, 3
#define HN_ZIP_LOW_4 0, 4, 1, 5
#define HN_ZIP_HIGH_4 2, 6, 3, 7
#define HN_ZIP_LOW_8 0, 8, 1, 9, 2, 10, 3, 11
#define HN_ZIP_HIGH_8 4, 12, 5, 13, 6, 14, 7, 15
#define HN_ZIP_LOW_16 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HN_ZIP_HIGH_16 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31

#endif
