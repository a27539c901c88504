#include "step.h"
#include "../base/memory.h"

#include <string.h>

int hn_step_fuse(const hn_plan *plan, int32_t output, hn_loss *loss)
{
    const char *activation = hn_plan_fusable(plan, output);
    if (!activation || loss->input != HN_LOSS_PROBABILITIES)
        return 0;
    int categorical = loss->kind == HN_LOSS_CATEGORICAL_CROSSENTROPY ||
                      loss->kind == HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY;
    int binary = loss->kind == HN_LOSS_BINARY_CROSSENTROPY;
    if (!(categorical && strcmp(activation, "softmax") == 0) && !(binary && strcmp(activation, "sigmoid") == 0))
        return 0;
    loss->input = HN_LOSS_FUSED;
    return 1;
}

/* Columns of an output's last axis; a scalar sample has one. */
static int64_t output_cols(const hn_tensor_info *info)
{
    return info->shape.rank > 0 ? info->shape.dims[info->shape.rank - 1] : 1;
}

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* For each output a gradient of its own; for all of them together values and weights of the largest. */
size_t hn_step_scratch(const hn_plan *plan, int64_t groups, int64_t rows)
{
    size_t element = hn_dtype_size(hn_plan_kernels(plan)->dtype), samples, total = 0, largest = 0;
    int fits = hn_size_multiply((size_t)groups, (size_t)rows, &samples);
    for (int32_t i = 0; i < hn_plan_output_count(plan); i++) {
        int64_t cols = output_cols(hn_plan_output(plan, i));
        size_t bytes, sample = (size_t)hn_shape_size(&hn_plan_output(plan, i)->shape) * element;
        fits = fits && hn_size_multiply(samples, sample, &bytes) && bytes <= SIZE_MAX / 8 &&
               hn_size_add(total, round_up(bytes), &total);
        size_t positions = fits && cols > 0 ? bytes / element / (size_t)cols : 0;
        largest = positions > largest ? positions : largest;
    }
    fits = fits && hn_size_add(total, round_up(2 * largest * element), &total);
    return fits ? total : SIZE_MAX;
}

hn_status hn_step_check(const hn_plan *plan, const hn_loss *losses, const hn_target *targets, int64_t groups,
                        int64_t rows, hn_error *error)
{
    int32_t count = hn_plan_output_count(plan);
    if (count > HN_MAX_INPUTS)
        return hn_error_set(error, HN_ERROR_VALUE, "a model may have at most %d outputs; got %d", HN_MAX_INPUTS, count);
    for (int32_t i = 0; i < count; i++) {
        int64_t size = hn_shape_size(&hn_plan_output(plan, i)->shape), cols = output_cols(hn_plan_output(plan, i));
        if (hn_plan_output(plan, i)->dtype == HN_INT64)
            return hn_error_set(error, HN_ERROR_TYPE, "output %d holds integers: it has no loss", i);
        hn_status status = hn_loss_check(&losses[i], &targets[i], groups, rows, cols ? size / cols : 0, cols, error);
        if (status != HN_OK)
            return status;
    }
    return HN_OK;
}

void hn_step_losses(const hn_plan *plan, const hn_run *run, const hn_loss *losses, const hn_target *targets,
                    hn_view *gradients, unsigned char *at_logits, void *scratch, hn_step_sums *sums)
{
    int32_t count = hn_plan_output_count(plan);
    size_t element = hn_dtype_size(hn_plan_kernels(plan)->dtype);
    char *next = scratch;
    for (int32_t i = 0; gradients && i < count; i++) {
        int64_t size = hn_shape_size(&hn_plan_output(plan, i)->shape);
        gradients[i] = (hn_view){next, run->rows * size, size};
        next += round_up((size_t)(run->groups * run->rows * size) * element);
    }
    for (int32_t i = 0; i < count; i++) {
        int64_t size = hn_shape_size(&hn_plan_output(plan, i)->shape), cols = output_cols(hn_plan_output(plan, i));
        hn_loss loss = losses[i];
        at_logits[i] = (unsigned char)hn_step_fuse(plan, i, &loss);
        hn_loss_run(hn_plan_kernels(plan), run->threads, &loss, &targets[i], run->groups, run->rows,
                    cols ? size / cols : 0, cols, run->outputs[i].data, gradients ? gradients[i].data : NULL, NULL,
                    next, &sums->loss[i], &sums->count[i], &sums->weight[i]);
    }
}

hn_status hn_step_gradients(const hn_plan *plan, const hn_run *run, const hn_loss *losses, const hn_target *targets,
                            int backward, void *scratch, hn_step_sums *sums, hn_error *error)
{
    hn_view gradients[HN_MAX_INPUTS];
    unsigned char at_logits[HN_MAX_INPUTS];
    hn_run stepped = *run;
    hn_status status = hn_step_check(plan, losses, targets, run->groups, run->rows, error);
    if (status != HN_OK)
        return status;
    memset(sums, 0, sizeof *sums);
    stepped.activity_penalty = &sums->activity;
    stepped.output_gradients = gradients;
    stepped.gradient_at_logits = at_logits;
    hn_plan_forward(plan, &stepped);
    hn_step_losses(plan, run, losses, targets, backward ? gradients : NULL, at_logits, scratch, sums);
    if (backward)
        hn_plan_backward(plan, &stepped);
    return HN_OK;
}
