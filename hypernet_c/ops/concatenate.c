/* concatenate: the inputs one after the other along one axis of a sample. */
#include "fold.h"
#include <string.h>

enum { AXIS };

static const hn_attribute attributes[] = {{.name = "axis", .type = HN_ATTRIBUTE_INTEGER, .integer = -1}};

static int64_t axis_of(const hn_attribute *given, const hn_shape *shape)
{
    return given[AXIS].integer < 0 ? given[AXIS].integer + shape->rank : given[AXIS].integer;
}

static hn_status describe(const hn_attribute *given, int32_t input_count, const hn_tensor_info *inputs, hn_dtype dtype,
                          hn_op_spec *spec, hn_error *error)
{
    (void)dtype;
    char first[128], second[128];
    const hn_shape *shape = &inputs[0].shape;
    int64_t axis = axis_of(given, shape);
    if (axis < 0 || axis >= shape->rank)
        return hn_error_set(error, HN_ERROR_VALUE, "concatenate: axis %lld is not an axis of samples of shape %s",
                            (long long)given[AXIS].integer, hn_shape_format(shape, first, sizeof first));
    spec->output = *shape;
    spec->output_dtype = inputs[0].dtype;
    for (int32_t i = 1; i < input_count; i++) {
        const hn_shape *next = &inputs[i].shape;
        int fits = next->rank == shape->rank && inputs[i].dtype == inputs[0].dtype;
        for (int32_t a = 0; fits && a < shape->rank; a++) {
            int64_t *dim = &spec->output.dims[a];
            if (a == axis && (*dim < 0 || next->dims[a] < 0))
                *dim = -1;
            else if (a == axis && *dim > INT64_MAX - next->dims[a])
                return hn_error_set(error, HN_ERROR_VALUE, "concatenate: inputs of shapes %s and %s are too large",
                                    hn_shape_format(shape, first, sizeof first),
                                    hn_shape_format(next, second, sizeof second));
            else if (a == axis)
                *dim += next->dims[a];
            else if (*dim < 0)
                *dim = next->dims[a];
            else
                fits = next->dims[a] < 0 || next->dims[a] == *dim;
        }
        if (!fits)
            return hn_error_set(error, HN_ERROR_VALUE, "concatenate: inputs must have one dtype and matching shapes "
                                "except for axis %lld, received %s and %s (without the batch axis)",
                                (long long)given[AXIS].integer, hn_shape_format(shape, first, sizeof first),
                                hn_shape_format(next, second, sizeof second));
    }
    return HN_OK;
}

static double work(const hn_node_info *node)
{
    return (double)hn_shape_size(&node->output.shape);
}

/* Copies input number `index` (or its gradient) to or from its place in the output, row by row. */
typedef struct concatenate_job {
    int backward;
    int64_t outer, part, whole, offset; /* `outer` stretches of `part` elements; `whole` in the output */
    size_t element;
    hn_fold fold;
    hn_folded_view views[2]; /* input, output */
} concatenate_job;

static void piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first, int64_t count)
{
    (void)worker;
    const concatenate_job *job = context;
    size_t bytes = (size_t)job->part * job->element;
    for (int64_t row = first; row < first + count; row++) {
        char *in = hn_folded_at(&job->views[0], job->element, group, segment, row);
        char *out = hn_folded_at(&job->views[1], job->element, group, segment, row);
        for (int64_t i = 0; i < job->outer; i++) {
            char *small = hn_move(in, i * job->part, job->element);
            char *large = hn_move(out, i * job->whole + job->offset, job->element);
            memcpy(job->backward ? small : large, job->backward ? large : small, bytes);
        }
    }
}

static void run(const hn_op_call *call, const hn_view *parts, const hn_view *whole, int is_backward)
{
    const hn_node_info *node = call->node;
    const hn_shape *output = &node->output.shape;
    int32_t axis = (int32_t)axis_of(node->attributes, output);
    int64_t inner = 1, outer = 1, offset = 0;
    for (int32_t i = 0; i < axis; i++)
        outer *= output->dims[i];
    for (int32_t i = axis + 1; i < output->rank; i++)
        inner *= output->dims[i];
    for (int32_t i = 0; i < node->input_count; i++) {
        concatenate_job job = {.backward = is_backward, .outer = outer, .whole = inner * output->dims[axis],
                               .part = inner * node->inputs[i].shape.dims[axis], .offset = offset,
                               .element = hn_dtype_size(node->output.dtype)};
        offset += job.part;
        if (!parts[i].data || job.part == 0)
            continue;
        const hn_view *const views[] = {&parts[i], whole};
        int64_t widths[] = {outer * job.part, outer * job.whole};
        job.fold.views = job.views;
        hn_fold_views(&job.fold, call->groups, call->rows, 1, 2, views, widths, 1);
        hn_fold_run(&job.fold, call->threads, (double)outer * (5.0 + 0.2 * (double)job.part), piece, &job);
    }
}

static void forward(const hn_op_call *call)
{
    run(call, call->inputs, &call->output, 0);
}

static void backward(const hn_op_call *call)
{
    run(call, call->input_gradients, &call->output_gradient, 1);
}

const hn_op hn_op_concatenate = {
    .name = "concatenate", .attributes = attributes, .attribute_count = 1, .min_inputs = 2,
    .max_inputs = HN_MAX_INPUTS, .describe = describe, .work = work, .forward = forward, .backward = backward,
};
