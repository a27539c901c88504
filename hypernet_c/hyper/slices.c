/* Kernels that are made slice by slice: some rows (of wide ones, some columns of them) for all groups of a block, used
   while they are in the cache. The head is read once a block, the layer's results once a slice: a slice has at least as
   many rows as the group has, and a block as many groups as fit then. */
#include "hyper_internal.h"

static const double tile_bytes = 1.5 * MIB, bytes_most = 32.0 * MIB; /* most: where groups would be fewer than wanted */
/* Smaller kernels are made as a whole. */
static const double kernel_bytes[] = {[HN_MODE_INFERENCE] = 0.25 * MIB, [HN_MODE_TRAINING] = 0.125 * MIB};
enum { GROUPS_WANTED = 96, ROWS_LEAST = 16, COLUMNS_MOST = 2048, COLUMNS_STEP = 64,
       FORCED_SLICES = 3 };                                          /* forced: of small kernels, too */

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int hn_hyper_slices_serve(const hn_node_product *product, hn_mode mode, size_t element)
{
    return (double)product->in * (double)product->out * (double)element > kernel_bytes[mode];
}

/* A kernel that would be made as a whole if slices were not forced. */
static int forced(const hn_hyper *hyper, const hn_node_product *product)
{
    return hyper->order == HN_ORDER_SLICES && !hn_hyper_slices_serve(product, HN_MODE_TRAINING, hyper->element);
}

int64_t hn_hyper_slice_columns(const hn_hyper *hyper, const hn_node_product *product)
{
    int64_t columns = hyper_divide_up(product->out, hyper_divide_up(product->out, COLUMNS_MOST));
    if (forced(hyper, product))
        return hyper_divide_up(product->out, FORCED_SLICES);
    return hyper_smaller(product->out, hyper_divide_up(columns, COLUMNS_STEP) * COLUMNS_STEP);
}

/* Bytes of a row of a slice. */
static double row_bytes(const hn_hyper *hyper, const hn_node_product *product)
{
    return (double)hn_hyper_slice_columns(hyper, product) * (double)hyper->element;
}

/* Rows of a slice for which the results of `rows` rows of a group are worth coming and going. */
static int64_t rows_wanted(const hn_node_product *product, int64_t rows)
{
    double together = (double)rows * (double)product->positions;
    int64_t wanted = together < (double)product->in ? (int64_t)together : product->in;
    return hyper_smaller(larger(wanted, ROWS_LEAST), product->in);
}

int64_t hn_hyper_slice_groups(const hn_hyper *hyper, hn_mode mode, int64_t rows)
{
    int64_t groups = INT32_MAX;
    for (int32_t i = 0; i < hyper->node_count; i++) {
        const hyper_node *node = &hyper->nodes[i];
        if (!node->apart[mode][HYPER_SLICED])
            continue;
        double each = row_bytes(hyper, &node->product) * (double)rows_wanted(&node->product, rows);
        groups = hyper_smaller(groups, larger(hyper_fitting(tile_bytes, each, INT32_MAX),
                                              hyper_fitting(bytes_most, each, GROUPS_WANTED)));
    }
    return groups;
}

int64_t hn_hyper_slice_rows(const hn_hyper *hyper, const hn_node_product *product, int64_t groups, int64_t rows)
{
    double each = row_bytes(hyper, product) * (double)groups;
    int64_t wanted = larger(rows_wanted(product, rows), hyper_fitting(tile_bytes, each, INT32_MAX));
    if (forced(hyper, product))
        wanted = hyper_smaller(wanted, hyper_divide_up(product->in, FORCED_SLICES));
    return hyper_smaller(product->in, hyper_smaller(wanted, hyper_fitting(bytes_most, each, INT32_MAX)));
}

int64_t hn_hyper_slice_elements(const hn_hyper *hyper, hn_mode mode, int64_t groups)
{
    int64_t most = 0, padding;
    for (int32_t i = 0; i < hyper->node_count; i++) {
        const hn_node_product *product = &hyper->nodes[i].product;
        if (!hyper->nodes[i].apart[mode][HYPER_SLICED])
            continue;
        double kernel = row_bytes(hyper, product) * (double)product->in * (double)groups;
        double largest = kernel < bytes_most ? kernel : bytes_most; /* or one row of one group, if that is larger */
        int64_t elements = (int64_t)(largest / (double)hyper->element);
        most = larger(most, larger(elements, hn_hyper_slice_columns(hyper, product)));
    }
    if (most > 0 && (__builtin_mul_overflow(groups, hn_hyper_padded(hyper, 1) * 2, &padding) ||
                     __builtin_add_overflow(most, padding, &most)))
        return -1;
    return most;
}
