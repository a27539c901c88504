/* activation: y = f(x), element by element, or softmax and log_softmax over the last axis. */
#include "activations.h"
#include "fold.h"
#include <math.h>

enum { ACTIVATION, P0, P1, P2 };

/* nan: the activation's own default, which resolve fills in. */
static const hn_attribute attributes[] = {
    {.name = "activation", .type = HN_ATTRIBUTE_NAME, .text = "linear"},
    {.name = "p0", .type = HN_ATTRIBUTE_NUMBER, .number = NAN},
    {.name = "p1", .type = HN_ATTRIBUTE_NUMBER, .number = NAN},
    {.name = "p2", .type = HN_ATTRIBUTE_NUMBER, .number = NAN},
};

static void resolve(hn_attribute *given)
{
    int32_t number = hn_activation_find(given[ACTIVATION].text);
    hn_activation standard = hn_activation_default(number);
    given[ACTIVATION].integer = number;
    for (int32_t i = 0; i < 3; i++)
        if (isnan(given[P0 + i].number) || number >= HN_MAP_COUNT)
            given[P0 + i].number = standard.params[i];
}

static hn_activation activation_of(const hn_node_info *node)
{
    hn_activation activation = hn_activation_default((int32_t)node->attributes[ACTIVATION].integer);
    for (int32_t i = 0; i < 3; i++)
        activation.params[i] = node->attributes[P0 + i].number;
    return activation;
}

static hn_status describe(const hn_attribute *given, int32_t input_count, const hn_tensor_info *inputs, hn_dtype dtype,
                          hn_op_spec *spec, hn_error *error)
{
    (void)input_count;
    if (given[ACTIVATION].integer < 0)
        return hn_activation_unknown("activation", given[ACTIVATION].text, error);
    if (inputs[0].dtype != dtype)
        return hn_error_set(error, HN_ERROR_TYPE, "activation expects real numbers of the network's dtype, received %s",
                            inputs[0].dtype == HN_INT64 ? "integers" : "another real dtype");
    hn_activation activation = hn_activation_default((int32_t)given[ACTIVATION].integer);
    if (hn_activation_by_row(&activation) && inputs[0].shape.rank < 1)
        return hn_error_set(error, HN_ERROR_VALUE, "activation: %s needs samples of rank 1 or more, received ()",
                            given[ACTIVATION].text);
    spec->output = inputs[0].shape;
    return HN_OK;
}

static double work(const hn_node_info *node)
{
    hn_activation activation = activation_of(node);
    return 10.0 * hn_activation_cost(&activation) * (double)hn_shape_size(&node->output.shape);
}

typedef struct activation_job {
    const hn_op_call *call;
    hn_activation activation;
    int64_t cols;
    size_t element;
    hn_fold fold;
    hn_folded_view views[3];
} activation_job;

/* Rows of the job are rows of softmax, else whole samples, or single elements where nothing lies between them. */
static void job_fold(activation_job *job, const hn_op_call *call, int32_t count, const hn_view *const *views)
{
    const hn_shape *shape = &call->node->output.shape;
    int64_t size = hn_shape_size(shape), positions = 1;
    job->call = call;
    job->activation = activation_of(call->node);
    job->element = hn_dtype_size(call->kernels->dtype);
    job->cols = size;
    if (hn_activation_by_row(&job->activation)) {
        job->cols = shape->dims[shape->rank - 1];
        for (int32_t i = 0; i + 1 < shape->rank; i++)
            positions *= shape->dims[i];
    }
    int64_t widths[] = {job->cols, job->cols, job->cols};
    job->fold.views = job->views;
    hn_fold_views(&job->fold, call->groups, call->rows, positions, count, views, widths, 1);
    if (!hn_activation_by_row(&job->activation) && hn_fold_flatten(&job->fold, job->cols))
        job->cols = 1;
}

static void forward_piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                          int64_t count)
{
    (void)worker;
    const activation_job *job = context;
    const hn_folded_view *x = &job->views[0], *y = &job->views[1];
    hn_activation_forward(job->call->kernels, &job->activation, count, job->cols,
                          hn_folded_at(x, job->element, group, segment, first), x->ld,
                          hn_folded_at(y, job->element, group, segment, first), y->ld);
}

static void forward(const hn_op_call *call)
{
    activation_job job;
    const hn_view *const views[] = {&call->inputs[0], &call->output};
    job_fold(&job, call, 2, views);
    hn_fold_run(&job.fold, call->threads, (double)job.cols * hn_activation_cost(&job.activation), forward_piece, &job);
}

static void backward_piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                           int64_t count)
{
    (void)worker;
    const activation_job *job = context;
    const hn_folded_view *saved = &job->views[0], *dy = &job->views[1], *dx = &job->views[2];
    char *to = hn_folded_at(dx, job->element, group, segment, first);
    const char *from = hn_folded_at(dy, job->element, group, segment, first);
    hn_activation linear = {HN_MAP_LINEAR, {0.0, 0.0, 0.0}};
    const hn_activation *activation = job->call->gradient_at_logits ? &linear : &job->activation;
    hn_activation_backward(job->call->kernels, activation, count, job->cols,
                           hn_folded_at(saved, job->element, group, segment, first), saved->ld, from, dy->ld, to,
                           dx->ld);
}

static void backward(const hn_op_call *call)
{
    activation_job job;
    hn_activation activation = activation_of(call->node);
    const hn_view *saved = hn_activation_from_output(&activation) ? &call->output : &call->inputs[0];
    const hn_view *const views[] = {saved, &call->output_gradient, &call->input_gradients[0]};
    if (!call->input_gradients[0].data)
        return;
    job_fold(&job, call, 3, views);
    hn_fold_run(&job.fold, call->threads, (double)job.cols * hn_activation_cost(&job.activation), backward_piece, &job);
}

static const char *fusable_activation(const hn_node_info *node)
{
    return hn_activation_fusable((int32_t)node->attributes[ACTIVATION].integer);
}

const hn_op hn_op_activation = {
    .name = "activation", .attributes = attributes, .attribute_count = 4, .min_inputs = 1, .max_inputs = 1,
    .flags = HN_OP_IN_PLACE | HN_OP_READS_OUTPUT, .describe = describe, .work = work, .forward = forward,
    .backward = backward, .fusable_activation = fusable_activation, .resolve = resolve,
};
