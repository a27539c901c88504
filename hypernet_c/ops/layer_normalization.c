/* layer_normalization: y = gamma (x - mean) / sqrt(variance + epsilon) + beta over the trailing axes of a sample. */
#include "fold.h"
#include <string.h>

enum { AXES, EPSILON, CENTER, SCALE };

static const hn_attribute attributes[] = {
    {.name = "axes", .type = HN_ATTRIBUTE_INTEGER, .integer = 1},
    {.name = "epsilon", .type = HN_ATTRIBUTE_NUMBER, .number = 1e-3},
    {.name = "center", .type = HN_ATTRIBUTE_INTEGER, .integer = 1},
    {.name = "scale", .type = HN_ATTRIBUTE_INTEGER, .integer = 1},
};

static hn_status describe(const hn_attribute *given, int32_t input_count, const hn_tensor_info *inputs, hn_dtype dtype,
                          hn_op_spec *spec, hn_error *error)
{
    (void)input_count;
    char text[128];
    const hn_shape *shape = &inputs[0].shape;
    int64_t axes = given[AXES].integer;
    if (inputs[0].dtype != dtype)
        return hn_error_set(error, HN_ERROR_TYPE, "layer_normalization expects real numbers of the network's dtype");
    if (axes < 1 || axes > shape->rank)
        return hn_error_set(error, HN_ERROR_VALUE, "layer_normalization over the last %lld axes does not fit samples "
                            "of shape %s", (long long)axes, hn_shape_format(shape, text, sizeof text));
    if (!(given[EPSILON].number >= 0.0))
        return hn_error_set(error, HN_ERROR_VALUE, "layer_normalization: epsilon must not be negative, received %g",
                            given[EPSILON].number);
    hn_shape weights = {.rank = (int32_t)axes};
    for (int32_t i = 0; i < weights.rank; i++)
        weights.dims[i] = shape->dims[shape->rank - weights.rank + i];
    int64_t size = hn_shape_size(&weights);
    if (size < 0)
        return hn_error_set(error, HN_ERROR_VALUE, "layer_normalization: the normalised axes must be known, received "
                            "%s", hn_shape_format(shape, text, sizeof text));
    spec->output = *shape;
    if (given[SCALE].integer)
        spec->entries[spec->entry_count++] = (hn_entry_spec){"gamma", HN_ROLE_SCALE, weights, size, size};
    if (given[CENTER].integer)
        spec->entries[spec->entry_count++] = (hn_entry_spec){"beta", HN_ROLE_BIAS, weights, size, size};
    return HN_OK;
}

typedef struct norm_job {
    const hn_op_call *call;
    int64_t positions, cols, saved_group; /* rows of mean and rstd a group */
    double epsilon;
    const hn_source *gamma, *beta; /* NULL: none */
    int with_dx, with_weights;
    size_t element;
    hn_fold fold;
    hn_folded_view views[4];
} norm_job;

static int64_t normalized_size(const hn_node_info *node)
{
    const hn_shape *shape = &node->output.shape;
    int64_t cols = 1;
    for (int32_t i = shape->rank - (int32_t)node->attributes[AXES].integer; i < shape->rank; i++)
        cols *= shape->dims[i];
    return cols;
}

/* Rows of the normalisation in one sample. */
static int64_t position_count(const hn_node_info *node)
{
    int64_t positions = 1;
    for (int32_t i = 0; i < node->output.shape.rank - (int32_t)node->attributes[AXES].integer; i++)
        positions *= node->output.shape.dims[i];
    return positions;
}

static void saved_sizes(const hn_node_info *node, int64_t sizes[HN_MAX_SAVED])
{
    sizes[0] = sizes[1] = position_count(node); /* mean, 1 / deviation */
}

static double work(const hn_node_info *node)
{
    return 8.0 * (double)hn_shape_size(&node->output.shape);
}

static norm_job job_of(const hn_op_call *call)
{
    const hn_node_info *node = call->node;
    norm_job job = {.call = call, .positions = position_count(node), .cols = normalized_size(node),
                    .epsilon = node->attributes[EPSILON].number, .element = hn_dtype_size(call->kernels->dtype)};
    int scale = node->attributes[SCALE].integer != 0, center = node->attributes[CENTER].integer != 0;
    job.gamma = scale ? &call->sources[0] : NULL;
    job.beta = center ? &call->sources[scale] : NULL;
    job.saved_group = call->rows * job.positions;
    return job;
}

/* Views of different widths would not fold alike: mean and rstd are found from the row's number instead. */
static void job_fold(norm_job *job, int32_t count, const hn_view *const *views, int merge)
{
    int64_t widths[] = {job->cols, job->cols, job->cols, job->cols};
    job->fold.views = job->views;
    hn_fold_views(&job->fold, job->call->groups, job->call->rows, job->positions, count, views, widths, merge);
}

static char *saved_at(const norm_job *job, int32_t which, int64_t group, int64_t segment, int64_t row)
{
    char *saved = job->call->saved[which];
    int64_t index = group * job->saved_group + segment * job->positions + row;
    return saved ? hn_move(saved, index, job->element) : NULL;
}

static const char *weight_at(const norm_job *job, const hn_source *source, int64_t group)
{
    return source ? hn_move(source->data, group * source->group_stride, job->element) : NULL;
}

/* 1 if rows of views `count` follow each other without a gap. */
static int packed(const norm_job *job, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (job->views[i].data && job->views[i].ld != job->cols)
            return 0;
    return 1;
}

static void forward_piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                          int64_t count)
{
    (void)worker;
    const norm_job *job = context;
    int64_t together = packed(job, 2) ? count : 1;
    for (int64_t row = first; row < first + count; row += together)
        job->call->kernels->layer_norm_forward(
            together, job->cols, job->epsilon, hn_folded_at(&job->views[0], job->element, group, segment, row),
            weight_at(job, job->gamma, group), weight_at(job, job->beta, group),
            hn_folded_at(&job->views[1], job->element, group, segment, row), saved_at(job, 0, group, segment, row),
            saved_at(job, 1, group, segment, row));
}

static int shared(const hn_source *source)
{
    return !source || source->group_stride == 0;
}

static void forward(const hn_op_call *call)
{
    norm_job job = job_of(call);
    const hn_view *const views[] = {&call->inputs[0], &call->output};
    job_fold(&job, 2, views, shared(job.gamma) && shared(job.beta));
    hn_fold_run(&job.fold, call->threads, 2.0 * (double)job.cols + 10.0, forward_piece, &job);
}

/* ---- backward ---- */

static char *gradient_at(const norm_job *job, const hn_source *source, int64_t group)
{
    if (!source || !source->gradient || !job->with_weights)
        return NULL;
    return hn_move(source->gradient, group * source->gradient_group_stride, job->element);
}

static void backward_piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                           int64_t count)
{
    (void)worker;
    const norm_job *job = context;
    const hn_folded_view *x = &job->views[0], *dy = &job->views[1], *dx = &job->views[2];
    int64_t together = packed(job, 3) ? count : 1;
    for (int64_t row = first; row < first + count; row += together)
        job->call->kernels->layer_norm_backward(
            together, job->cols, hn_folded_at(x, job->element, group, segment, row),
            weight_at(job, job->gamma, group), saved_at(job, 0, group, segment, row),
            saved_at(job, 1, group, segment, row), hn_folded_at(dy, job->element, group, segment, row),
            job->with_dx ? hn_folded_at(dx, job->element, group, segment, row) : NULL,
            gradient_at(job, job->gamma, group), gradient_at(job, job->beta, group));
}

/* All rows of a group, in order: what adds to the weights' gradients must not be cut. */
static void group_piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                        int64_t count)
{
    (void)segment;
    const norm_job *job = context;
    for (int64_t g = first; g < first + count; g++)
        for (int64_t s = 0; s < job->fold.segments; s++)
            backward_piece(context, worker, group + g, s, 0, job->fold.rows);
}

static void clear(const norm_job *job, const hn_source *source)
{
    if (!source || !source->gradient || source->accumulate)
        return;
    int64_t count = source->gradient_group_stride ? job->call->groups : 1;
    for (int64_t g = 0; g < count; g++)
        memset(hn_move(source->gradient, g * source->gradient_group_stride, job->element), 0,
               (size_t)job->cols * job->element);
}

static int shares_gradient(const hn_source *source)
{
    return !source || !source->gradient || source->gradient_group_stride == 0;
}

/* dx of all rows in parallel; dgamma and dbeta of each group in parallel, or one after the other if shared. */
static void backward(const hn_op_call *call)
{
    norm_job job = job_of(call);
    const hn_view *dx = &call->input_gradients[0];
    const hn_view *const views[] = {&call->inputs[0], &call->output_gradient, dx};
    double cost = 3.0 * (double)job.cols + 10.0;
    int wanted = (job.gamma && job.gamma->gradient) || (job.beta && job.beta->gradient);
    if (wanted) {
        clear(&job, job.gamma);
        clear(&job, job.beta);
        int one = shares_gradient(job.gamma) && shares_gradient(job.beta);
        int own = !one && (!job.gamma || !job.gamma->gradient || job.gamma->gradient_group_stride) &&
                  (!job.beta || !job.beta->gradient || job.beta->gradient_group_stride);
        job.with_weights = 1;
        job_fold(&job, 3, views, one && shared(job.gamma) && shared(job.beta));
        hn_fold groups = {.groups = 1, .segments = 1, .rows = job.fold.groups};
        double group_cost = cost * (double)(job.fold.segments * job.fold.rows);
        if (own)
            hn_fold_run(&groups, call->threads, group_cost, group_piece, &job);
        else
            group_piece(&job, 0, 0, 0, 0, job.fold.groups);
    }
    if (dx->data) {
        job.with_weights = 0;
        job.with_dx = 1;
        job_fold(&job, 3, views, shared(job.gamma) && shared(job.beta));
        hn_fold_run(&job.fold, call->threads, cost, backward_piece, &job);
    }
}

const hn_op hn_op_layer_normalization = {
    .name = "layer_normalization", .attributes = attributes, .attribute_count = 4, .min_inputs = 1, .max_inputs = 1,
    .describe = describe, .saved_sizes = saved_sizes, .work = work, .forward = forward, .backward = backward,
};
