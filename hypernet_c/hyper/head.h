/* The head contract: the generator's last map, from a block's features to columns of theta. One constant table each. */
#ifndef HN_HYPER_HEAD_H
#define HN_HYPER_HEAD_H

#include "../kernels/kernels.h"
#include "../ops/op.h"

/* One block of groups as a head sees it. */
typedef struct hn_head_call {
    const hn_kernels *kernels;
    int32_t threads;
    int64_t groups;                 /* in this block */
    int64_t width;                  /* features a group (0 for "given") */
    int64_t columns;                /* P */
    const void *features;           /* (groups, width): the trunk's output; for "values" and "given" theta itself */
    int64_t feature_stride;         /* elements from group to group */
    void *feature_gradient;         /* (groups, width), accumulated; or NULL */
    int64_t feature_gradient_stride;
    hn_source kernel, bias;         /* "dense": the head's (width, P) and (P,) weights with gradients */
    const void *base;               /* (P,) or NULL */
    void *scratch;                  /* threads * scratch_stride bytes */
    size_t scratch_stride;
} hn_head_call;

typedef struct hn_head {
    const char *name;
    /* theta[g, first .. first + count) of every group into tile (groups, count) with leading dimension `ld`. */
    void (*fill)(const hn_head_call *call, int64_t first, int64_t count, void *tile, int64_t ld);
    /* The other way: dtheta tile of the same place, added to feature_gradient and to the weights' gradients. */
    void (*pull)(const hn_head_call *call, int64_t first, int64_t count, const void *tile, int64_t ld);
    /* 1: fill is not needed where base is NULL, theta lies in `features` and may be used in place. */
    int theta_in_place;
} hn_head;

const hn_head *hn_head_find(const char *name);
const hn_head *hn_head_at(int32_t index);
int32_t hn_head_count(void);

#endif
