/* The contraction order. A generated kernel W = sum over k of g_k A_k of `in` x `out` weights can be made and then
   multiplied with R rows x; or the products (g_k x_i) are multiplied with the rows of all A_k at once, and W is never
   there. The model counts nanoseconds for each weight and group, for H features:

                 weights                        mixture
     inference   H m + touch + R m              R (H + 1) m w
     training    3 H m + touch + R (2 + i) m    R (H + 1) (3 + i) m w

   m: a multiply-add in a product that fills the register tiles. touch: W goes to the tile and back, in training with
   its gradient. i: 1 if the gradient of x is wanted. w > 1: panels of TILE columns are computed as a whole, and the
   products (g_k x_i) take as long as `operand` panels. The constants were measured; benchmarks/orders.py compares the
   choice with both orders forced. */
#include "hyper_internal.h"

static const double multiply_add = 1.0 / 42.0, touch[] = {[HN_MODE_INFERENCE] = 0.13, [HN_MODE_TRAINING] = 1.3};
static const double operand = 0.3;
enum { TILE = 16, ROWS_MOST = 8, GROUPS_LEAST = 24 }; /* fewer groups do not pay for the passes over the terms */

static double made_cost(const hn_node_product *product, hn_mode mode, double width, double rows)
{
    double passes = mode == HN_MODE_INFERENCE ? 1.0 : 2.0 + product->inner;
    return (mode == HN_MODE_INFERENCE ? 1.0 : 3.0) * width * multiply_add + touch[mode] + rows * passes * multiply_add;
}

static double mixed_cost(const hn_node_product *product, hn_mode mode, double width, double rows)
{
    double passes = mode == HN_MODE_INFERENCE ? 1.0 : 3.0 + product->inner;
    int64_t panels = (product->out + TILE - 1) / TILE;
    double columns = ((double)panels + operand) * TILE / (double)product->out;
    return rows * (width + 1.0) * passes * multiply_add * columns;
}

/* The product of a node whose kernel can be a mixture; of no features it is none. */
static int mixable(const hn_hyper *hyper, const hyper_node *node, hn_node_product *product)
{
    int32_t count;
    return hyper->head->mix && hyper->width > 0 && !hyper->shared && node->node >= 0 && node->count > 0 &&
           hn_plan_node_product(hyper->target, node->node, product) &&
           node->entries[0] == hn_plan_node_entries(hyper->target, node->node, &count)[0];
}

/* Most rows of a group for which mixing pays in all: the sums over the nodes that mix. */
static int64_t rows_that_pay(const hn_hyper *hyper, hn_mode mode)
{
    int64_t rows = 0;
    for (double made = 1.0, mixed = 0.0; mixed < made && rows < ROWS_MOST; rows += mixed < made) {
        made = mixed = 0.0;
        for (int32_t i = 0; i < hyper->node_count; i++) {
            const hyper_node *node = &hyper->nodes[i];
            hn_node_product product;
            if (!node->mixed[mode] || !mixable(hyper, node, &product))
                continue;
            double weights = (double)(product.in * product.out), each = (double)((rows + 1) * product.positions);
            made += weights * made_cost(&product, mode, (double)hyper->width, each);
            mixed += weights * mixed_cost(&product, mode, (double)hyper->width, each);
        }
    }
    return rows;
}

static void choose(hn_hyper *hyper, hn_mode mode)
{
    hyper->made_columns[mode] = 0;
    hyper->mixed_rows[mode] = 0;
    for (int32_t i = 0; i < hyper->node_count; i++) {
        hyper_node *node = &hyper->nodes[i];
        hn_node_product product;
        double width = (double)hyper->width;
        node->mixed[mode] = hyper->order != HN_ORDER_WEIGHTS && mixable(hyper, node, &product);
        if (node->mixed[mode] && hyper->order == HN_ORDER_BY_COST) {
            double rows = (double)product.positions;
            node->mixed[mode] = mixed_cost(&product, mode, width, rows) < made_cost(&product, mode, width, rows);
        }
        int64_t kernel = node->mixed[mode] ? hyper->entry_sizes[node->entries[0]] : 0;
        node->made[mode] = (hyper_columns){node->column + kernel, node->count - kernel, hyper->made_columns[mode]};
        hyper->made_columns[mode] += node->made[mode].count;
    }
    if (hyper->order == HN_ORDER_BY_COST)
        hyper->mixed_rows[mode] = rows_that_pay(hyper, mode);
    for (int32_t i = 0; i < hyper->node_count && hyper->order == HN_ORDER_MIXTURE; i++)
        if (hyper->nodes[i].mixed[mode])
            hyper->mixed_rows[mode] = INT64_MAX;
}

void hn_hyper_order_choose(hn_hyper *hyper)
{
    choose(hyper, HN_MODE_INFERENCE);
    choose(hyper, HN_MODE_TRAINING);
}

int hn_hyper_mixes(const hn_hyper *hyper, hn_mode mode, int64_t groups, int64_t rows, int penalized)
{
    int64_t least = hyper->order == HN_ORDER_MIXTURE ? 1 : GROUPS_LEAST;
    return !penalized && rows <= hyper->mixed_rows[mode] && groups >= least; /* penalties are of made weights */
}
