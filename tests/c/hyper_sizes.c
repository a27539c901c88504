/* The memory of a workspace is enough for every run that fits it, at random sizes of networks, limits and runs. Prints
   "N checked", the number of runs. */
#include "hyper/hyper_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { NETWORKS = 100000, NODES = 3, RUNS = 4 };

static uint64_t state = 88172645463325252u;
static int64_t checked;

static int64_t random_below(int64_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (int64_t)(state % (uint64_t)limit);
}

/* Of every size up to `most`, small ones as often as large ones. */
static int64_t random_size(int64_t most)
{
    return (int64_t)exp((double)random_below(1000000) / 1e6 * log((double)most));
}

static void require(int holds, const char *what, int64_t need, int64_t have)
{
    if (holds)
        return;
    fprintf(stderr, "%s: needs %lld, has %lld\n", what, (long long)need, (long long)have);
    exit(1);
}

static void make_network(hn_hyper *hyper, hyper_node *nodes, hn_mode mode)
{
    *hyper = (hn_hyper){.nodes = nodes, .node_count = 1 + (int32_t)random_below(NODES)};
    hyper->element = random_below(2) ? 4 : 8;
    hyper->order = random_below(2) ? HN_ORDER_SLICES : HN_ORDER_BY_COST;
    hyper->mixed_rows[mode] = random_below(3) ? 0 : random_below(9);
    for (int32_t i = 0; i < hyper->node_count; i++) {
        hn_node_product product = {.in = random_size(20000), .out = random_size(20000000)};
        product.positions = random_size(50);
        int serve = hyper->order == HN_ORDER_SLICES ? random_below(4) != 0
                                                    : hn_hyper_slices_serve(&product, mode, hyper->element);
        int64_t bytes = product.in * product.out * (int64_t)hyper->element;
        nodes[i] = (hyper_node){.product = product};
        nodes[i].apart[mode][HYPER_SLICED] = serve;
        if (serve && bytes > hyper->slice_bytes[mode])
            hyper->slice_bytes[mode] = bytes;
    }
    int64_t rows = random_size(1 << 14);
    for (int way = HYPER_MADE; way < HYPER_WAYS; way++) {
        int64_t groups = random_size(1025);
        hyper->limits[mode][way] = (hyper_limits){.groups = groups, .rows = rows, .kept_groups = groups};
    }
    hyper->limits[mode][HYPER_SLICED].rows = rows * random_size(1 << 10);
}

/* A run of these groups and rows, in a workspace of `most` groups a block, `part_rows` and tiles of `tile` elements. */
static void check_run(const hn_hyper *hyper, hn_mode mode, int64_t groups, int64_t rows, int64_t most,
                      int64_t part_rows, int64_t tile)
{
    hyper_sizes sizes = hn_hyper_sizes_of(hyper, mode, groups, rows, random_below(4) == 0);
    require(sizes.groups >= 1 && sizes.groups <= most, "groups of a block", sizes.groups, most);
    require(sizes.part_groups * sizes.part_rows <= part_rows, "rows of a part", sizes.part_groups * sizes.part_rows,
            part_rows);
    for (int32_t i = 0; i < hyper->node_count && sizes.way == HYPER_SLICED; i++) {
        const hn_node_product *product = &hyper->nodes[i].product;
        if (!hyper->nodes[i].apart[mode][HYPER_SLICED])
            continue;
        int64_t slice = hn_hyper_slice_rows(hyper, product, sizes.groups, rows);
        require(slice >= 1 && slice <= product->in, "rows of a slice", slice, product->in);
        int64_t need = hn_hyper_padded(hyper, slice * hn_hyper_slice_columns(hyper, product)) * sizes.groups;
        require(need <= tile, "elements of a tile", need, tile);
    }
    checked++;
}

int main(void)
{
    hyper_node nodes[NODES];
    hn_hyper hyper;
    for (int i = 0; i < NETWORKS; i++) {
        hn_mode mode = random_below(2) ? HN_MODE_TRAINING : HN_MODE_INFERENCE;
        make_network(&hyper, nodes, mode);
        int64_t groups = random_size(3000), rows = random_size(100000);
        int64_t most = hn_hyper_groups_most(&hyper, mode, groups);
        int64_t part_rows = hn_hyper_part_rows(&hyper, mode, groups, rows);
        int64_t tile = hn_hyper_slice_elements(&hyper, mode, most);
        for (int run = 0; run < RUNS; run++)
            check_run(&hyper, mode, run ? 1 + random_below(groups) : groups, run ? random_below(rows + 1) : rows, most,
                      part_rows, tile);
    }
    printf("%lld checked\n", (long long)checked);
    return 0;
}
