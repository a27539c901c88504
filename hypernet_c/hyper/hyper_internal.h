/* What a hypernetwork, its workspace and a block of groups are made of; for the files of this floor only. */
#ifndef HN_HYPER_HYPER_INTERNAL_H
#define HN_HYPER_HYPER_INTERNAL_H

#include "hyper.h"
#include "head.h"
#include "../ops/fold.h"

/* Columns of theta that are made for a node, and where they are in a theta of which only such columns are kept. */
typedef struct hyper_columns {
    int64_t first, count, at;
} hyper_columns;

/* How generated kernels come to the target in a run: made as a whole, or some of them apart from the other weights:
   never made, or slice by slice. */
typedef enum hyper_way { HYPER_MADE = 0, HYPER_MIXED, HYPER_SLICED, HYPER_WAYS } hyper_way;

/* A node of the target, with or without generated weights. Its columns of theta lie together. */
typedef struct hyper_node {
    int32_t node;                    /* of the target's plan; -1: generated weights that no node uses */
    int32_t entry_count;             /* generated ones */
    int32_t entries[HN_MAX_ENTRIES];
    int64_t column, count;           /* its columns of theta */
    int first;                       /* no earlier node uses the same columns */
    int mixable;                     /* its kernel, the first entry, can be apart */
    hn_node_product product;         /* then */
    int apart[2][HYPER_WAYS];        /* a mode and way: the kernel is */
    hyper_columns made[2][HYPER_WAYS];
} hyper_node;

/* How large blocks may be. Chosen once, from the sizes of the networks alone. */
typedef struct hyper_limits {
    int64_t groups;                  /* in a block */
    int64_t rows;                    /* groups x rows that go through the target together */
    int64_t kept_groups;             /* in a block whose groups have more rows than that */
    int keep;                        /* theta of a block is kept whole; else a node's at a time */
} hyper_limits;

struct hn_hyper {
    const hn_head *head;
    hn_plan *generator;              /* without the head; NULL: theta is given */
    hn_plan *target;
    size_t element;
    int64_t count, width;            /* P; features a group */
    int32_t head_kernel, head_bias;  /* entries of the generator that are the head's; -1: none */
    hn_quantized_head quantized;     /* of the heads "bfloat16" and "int8", which the generator does not have */
    int32_t generator_entries, target_entries;
    int64_t *unused_sizes;           /* a generator entry: its size if nothing uses it, else 0 */
    int64_t *columns;                /* a target entry: its first column of theta; -1: the target's own */
    int64_t *entry_sizes;            /* a target entry */
    hyper_node *nodes;
    int32_t node_count;
    int own;                         /* some target entry is not generated */
    int shared;                      /* some columns are used by several nodes */
    hn_order order;
    int64_t mixed_rows[2];           /* a mode: most rows of a group in a run that mixes; 0: none does */
    int64_t slice_bytes[2];          /* a mode: of the largest kernel that is made in slices; 0: none is */
    int64_t made_columns[2][HYPER_WAYS]; /* a mode and way */
    hyper_limits limits[2][HYPER_WAYS];
};

/* How a run of groups x rows is cut. */
typedef struct hyper_sizes {
    int64_t groups;                  /* in a block */
    int64_t part_groups, part_rows;  /* in a part of it that goes through the target at once: the block, some of its
                                        groups with all rows, or some rows of one group */
    int keep;
    hyper_way way;
} hyper_sizes;

/* Memory for one block. */
typedef struct hyper_slice {
    hn_workspace *generator, *target;
    hn_view *conditions, *condition_gradients;
    hn_view *inputs, *input_gradients;
    hn_view *outputs, *output_gradients, *predictions; /* predictions: memory for the outputs of a part, without gaps */
    hn_view *features, *feature_gradient;              /* one each; no data where theta is given */
    hn_source *generator_sources, *target_sources;
    hn_target *targets;
    hn_mixture *mixtures;                              /* a node */
    unsigned char *at_logits;
    char *theta, *dtheta, *tile, *tile_gradient; /* tiles: of kernels that are made slice by slice */
    char *step_scratch, *head_scratch, *head_partial;
    double *penalties;                                 /* a group */
} hyper_slice;

struct hn_hyper_workspace {
    const hn_hyper *hyper;
    int64_t groups, rows;
    hn_mode mode;
    int32_t threads, slice_count;
    size_t bytes, head_scratch_stride;
    hyper_slice *slices;             /* the first is for all threads, the others for one each */
};

/* What the caller of a run wants backward. */
typedef struct hyper_wants {
    int backward;
    int theta, features;             /* gradients of theta, and of what the head makes it from */
    int add_conditions, add_inputs;  /* to be added up over blocks: cleared beforehand */
} hyper_wants;

/* A block of groups on its way through generator, target and back. */
typedef struct hyper_block {
    const hn_hyper *hyper;
    const hn_hyper_run *run;
    const hn_hyper_workspace *workspace;
    const hyper_slice *slice;
    const hyper_wants *wants;
    hyper_sizes sizes;
    int32_t threads;
    int64_t first, groups;           /* groups first .. first + groups - 1 of the run */
    int64_t part_first, part_groups, row, rows; /* the part at hand; part_first counts from `first` */
    int theta_shared;                /* one theta for all groups of the run */
    hn_head_call head;
    hn_run generator, target;
    double activity[2], penalty;     /* sums of the run so far: generator's, target's; penalties */
} hyper_block;

/* Where theta (or its gradient) of a node lies, at group 0 of the block. */
typedef struct hyper_place {
    char *data;
    int64_t stride;
} hyper_place;

/* Counting, for sizes.c and slices.c. */
enum { MIB = 1024 * 1024 };

static inline int64_t hyper_divide_up(int64_t a, int64_t b)
{
    return a / b + (a % b > 0);
}

/* How many of `each` bytes fit: at least one, at most `most`. */
static inline int64_t hyper_fitting(double bytes, double each, int64_t most)
{
    double count = each > 0 ? bytes / each : (double)most;
    return count < 1.0 ? 1 : count > (double)most ? most : (int64_t)count;
}

static inline int64_t hyper_smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* order.c: chooses which kernels are apart, the ways that some run may go, and that of a run. */
void hn_hyper_order_choose(hn_hyper *hyper);
int hn_hyper_way_possible(const hn_hyper *hyper, hn_mode mode, hyper_way way);
hyper_way hn_hyper_way(const hn_hyper *hyper, hn_mode mode, int64_t groups, int64_t rows, int penalized);

/* slices.c */
int hn_hyper_slices_serve(const hn_node_product *product, hn_mode mode, size_t element); /* a kernel of this size */
int64_t hn_hyper_slice_groups(const hn_hyper *hyper, hn_mode mode, int64_t rows); /* most of a block */
int64_t hn_hyper_slice_columns(const hn_hyper *hyper, const hn_node_product *product);
int64_t hn_hyper_slice_rows(const hn_hyper *hyper, const hn_node_product *product, int64_t groups, int64_t rows);
int64_t hn_hyper_slice_elements(const hn_hyper *hyper, hn_mode mode, int64_t groups); /* of a tile; -1: overflows */

/* sizes.c */
void hn_hyper_limits_choose(hn_hyper *hyper);
hyper_sizes hn_hyper_sizes_of(const hn_hyper *hyper, hn_mode mode, int64_t groups, int64_t rows, int penalized);
int64_t hn_hyper_groups_most(const hn_hyper *hyper, hn_mode mode, int64_t groups); /* of one block */
int64_t hn_hyper_padded(const hn_hyper *hyper, int64_t count); /* leading dimension of a tile */
int64_t hn_hyper_theta_elements(const hn_hyper *hyper, hn_mode mode, int64_t groups, int64_t rows); /* -1: overflows */
int64_t hn_hyper_part_rows(const hn_hyper *hyper, hn_mode mode, int64_t groups, int64_t rows); /* most of one part */

/* check.c: everything that can be wrong with a run. */
hn_status hn_hyper_check(const hn_hyper *hyper, const hn_hyper_run *run, int gradients, hn_error *error);
hn_status hn_hyper_check_generate(const hn_hyper *hyper, const hn_hyper_run *run, hn_error *error); /* of theta alone */
hn_status hn_hyper_check_mode(const hn_hyper *hyper, hn_mode mode, hn_error *error); /* may it be trained? */

/* predict.c: 1 if blocks are handed to the threads, 0 if threads work together inside each. */
int hn_hyper_blocks_in_parallel(const hn_hyper *hyper, hn_mode mode, int64_t groups, int64_t rows, int32_t threads);

/* block.c */
int hn_hyper_block_begin(hyper_block *block, int64_t first); /* through the generator; 1: cancelled */
void hn_hyper_part_begin(hyper_block *block, int64_t part_first, int64_t row);
int hn_hyper_part_next(hyper_block *block); /* 0: there is no further part */
int hn_hyper_part_is_block(const hyper_block *block);
int hn_hyper_theta_in_place(const hyper_block *block);
hyper_place hn_hyper_theta(const hyper_block *block, const hyper_node *node);
hyper_columns hn_hyper_made(const hyper_block *block, const hyper_node *node);
int64_t hn_hyper_kept_columns(const hyper_block *block); /* of theta, where a block's is kept */
int hn_hyper_kernel_apart(const hyper_block *block, const hyper_node *node);
void hn_hyper_fill(hyper_block *block, const hyper_node *node);
int hn_hyper_part_forward(hyper_block *block); /* 1: cancelled */

/* backward.c */
int hn_hyper_part_backward(hyper_block *block);
int hn_hyper_block_finish(hyper_block *block);
hyper_place hn_hyper_dtheta(const hyper_block *block, const hyper_node *node);

/* penalty.c */
int hn_hyper_penalized(const hyper_block *block, const hyper_node *node);
void hn_hyper_penalty_values(hyper_block *block, const hyper_node *node);
void hn_hyper_penalty_gradients(hyper_block *block, const hyper_node *node);

static inline int hyper_run_penalized(const hn_hyper_run *run)
{
    return run->penalty_l1 || run->penalty_l2;
}

/* counters.c */
void hn_hyper_count(int64_t generator_rows, int64_t calls);

#endif
