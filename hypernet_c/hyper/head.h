/* The head contract: the generator's last map, from a block's features to columns of theta. One constant table each. */
#ifndef HN_HYPER_HEAD_H
#define HN_HYPER_HEAD_H

#include "../kernels/kernels.h"
#include "../ops/op.h"
#include "quantized.h"

/* One block of groups as a head sees it. */
typedef struct hn_head_call {
    const hn_kernels *kernels;
    int32_t threads;
    int64_t groups;                 /* in this block */
    int64_t width;                  /* features a group */
    int64_t columns;                /* P */
    const void *features;           /* (groups, width): the trunk's output; in an identity head theta itself */
    int64_t feature_stride;         /* elements from group to group */
    void *feature_gradient;         /* (groups, width), added to; or NULL */
    int64_t feature_gradient_stride;
    hn_source kernel, bias;         /* "dense": the head's (width, P) and (P,) weights; bias may be NULL */
    const hn_quantized_head *quantized; /* "bfloat16", "int8": what stands for both */
    const void *base;               /* (P,) or NULL */
    void *scratch;                  /* threads * scratch_stride bytes */
    size_t scratch_stride;
    void *partial;                  /* what partial_size asked for */
} hn_head_call;

typedef struct hn_head {
    const char *name;
    /* 1: theta is base + features. Where base is NULL theta lies in `features` and is used in place; its gradient is
       that of the features, which the target's ops write in place: pull is NULL. */
    int identity;
    /* Bytes of scratch a thread. */
    size_t (*scratch_size)(const hn_kernels *kernels);
    /* Bytes that pull needs besides, for so many groups and any fewer. May be NULL: none. */
    size_t (*partial_size)(const hn_kernels *kernels, int64_t groups, int64_t width);
    /* Estimated floating-point operations for one column of one group, forward. */
    double (*work)(int64_t width);
    /* theta[g, first .. first + count) of every group into tile (groups, count) with leading dimension `ld`. */
    void (*fill)(const hn_head_call *call, int64_t first, int64_t count, void *tile, int64_t ld);
    /* The other way: dtheta tile of the same place, added to feature_gradient, and to the weights' gradients (which it
       overwrites where their `accumulate` is 0). NULL without `identity`: the head is for inference alone, and nothing
       is trained through it. */
    void (*pull)(const hn_head_call *call, int64_t first, int64_t count, const void *tile, int64_t ld);
    /* theta from column `first` on as a mixture of the rows of the head's kernel: factors, terms, constants and their
       gradients for this block. NULL: theta is always made. */
    void (*mix)(const hn_head_call *call, int64_t first, hn_mixture *mixture);
} hn_head;

const hn_head *hn_head_find(const char *name);
const hn_head *hn_head_at(int32_t index);
int32_t hn_head_count(void);

#endif
