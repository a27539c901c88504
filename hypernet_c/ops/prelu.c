/* prelu: y = x where x > 0, else alpha x, with a learned alpha for every element of a sample (less the shared axes). */
#include "broadcast.h"
#include <string.h>

enum { SHARED_AXES };

static const hn_attribute attributes[] = {{.name = "shared_axes", .type = HN_ATTRIBUTE_SHAPE}};

static hn_status describe(const hn_attribute *given, int32_t input_count, const hn_tensor_info *inputs, hn_dtype dtype,
                          hn_op_spec *spec, hn_error *error)
{
    (void)input_count;
    char text[128];
    const hn_shape *shape = &inputs[0].shape, *axes = &given[SHARED_AXES].shape;
    hn_shape alpha = *shape;
    if (inputs[0].dtype != dtype)
        return hn_error_set(error, HN_ERROR_TYPE, "prelu expects real numbers of the network's dtype");
    for (int32_t i = 0; i < axes->rank; i++) {
        if (axes->dims[i] < 1 || axes->dims[i] > shape->rank)
            return hn_error_set(error, HN_ERROR_VALUE, "prelu: shared axis %lld is not in 1 .. %d, the axes of samples "
                                "of shape %s", (long long)axes->dims[i], shape->rank,
                                hn_shape_format(shape, text, sizeof text));
        alpha.dims[axes->dims[i] - 1] = 1;
    }
    int64_t size = hn_shape_size(&alpha);
    if (size < 0)
        return hn_error_set(error, HN_ERROR_VALUE, "prelu: axes that are not shared must be known, received %s",
                            hn_shape_format(shape, text, sizeof text));
    spec->output = *shape;
    spec->entry_count = 1;
    spec->entries[0] = (hn_entry_spec){"alpha", HN_ROLE_SCALE, alpha, size, size};
    return HN_OK;
}

/* A row of a sample: what alpha's gradient is summed from. */
static size_t scratch_size(const hn_node_info *node, hn_dtype dtype)
{
    return (size_t)hn_shape_size(&node->output.shape) * hn_dtype_size(dtype);
}

static double work(const hn_node_info *node)
{
    return 2.0 * (double)hn_shape_size(&node->output.shape);
}

/* forward: y = x > 0 ? x : alpha x;  backward: dx = dy (x > 0 ? 1 : alpha), 0 at 0;  negative: t = dy min(x, 0) */
#define DEFINE_PRELU(T)                                                                                               \
    static void prelu_forward_##T(int64_t n, const T *x, const T *alpha, int64_t step, T y[])                         \
    {                                                                                                                 \
        for (int64_t i = 0; i < n; i++)                                                                               \
            y[i] = x[i] > 0 ? x[i] : alpha[i * step] * x[i];                                                          \
    }                                                                                                                 \
    static void prelu_backward_##T(int64_t n, const T *x, const T *alpha, int64_t step, const T *dy, T dx[])          \
    {                                                                                                                 \
        for (int64_t i = 0; i < n; i++)                                                                               \
            dx[i] = dy[i] * (x[i] > 0 ? 1 : x[i] < 0 ? alpha[i * step] : 0);                                          \
    }                                                                                                                 \
    static void prelu_negative_##T(int64_t n, const T *x, const T *dy, T t[])                                         \
    {                                                                                                                 \
        for (int64_t i = 0; i < n; i++)                                                                               \
            t[i] = x[i] > 0 ? 0 : dy[i] * x[i];                                                                       \
    }

DEFINE_PRELU(float)
DEFINE_PRELU(double)

typedef struct prelu_job {
    const hn_op_call *call;
    int64_t size;
    size_t element;
    hn_broadcast sweep; /* alpha, x */
    hn_fold fold;
    hn_folded_view views[3];
} prelu_job;

enum { VIEW_X, VIEW_Y, VIEW_DX };

static void job_make(prelu_job *job, const hn_op_call *call, int32_t count, const hn_view *const *views, int merge)
{
    const hn_node_info *node = call->node;
    job->call = call;
    job->size = hn_shape_size(&node->output.shape);
    job->element = hn_dtype_size(call->kernels->dtype);
    hn_broadcast_make(&job->sweep, &node->output.shape, 2,
                      (const hn_shape *const[]){&node->entries[0].shape, &node->output.shape});
    int64_t widths[] = {job->size, job->size, job->size};
    job->fold.views = job->views;
    hn_fold_views(&job->fold, call->groups, call->rows, 1, count, views, widths, merge);
}

/* One row: forward if `dy` is NULL (to = y), else backward (to = dx). */
static void row_run(const prelu_job *job, int64_t group, const char *x, const char *dy, char *to)
{
    const hn_source *source = &job->call->sources[0];
    const char *alpha = hn_move(source->data, group * source->group_stride, job->element);
    int64_t offsets[HN_BROADCAST_OPERANDS], steps[HN_BROADCAST_OPERANDS], n;
    for (int64_t s = 0; hn_broadcast_stretch(&job->sweep, s, offsets, steps, &n); s++) {
        const void *a = hn_move(alpha, offsets[0], job->element), *from = hn_move(x, offsets[1], job->element);
        const void *gradient = dy ? hn_move(dy, offsets[1], job->element) : NULL;
        void *result = hn_move(to, offsets[1], job->element);
        if (job->element == sizeof(float) && !dy)
            prelu_forward_float(n, from, a, steps[0], result);
        else if (job->element == sizeof(float))
            prelu_backward_float(n, from, a, steps[0], gradient, result);
        else if (!dy)
            prelu_forward_double(n, from, a, steps[0], result);
        else
            prelu_backward_double(n, from, a, steps[0], gradient, result);
    }
}

static void forward_piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                          int64_t count)
{
    (void)worker;
    const prelu_job *job = context;
    for (int64_t row = first; row < first + count; row++)
        row_run(job, group, hn_folded_at(&job->views[VIEW_X], job->element, group, segment, row), NULL,
                hn_folded_at(&job->views[VIEW_Y], job->element, group, segment, row));
}

static void forward(const hn_op_call *call)
{
    prelu_job job;
    const hn_view *const views[] = {&call->inputs[0], &call->output};
    job_make(&job, call, 2, views, call->sources[0].group_stride == 0);
    hn_fold_run(&job.fold, call->threads, (double)job.size + 10.0, forward_piece, &job);
}

static void input_piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                        int64_t count)
{
    (void)worker;
    const prelu_job *job = context;
    for (int64_t row = first; row < first + count; row++)
        row_run(job, group, hn_folded_at(&job->views[VIEW_X], job->element, group, segment, row),
                hn_folded_at(&job->views[VIEW_Y], job->element, group, segment, row),
                hn_folded_at(&job->views[VIEW_DX], job->element, group, segment, row));
}

/* dalpha = sum over rows (and shared axes) of dy min(x, 0), for whole groups first .. first + count - 1 */
static void alpha_piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                        int64_t count)
{
    (void)group;
    (void)segment;
    const prelu_job *job = context;
    const hn_source *source = &job->call->sources[0];
    void *t = hn_scratch_op(job->call, worker);
    size_t bytes = (size_t)hn_shape_size(&job->call->node->entries[0].shape) * job->element;
    for (int64_t g = first; g < first + count; g++) {
        char *dalpha = hn_move(source->gradient, g * source->gradient_group_stride, job->element);
        if (!source->accumulate && (source->gradient_group_stride || g == 0))
            memset(dalpha, 0, bytes);
        for (int64_t row = 0; row < job->fold.rows; row++) {
            const char *x = hn_folded_at(&job->views[VIEW_X], job->element, g, 0, row);
            const char *dy = hn_folded_at(&job->views[VIEW_Y], job->element, g, 0, row);
            if (job->element == sizeof(float))
                prelu_negative_float(job->size, (const void *)x, (const void *)dy, t);
            else
                prelu_negative_double(job->size, (const void *)x, (const void *)dy, t);
            hn_broadcast_reduce(job->call->kernels, &job->sweep, dalpha, t, NULL);
        }
    }
}

static void backward(const hn_op_call *call)
{
    prelu_job job;
    const hn_source *source = &call->sources[0];
    const hn_view *const views[] = {&call->inputs[0], &call->output_gradient, &call->input_gradients[0]};
    if (source->gradient) {
        job_make(&job, call, 2, views, source->gradient_group_stride == 0);
        hn_fold groups = {.groups = 1, .segments = 1, .rows = job.fold.groups};
        if (source->gradient_group_stride)
            hn_fold_run(&groups, call->threads, ((double)job.size + 20.0) * (double)job.fold.rows, alpha_piece, &job);
        else
            alpha_piece(&job, 0, 0, 0, 0, job.fold.groups);
    }
    if (call->input_gradients[0].data) {
        job_make(&job, call, 3, views, source->group_stride == 0);
        hn_fold_run(&job.fold, call->threads, (double)job.size + 10.0, input_piece, &job);
    }
}

const hn_op hn_op_prelu = {
    .name = "prelu", .attributes = attributes, .attribute_count = 1, .min_inputs = 1, .max_inputs = 1,
    .describe = describe, .scratch_size = scratch_size, .work = work, .forward = forward, .backward = backward,
};
