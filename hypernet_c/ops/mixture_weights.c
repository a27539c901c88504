/* Columns of weights made from a mixture, and their gradients taken back to it. */
#include "fold.h"
#include "mixture.h"
#include "product.h"
#include "../base/memory.h"
#include "../base/threads.h"

enum {
    CONSTANT_COLUMNS = 1024,                    /* two constants are added for so many columns at a time */
    PULL_COLUMNS = 512,                         /* columns whose terms, gradient and tile stay in cache together */
    PARTIALS_MOST = 64, PARTIALS_LEAST = 4, PARTIAL_BYTES = 4 << 20
};

size_t hn_mixture_scratch(hn_dtype dtype)
{
    return CONSTANT_COLUMNS * hn_dtype_size(dtype);
}

/* Rows without a gap are one. */
static hn_stretches merged(hn_stretches stretches)
{
    if (stretches.columns != stretches.step)
        return stretches;
    return (hn_stretches){stretches.first, 1, stretches.rows * stretches.columns, 0};
}

/* ---- make ---- */

typedef struct make_job {
    const hn_mixture_call *call;
    hn_product product;
    hn_stretches stretches;
} make_job;

/* One block of the product with both constants, a stretch of columns at a time. */
static void make_with_constants(const make_job *job, hn_product_block block, char *scratch)
{
    const hn_mixture_call *call = job->call;
    const hn_mixture *mixture = call->mixture;
    size_t element = hn_dtype_size(call->kernels->dtype);
    char *sum = scratch + hn_scratch_kernels_size(call->kernels);
    hn_product product = job->product;
    product.bias.strides[0] = 0;
    int64_t end = block.column + block.columns;
    for (; block.column < end; block.column += CONSTANT_COLUMNS) {
        int64_t at = job->stretches.first + block.index * job->stretches.step + block.column;
        block.columns = end - block.column < CONSTANT_COLUMNS ? end - block.column : CONSTANT_COLUMNS;
        call->kernels->binary(HN_BINARY_ADD, block.columns, hn_move(mixture->constants[0], at, element), 1,
                              hn_move(mixture->constants[1], at, element), 1, sum);
        product.bias.data = hn_move(sum, -block.column, element);
        hn_product_run_block(&product, &block, scratch);
    }
}

static void make_body(void *context, int64_t chunk, int32_t worker)
{
    const make_job *job = context;
    const hn_mixture *mixture = job->call->mixture;
    char *scratch = (char *)job->call->scratch + (size_t)worker * job->call->scratch_stride;
    int64_t end = hn_product_end(&job->product, chunk);
    for (int64_t item = chunk * job->product.item_block; item < end; item++) {
        hn_product_block block = hn_product_block_at(&job->product, item);
        if (mixture->constants[0] && mixture->constants[1])
            make_with_constants(job, block, scratch);
        else
            hn_product_run_block(&job->product, &block, scratch);
    }
}

void hn_mixture_make(const hn_mixture_call *call, hn_stretches given, void *tile, int64_t ld)
{
    hn_stretches stretches = merged(given);
    const hn_mixture *mixture = call->mixture;
    size_t element = hn_dtype_size(call->kernels->dtype);
    const void *constant = mixture->constants[0] ? mixture->constants[0] : mixture->constants[1];
    make_job job = {.call = call, .stretches = stretches};
    job.product = (hn_product){
        .kernels = call->kernels, .form = HN_GEMM_NN, .m = call->groups, .n = stretches.columns, .k = mixture->count,
        .counts = {stretches.rows, 1, 1},
        .a = {.data = mixture->factors, .ld = mixture->factor_stride},
        .b = {hn_move(mixture->terms, stretches.first, element), mixture->term_stride, {stretches.step, 0, 0}},
        .c = {tile, ld, {stretches.columns, 0, 0}},
    };
    if (constant)
        job.product.bias = (hn_operand){hn_move(constant, stretches.first, element), 0, {stretches.step, 0, 0}};
    hn_product_cut(&job.product);
    hn_product_run(&job.product, call->threads, make_body, &job);
}

/* ---- pull ---- */

/* Sums for the factors are made for each block of columns and added in their order. How many there may be. */
static int64_t partials_most(const hn_kernels *kernels, int64_t groups, int64_t count)
{
    double bytes = (double)groups * (double)count * (double)hn_dtype_size(kernels->dtype);
    double most = bytes > 0 ? (double)PARTIAL_BYTES / bytes : PARTIALS_MOST;
    return most >= PARTIALS_MOST ? PARTIALS_MOST : most <= PARTIALS_LEAST ? PARTIALS_LEAST : (int64_t)most;
}

/* Fewer groups may have so many more sums that they need more memory in all. */
size_t hn_mixture_partial(const hn_kernels *kernels, int64_t groups, int64_t count)
{
    size_t size, most;
    if (!hn_size_multiply((size_t)groups, (size_t)count * hn_dtype_size(kernels->dtype), &size) ||
        !hn_size_multiply(size, PARTIALS_MOST, &most))
        return SIZE_MAX;
    size_t least = size * PARTIALS_LEAST > PARTIAL_BYTES ? size * PARTIALS_LEAST : PARTIAL_BYTES;
    return most < least ? most : least;
}

typedef struct pull_job {
    const hn_mixture_call *call;
    int64_t first, count, ld, block;
    const void *tile;
    int64_t size; /* elements of a partial sum */
} pull_job;

/* For columns at .. at + count - 1: the gradients of terms and constant, and the partial sum of that of the factors. */
static void pull_columns(const pull_job *job, int64_t at, int64_t count, void *partial, int later, void *scratch)
{
    const hn_mixture_call *call = job->call;
    const hn_mixture *mixture = call->mixture;
    const hn_kernels *kernels = call->kernels;
    size_t element = hn_dtype_size(kernels->dtype);
    const void *tile = hn_move(job->tile, at, element);
    int64_t column = job->first + at;
    if (mixture->constant_gradient)
        kernels->column_sum(call->groups, count, tile, job->ld, mixture->constant_accumulate,
                            hn_move(mixture->constant_gradient, column, element));
    if (mixture->term_gradient)
        kernels->gemm(HN_GEMM_TN, mixture->count, count, call->groups, mixture->factors, mixture->factor_stride, tile,
                      job->ld, NULL, mixture->term_accumulate, hn_move(mixture->term_gradient, column, element),
                      mixture->term_stride, scratch);
    if (mixture->factor_gradient)
        kernels->gemm(HN_GEMM_NT, call->groups, mixture->count, count, tile, job->ld,
                      hn_move(mixture->terms, column, element), mixture->term_stride, NULL, later, partial,
                      mixture->count, scratch);
}

static void pull_body(void *context, int64_t chunk, int32_t worker)
{
    const pull_job *job = context;
    const hn_mixture_call *call = job->call;
    void *scratch = (char *)call->scratch + (size_t)worker * call->scratch_stride;
    void *partial = hn_move(call->mixture->partial, chunk * job->size, hn_dtype_size(call->kernels->dtype));
    int64_t start = chunk * job->block, end = start + job->block < job->count ? start + job->block : job->count;
    for (int64_t at = start; at < end; at += PULL_COLUMNS)
        pull_columns(job, at, end - at < PULL_COLUMNS ? end - at : PULL_COLUMNS, partial, at > start, scratch);
}

/* One stretch. */
static void pull_stretch(const hn_mixture_call *call, int64_t first, int64_t count, const void *tile, int64_t ld)
{
    const hn_mixture *mixture = call->mixture;
    const hn_kernels *kernels = call->kernels;
    size_t element = hn_dtype_size(kernels->dtype);
    pull_job job = {.call = call, .first = first, .count = count, .ld = ld, .tile = tile,
                    .size = call->groups * mixture->count};
    int64_t most = partials_most(kernels, call->groups, mixture->count);
    int64_t steps = (count + PULL_COLUMNS - 1) / PULL_COLUMNS;
    job.block = (steps + most - 1) / most * PULL_COLUMNS;
    if (count == 0)
        return;
    int64_t chunks = (count + job.block - 1) / job.block;
    double flops = 4.0 * (double)call->groups * (double)mixture->count * (double)count;
    hn_parallel(call->threads, chunks, flops / 50.0, pull_body, &job);
    for (int64_t g = 0; mixture->factor_gradient && g < call->groups; g++)
        kernels->column_sum(chunks, mixture->count, hn_move(mixture->partial, g * mixture->count, element), job.size, 1,
                            hn_move(mixture->factor_gradient, g * mixture->factor_gradient_stride, element));
}

void hn_mixture_pull(const hn_mixture_call *call, hn_stretches given, const void *tile, int64_t ld)
{
    hn_stretches stretches = merged(given);
    for (int64_t row = 0; row < stretches.rows; row++)
        pull_stretch(call, stretches.first + row * stretches.step, stretches.columns,
                     hn_move(tile, row * stretches.columns, hn_dtype_size(call->kernels->dtype)), ld);
}
