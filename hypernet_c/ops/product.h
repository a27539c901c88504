/* Many matrix products of one shape, cut into blocks by shape alone. */
#ifndef HN_OPS_PRODUCT_H
#define HN_OPS_PRODUCT_H

#include "op.h"

/* Levels: 0 are independent products, which run in parallel; 1 and 2 are loops inside. A level in which c does not move
   is a sum over that level. Strides are in elements. */
enum { HN_PRODUCT_LEVELS = 3 };

typedef struct hn_operand {
    const char *data;
    int64_t ld, strides[HN_PRODUCT_LEVELS];
} hn_operand;

typedef struct hn_product {
    const hn_kernels *kernels;
    hn_gemm_form form;
    int64_t m, n, k;
    int64_t counts[HN_PRODUCT_LEVELS];
    hn_operand a, b, c, bias; /* bias: strides of level 0 only; data NULL: none */
    int accumulate;
    /* the cut: blocks of `row_block` x `column_block` of c, `item_block` of them a chunk */
    int64_t row_block, column_block, row_blocks, column_blocks, items, item_block;
    double work;
} hn_product;

/* A block of one product. */
typedef struct hn_product_block {
    int64_t index, row, rows, column, columns; /* index: of level 0 */
} hn_product_block;

/* Chooses the cut: by rows as far as that helps, then by columns. */
void hn_product_cut(hn_product *product);

/* Block number `item`, 0 <= item < items. */
hn_product_block hn_product_block_at(const hn_product *product, int64_t item);

/* Computes one block. */
void hn_product_run_block(const hn_product *product, const hn_product_block *block, void *scratch);

/* Where a block of c starts, at the first step of levels 1 and 2. */
char *hn_product_c_at(const hn_product *product, const hn_product_block *block);

/* Runs `body` over the chunks; body handles items chunk * item_block .. below the next chunk's (hn_product_end). */
typedef void (*hn_product_body)(void *context, int64_t chunk, int32_t worker);
void hn_product_run(const hn_product *product, int32_t threads, hn_product_body body, void *context);
int64_t hn_product_end(const hn_product *product, int64_t chunk);

/* Cuts and computes the whole product. scratch: a block of `scratch_stride` bytes a thread, each for the kernels. */
void hn_product_multiply(hn_product *product, int32_t threads, void *scratch, size_t scratch_stride);

#endif
