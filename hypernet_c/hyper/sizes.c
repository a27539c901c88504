/* How a run is cut into blocks and parts: from sizes alone, so that results do not depend on the number of threads. */
#include "hyper_internal.h"

/* Tuned by measurement. More groups in a block mean that the head is read less often (in training its gradient, too, is
   read and written once a block); fewer, that theta stays nearer. */
static const double tile_bytes[] = {[HN_MODE_INFERENCE] = 2.75 * MIB, [HN_MODE_TRAINING] = 5.25 * MIB};
static const int64_t groups_least[] = {[HN_MODE_INFERENCE] = 24, [HN_MODE_TRAINING] = 48};
static const double activation_bytes[] = {[HN_MODE_INFERENCE] = 1.0 * MIB, [HN_MODE_TRAINING] = 2.0 * MIB};
static const double bytes_most = 16.0 * MIB;  /* where the wish for more groups or rows meets large ones */
static const int64_t groups_apart[] = {[HN_MODE_INFERENCE] = 96, [HN_MODE_TRAINING] = 256};
static const double sliced_activation_bytes = 64.0 * MIB; /* of a block whose large kernels are made in slices */
enum { GROUPS_MOST = 1024, GROUPS_STEP = 6, ROWS_LEAST = 64 };

/* Most columns of theta that are made for one node. */
static int64_t node_columns(const hn_hyper *hyper, hn_mode mode, int way)
{
    int64_t most = hyper->shared ? hyper->count : 0;
    for (int32_t i = 0; i < hyper->node_count; i++) {
        int64_t count = hyper->nodes[i].made[mode][way].count;
        most = count > most ? count : most;
    }
    return most;
}

static void choose_groups(const hn_hyper *hyper, hn_mode mode, int way, hyper_limits *limits)
{
    double element = (double)hyper->element, whole = (double)hyper->made_columns[mode][way] * element;
    double node = (double)node_columns(hyper, mode, way) * element;
    double generated = hyper->generator ? (double)hn_plan_row_elements(hyper->generator, mode) * element : 0.0;
    int64_t least = way == HYPER_MADE ? groups_least[mode] : groups_apart[mode];
    int64_t groups = hyper_fitting(tile_bytes[mode], whole, way == HYPER_MADE ? GROUPS_MOST : least);
    if (hyper->head->identity) /* theta of the block is there as a whole, whatever it takes */
        node = whole;
    if (groups < least) {
        int64_t by_node = hyper_fitting(tile_bytes[mode], node, GROUPS_MOST);
        int64_t at_most = hyper_smaller(least, hyper_fitting(bytes_most, node, GROUPS_MOST));
        groups = by_node > at_most ? by_node : at_most;
    }
    groups = hyper_smaller(groups, hyper_fitting(bytes_most, generated, GROUPS_MOST));
    if (groups > GROUPS_STEP)
        groups -= groups % GROUPS_STEP;
    limits->groups = groups;
    int added_up = hyper->shared && mode == HN_MODE_TRAINING; /* several nodes contribute to one gradient */
    limits->keep = hyper->head->identity || added_up ||
                   (double)groups * whole <= (mode == HN_MODE_TRAINING ? bytes_most : tile_bytes[mode]);
    limits->kept_groups = limits->keep ? groups : hyper_smaller(groups, hyper_fitting(bytes_most, whole, GROUPS_MOST));
}

void hn_hyper_limits_choose(hn_hyper *hyper)
{
    int64_t outputs = 0;
    for (int32_t i = 0; i < hn_plan_output_count(hyper->target); i++)
        outputs += hn_shape_size(&hn_plan_output(hyper->target, i)->shape);
    for (int mode = HN_MODE_INFERENCE; mode <= HN_MODE_TRAINING; mode++) {
        double row = ((double)hn_plan_row_elements(hyper->target, (hn_mode)mode) + (double)outputs) *
                     (double)hyper->element;
        int64_t rows = hyper_fitting(activation_bytes[mode], row, INT32_MAX);
        if (rows < ROWS_LEAST)
            rows = hyper_smaller(ROWS_LEAST, hyper_fitting(bytes_most, row, INT32_MAX));
        for (int way = HYPER_MADE; way < HYPER_WAYS; way++) {
            hyper_limits *limits = &hyper->limits[mode][way];
            limits->rows = way == HYPER_SLICED ? hyper_fitting(sliced_activation_bytes, row, INT32_MAX) : rows;
            choose_groups(hyper, (hn_mode)mode, way, limits);
        }
    }
}

/* `count` in as few blocks of at most `most` as possible, about equal, of whole steps where that fits. */
static int64_t balanced(int64_t count, int64_t most, int64_t step)
{
    if (count <= most)
        return count > 0 ? count : 1;
    int64_t size = hyper_divide_up(count, hyper_divide_up(count, most)), stepped = hyper_divide_up(size, step) * step;
    return stepped <= most ? stepped : size;
}

hyper_sizes hn_hyper_sizes_of(const hn_hyper *hyper, hn_mode mode, int64_t groups, int64_t rows, int penalized)
{
    hyper_way way = hn_hyper_way(hyper, mode, groups, rows, penalized);
    const hyper_limits *limits = &hyper->limits[mode][way];
    hyper_sizes sizes = {.keep = limits->keep, .way = way};
    if (way == HYPER_SLICED) { /* slices are made once: all rows of a block go through the target together */
        int64_t most = hyper_smaller(limits->groups, hn_hyper_slice_groups(hyper, mode, rows));
        sizes.groups = balanced(groups, rows > 0 ? hyper_smaller(most, limits->rows / rows) : most, GROUPS_STEP);
        sizes.part_groups = sizes.groups;
        sizes.part_rows = rows;
        return sizes;
    }
    if (rows > limits->rows) {
        sizes.keep = 1;
        sizes.groups = balanced(groups, limits->kept_groups, GROUPS_STEP);
        sizes.part_groups = 1;
        sizes.part_rows = balanced(rows, limits->rows, GROUPS_STEP);
        return sizes;
    }
    int64_t together = rows > 0 ? limits->rows / rows : limits->groups;
    sizes.groups = balanced(groups, sizes.keep ? limits->groups : hyper_smaller(limits->groups, together), GROUPS_STEP);
    sizes.part_groups = balanced(sizes.groups, hyper_smaller(sizes.groups, together), GROUPS_STEP);
    sizes.part_rows = rows;
    return sizes;
}

int64_t hn_hyper_padded(const hn_hyper *hyper, int64_t count)
{
    int64_t line = 16, page = 4096 / (int64_t)hyper->element;
    int64_t padded = hyper_divide_up(count, line) * line;
    return padded % page == 0 ? padded + line : padded; /* rows a page apart would meet in the same cache sets */
}

/* Elements that a run of this way needs; -1: overflows. */
static int64_t theta_elements(const hn_hyper *hyper, hn_mode mode, int way, int64_t groups, int64_t rows)
{
    const hyper_limits *limits = &hyper->limits[mode][way];
    int64_t whole, node, kept = hyper_smaller(groups, limits->kept_groups);
    int64_t tiled = hyper_smaller(groups, limits->groups);
    int overflows = __builtin_mul_overflow(kept, hn_hyper_padded(hyper, hyper->made_columns[mode][way]), &whole);
    overflows |= __builtin_mul_overflow(tiled, hn_hyper_padded(hyper, node_columns(hyper, mode, way)), &node);
    if (!limits->keep && rows <= limits->rows)
        whole = 0;
    return overflows ? -1 : whole > node ? whole : node;
}

int64_t hn_hyper_theta_elements(const hn_hyper *hyper, hn_mode mode, int64_t groups, int64_t rows)
{
    int64_t most = 0;
    for (int way = HYPER_MADE; way < HYPER_WAYS; way++) {
        int possible = hn_hyper_way_possible(hyper, mode, (hyper_way)way);
        int64_t elements = possible ? theta_elements(hyper, mode, way, groups, rows) : 0;
        if (elements < 0)
            return -1;
        most = elements > most ? elements : most;
    }
    return most;
}

int64_t hn_hyper_groups_most(const hn_hyper *hyper, hn_mode mode, int64_t groups)
{
    int64_t most = 0;
    for (int way = HYPER_MADE; way < HYPER_WAYS; way++)
        if (hn_hyper_way_possible(hyper, mode, (hyper_way)way) && hyper->limits[mode][way].groups > most)
            most = hyper->limits[mode][way].groups;
    return hyper_smaller(groups, most);
}

int64_t hn_hyper_part_rows(const hn_hyper *hyper, hn_mode mode, int64_t groups, int64_t rows)
{
    int64_t product, together = hn_hyper_groups_most(hyper, mode, groups);
    hyper_way way = hn_hyper_way_possible(hyper, mode, HYPER_SLICED) ? HYPER_SLICED : HYPER_MADE;
    int64_t most = hyper->limits[mode][way].rows;
    if (__builtin_mul_overflow(together, rows, &product) || product > most)
        return most;
    return product;
}
