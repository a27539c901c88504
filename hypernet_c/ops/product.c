/* Many matrix products of one shape. */
#include "product.h"
#include "fold.h"
#include "../base/threads.h"

/* Rough speeds: operations and bytes a nanosecond. Blocks are cut as if bytes came from memory; whether it pays to wake
   a thread is asked as if they came from a cache. The length of a chunk, the longest of a block, the shortest useful
   sides; fewer columns than the least cost as much. */
static const double flops_per_ns = 60.0, bytes_per_ns = 8.0, cached_bytes_per_ns = 32.0;
static const double chunk_ns = 25000.0, block_ns = 1e7;
enum { ROWS_MIN = 96, COLUMNS_MIN = 128, ROWS_STEP = 48, COLUMNS_STEP = 64, BLOCKS_MAX = 64,
       STREAMED_ROWS = 3, STREAMED_COLUMNS = 3072, COLUMNS_LEAST = 16 };

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Cuts `size` into about `wanted` blocks of whole `step`s, none of them (but the last) under `least`. */
static int64_t block_size(int64_t size, double wanted, int64_t least, int64_t step)
{
    int64_t most = size / least;
    int64_t count = wanted < (double)most ? (int64_t)wanted : most;
    if (count <= 1)
        return size > 0 ? size : 1;
    return divide_up(divide_up(size, count), step) * step;
}

static void cut_rows(hn_product *p, double wanted)
{
    p->row_block = block_size(p->m, wanted, ROWS_MIN, ROWS_STEP);
    p->row_blocks = p->m ? divide_up(p->m, p->row_block) : 1;
}

/* Few rows stream through b: long stretches of its rows come at the full speed of memory. */
static void cut_columns(hn_product *p, double wanted)
{
    int64_t least = p->m <= STREAMED_ROWS && p->form != HN_GEMM_NT ? STREAMED_COLUMNS : COLUMNS_MIN;
    p->column_block = block_size(p->n, wanted, least, COLUMNS_STEP);
    p->column_blocks = p->n ? divide_up(p->n, p->column_block) : 1;
}

void hn_product_cut(hn_product *p)
{
    double element = (double)hn_dtype_size(p->kernels->dtype);
    double inner = (double)(p->counts[1] * p->counts[2]);
    double m = (double)p->m, n = (double)(p->n < COLUMNS_LEAST ? COLUMNS_LEAST : p->n), k = (double)p->k;
    double moved = p->form == HN_GEMM_TN ? m * n : k * n;
    double arithmetic = 2.0 * m * n * k / flops_per_ns * element / 4.0;
    double one = (arithmetic + moved * element / bytes_per_ns) * inner + 20.0;
    double wanted = one / chunk_ns;
    if (wanted > BLOCKS_MAX) /* large blocks read less, but each of them ends soon */
        wanted = one > BLOCKS_MAX * block_ns ? one / block_ns : BLOCKS_MAX;
    if (p->n >= p->m) { /* the longer side is cut first: less is read again */
        cut_columns(p, wanted);
        cut_rows(p, wanted / (double)p->column_blocks + 0.5);
    } else {
        cut_rows(p, wanted);
        cut_columns(p, wanted / (double)p->row_blocks + 0.5);
    }
    int64_t each = p->row_blocks * p->column_blocks;
    p->items = p->counts[0] * each;
    p->work = ((arithmetic + moved * element / cached_bytes_per_ns) * inner + 20.0) * (double)p->counts[0];
    double chunks = one * (double)p->counts[0] / chunk_ns; /* even ones */
    p->item_block = chunks >= (double)p->items ? 1 : divide_up(p->items, chunks <= 1.0 ? 1 : (int64_t)chunks + 1);
}

hn_product_block hn_product_block_at(const hn_product *p, int64_t item)
{
    hn_product_block block;
    if (p->row_blocks * p->column_blocks == 1) {
        block = (hn_product_block){item, 0, p->m, 0, p->n};
        return block;
    }
    int64_t rest = item / p->row_blocks;
    block.index = rest / p->column_blocks;
    block.row = item % p->row_blocks * p->row_block;
    block.column = rest % p->column_blocks * p->column_block;
    block.rows = p->m - block.row < p->row_block ? p->m - block.row : p->row_block;
    block.columns = p->n - block.column < p->column_block ? p->n - block.column : p->column_block;
    return block;
}

static int64_t operand_start(const hn_operand *operand, int64_t index, int64_t row, int64_t column)
{
    return index * operand->strides[0] + row * operand->ld + column;
}

char *hn_product_c_at(const hn_product *p, const hn_product_block *block)
{
    size_t element = hn_dtype_size(p->kernels->dtype);
    return hn_move(p->c.data, operand_start(&p->c, block->index, block->row, block->column), element);
}

void hn_product_run_block(const hn_product *p, const hn_product_block *block, void *scratch)
{
    size_t element = hn_dtype_size(p->kernels->dtype);
    int a_by_column = p->form == HN_GEMM_TN, b_by_row = p->form == HN_GEMM_NT;
    int64_t a_start = operand_start(&p->a, block->index, a_by_column ? 0 : block->row, a_by_column ? block->row : 0);
    int64_t b_start = operand_start(&p->b, block->index, b_by_row ? block->column : 0, b_by_row ? 0 : block->column);
    const char *a = hn_move(p->a.data, a_start, element), *b = hn_move(p->b.data, b_start, element);
    char *c = hn_product_c_at(p, block);
    const char *bias = NULL;
    if (p->bias.data)
        bias = hn_move(p->bias.data, operand_start(&p->bias, block->index, 0, block->column), element);
    for (int64_t i = 0; i < p->counts[1]; i++)
        for (int64_t j = 0; j < p->counts[2]; j++) {
            int later = (i > 0 && p->c.strides[1] == 0) || (j > 0 && p->c.strides[2] == 0);
            p->kernels->gemm(p->form, block->rows, block->columns, p->k,
                             hn_move(a, i * p->a.strides[1] + j * p->a.strides[2], element), p->a.ld,
                             hn_move(b, i * p->b.strides[1] + j * p->b.strides[2], element), p->b.ld, bias,
                             p->accumulate || later,
                             hn_move(c, i * p->c.strides[1] + j * p->c.strides[2], element), p->c.ld, scratch);
        }
}

int64_t hn_product_end(const hn_product *p, int64_t chunk)
{
    int64_t end = (chunk + 1) * p->item_block;
    return end < p->items ? end : p->items;
}

void hn_product_run(const hn_product *p, int32_t threads, hn_product_body body, void *context)
{
    int64_t chunks = divide_up(p->items, p->item_block);
    if (chunks == 1)
        body(context, 0, 0);
    else if (chunks > 1)
        hn_parallel(threads, chunks, p->work, body, context);
}

typedef struct multiply_job {
    const hn_product *product;
    char *scratch;
    size_t scratch_stride;
} multiply_job;

static void multiply_body(void *context, int64_t chunk, int32_t worker)
{
    const multiply_job *job = context;
    for (int64_t item = chunk * job->product->item_block; item < hn_product_end(job->product, chunk); item++) {
        hn_product_block block = hn_product_block_at(job->product, item);
        hn_product_run_block(job->product, &block, job->scratch + (size_t)worker * job->scratch_stride);
    }
}

void hn_product_multiply(hn_product *product, int32_t threads, void *scratch, size_t scratch_stride)
{
    multiply_job job = {product, scratch, scratch_stride};
    hn_product_cut(product);
    hn_product_run(product, threads, multiply_body, &job);
}
