/* NumPy's broadcasting of sample shapes. */
#include "broadcast.h"
#include <string.h>

static int64_t dim_at(const hn_shape *shape, int32_t rank, int32_t axis)
{
    int32_t own = axis - (rank - shape->rank);
    return own < 0 ? 1 : shape->dims[own];
}

hn_status hn_broadcast_shape(const char *op, int32_t count, const hn_tensor_info *inputs, hn_dtype dtype,
                             hn_shape *shape, hn_error *error)
{
    char first[128], second[128];
    *shape = inputs[0].shape;
    for (int32_t i = 0; i < count; i++) {
        const hn_shape *next = &inputs[i].shape;
        hn_shape merged = {.rank = next->rank > shape->rank ? next->rank : shape->rank};
        if (inputs[i].dtype != dtype)
            return hn_error_set(error, HN_ERROR_TYPE, "%s expects real numbers of the network's dtype, received %s as "
                                "input %d", op, inputs[i].dtype == HN_INT64 ? "integers" : "another real dtype", i);
        for (int32_t axis = 0; axis < merged.rank; axis++) {
            int64_t a = dim_at(shape, merged.rank, axis), b = dim_at(next, merged.rank, axis);
            if (a != b && a != 1 && b != 1 && a >= 0 && b >= 0)
                return hn_error_set(error, HN_ERROR_VALUE, "%s: inputs cannot be broadcast together, received %s and "
                                    "%s (without the batch axis)", op, hn_shape_format(shape, first, sizeof first),
                                    hn_shape_format(next, second, sizeof second));
            merged.dims[axis] = a == 1 ? b : b == 1 ? a : a < 0 ? b : a;
        }
        *shape = merged;
    }
    return HN_OK;
}

void hn_broadcast_make(hn_broadcast *sweep, const hn_shape *output, int32_t operands, const hn_shape *const *shapes)
{
    int64_t size[HN_BROADCAST_OPERANDS];
    int32_t rank = 0; /* filled from the last axis; turned round below */
    hn_broadcast turned = {.operands = operands};
    for (int32_t i = 0; i < operands; i++)
        size[i] = 1;
    for (int32_t axis = output->rank - 1; axis >= 0; axis--) {
        int64_t dim = output->dims[axis];
        int joins = rank > 0;
        if (dim == 1)
            continue;
        for (int32_t i = 0; i < operands; i++) {
            int64_t own = dim_at(shapes[i], output->rank, axis);
            turned.strides[i][rank] = own == 1 ? 0 : size[i];
            size[i] *= own;
            if (rank > 0 && (turned.strides[i][rank] == 0) != (turned.strides[i][rank - 1] == 0))
                joins = 0;
        }
        if (joins)
            turned.dims[rank - 1] *= dim;
        else
            turned.dims[rank++] = dim;
    }
    sweep->rank = rank;
    sweep->operands = operands;
    for (int32_t axis = 0; axis < rank; axis++) {
        sweep->dims[axis] = turned.dims[rank - 1 - axis];
        for (int32_t i = 0; i < operands; i++)
            sweep->strides[i][axis] = turned.strides[i][rank - 1 - axis];
    }
}

void hn_broadcast_make_flat(hn_broadcast *sweep, int32_t operands, int64_t count)
{
    sweep->rank = 1;
    sweep->operands = operands;
    sweep->dims[0] = count;
    for (int32_t i = 0; i < operands; i++)
        sweep->strides[i][0] = 1;
}

int hn_broadcast_stretch(const hn_broadcast *sweep, int64_t index, int64_t *offsets, int64_t *steps, int64_t *length)
{
    int32_t last = sweep->rank - 1;
    *length = last < 0 ? 1 : sweep->dims[last];
    if (*length == 0) /* whatever the other axes are: there may be 2^40 of such stretches */
        return 0;
    for (int32_t i = 0; i < sweep->operands; i++) {
        offsets[i] = 0;
        steps[i] = last < 0 ? 1 : sweep->strides[i][last];
    }
    for (int32_t axis = last - 1; axis >= 0; axis--) {
        if (sweep->dims[axis] == 0)
            return 0;
        int64_t at = index % sweep->dims[axis];
        index /= sweep->dims[axis];
        for (int32_t i = 0; i < sweep->operands; i++)
            offsets[i] += at * sweep->strides[i][axis];
    }
    return index == 0;
}

static void add_number(hn_dtype dtype, void *to, double value)
{
    if (dtype == HN_FLOAT32)
        *(float *)to += (float)value;
    else
        *(double *)to += value;
}

static double number(hn_dtype dtype, const void *at)
{
    return dtype == HN_FLOAT32 ? (double)*(const float *)at : *(const double *)at;
}

void hn_broadcast_reduce(const hn_kernels *kernels, const hn_broadcast *sweep, void *out, const void *x, const void *p)
{
    size_t element = hn_dtype_size(kernels->dtype);
    int64_t offsets[HN_BROADCAST_OPERANDS] = {0}, steps[HN_BROADCAST_OPERANDS] = {0}, length;
    for (int64_t s = 0; hn_broadcast_stretch(sweep, s, offsets, steps, &length); s++) {
        char *to = hn_move(out, offsets[0], element);
        const char *from = hn_move(x, offsets[1], element);
        const char *factor = p ? hn_move(p, offsets[2], element) : NULL;
        if (steps[0] && factor)
            kernels->binary(HN_BINARY_MULTIPLY_ADD, length, from, 1, factor, steps[2], to);
        else if (steps[0])
            kernels->binary(HN_BINARY_ADD, length, to, 1, from, 1, to);
        else if (factor && steps[2])
            add_number(kernels->dtype, to, kernels->dot(length, from, factor));
        else
            add_number(kernels->dtype, to,
                       kernels->dot(length, from, NULL) * (factor ? number(kernels->dtype, factor) : 1.0));
    }
}

/* Up to three tensors of one call, swept together row by row, or element by element where all have one shape. */
typedef struct broadcast_job {
    const hn_op_call *call;
    hn_binary operation;
    const void *p;     /* backward: not NULL where there are other factors */
    int64_t first_size; /* elements a row of operand 0 */
    int flat, equal;
    size_t element;
    hn_broadcast sweep;
    hn_fold fold;
    hn_folded_view views[HN_BROADCAST_OPERANDS];
} broadcast_job;

static void job_run(broadcast_job *job, const hn_op_call *call, int32_t operands, const hn_view *const *views,
                    const hn_shape *const *shapes, hn_piece piece)
{
    const hn_shape *output = &call->node->output.shape;
    int64_t widths[HN_BROADCAST_OPERANDS], size = hn_shape_size(output);
    double cost = 0.4 * (double)size;
    job->equal = 1;
    for (int32_t i = 0; i < operands; i++) {
        widths[i] = hn_shape_size(shapes[i]);
        job->equal = job->equal && widths[i] == size;
    }
    job->call = call;
    job->first_size = widths[0];
    job->element = hn_dtype_size(call->kernels->dtype);
    job->fold.views = job->views;
    hn_fold_views(&job->fold, call->groups, call->rows, 1, operands, views, widths, 1);
    job->flat = job->equal && hn_fold_flatten(&job->fold, size);
    if (job->flat) {
        cost = 0.4;
    } else {
        hn_broadcast_make(&job->sweep, output, operands, shapes);
        int64_t inner = job->sweep.rank > 0 ? job->sweep.dims[job->sweep.rank - 1] : 1;
        int64_t stretches = inner > 0 ? size / inner : 0;
        cost += 10.0 * (double)stretches;
    }
    hn_fold_run(&job->fold, call->threads, cost, piece, job);
}

/* y = a op b on one sweep */
static void sweep_binary(const broadcast_job *job, const hn_broadcast *sweep, const char *a, const char *b, char *y)
{
    int64_t offsets[HN_BROADCAST_OPERANDS], steps[HN_BROADCAST_OPERANDS], length;
    for (int64_t s = 0; hn_broadcast_stretch(sweep, s, offsets, steps, &length); s++)
        job->call->kernels->binary(job->operation, length, hn_move(a, offsets[0], job->element), steps[0],
                                   hn_move(b, offsets[1], job->element), steps[1],
                                   hn_move(y, offsets[2], job->element));
}

static void forward_piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                          int64_t count)
{
    (void)worker;
    const broadcast_job *job = context;
    hn_broadcast flat;
    if (job->flat)
        hn_broadcast_make_flat(&flat, 3, count);
    for (int64_t row = first; row < first + (job->flat ? 1 : count); row++)
        sweep_binary(job, job->flat ? &flat : &job->sweep,
                     hn_folded_at(&job->views[0], job->element, group, segment, row),
                     hn_folded_at(&job->views[1], job->element, group, segment, row),
                     hn_folded_at(&job->views[2], job->element, group, segment, row));
}

void hn_broadcast_forward(const hn_op_call *call, hn_binary operation)
{
    const hn_shape *output = &call->node->output.shape;
    for (int32_t i = 1; i < call->node->input_count; i++) {
        broadcast_job job = {.operation = operation};
        const hn_view *const views[] = {i == 1 ? &call->inputs[0] : &call->output, &call->inputs[i], &call->output};
        const hn_shape *const shapes[] = {i == 1 ? &call->node->inputs[0].shape : output, &call->node->inputs[i].shape,
                                          output};
        job_run(&job, call, 3, views, shapes, forward_piece);
    }
}

void hn_broadcast_multiply(const hn_op_call *call, const hn_view *a, const hn_view *b, const hn_view *y)
{
    const hn_shape *output = &call->node->output.shape;
    broadcast_job job = {.operation = HN_BINARY_MULTIPLY};
    const hn_view *const views[] = {a, b, y};
    const hn_shape *const shapes[] = {output, output, output};
    job_run(&job, call, 3, views, shapes, forward_piece);
}

/* dx = sum over the axes in which x repeats of dy (times the other factors) */
static void backward_piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                           int64_t count)
{
    (void)worker;
    const broadcast_job *job = context;
    const hn_kernels *kernels = job->call->kernels;
    for (int64_t row = first; row < first + (job->flat ? 1 : count); row++) {
        char *dx = hn_folded_at(&job->views[0], job->element, group, segment, row);
        const char *dy = hn_folded_at(&job->views[1], job->element, group, segment, row);
        const char *p = job->p ? hn_folded_at(&job->views[2], job->element, group, segment, row) : NULL;
        int64_t size = job->flat ? count : job->first_size;
        if (job->equal && p) {
            kernels->binary(HN_BINARY_MULTIPLY, size, dy, 1, p, 1, dx);
        } else if (job->equal) {
            memcpy(dx, dy, (size_t)size * job->element);
        } else {
            memset(dx, 0, (size_t)size * job->element);
            hn_broadcast_reduce(kernels, &job->sweep, dx, dy, p);
        }
    }
}

void hn_broadcast_backward(const hn_op_call *call, int32_t index, const hn_view *others, const hn_shape *others_shape)
{
    broadcast_job job = {.p = others};
    const hn_view *const views[] = {&call->input_gradients[index], &call->output_gradient, others};
    const hn_shape *const shapes[] = {&call->node->inputs[index].shape, &call->node->output.shape, others_shape};
    job_run(&job, call, others ? 3 : 2, views, shapes, backward_piece);
}
