/* The contraction order. A generated kernel W = sum over k of g_k A_k of `in` x `out` weights can be made and then
   multiplied with R rows x; or the products (g_k x_i) are multiplied with the rows of all A_k at once, and W is never
   there. The model counts nanoseconds for each weight and group, for H features:

                 weights                        mixture
     inference   H m + touch + R m              R (H + 1) m w
     training    3 H m + touch + R (2 + i) m    R (H + 1) (3 + i) m w

   m: a multiply-add in a product that fills the register tiles of the instruction set. touch: W goes to the tile and
   back, in training with its gradient. i: 1 if the gradient of x is wanted. w > 1: panels of columns are computed as
   a whole, and the products (g_k x_i) take as long as `operand` panels. The constants were measured;
   benchmarks/orders.py compares the choice with every order forced.

   Where W is made and large, it is made in slices (slices.c) that meet x while they are in the cache. */
#include "hyper_internal.h"

/* A multiply-add, and the columns of a panel: of vectors of 64 bytes, and of others. */
typedef struct order_speed {
    double multiply_add;
    int64_t panel;
} order_speed;
static const order_speed wide = {1.0 / 72.0, 32}, usual = {1.0 / 42.0, 16};
static const double touch[] = {[HN_MODE_INFERENCE] = 0.13, [HN_MODE_TRAINING] = 1.3};
static const double operand = 0.3;
enum { ROWS_MOST = 8, WEIGHTS_MOST = 1 << 18, /* the terms of larger kernels come and go */
       GROUPS_LEAST = 24 };                              /* fewer groups do not pay for the passes over the terms */

static const order_speed *speed_of(const hn_hyper *hyper)
{
    return hn_plan_kernels(hyper->target)->isa == HN_ISA_AVX512 ? &wide : &usual;
}

static double made_cost(const hn_hyper *hyper, const hn_node_product *product, hn_mode mode, double rows)
{
    double width = (double)hyper->width, multiply_add = speed_of(hyper)->multiply_add;
    double passes = mode == HN_MODE_INFERENCE ? 1.0 : 2.0 + product->inner;
    return (mode == HN_MODE_INFERENCE ? 1.0 : 3.0) * width * multiply_add + touch[mode] + rows * passes * multiply_add;
}

static double mixed_cost(const hn_hyper *hyper, const hn_node_product *product, hn_mode mode, double rows)
{
    const order_speed *speed = speed_of(hyper);
    double width = (double)hyper->width;
    double passes = mode == HN_MODE_INFERENCE ? 1.0 : 3.0 + product->inner;
    int64_t panels = (product->out + speed->panel - 1) / speed->panel;
    double columns = ((double)panels + operand) * (double)speed->panel / (double)product->out;
    return rows * (width + 1.0) * passes * speed->multiply_add * columns;
}

/* Whether a node's kernel can be apart; of no features there is none. */
static void find_product(const hn_hyper *hyper, hyper_node *node)
{
    int32_t count;
    node->mixable = hyper->head->mix && hyper->width > 0 && !hyper->shared && node->node >= 0 && node->count > 0 &&
                    hn_plan_node_product(hyper->target, node->node, &node->product) &&
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
            const hn_node_product *product = &node->product;
            if (!node->apart[mode][HYPER_MIXED])
                continue;
            double weights = (double)(product->in * product->out), each = (double)((rows + 1) * product->positions);
            made += weights * made_cost(hyper, product, mode, each);
            mixed += weights * mixed_cost(hyper, product, mode, each);
        }
    }
    return rows;
}

static int mixing_pays(const hn_hyper *hyper, hn_mode mode, const hyper_node *node)
{
    double rows = (double)node->product.positions;
    if (hyper->order != HN_ORDER_BY_COST)
        return hyper->order == HN_ORDER_MIXTURE;
    if ((double)node->product.in * (double)node->product.out > WEIGHTS_MOST)
        return 0;
    return mixed_cost(hyper, &node->product, mode, rows) < made_cost(hyper, &node->product, mode, rows);
}

static int slicing_pays(const hn_hyper *hyper, hn_mode mode, const hyper_node *node)
{
    if (hyper->order != HN_ORDER_BY_COST)
        return hyper->order == HN_ORDER_SLICES;
    return hn_hyper_slices_serve(&node->product, mode, hyper->element);
}

static void choose(hn_hyper *hyper, hn_mode mode)
{
    int64_t largest = 0, at[HYPER_WAYS] = {0};
    hyper->mixed_rows[mode] = 0;
    for (int32_t i = 0; i < hyper->node_count; i++) {
        hyper_node *node = &hyper->nodes[i];
        node->apart[mode][HYPER_MIXED] = node->mixable && mixing_pays(hyper, mode, node);
        node->apart[mode][HYPER_SLICED] = node->mixable && slicing_pays(hyper, mode, node);
        int64_t size = node->mixable ? hyper->entry_sizes[node->entries[0]] : 0;
        if (node->apart[mode][HYPER_SLICED] && size > largest)
            largest = size;
        if (node->apart[mode][HYPER_MIXED] && hyper->order == HN_ORDER_MIXTURE)
            hyper->mixed_rows[mode] = INT64_MAX;
        node->apart[mode][HYPER_MADE] = 0;
        node->made[mode][HYPER_MADE] = (hyper_columns){node->column, node->count, node->column};
        for (int way = HYPER_MIXED; way < HYPER_WAYS; way++) {
            int64_t kernel = node->apart[mode][way] ? size : 0;
            node->made[mode][way] = (hyper_columns){node->column + kernel, node->count - kernel, at[way]};
            at[way] += node->made[mode][way].count;
        }
    }
    hyper->made_columns[mode][HYPER_MADE] = hyper->count;
    for (int way = HYPER_MIXED; way < HYPER_WAYS; way++)
        hyper->made_columns[mode][way] = at[way];
    hyper->slice_bytes[mode] = largest * (int64_t)hyper->element;
    if (hyper->order == HN_ORDER_BY_COST)
        hyper->mixed_rows[mode] = rows_that_pay(hyper, mode);
}

void hn_hyper_order_choose(hn_hyper *hyper)
{
    for (int32_t i = 0; i < hyper->node_count; i++)
        find_product(hyper, &hyper->nodes[i]);
    choose(hyper, HN_MODE_INFERENCE);
    choose(hyper, HN_MODE_TRAINING);
}

int hn_hyper_way_possible(const hn_hyper *hyper, hn_mode mode, hyper_way way)
{
    return way == HYPER_MADE || (way == HYPER_MIXED ? hyper->mixed_rows[mode] > 0 : hyper->slice_bytes[mode] > 0);
}

hyper_way hn_hyper_way(const hn_hyper *hyper, hn_mode mode, int64_t groups, int64_t rows, int penalized)
{
    int64_t least = hyper->order == HN_ORDER_MIXTURE ? 1 : GROUPS_LEAST;
    if (penalized) /* penalties are of weights that are there */
        return HYPER_MADE;
    if (hn_hyper_way_possible(hyper, mode, HYPER_MIXED) && rows <= hyper->mixed_rows[mode] && groups >= least)
        return HYPER_MIXED;
    if (hn_hyper_way_possible(hyper, mode, HYPER_SLICED) && rows <= hyper->limits[mode][HYPER_SLICED].rows)
        return HYPER_SLICED;
    return HYPER_MADE;
}
