#include "loss.h"
#include "../base/threads.h"

#include <inttypes.h>
#include <string.h>

/* Rows in one block: fixed, so that sums do not depend on the number of threads. */
#define BLOCK_POSITIONS 256
#define WORK_A_COLUMN 4.0 /* nanoseconds */

static const char *const names[HN_LOSS_KIND_COUNT] = {
    "mean_squared_error",  "mean_absolute_error",      "huber",
    "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy",
};

const char *hn_loss_name(hn_loss_kind kind)
{
    return kind >= 0 && kind < HN_LOSS_KIND_COUNT ? names[kind] : NULL;
}

int32_t hn_loss_find(const char *name)
{
    for (int32_t kind = 0; kind < HN_LOSS_KIND_COUNT; kind++)
        if (strcmp(name, names[kind]) == 0)
            return kind;
    return -1;
}

hn_status hn_loss_check(const hn_loss *loss, const hn_target *target, int64_t groups, int64_t rows, int64_t positions,
                        int64_t cols, hn_error *error)
{
    if (loss->kind != HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY || positions == 0)
        return HN_OK;
    for (int64_t group = 0; group < groups; group++)
        for (int64_t row = 0; row < rows; row++)
            for (int64_t position = 0; position < positions; position++) {
                int64_t label = ((const int64_t *)target->data)[group * target->group_stride +
                                                                row * target->row_stride + position];
                if (label < 0 || label >= cols)
                    return hn_error_set(error, HN_ERROR_VALUE,
                                        "Labels of sparse_categorical_crossentropy must lie in [0, %" PRId64
                                        ") (the model has %" PRId64 " outputs); got %" PRId64 " in row %" PRId64,
                                        cols, cols, label, group * rows + row);
            }
    return HN_OK;
}

typedef struct loss_job {
    const hn_kernels *kernels;
    const hn_loss *loss;
    const hn_target *target;
    int64_t rows, positions, cols, total, target_cols;
    size_t element;
    const char *prediction;
    char *gradient, *values, *weights;
    int weighted;
} loss_job;

/* The targets and weights of row `row` of the run (its positions follow each other). */
static const char *target_of(const loss_job *job, int64_t row)
{
    int64_t at = row / job->rows * job->target->group_stride + row % job->rows * job->target->row_stride;
    size_t element = job->loss->kind == HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY ? 8 : job->element;
    return (const char *)job->target->data + at * (int64_t)element;
}

static double weight_of(const loss_job *job, int64_t position)
{
    const hn_target *target = job->target;
    int64_t row = position / job->positions;
    int64_t at = row / job->rows * target->weight_group_stride + row % job->rows * target->weight_row_stride +
                 position % job->positions * target->weight_position_stride;
    return job->element == 4 ? (double)((const float *)target->weight)[at] : ((const double *)target->weight)[at];
}

/* Weight times loss scale for the positions of a block, which multiplies the gradient. */
static void gather_weights(const loss_job *job, int64_t first, int64_t count)
{
    for (int64_t i = first; i < first + count; i++) {
        double weight = job->loss->scale * (job->weighted ? weight_of(job, i) : 1.0);
        if (job->element == 4)
            ((float *)job->weights)[i] = (float)weight;
        else
            ((double *)job->weights)[i] = weight;
    }
}

/* Positions first .. first + count - 1, whose targets follow each other in memory. */
static void run_stretch(const loss_job *job, int64_t first, int64_t count, const char *target)
{
    int64_t at = first * job->cols * (int64_t)job->element;
    hn_loss_args args = {
        .rows = count,
        .cols = job->cols,
        .target = target,
        .prediction = job->prediction + at,
        .weight = job->weights + first * (int64_t)job->element,
        .weight_every = 1,
        .input = job->loss->input,
        .params = {job->loss->params[0], job->loss->params[1]},
        .values = job->values + first * (int64_t)job->element,
        .gradient = job->gradient ? job->gradient + at : NULL,
    };
    job->kernels->loss(job->loss->kind, &args);
}

static void run_block(void *context, int64_t chunk, int32_t worker)
{
    const loss_job *job = context;
    int64_t first = chunk * BLOCK_POSITIONS;
    int64_t end = first + BLOCK_POSITIONS < job->total ? first + BLOCK_POSITIONS : job->total;
    int64_t target_size = job->positions * job->target_cols;
    size_t element = job->loss->kind == HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY ? 8 : job->element;
    (void)worker;
    gather_weights(job, first, end - first);
    while (first < end) {
        int64_t row = first / job->positions, inside = first % job->positions;
        int64_t left = job->positions - inside;
        if (job->target->row_stride == target_size) /* the rest of the group follows without a gap */
            left += (job->rows - 1 - row % job->rows) * job->positions;
        int64_t count = left < end - first ? left : end - first;
        run_stretch(job, first, count, target_of(job, row) + inside * job->target_cols * (int64_t)element);
        first += count;
    }
}

static void add_up(const loss_job *job, double *sum, double *weight_sum)
{
    double total = 0, weights = 0;
    for (int64_t i = 0; i < job->total; i++) {
        double value = job->element == 4 ? (double)((const float *)job->values)[i] : ((const double *)job->values)[i];
        double weight = job->weighted ? weight_of(job, i) : 1.0;
        total += weight * value;
        weights += weight;
    }
    *sum += total;
    *weight_sum += weights;
}

void hn_loss_run(const hn_kernels *kernels, int32_t threads, const hn_loss *loss, const hn_target *target,
                 int64_t groups, int64_t rows, int64_t positions, int64_t cols, const void *prediction, void *gradient,
                 void *values, void *scratch, double *sum, double *count, double *weight_sum)
{
    size_t element = hn_dtype_size(kernels->dtype);
    int64_t total = groups * rows * positions;
    loss_job job = {
        .kernels = kernels,
        .loss = loss,
        .target = target,
        .rows = rows,
        .positions = positions,
        .cols = cols,
        .total = total,
        .target_cols = loss->kind == HN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY ? 1 : cols,
        .element = element,
        .prediction = prediction,
        .gradient = gradient,
        .values = values ? values : scratch,
        .weights = (char *)scratch + total * (int64_t)element,
        .weighted = target->weight != NULL,
    };
    hn_parallel(threads, (total + BLOCK_POSITIONS - 1) / BLOCK_POSITIONS, WORK_A_COLUMN * (double)(total * cols),
                run_block, &job);
    add_up(&job, sum, weight_sum);
    *count += (double)total;
}
