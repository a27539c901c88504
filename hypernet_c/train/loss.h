/* A loss on the outputs of a block of rows: sums and gradients. Normalised by the caller afterwards. */
#ifndef HN_TRAIN_LOSS_H
#define HN_TRAIN_LOSS_H

#include "../kernels/kernels.h"
#include "../base/status.h"
#include "../ops/op.h"

/* One output's loss. */
typedef struct hn_loss {
    hn_loss_kind kind;
    hn_loss_input input;
    double params[2];
    double scale;          /* loss weight: multiplies gradient (not the reported sum) */
} hn_loss;

/* The targets of one output, rows in the order of the run (group by group). A row of the output with `size` elements is
   `size / cols` positions of `cols` columns each; every position has a loss. */
typedef struct hn_target {
    const void *data;          /* T, or int64 labels for the sparse loss */
    int64_t group_stride, row_stride; /* elements; one row contiguous */
    const void *weight;        /* T or NULL */
    int64_t weight_group_stride, weight_row_stride, weight_position_stride; /* elements; 0 repeats */
} hn_target;

/* The name ("mean_squared_error", ...) of a kind, and back (-1 if there is none). */
const char *hn_loss_name(hn_loss_kind kind);
int32_t hn_loss_find(const char *name);

/* Labels in 0 <= label < cols for all groups x rows x positions; HN_ERROR_VALUE names the first that is not. Other
   kinds pass. */
hn_status hn_loss_check(const hn_loss *loss, const hn_target *target, int64_t groups, int64_t rows, int64_t positions,
                        int64_t cols, hn_error *error);

/* Adds sum(weight * loss) to *sum and the number of positions to *count and the sum of their weights to *weight_sum, in
   a fixed order. `prediction` is contiguous (groups * rows, positions * cols); `gradient` (the same shape, may be NULL,
   may be `prediction`) receives scale * weight * dloss. `values` (groups * rows * positions, T) may be NULL. `scratch`
   holds groups * rows * positions elements of T twice. */
void hn_loss_run(const hn_kernels *kernels, int32_t threads, const hn_loss *loss, const hn_target *target,
                 int64_t groups, int64_t rows, int64_t positions, int64_t cols, const void *prediction, void *gradient,
                 void *values, void *scratch, double *sum, double *count, double *weight_sum);

#endif
