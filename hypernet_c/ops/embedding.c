/* embedding: y = table row number x for every integer x. */
#include "fold.h"
#include <string.h>

enum { INPUT_DIM, OUTPUT_DIM };
enum { COLUMNS_BLOCK = 64 };

static const hn_attribute attributes[] = {
    {.name = "input_dim", .type = HN_ATTRIBUTE_INTEGER, .integer = 1},
    {.name = "output_dim", .type = HN_ATTRIBUTE_INTEGER, .integer = 1},
};

static hn_status describe(const hn_attribute *given, int32_t input_count, const hn_tensor_info *inputs, hn_dtype dtype,
                          hn_op_spec *spec, hn_error *error)
{
    (void)input_count;
    (void)dtype;
    int64_t ids = given[INPUT_DIM].integer, width = given[OUTPUT_DIM].integer;
    if (ids < 1 || width < 1)
        return hn_error_set(error, HN_ERROR_VALUE,
                            "embedding: input_dim and output_dim must be positive integers, received %lld and %lld",
                            (long long)ids, (long long)width);
    if (inputs[0].dtype != HN_INT64)
        return hn_error_set(error, HN_ERROR_TYPE, "embedding expects integer ids, received real numbers; declare the "
                            "input as integers");
    if (inputs[0].shape.rank >= HN_MAX_RANK)
        return hn_error_set(error, HN_ERROR_VALUE, "embedding: samples may have rank %d at most", HN_MAX_RANK - 1);
    spec->output = inputs[0].shape;
    spec->output.dims[spec->output.rank++] = width;
    spec->entry_count = 1;
    spec->entries[0] = (hn_entry_spec){"embeddings", HN_ROLE_TABLE, {2, {ids, width}}, 1, width};
    return HN_OK;
}

static double work(const hn_node_info *node)
{
    return (double)hn_shape_size(&node->output.shape);
}

typedef struct embedding_job {
    const hn_op_call *call;
    int64_t positions, ids, width;
    size_t element;
    hn_fold fold;
    hn_folded_view views[2];
} embedding_job;

enum { VIEW_IDS, VIEW_Y };

static embedding_job job_of(const hn_op_call *call)
{
    const hn_node_info *node = call->node;
    embedding_job job = {.call = call, .positions = hn_shape_size(&node->inputs[0].shape),
                         .ids = node->attributes[INPUT_DIM].integer, .width = node->attributes[OUTPUT_DIM].integer,
                         .element = hn_dtype_size(call->kernels->dtype)};
    return job;
}

static void job_fold(embedding_job *job, const hn_view *values, int merge)
{
    const hn_view *const views[] = {&job->call->inputs[0], values};
    int64_t widths[] = {1, job->width};
    job->fold.views = job->views;
    hn_fold_views(&job->fold, job->call->groups, job->call->rows, job->positions, 2, views, widths, merge);
}

static hn_status check(const hn_op_call *call, hn_error *error)
{
    embedding_job job = job_of(call);
    const hn_view *ids = &call->inputs[0];
    int64_t groups = ids->group_stride == 0 && call->groups > 0 ? 1 : call->groups;
    int64_t rows = job.positions > 0 ? call->rows : 0; /* rows of no ids take no memory: there may be any number */
    for (int64_t g = 0; g < groups; g++)
        for (int64_t r = 0; r < rows; r++) {
            const int64_t *row = (const int64_t *)ids->data + g * ids->group_stride + r * ids->row_stride;
            int64_t number = g * call->rows + r;
            for (int64_t i = 0; i < job.positions; i++)
                if (row[i] < 0 || row[i] >= job.ids)
                    return hn_error_set(error, HN_ERROR_VALUE, "embedding: ids must be in 0 <= id < input_dim = %lld, "
                                        "received %lld in row %lld", (long long)job.ids, (long long)row[i],
                                        (long long)number);
        }
    return HN_OK;
}

static void forward_piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                          int64_t count)
{
    (void)worker;
    const embedding_job *job = context;
    const hn_folded_view *ids = &job->views[VIEW_IDS], *y = &job->views[VIEW_Y];
    const hn_source *table = &job->call->sources[0];
    const int64_t *from = (const int64_t *)(const void *)hn_folded_at(ids, sizeof *from, group, segment, first);
    int64_t together = ids->ld == 1 ? count : 1; /* ids without gaps */
    for (int64_t i = 0; i < count; i += together)
        job->call->kernels->gather(together, from + i * ids->ld, job->width,
                                   hn_move(table->data, group * table->group_stride, job->element), job->width,
                                   hn_folded_at(y, job->element, group, segment, first + i), y->ld);
}

static void forward(const hn_op_call *call)
{
    embedding_job job = job_of(call);
    job_fold(&job, &call->output, call->sources[0].group_stride == 0);
    hn_fold_run(&job.fold, call->threads, 5.0 + 0.2 * (double)job.width, forward_piece, &job);
}

/* Adds the gradients of a group's rows to a range of columns of the table's gradient, in the order of the rows. */
static void scatter(const embedding_job *job, int64_t group, int64_t column, int64_t columns, char *table)
{
    const hn_folded_view *ids = &job->views[VIEW_IDS], *dy = &job->views[VIEW_Y];
    for (int64_t s = 0; s < job->fold.segments; s++) {
        int64_t together = ids->ld == 1 ? job->fold.rows : 1;
        for (int64_t r = 0; r < job->fold.rows; r += together) {
            const char *from = hn_folded_at(ids, sizeof(int64_t), group, s, r);
            const char *gradient = hn_folded_at(dy, job->element, group, s, r);
            job->call->kernels->scatter_add(together, (const int64_t *)(const void *)from, columns,
                                            hn_move(gradient, column, job->element), dy->ld, table, job->width);
        }
    }
}

/* Rows are columns of the table's gradient here, of every group that has one: ranges of columns are independent. */
static void backward_piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                           int64_t count)
{
    (void)worker;
    (void)segment;
    const embedding_job *job = context;
    const hn_source *source = &job->call->sources[0];
    int64_t column = first * COLUMNS_BLOCK, end = (first + count) * COLUMNS_BLOCK;
    int64_t columns = (end < job->width ? end : job->width) - column;
    char *table = hn_move(source->gradient, group * source->gradient_group_stride + column, job->element);
    if (!source->accumulate)
        for (int64_t i = 0; i < job->ids; i++)
            memset(hn_move(table, i * job->width, job->element), 0, (size_t)columns * job->element);
    int own = source->gradient_group_stride != 0;
    for (int64_t g = own ? group : 0; g < (own ? group + 1 : job->fold.groups); g++)
        scatter(job, g, column, columns, table);
}

static void backward(const hn_op_call *call)
{
    const hn_source *source = &call->sources[0];
    if (!source->gradient)
        return;
    embedding_job job = job_of(call);
    job_fold(&job, &call->output_gradient, source->gradient_group_stride == 0);
    double rows = (double)(job.fold.segments * job.fold.rows);
    int own = source->gradient_group_stride != 0;
    if (!own)
        rows *= (double)job.fold.groups;
    hn_fold columns = {.groups = own ? job.fold.groups : 1, .segments = 1,
                       .rows = (job.width + COLUMNS_BLOCK - 1) / COLUMNS_BLOCK};
    hn_fold_run(&columns, call->threads, (rows + (double)job.ids) * 10.0, backward_piece, &job);
}

const hn_op hn_op_embedding = {
    .name = "embedding", .attributes = attributes, .attribute_count = 2, .min_inputs = 1, .max_inputs = 1,
    .describe = describe, .work = work, .check = check, .forward = forward, .backward = backward,
};
