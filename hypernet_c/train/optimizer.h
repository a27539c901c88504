/* Optimizers over spans of one flat vector. */
#ifndef HN_TRAIN_OPTIMIZER_H
#define HN_TRAIN_OPTIMIZER_H

#include "../kernels/kernels.h"
#include "../base/status.h"

/* A run of consecutive parameters treated alike: usually one weight array. */
typedef struct hn_span {
    int64_t weight_offset;   /* in `weights` */
    int64_t offset, count;   /* in `gradient`, `delta` and the slots */
    int trainable;           /* 0: neither moves nor decays */
    int decay;               /* 0: no weight decay */
} hn_span;

typedef struct hn_update {
    hn_optimizer_kind kind;
    double params[4];
    double learning_rate, weight_decay;
    double grad_scale;               /* first of all: 1 / normaliser */
    double clipnorm, clipvalue, global_clipnorm; /* inf: off; clipnorm is for each span */
    int64_t step;                    /* 1 for the first */
    int32_t threads;
    const hn_span *spans;
    int64_t span_count;
    void *weights;
    const void *gradient;
    void *slots[3];
    void *delta;                     /* not NULL: only tell, change nothing */
} hn_update;

const char *hn_optimizer_name(hn_optimizer_kind kind);
int32_t hn_optimizer_find(const char *name);
/* How many slots `kind` with `params` needs. */
int32_t hn_optimizer_slot_count(hn_optimizer_kind kind, const double params[4]);

/* One update of all spans ("step_apply"). Bits do not depend on `threads`. */
void hn_optimizer_update(const hn_kernels *kernels, const hn_update *update);

#endif
