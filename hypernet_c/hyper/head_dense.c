/* dense: theta = features K + b (+ base). */
#include "head.h"
#include "../base/memory.h"
#include "../base/threads.h"
#include "../ops/fold.h"
#include "../ops/product.h"

extern const hn_head hn_head_dense;

enum {
    BIAS_COLUMNS = 1024,                        /* bias and base are added for so many columns at a time */
    PULL_COLUMNS = 512,                         /* columns whose kernel, gradient and tile stay in cache together */
    PARTIALS_MOST = 64, PARTIALS_LEAST = 4, PARTIAL_BYTES = 4 << 20
};

static size_t aligned(size_t bytes)
{
    return (bytes + HN_SCRATCH_ALIGNMENT - 1) / HN_SCRATCH_ALIGNMENT * HN_SCRATCH_ALIGNMENT;
}

static size_t scratch_size(const hn_kernels *kernels)
{
    return aligned(kernels->scratch) + BIAS_COLUMNS * hn_dtype_size(kernels->dtype);
}

static double work(int64_t width)
{
    return 2.0 * (double)width + 1.0;
}

/* ---- fill ---- */

typedef struct fill_job {
    const hn_head_call *call;
    hn_product product;
    int64_t first; /* column of theta */
} fill_job;

/* One block of the product with bias + base, a stretch of columns at a time. */
static void fill_with_base(const fill_job *job, hn_product_block block, char *scratch)
{
    const hn_head_call *call = job->call;
    size_t element = hn_dtype_size(call->kernels->dtype);
    char *sum = scratch + aligned(call->kernels->scratch);
    hn_product product = job->product;
    int64_t end = block.column + block.columns;
    for (; block.column < end; block.column += BIAS_COLUMNS) {
        int64_t at = job->first + block.column;
        block.columns = end - block.column < BIAS_COLUMNS ? end - block.column : BIAS_COLUMNS;
        call->kernels->binary(HN_BINARY_ADD, block.columns, hn_move(call->bias.data, at, element), 1,
                              hn_move(call->base, at, element), 1, sum);
        product.bias.data = hn_move(sum, -block.column, element);
        hn_product_run_block(&product, &block, scratch);
    }
}

static void fill_body(void *context, int64_t chunk, int32_t worker)
{
    const fill_job *job = context;
    char *scratch = (char *)job->call->scratch + (size_t)worker * job->call->scratch_stride;
    int64_t end = hn_product_end(&job->product, chunk);
    for (int64_t item = chunk * job->product.item_block; item < end; item++) {
        hn_product_block block = hn_product_block_at(&job->product, item);
        if (job->call->bias.data && job->call->base)
            fill_with_base(job, block, scratch);
        else
            hn_product_run_block(&job->product, &block, scratch);
    }
}

/* theta[:, first ..] = features K[:, first ..] + b + base */
static void fill(const hn_head_call *call, int64_t first, int64_t count, void *tile, int64_t ld)
{
    size_t element = hn_dtype_size(call->kernels->dtype);
    const void *bias = call->bias.data ? call->bias.data : call->base;
    fill_job job = {.call = call, .first = first};
    job.product = (hn_product){
        .kernels = call->kernels, .form = HN_GEMM_NN, .m = call->groups, .n = count, .k = call->width,
        .counts = {1, 1, 1},
        .a = {.data = call->features, .ld = call->feature_stride},
        .b = {.data = hn_move(call->kernel.data, first, element), .ld = call->columns},
        .c = {.data = tile, .ld = ld},
    };
    if (bias)
        job.product.bias.data = hn_move(bias, first, element);
    hn_product_cut(&job.product);
    hn_product_run(&job.product, call->threads, fill_body, &job);
}

/* ---- pull ---- */

/* Sums for the features are made for each block of columns and added in their order. How many there may be. */
static int64_t partials_most(const hn_kernels *kernels, int64_t groups, int64_t width)
{
    double bytes = (double)groups * (double)width * (double)hn_dtype_size(kernels->dtype);
    double most = bytes > 0 ? (double)PARTIAL_BYTES / bytes : PARTIALS_MOST;
    return most >= PARTIALS_MOST ? PARTIALS_MOST : most <= PARTIALS_LEAST ? PARTIALS_LEAST : (int64_t)most;
}

static size_t partial_size(const hn_kernels *kernels, int64_t groups, int64_t width)
{
    size_t size, bytes;
    int64_t most = partials_most(kernels, groups, width);
    if (!hn_size_multiply((size_t)groups, (size_t)width, &size) ||
        !hn_size_multiply(size, (size_t)most * hn_dtype_size(kernels->dtype), &bytes))
        return SIZE_MAX;
    return bytes;
}

typedef struct pull_job {
    const hn_head_call *call;
    int64_t first, count, ld, block;
    const void *tile;
    int64_t size; /* elements of a partial sum */
} pull_job;

/* dK += features^T dtheta, db += 1^T dtheta, and the partial sum of dtheta K^T, for columns at .. at + count - 1. */
static void pull_columns(const pull_job *job, int64_t at, int64_t count, void *partial, int later, void *scratch)
{
    const hn_head_call *call = job->call;
    const hn_kernels *kernels = call->kernels;
    size_t element = hn_dtype_size(kernels->dtype);
    const void *tile = hn_move(job->tile, at, element);
    int64_t column = job->first + at;
    if (call->bias.gradient)
        kernels->column_sum(call->groups, count, tile, job->ld, call->bias.accumulate,
                            hn_move(call->bias.gradient, column, element));
    if (call->kernel.gradient)
        kernels->gemm(HN_GEMM_TN, call->width, count, call->groups, call->features, call->feature_stride, tile, job->ld,
                      NULL, call->kernel.accumulate, hn_move(call->kernel.gradient, column, element), call->columns,
                      scratch);
    if (call->feature_gradient)
        kernels->gemm(HN_GEMM_NT, call->groups, call->width, count, tile, job->ld,
                      hn_move(call->kernel.data, column, element), call->columns, NULL, later, partial, call->width,
                      scratch);
}

static void pull_body(void *context, int64_t chunk, int32_t worker)
{
    const pull_job *job = context;
    const hn_head_call *call = job->call;
    void *scratch = (char *)call->scratch + (size_t)worker * call->scratch_stride;
    void *partial = hn_move(call->partial, chunk * job->size, hn_dtype_size(call->kernels->dtype));
    int64_t start = chunk * job->block, end = start + job->block < job->count ? start + job->block : job->count;
    for (int64_t at = start; at < end; at += PULL_COLUMNS)
        pull_columns(job, at, end - at < PULL_COLUMNS ? end - at : PULL_COLUMNS, partial, at > start, scratch);
}

static void pull(const hn_head_call *call, int64_t first, int64_t count, const void *tile, int64_t ld)
{
    const hn_kernels *kernels = call->kernels;
    size_t element = hn_dtype_size(kernels->dtype);
    pull_job job = {.call = call, .first = first, .count = count, .ld = ld, .tile = tile,
                    .size = call->groups * call->width};
    int64_t most = partials_most(kernels, call->groups, call->width);
    int64_t steps = (count + PULL_COLUMNS - 1) / PULL_COLUMNS;
    job.block = (steps + most - 1) / most * PULL_COLUMNS;
    if (count == 0)
        return;
    int64_t chunks = (count + job.block - 1) / job.block;
    double flops = 4.0 * (double)call->groups * (double)call->width * (double)count;
    hn_parallel(call->threads, chunks, flops / 50.0, pull_body, &job);
    for (int64_t g = 0; call->feature_gradient && g < call->groups; g++)
        kernels->column_sum(chunks, call->width, hn_move(call->partial, g * call->width, element), job.size, 1,
                            hn_move(call->feature_gradient, g * call->feature_gradient_stride, element));
}

/* ---- mix ---- */

static void mix(const hn_head_call *call, int64_t first, hn_mixture *mixture)
{
    size_t element = hn_dtype_size(call->kernels->dtype);
    *mixture = (hn_mixture){
        .count = call->width, .factors = call->features, .factor_stride = call->feature_stride,
        .terms = hn_move(call->kernel.data, first, element), .term_stride = call->columns,
        .factor_gradient = call->feature_gradient, .factor_gradient_stride = call->feature_gradient_stride,
        .term_accumulate = call->kernel.accumulate, .constant_accumulate = call->bias.accumulate,
    };
    if (call->bias.data)
        mixture->constants[0] = hn_move(call->bias.data, first, element);
    if (call->base)
        mixture->constants[1] = hn_move(call->base, first, element);
    if (call->kernel.gradient)
        mixture->term_gradient = hn_move(call->kernel.gradient, first, element);
    if (call->bias.gradient)
        mixture->constant_gradient = hn_move(call->bias.gradient, first, element);
}

const hn_head hn_head_dense = {
    .name = "dense", .scratch_size = scratch_size, .partial_size = partial_size, .work = work, .fill = fill,
    .pull = pull, .mix = mix,
};
