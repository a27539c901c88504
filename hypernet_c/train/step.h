/* One training step of a plain network: forward, losses, backward. The other half is hn_optimizer_update. */
#ifndef HN_TRAIN_STEP_H
#define HN_TRAIN_STEP_H

#include "../network/plan.h"
#include "loss.h"
#include "optimizer.h"

typedef struct hn_step_sums {
    double loss[HN_MAX_INPUTS];    /* an output: sum(weight * loss) */
    double count[HN_MAX_INPUTS];   /* positions */
    double weight[HN_MAX_INPUTS];  /* sum of weights */
    double activity;               /* activity penalties */
} hn_step_sums;

/* Chooses HN_LOSS_FUSED where `loss->input` is HN_LOSS_PROBABILITIES, the loss is a cross-entropy, and the plan's
   output ends in the matching activation. Returns 1 if the gradient is then with respect to the logits. */
int hn_step_fuse(const hn_plan *plan, int32_t output, hn_loss *loss);

/* Bytes of scratch for hn_step_gradients; SIZE_MAX, which no allocation gives, if they cannot be counted. */
size_t hn_step_scratch(const hn_plan *plan, int64_t groups, int64_t rows);

/* Labels of all outputs in range for groups x rows; outputs that are real numbers; and no more outputs than
   hn_step_sums has room for. */
hn_status hn_step_check(const hn_plan *plan, const hn_loss *losses, const hn_target *targets, int64_t groups,
                        int64_t rows, hn_error *error);

/* Losses of every output after a forward with `run`, added to `sums`. If `gradients` (a view for each output) is not
   NULL it is pointed at the outputs' gradients, which are made in `scratch`, and `at_logits` says which of them are
   with respect to the logits. */
void hn_step_losses(const hn_plan *plan, const hn_run *run, const hn_loss *losses, const hn_target *targets,
                    hn_view *gradients, unsigned char *at_logits, void *scratch, hn_step_sums *sums);

/* Forward with `run`, losses of every output against `targets`, and backward into the run's sources (and its input
   gradients if wanted). run->outputs must all have data, contiguous. Gradients are of the sum over positions of scale *
   weight * loss: not normalised. `sums` is overwritten. If `backward` is 0, only the sums are made. */
hn_status hn_step_gradients(const hn_plan *plan, const hn_run *run, const hn_loss *losses, const hn_target *targets,
                            int backward, void *scratch, hn_step_sums *sums, hn_error *error);

#endif
