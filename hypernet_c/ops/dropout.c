/* dropout: in training each element is kept with probability 1 - rate and scaled by 1 / (1 - rate), else 0. The mask
   is a function of seed, layer, call, global row and element, so backward draws it again instead of keeping it. */
#include "fold.h"
#include <string.h>

enum { RATE };

static const hn_attribute attributes[] = {{.name = "rate", .type = HN_ATTRIBUTE_NUMBER, .number = 0.5}};

static hn_status describe(const hn_attribute *given, int32_t input_count, const hn_tensor_info *inputs, hn_dtype dtype,
                          hn_op_spec *spec, hn_error *error)
{
    (void)input_count;
    if (!(given[RATE].number >= 0.0 && given[RATE].number <= 1.0))
        return hn_error_set(error, HN_ERROR_VALUE, "dropout: rate must be in [0, 1], received %g", given[RATE].number);
    if (inputs[0].dtype != dtype)
        return hn_error_set(error, HN_ERROR_TYPE, "dropout expects real numbers of the network's dtype");
    spec->output = inputs[0].shape;
    return HN_OK;
}

static double work(const hn_node_info *node)
{
    return 10.0 * (double)hn_shape_size(&node->output.shape);
}

typedef struct dropout_job {
    const hn_op_call *call;
    hn_random_key key;
    double rate;
    int64_t size, rows; /* elements a sample; rows a group before folding */
    int acts;
    hn_fold fold;
    hn_folded_view views[2];
} dropout_job;

static void piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first, int64_t count)
{
    (void)worker;
    const dropout_job *job = context;
    const hn_kernels *kernels = job->call->kernels;
    size_t element = hn_dtype_size(kernels->dtype);
    uint64_t row = job->call->first_row + (uint64_t)(group * job->rows + first);
    for (int64_t i = 0; i < count; i++) {
        const void *from = hn_folded_at(&job->views[0], element, group, segment, first + i);
        void *to = hn_folded_at(&job->views[1], element, group, segment, first + i);
        if (!job->acts && from != to)
            memcpy(to, from, (size_t)job->size * element);
        else if (job->acts && job->rate < 1.0)
            kernels->dropout(job->size, job->rate, &job->key, row + (uint64_t)i, 0, from, to);
        else if (job->acts)
            memset(to, 0, (size_t)job->size * element);
    }
}

static void run(const hn_op_call *call, const hn_view *from, const hn_view *to)
{
    dropout_job job = {.call = call, .key = {call->seed, call->node->layer, call->call}, .rows = call->rows,
                       .rate = call->node->attributes[RATE].number, .size = hn_shape_size(&call->node->output.shape)};
    const hn_view *const views[] = {from, to};
    int64_t widths[] = {job.size, job.size};
    job.acts = call->training && job.rate > 0.0;
    job.fold.views = job.views;
    hn_fold_views(&job.fold, call->groups, call->rows, 1, 2, views, widths, 1);
    hn_fold_run(&job.fold, call->threads, (double)job.size * (job.acts ? 2.0 : 0.2) + 5.0, piece, &job);
}

static void forward(const hn_op_call *call)
{
    run(call, &call->inputs[0], &call->output);
}

static void backward(const hn_op_call *call)
{
    if (call->input_gradients[0].data)
        run(call, &call->output_gradient, &call->input_gradients[0]);
}

const hn_op hn_op_dropout = {
    .name = "dropout", .attributes = attributes, .attribute_count = 1, .min_inputs = 1, .max_inputs = 1,
    .flags = HN_OP_RANDOM | HN_OP_IN_PLACE, .describe = describe, .work = work, .forward = forward,
    .backward = backward,
};
