/* multiply: y = a * b * ... with NumPy's broadcasting of sample shapes. */
#include "broadcast.h"
#include <string.h>

static hn_status describe(const hn_attribute *given, int32_t input_count, const hn_tensor_info *inputs, hn_dtype dtype,
                          hn_op_spec *spec, hn_error *error)
{
    (void)given;
    return hn_broadcast_shape("multiply", input_count, inputs, dtype, &spec->output, error);
}

static size_t scratch_size(const hn_node_info *node, hn_dtype dtype)
{
    return node->input_count > 2 ? (size_t)hn_shape_size(&node->output.shape) * hn_dtype_size(dtype) : 0;
}

static double work(const hn_node_info *node)
{
    return (double)(node->input_count - 1) * (double)hn_shape_size(&node->output.shape);
}

static void forward(const hn_op_call *call)
{
    hn_broadcast_forward(call, HN_BINARY_MULTIPLY);
}

/* One input's gradient among three or more inputs of different shapes: a row of dy times all the others is made in
   scratch memory and then summed over the axes in which the input repeats. */
typedef struct multiply_job {
    const hn_op_call *call;
    int32_t index;
    hn_fold fold;
    hn_folded_view views[HN_MAX_INPUTS + 2];
} multiply_job;

static void piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first, int64_t count)
{
    const multiply_job *job = context;
    const hn_kernels *kernels = job->call->kernels;
    const hn_node_info *node = job->call->node;
    const hn_shape *output = &node->output.shape;
    size_t element = hn_dtype_size(kernels->dtype);
    char *p = hn_scratch_op(job->call, worker);
    int32_t inputs = node->input_count;
    int64_t offsets[HN_BROADCAST_OPERANDS], steps[HN_BROADCAST_OPERANDS], length;
    hn_broadcast sweep;
    for (int64_t row = first; row < first + count; row++) {
        const char *dy = hn_folded_at(&job->views[inputs], element, group, segment, row);
        char *dx = hn_folded_at(&job->views[inputs + 1], element, group, segment, row);
        memcpy(p, dy, (size_t)hn_shape_size(output) * element);
        for (int32_t i = 0; i < inputs; i++) { /* p = dy * product of the others */
            if (i == job->index)
                continue;
            const char *x = hn_folded_at(&job->views[i], element, group, segment, row);
            hn_broadcast_make(&sweep, output, 2, (const hn_shape *const[]){output, &node->inputs[i].shape});
            for (int64_t s = 0; hn_broadcast_stretch(&sweep, s, offsets, steps, &length); s++)
                kernels->binary(HN_BINARY_MULTIPLY, length, hn_move(p, offsets[0], element), 1,
                                hn_move(x, offsets[1], element), steps[1], hn_move(p, offsets[0], element));
        }
        const hn_shape *own = &node->inputs[job->index].shape;
        memset(dx, 0, (size_t)hn_shape_size(own) * element);
        hn_broadcast_make(&sweep, output, 2, (const hn_shape *const[]){own, output});
        hn_broadcast_reduce(kernels, &sweep, dx, p, NULL); /* dx = sum of p */
    }
}

static void backward_mixed(const hn_op_call *call, int32_t index)
{
    multiply_job job = {.call = call, .index = index};
    int32_t inputs = call->node->input_count;
    const hn_view *views[HN_MAX_INPUTS + 2];
    int64_t widths[HN_MAX_INPUTS + 2], size = hn_shape_size(&call->node->output.shape);
    for (int32_t i = 0; i < inputs; i++) {
        views[i] = &call->inputs[i];
        widths[i] = hn_shape_size(&call->node->inputs[i].shape);
    }
    views[inputs] = &call->output_gradient;
    widths[inputs] = size;
    views[inputs + 1] = &call->input_gradients[index];
    widths[inputs + 1] = widths[index];
    job.fold.views = job.views;
    hn_fold_views(&job.fold, call->groups, call->rows, 1, inputs + 2, views, widths, 1);
    hn_fold_run(&job.fold, call->threads, (double)inputs * (0.5 * (double)size + 100.0), piece, &job);
}

/* dx_i = dy * product of the other inputs */
static void backward_one(const hn_op_call *call, int32_t index)
{
    const hn_node_info *node = call->node;
    const hn_view *dx = &call->input_gradients[index];
    int32_t other = index == 0 ? 1 : 0;
    int equal = 1;
    for (int32_t i = 0; i < node->input_count; i++)
        equal = equal && hn_shape_size(&node->inputs[i].shape) == hn_shape_size(&node->output.shape);
    if (node->input_count > 2 && !equal) {
        backward_mixed(call, index);
        return;
    }
    hn_broadcast_backward(call, index, &call->inputs[other], &node->inputs[other].shape);
    for (int32_t i = other + 1; i < node->input_count; i++)
        if (i != index)
            hn_broadcast_multiply(call, dx, &call->inputs[i], dx);
}

static void backward(const hn_op_call *call)
{
    for (int32_t i = 0; i < call->node->input_count; i++)
        if (call->input_gradients[i].data)
            backward_one(call, i);
}

const hn_op hn_op_multiply = {
    .name = "multiply", .min_inputs = 2, .max_inputs = HN_MAX_INPUTS, .flags = HN_OP_IN_PLACE, .describe = describe,
    .scratch_size = scratch_size, .work = work, .forward = forward, .backward = backward,
};
