/* activity_regularizer: passes x on and adds l1 sum|x| + l2 sum x^2 to the losses. */
#include "fold.h"
#include <string.h>

enum { L1, L2 };

static const hn_attribute attributes[] = {
    {.name = "l1", .type = HN_ATTRIBUTE_NUMBER, .number = 0.0},
    {.name = "l2", .type = HN_ATTRIBUTE_NUMBER, .number = 0.0},
};

static hn_status describe(const hn_attribute *given, int32_t input_count, const hn_tensor_info *inputs, hn_dtype dtype,
                          hn_op_spec *spec, hn_error *error)
{
    (void)given;
    (void)input_count;
    if (inputs[0].dtype != dtype)
        return hn_error_set(error, HN_ERROR_TYPE, "activity_regularizer expects real numbers of the network's dtype");
    spec->output = inputs[0].shape;
    return HN_OK;
}

static double work(const hn_node_info *node)
{
    return 2.0 * (double)hn_shape_size(&node->output.shape);
}

typedef struct activity_job {
    const hn_op_call *call;
    int64_t size;
    size_t element;
    int is_backward;
    double l1, l2;
    hn_fold fold;
    hn_folded_view views[3]; /* from, to; backward: x */
} activity_job;

/* forward: to = from;  backward: dx = dy + scale (l1 sign(x) + 2 l2 x) */
static void piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first, int64_t count)
{
    (void)worker;
    const activity_job *job = context;
    size_t bytes = (size_t)job->size * job->element;
    for (int64_t row = first; row < first + count; row++) {
        const void *from = hn_folded_at(&job->views[0], job->element, group, segment, row);
        void *to = hn_folded_at(&job->views[1], job->element, group, segment, row);
        if (from != to)
            memcpy(to, from, bytes);
        if (job->is_backward)
            job->call->kernels->penalty(job->size, hn_folded_at(&job->views[2], job->element, group, segment, row),
                                        job->l1, job->l2, job->call->activity_scale, to);
    }
}

static void run(const hn_op_call *call, int32_t count, const hn_view *const *views)
{
    const hn_attribute *given = call->node->attributes;
    activity_job job = {.call = call, .size = hn_shape_size(&call->node->output.shape),
                        .element = hn_dtype_size(call->kernels->dtype), .is_backward = count == 3,
                        .l1 = given[L1].number, .l2 = given[L2].number};
    int64_t widths[] = {job.size, job.size, job.size};
    job.fold.views = job.views;
    hn_fold_views(&job.fold, call->groups, call->rows, 1, count, views, widths, 1);
    hn_fold_run(&job.fold, call->threads, 5.0 + 0.4 * (double)job.size, piece, &job);
}

static void forward(const hn_op_call *call)
{
    const hn_attribute *given = call->node->attributes;
    const hn_view *x = &call->inputs[0];
    int64_t size = hn_shape_size(&call->node->output.shape);
    double sum = 0.0;
    for (int64_t g = 0; call->activity_penalty && g < call->groups; g++) /* before x may be overwritten */
        for (int64_t r = 0; r < call->rows; r++)
            sum += call->kernels->penalty(size, hn_move(x->data, g * x->group_stride + r * x->row_stride,
                                                        hn_dtype_size(call->kernels->dtype)),
                                          given[L1].number, given[L2].number, 0.0, NULL);
    if (call->activity_penalty)
        *call->activity_penalty += sum;
    run(call, 2, (const hn_view *const[]){x, &call->output});
}

static void backward(const hn_op_call *call)
{
    if (call->input_gradients[0].data)
        run(call, 3, (const hn_view *const[]){&call->output_gradient, &call->input_gradients[0], &call->inputs[0]});
}

const hn_op hn_op_activity_regularizer = {
    .name = "activity_regularizer", .attributes = attributes, .attribute_count = 2, .min_inputs = 1, .max_inputs = 1,
    .flags = HN_OP_IN_PLACE | HN_OP_PENALIZES, .describe = describe, .work = work, .forward = forward,
    .backward = backward,
};
