/* dense: y = f(x W + b) over the last axis. The final activation is fused: it runs on a block while that is in cache,
   in place where its backward reads the output, else from the saved pre-activation. */
#include "activations.h"
#include "fold.h"
#include "mixture.h"
#include "product.h"

enum { UNITS, USE_BIAS, ACTIVATION };
enum { KERNEL, BIAS };

static const hn_attribute attributes[] = {
    {.name = "units", .type = HN_ATTRIBUTE_INTEGER, .integer = 1},
    {.name = "use_bias", .type = HN_ATTRIBUTE_INTEGER, .integer = 1},
    {.name = "activation", .type = HN_ATTRIBUTE_NAME, .text = "linear"},
};

static void resolve(hn_attribute *given)
{
    given[ACTIVATION].integer = hn_activation_find(given[ACTIVATION].text);
}

static hn_status describe(const hn_attribute *given, int32_t input_count, const hn_tensor_info *inputs, hn_dtype dtype,
                          hn_op_spec *spec, hn_error *error)
{
    (void)input_count;
    const hn_shape *shape = &inputs[0].shape;
    char text[128];
    int64_t units = given[UNITS].integer;
    if (units < 1)
        return hn_error_set(error, HN_ERROR_VALUE, "dense: units must be a positive integer, received %lld",
                            (long long)units);
    if (given[ACTIVATION].integer < 0)
        return hn_activation_unknown("dense", given[ACTIVATION].text, error);
    if (inputs[0].dtype != dtype)
        return hn_error_set(error, HN_ERROR_TYPE, "dense expects real numbers of the network's dtype, received %s",
                            inputs[0].dtype == HN_INT64 ? "integers" : "another real dtype");
    if (shape->rank < 1 || shape->dims[shape->rank - 1] < 0)
        return hn_error_set(error, HN_ERROR_VALUE,
                            "dense needs samples of rank 1 or more whose last axis is known, received %s",
                            hn_shape_format(shape, text, sizeof text));
    int64_t in = shape->dims[shape->rank - 1];
    spec->output = *shape;
    spec->output.dims[shape->rank - 1] = units;
    spec->entry_count = given[USE_BIAS].integer ? 2 : 1;
    spec->entries[KERNEL] = (hn_entry_spec){"kernel", HN_ROLE_KERNEL, {2, {in, units}}, in, units};
    if (given[USE_BIAS].integer)
        spec->entries[BIAS] = (hn_entry_spec){"bias", HN_ROLE_BIAS, {1, {units}}, in, units};
    return HN_OK;
}

/* Sizes and sources of one call. */
typedef struct dense_call {
    const hn_op_call *call;
    int64_t positions, in, units;
    hn_activation activation;
    const hn_source *kernel, *bias; /* bias: NULL if there is none */
    size_t element;
} dense_call;

static dense_call dense_call_of(const hn_op_call *call)
{
    const hn_node_info *node = call->node;
    const hn_shape *shape = &node->inputs[0].shape;
    dense_call dense = {.call = call, .positions = 1};
    for (int32_t i = 0; i + 1 < shape->rank; i++)
        dense.positions *= shape->dims[i];
    dense.in = shape->dims[shape->rank - 1];
    dense.units = node->attributes[UNITS].integer;
    dense.activation = hn_activation_default((int32_t)node->attributes[ACTIVATION].integer);
    dense.kernel = &call->sources[KERNEL];
    dense.bias = node->entry_count > 1 ? &call->sources[BIAS] : NULL;
    dense.element = hn_dtype_size(call->kernels->dtype);
    return dense;
}

static void saved_sizes(const hn_node_info *node, int64_t sizes[HN_MAX_SAVED])
{
    hn_activation activation = hn_activation_default((int32_t)node->attributes[ACTIVATION].integer);
    if (!hn_activation_from_output(&activation))
        sizes[0] = hn_shape_size(&node->output.shape);
}

static size_t scratch_size(const hn_node_info *node, hn_dtype dtype)
{
    (void)node;
    return hn_mixture_scratch(dtype);
}

static double work(const hn_node_info *node)
{
    const hn_shape *shape = &node->inputs[0].shape;
    return (double)hn_shape_size(&node->output.shape) * (2.0 * (double)shape->dims[shape->rank - 1] + 1.0);
}

/* ---- forward ---- */

typedef struct dense_forward {
    dense_call dense;
    hn_product product;
    hn_fold fold;
    hn_folded_view views[3];
} dense_forward;

enum { VIEW_X, VIEW_Y, VIEW_Z }; /* z = x W + b */

/* y = f(z) */
static void forward_piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                          int64_t count)
{
    (void)worker;
    const dense_forward *job = context;
    const hn_folded_view *y = &job->views[VIEW_Y], *z = &job->views[VIEW_Z];
    hn_activation_forward(job->dense.call->kernels, &job->dense.activation, count, job->dense.units,
                          hn_folded_at(z, job->dense.element, group, segment, first), z->ld,
                          hn_folded_at(y, job->dense.element, group, segment, first), y->ld);
}

/* y = f(z) on one block of columns. */
static void forward_activate(const dense_forward *job, const hn_product_block *block)
{
    const hn_folded_view *y = &job->views[VIEW_Y], *z = &job->views[VIEW_Z];
    size_t element = job->dense.element;
    for (int64_t s = 0; s < job->fold.segments; s++)
        hn_activation_forward(job->dense.call->kernels, &job->dense.activation, block->rows, block->columns,
                              hn_move(hn_folded_at(z, element, block->index, s, block->row), block->column, element),
                              z->ld,
                              hn_move(hn_folded_at(y, element, block->index, s, block->row), block->column, element),
                              y->ld);
}

static void forward_body(void *context, int64_t chunk, int32_t worker)
{
    dense_forward *job = context;
    const hn_product *product = &job->product;
    const hn_folded_view *y = &job->views[VIEW_Y], *z = &job->views[VIEW_Z];
    void *scratch = hn_scratch_kernels(job->dense.call, worker);
    int64_t first = chunk * product->item_block, end = hn_product_end(product, chunk), rows = job->fold.rows;
    int linear = job->dense.activation.number == HN_MAP_LINEAR && y->data == z->data;
    int split_rows = hn_activation_by_row(&job->dense.activation) && product->column_blocks > 1; /* see forward */
    int together = product->items == product->counts[0] && job->fold.segments == 1 && y->ld == job->dense.units &&
                   z->ld == y->ld && y->group == rows * y->ld && z->group == y->group;
    for (int64_t item = first; item < end; item++) {
        hn_product_block block = hn_product_block_at(product, item);
        hn_product_run_block(product, &block, scratch); /* z = x W + b */
        if (!together && !linear && !split_rows)
            forward_activate(job, &block);
    }
    if (together && !linear && !split_rows)
        hn_activation_forward(job->dense.call->kernels, &job->dense.activation, (end - first) * rows, job->dense.units,
                              hn_folded_at(z, job->dense.element, first, 0, 0), z->ld,
                              hn_folded_at(y, job->dense.element, first, 0, 0), y->ld);
}

static hn_mixed_product mixed_of(const dense_call *dense)
{
    return (hn_mixed_product){dense->call, dense->kernel->mixture, dense->positions, dense->in, dense->units};
}

static hn_mixture_call weights_of(const dense_call *dense)
{
    const hn_op_call *call = dense->call;
    return (hn_mixture_call){call->kernels, dense->kernel->mixture, call->threads, call->groups, call->scratch,
                             call->scratch_stride};
}

/* A block of the kernel, and where its weights are, for group 0. */
typedef struct dense_slice {
    int64_t row, rows, column, columns;
    const void *weights;
    int64_t group_stride;
} dense_slice;

/* The whole kernel. */
static dense_slice whole_of(const dense_call *dense)
{
    return (dense_slice){0, dense->in, 0, dense->units, dense->kernel->data, dense->kernel->group_stride};
}

static dense_slice first_slice(const dense_call *dense)
{
    const hn_mixture *mixture = dense->kernel->mixture;
    return (dense_slice){0, mixture->slice_rows < dense->in ? mixture->slice_rows : dense->in, 0,
                         mixture->slice_columns < dense->units ? mixture->slice_columns : dense->units,
                         mixture->tile, mixture->tile_stride};
}

/* Goes on to the next slice: the rows of some columns, then the next columns; 0: there is none. */
static int next_slice(const dense_call *dense, dense_slice *slice)
{
    const hn_mixture *mixture = dense->kernel->mixture;
    slice->row += slice->rows;
    if (slice->row >= dense->in) {
        slice->row = 0;
        slice->column += slice->columns;
        if (slice->column >= dense->units)
            return 0;
    }
    slice->rows = dense->in - slice->row < mixture->slice_rows ? dense->in - slice->row : mixture->slice_rows;
    slice->columns = dense->units - slice->column < mixture->slice_columns ? dense->units - slice->column
                                                                           : mixture->slice_columns;
    return 1;
}

static hn_stretches stretches_of(const dense_call *dense, const dense_slice *slice)
{
    return (hn_stretches){slice->row * dense->units + slice->column, slice->rows, slice->columns, dense->units};
}

static void make_slice(const dense_call *dense, const dense_slice *slice)
{
    hn_mixture_call make = weights_of(dense);
    hn_mixture_make(&make, stretches_of(dense, slice), dense->kernel->mixture->tile, slice->group_stride);
}

/* z += b, y = f(z) */
static void finish_piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                         int64_t count)
{
    const dense_forward *job = context;
    const dense_call *dense = &job->dense;
    const hn_folded_view *z = &job->views[VIEW_Z];
    for (int64_t row = first; dense->bias && row < first + count; row++) {
        char *at = hn_folded_at(z, dense->element, group, segment, row);
        dense->call->kernels->binary(HN_BINARY_ADD, dense->units, at, 1,
                                     hn_move(dense->bias->data, group * dense->bias->group_stride, dense->element), 1,
                                     at);
    }
    if (dense->activation.number != HN_MAP_LINEAR || z->data != job->views[VIEW_Y].data)
        forward_piece(context, worker, group, segment, first, count);
}

/* The kernel is made slice by slice: z[:, columns] (+)= x[:, rows] W[rows, columns]. */
static void forward_sliced(dense_forward *job)
{
    const dense_call *dense = &job->dense;
    const hn_op_call *call = dense->call;
    const hn_folded_view *x = &job->views[VIEW_X], *z = &job->views[VIEW_Z];
    dense_slice slice = first_slice(dense);
    do {
        make_slice(dense, &slice);
        job->product = (hn_product){
            .kernels = call->kernels, .form = HN_GEMM_NN, .m = job->fold.rows, .n = slice.columns, .k = slice.rows,
            .counts = {job->fold.groups, job->fold.segments, 1}, .accumulate = slice.row > 0,
            .a = {hn_move(x->data, slice.row, dense->element), x->ld, {x->group, x->segment, 0}},
            .b = {slice.weights, slice.columns, {slice.group_stride, 0, 0}},
            .c = {hn_move(z->data, slice.column, dense->element), z->ld, {z->group, z->segment, 0}},
        };
        hn_product_multiply(&job->product, call->threads, call->scratch, call->scratch_stride);
    } while (next_slice(dense, &slice));
}

static void forward_mixed(dense_forward *job, const hn_view *z)
{
    const dense_call *dense = &job->dense;
    const hn_op_call *call = dense->call;
    hn_mixed_product product = mixed_of(dense);
    int64_t widths[] = {dense->in, dense->units, dense->units};
    const hn_view *const views[] = {&call->inputs[0], &call->output, z};
    job->fold.views = job->views;
    hn_fold_views(&job->fold, call->groups, call->rows, dense->positions, 3, views, widths, 0);
    if (dense->kernel->mixture->slice_rows)
        forward_sliced(job);
    else
        hn_mixed_forward(&product, &call->inputs[0], z);
    hn_fold_run(&job->fold, call->threads, (double)dense->units * hn_activation_cost(&dense->activation), finish_piece,
                job);
}

static void forward(const hn_op_call *call)
{
    dense_forward job;
    job.dense = dense_call_of(call);
    const dense_call *dense = &job.dense;
    int64_t widths[] = {dense->in, dense->units, dense->units};
    hn_view z = call->output;
    if (call->saved[0])
        z = hn_view_packed(call->saved[0], call->rows, dense->positions * dense->units);
    const hn_view *const views[] = {&call->inputs[0], &call->output, &z};
    if (dense->kernel->mixture) {
        forward_mixed(&job, &z);
        return;
    }
    int merge = dense->kernel->group_stride == 0 && (!dense->bias || dense->bias->group_stride == 0);
    job.fold.views = job.views;
    hn_fold_views(&job.fold, call->groups, call->rows, dense->positions, 3, views, widths, merge);
    const hn_folded_view *x = &job.views[VIEW_X], *to = &job.views[VIEW_Z];
    job.product = (hn_product){
        .kernels = call->kernels, .form = HN_GEMM_NN, .m = job.fold.rows, .n = dense->units, .k = dense->in,
        .counts = {job.fold.groups, job.fold.segments, 1},
        .a = {x->data, x->ld, {x->group, x->segment, 0}},
        .b = {dense->kernel->data, dense->units, {dense->kernel->group_stride, 0, 0}},
        .c = {to->data, to->ld, {to->group, to->segment, 0}},
    };
    if (dense->bias)
        job.product.bias = (hn_operand){dense->bias->data, 0, {dense->bias->group_stride, 0, 0}};
    hn_product_cut(&job.product);
    hn_product_run(&job.product, call->threads, forward_body, &job);
    if (hn_activation_by_row(&dense->activation) && job.product.column_blocks > 1) /* rows are whole only now */
        hn_fold_run(&job.fold, call->threads, (double)dense->units * hn_activation_cost(&dense->activation),
                    forward_piece, &job);
}

/* ---- backward ---- */

enum { BACK_X, BACK_DZ, BACK_DX, BACK_COUNT };

typedef struct dense_backward {
    dense_call dense;
    hn_product product;
    hn_fold fold;
    hn_folded_view views[BACK_COUNT];
    int with_kernel, with_bias;
} dense_backward;

/* dz = f'(z) dy, in place of dy */
static void backward_piece(const void *context, int32_t worker, int64_t group, int64_t segment, int64_t first,
                           int64_t count)
{
    (void)worker;
    const dense_forward *job = context;
    const hn_folded_view *dy = &job->views[0], *saved = &job->views[1];
    int64_t width = job->dense.units;
    char *gradient = hn_folded_at(dy, job->dense.element, group, segment, first);
    hn_activation_backward(job->dense.call->kernels, &job->dense.activation, count, width,
                           hn_folded_at(saved, job->dense.element, group, segment, first), saved->ld, gradient, dy->ld,
                           gradient, dy->ld);
}

static void backward_activation(const dense_call *dense)
{
    const hn_op_call *call = dense->call;
    if (call->gradient_at_logits || dense->activation.number == HN_MAP_LINEAR)
        return;
    dense_forward job = {.dense = *dense};
    hn_view saved = call->output;
    if (!hn_activation_from_output(&dense->activation))
        saved = hn_view_packed(call->saved[0], call->rows, dense->positions * dense->units);
    const hn_view *const views[] = {&call->output_gradient, &saved};
    int64_t widths[] = {dense->units, dense->units};
    job.fold.views = job.views;
    hn_fold_views(&job.fold, call->groups, call->rows, dense->positions, 2, views, widths, 1);
    hn_fold_run(&job.fold, call->threads, (double)dense->units * hn_activation_cost(&dense->activation),
                backward_piece, &job);
}

/* dx[:, rows] (+)= dz[:, columns] W[rows, columns]^T */
static void backward_input(dense_backward *job, dense_slice slice)
{
    const dense_call *dense = &job->dense;
    const hn_op_call *call = dense->call;
    const hn_folded_view *dz = &job->views[BACK_DZ], *dx = &job->views[BACK_DX];
    job->product = (hn_product){
        .kernels = call->kernels, .form = HN_GEMM_NT, .m = job->fold.rows, .n = slice.rows, .k = slice.columns,
        .counts = {job->fold.groups, job->fold.segments, 1}, .accumulate = slice.column > 0,
        .a = {hn_move(dz->data, slice.column, dense->element), dz->ld, {dz->group, dz->segment, 0}},
        .b = {slice.weights, slice.columns, {slice.group_stride, 0, 0}},
        .c = {hn_move(dx->data, slice.row, dense->element), dx->ld, {dx->group, dx->segment, 0}},
    };
    hn_product_multiply(&job->product, call->threads, call->scratch, call->scratch_stride);
}

/* db = sum over rows of dz, for the columns of one block */
static void bias_block(const dense_backward *job, const hn_product_block *block)
{
    const dense_call *dense = &job->dense;
    const hn_product *product = &job->product;
    char *db = hn_move(dense->bias->gradient, block->index * dense->bias->gradient_group_stride + block->column,
                       dense->element);
    for (int64_t i = 0; i < product->counts[1]; i++)
        for (int64_t j = 0; j < product->counts[2]; j++) {
            int64_t start = block->index * product->b.strides[0] + i * product->b.strides[1] +
                            j * product->b.strides[2] + block->column;
            dense->call->kernels->column_sum(product->k, block->columns,
                                             hn_move(product->b.data, start, dense->element), product->b.ld,
                                             dense->bias->accumulate || i > 0 || j > 0, db);
        }
}

static void weights_body(void *context, int64_t chunk, int32_t worker)
{
    const dense_backward *job = context;
    const hn_product *product = &job->product;
    void *scratch = hn_scratch_kernels(job->dense.call, worker);
    for (int64_t item = chunk * product->item_block; item < hn_product_end(product, chunk); item++) {
        hn_product_block block = hn_product_block_at(product, item);
        if (job->with_kernel)
            hn_product_run_block(product, &block, scratch);
        if (job->with_bias && block.row == 0)
            bias_block(job, &block);
    }
}

/* dW = x^T dz, db = 1^T dz; over the rows of each group, or over those of all groups if they share the gradient. */
static void backward_weights(dense_backward *job, int with_kernel, int with_bias)
{
    const dense_call *dense = &job->dense;
    const hn_source *source = with_kernel ? dense->kernel : dense->bias;
    const hn_folded_view *x = &job->views[BACK_X], *dz = &job->views[BACK_DZ];
    int own = source->gradient_group_stride != 0;
    int64_t groups = job->fold.groups, segments = job->fold.segments;
    int64_t outer = own ? groups : 1, inner = own ? 1 : groups;
    job->with_kernel = with_kernel;
    job->with_bias = with_bias;
    job->product = (hn_product){
        .kernels = dense->call->kernels, .form = HN_GEMM_TN, .m = with_kernel ? dense->in : 0, .n = dense->units,
        .k = job->fold.rows, .counts = {outer, inner, segments}, .accumulate = dense->kernel->accumulate,
        .a = {x->data, x->ld, {own ? x->group : 0, own ? 0 : x->group, x->segment}},
        .b = {dz->data, dz->ld, {own ? dz->group : 0, own ? 0 : dz->group, dz->segment}},
        .c = {dense->kernel->gradient, dense->units, {dense->kernel->gradient_group_stride, 0, 0}},
    };
    hn_product_cut(&job->product);
    hn_product_run(&job->product, dense->call->threads, weights_body, job);
}

/* The gradients of a slice's weights, made and taken back to the mixture. */
static void pull_slice(dense_backward *job, dense_slice slice)
{
    const dense_call *dense = &job->dense;
    const hn_op_call *call = dense->call;
    void *gradient = dense->kernel->mixture->tile_gradient;
    const hn_folded_view *x = &job->views[BACK_X], *dz = &job->views[BACK_DZ];
    hn_mixture_call pull = weights_of(dense);
    job->product = (hn_product){
        .kernels = call->kernels, .form = HN_GEMM_TN, .m = slice.rows, .n = slice.columns, .k = job->fold.rows,
        .counts = {job->fold.groups, 1, job->fold.segments},
        .a = {hn_move(x->data, slice.row, dense->element), x->ld, {x->group, 0, x->segment}},
        .b = {hn_move(dz->data, slice.column, dense->element), dz->ld, {dz->group, 0, dz->segment}},
        .c = {gradient, slice.columns, {slice.group_stride, 0, 0}},
    };
    hn_product_multiply(&job->product, call->threads, call->scratch, call->scratch_stride);
    hn_mixture_pull(&pull, stretches_of(dense, &slice), gradient, slice.group_stride);
}

static void backward_sliced(dense_backward *job)
{
    const dense_call *dense = &job->dense;
    const hn_mixture *mixture = dense->kernel->mixture;
    int wanted = mixture->term_gradient || mixture->factor_gradient || mixture->constant_gradient;
    dense_slice slice = first_slice(dense);
    do {
        if (wanted)
            pull_slice(job, slice);
        if (dense->call->input_gradients[0].data) {
            make_slice(dense, &slice);
            backward_input(job, slice);
        }
    } while (next_slice(dense, &slice));
}

/* 1 if groups may be merged as far as this source is concerned. */
static int source_merges(const hn_source *source)
{
    return !source || (source->group_stride == 0 && (!source->gradient || source->gradient_group_stride == 0));
}

static void backward(const hn_op_call *call)
{
    dense_backward job;
    job.dense = dense_call_of(call);
    const dense_call *dense = &job.dense;
    backward_activation(dense);
    const hn_view *const views[] = {&call->inputs[0], &call->output_gradient, &call->input_gradients[0]};
    int64_t widths[] = {dense->in, dense->units, dense->in};
    job.fold.views = job.views;
    hn_fold_views(&job.fold, call->groups, call->rows, dense->positions, BACK_COUNT, views, widths,
                  !dense->kernel->mixture && source_merges(dense->kernel) && source_merges(dense->bias));
    if (dense->kernel->mixture) {
        hn_mixed_product product = mixed_of(dense);
        if (dense->kernel->mixture->slice_rows)
            backward_sliced(&job);
        else
            hn_mixed_backward(&product, &call->inputs[0], &call->output_gradient, &call->input_gradients[0]);
        if (dense->bias && dense->bias->gradient)
            backward_weights(&job, 0, 1);
        return;
    }
    int kernel = dense->kernel->gradient != NULL, bias = dense->bias && dense->bias->gradient;
    int alike = kernel && bias &&
                (dense->kernel->gradient_group_stride != 0) == (dense->bias->gradient_group_stride != 0);
    if (kernel)
        backward_weights(&job, 1, alike);
    if (bias && !alike)
        backward_weights(&job, 0, 1);
    if (call->input_gradients[0].data)
        backward_input(&job, whole_of(dense));
}

static const char *fusable_activation(const hn_node_info *node)
{
    return hn_activation_fusable((int32_t)node->attributes[ACTIVATION].integer);
}

const hn_op hn_op_dense = {
    .name = "dense", .attributes = attributes, .attribute_count = 3, .min_inputs = 1, .max_inputs = 1,
    .flags = HN_OP_READS_OUTPUT | HN_OP_MIXES, .describe = describe, .saved_sizes = saved_sizes,
    .scratch_size = scratch_size, .work = work, .forward = forward, .backward = backward,
    .fusable_activation = fusable_activation, .resolve = resolve,
};
