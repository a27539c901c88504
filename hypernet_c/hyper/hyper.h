/* The hypernetwork pipeline: generate, use, drop, in blocks of groups; memory never grows with N x P.

   N = groups conditions, each with a network of its own for its M = rows rows. A block of groups is taken through
   generator, target and (in training) back before the next one starts; an op's generated weights live in a tile. */
#ifndef HN_HYPER_HYPER_H
#define HN_HYPER_HYPER_H

#include "../base/cancel.h"
#include "../network/plan.h"
#include "../train/step.h"
#include "quantized.h"

typedef struct hn_hyper hn_hyper;
typedef struct hn_hyper_workspace hn_hyper_workspace;

typedef struct hn_hyper_run {
    int64_t groups, rows;
    int training;
    uint64_t seed;
    uint32_t call;
    int32_t threads;
    const hn_view *conditions;             /* one for each generator input: group g's condition at data + g *
                                              group_stride (row_stride is not used). NULL where theta is given */
    const void *theta;                     /* for hn_hyper_create_given: (groups, P) weights, else NULL */
    int64_t theta_stride;                  /* elements from group to group; 0: all groups share it */
    const hn_view *inputs;                 /* the target's inputs; group_stride 0: rows shared by all groups */
    const hn_view *outputs;                /* where to write; data NULL: not wanted (predict wants all) */
    const hn_source *generator_sources;    /* one for each of the generator's entries */
    const hn_source *target_sources;       /* one for each target entry; those of generated ones are not used */
    const void *base;                      /* (P,) added to generated weights, or NULL */
    const double *penalty_l1, *penalty_l2; /* one for each target entry, or NULL: penalties on generated weights,
                                              the mean over groups (l1 sum|w| + l2 sum w^2) */
    hn_cancel cancel;                      /* asked at least every 50 ms in long calls */
    hn_hyper_workspace *workspace;
    /* gradients */
    const hn_loss *losses;                 /* one for each output, with targets; or NULL: output_gradients are given */
    const hn_target *targets;
    double normalizer;                     /* what the caller will divide the gradients by: scales penalties */
    const hn_view *output_gradients;
    const hn_view *condition_gradients;    /* like conditions; data NULL: not wanted; the array may be NULL */
    const hn_view *input_gradients;        /* like inputs; shared rows: the sum over groups; the array may be NULL */
    void *theta_gradient;                  /* for given theta: (groups, P), or the sum if theta_stride is 0; or NULL */
    int64_t theta_gradient_stride;         /* elements from group to group; not read where theta_stride is 0 */
    hn_step_sums *sums;                    /* overwritten. activity is to be divided by groups x rows (the generator's
                                              penalties, of one row a group, count `rows` times); may be NULL */
    double *penalty;                       /* overwritten with the penalties on generated weights; may be NULL */
} hn_hyper_run;

/* `generated`: a flag for each of the target's entries (NULL: all). The generator has one output, of as many elements
   as the generated entries have together: HN_ERROR_VALUE says both sizes if not. Shapes as for hn_plan_create. */
hn_hyper *hn_hyper_create(const hn_graph *generator, const hn_graph *target, const unsigned char *generated,
                          const hn_shape *condition_shapes, const hn_shape *input_shapes, hn_isa isa, hn_error *error);

/* A target whose (generated) weights the caller hands in as theta: functional calls. */
hn_hyper *hn_hyper_create_given(const hn_graph *target, const unsigned char *generated, const hn_shape *input_shapes,
                                hn_isa isa, hn_error *error);
/* A hypernetwork whose head is stored in fewer bits: float only, and for inference only (a workspace for training is
   HN_ERROR_RUNTIME). `generator` is what comes before the head: its one output has head->width elements; head->count
   weights are generated. The memory that `head` points at must outlive the hypernetwork; the struct itself need not. */
hn_hyper *hn_hyper_create_quantized(const hn_graph *generator, const hn_quantized_head *head, const hn_graph *target,
                                    const unsigned char *generated, const hn_shape *condition_shapes,
                                    const hn_shape *input_shapes, hn_isa isa, hn_error *error);
void hn_hyper_free(hn_hyper *hyper);

int64_t hn_hyper_generated_count(const hn_hyper *hyper); /* P */
const hn_plan *hn_hyper_target_plan(const hn_hyper *hyper);
/* Which head of the table is in use: "dense" (the generator ends in a linear Dense, taken apart), "values" (anything
   else: its output is theta), "given", "bfloat16", "int8". */
const char *hn_hyper_head_name(const hn_hyper *hyper);

/* In which order a generated kernel W = sum over k of g_k A_k (+ constants) meets its input x. */
typedef enum hn_order {
    HN_ORDER_BY_COST = 0, /* chosen for each node by the cost model in order.c */
    HN_ORDER_WEIGHTS,     /* W first, in a tile, then x W */
    HN_ORDER_SLICES,      /* some rows of W at a time, in a tile, and their part of x W, where the node's op can */
    HN_ORDER_MIXTURE      /* no W: the sum over all pairs (k, i) of (g_k x_i) A_k[i, :], where the node's op can */
} hn_order;

/* Forces an order, for measuring and testing: for one hypernetwork, before workspaces are made, or for all that are
   created from now on. */
void hn_hyper_set_order(hn_hyper *hyper, hn_order order);
void hn_hyper_set_default_order(hn_order order);

/* Memory for runs of up to `groups` x `rows`: bounded by one block, whatever `groups` is. */
hn_hyper_workspace *hn_hyper_workspace_create(const hn_hyper *hyper, int64_t groups, int64_t rows, hn_mode mode,
                                              int32_t threads, hn_error *error);
void hn_hyper_workspace_free(hn_hyper_workspace *workspace);
size_t hn_hyper_workspace_bytes(const hn_hyper_workspace *workspace);
int hn_hyper_workspace_fits(const hn_hyper_workspace *workspace, const hn_hyper *hyper, int64_t groups, int64_t rows,
                            hn_mode mode, int32_t threads);

/* Forward only. */
hn_status hn_hyper_predict(const hn_hyper *hyper, const hn_hyper_run *run, hn_error *error);

/* The generated weights of all groups, (groups, P) at `theta`, `theta_stride` elements from group to group. Reads of
   `run` what concerns conditions, the generator and the base; `rows` may be 0, and so may those of the workspace. */
hn_status hn_hyper_generate(const hn_hyper *hyper, const hn_hyper_run *run, void *theta, int64_t theta_stride,
                            hn_error *error);

/* Forward, losses (or the given output gradients), backward, block by block: fills the gradients of generator_sources
   and of the own target_sources, and those of conditions, inputs and theta that are wanted. Not normalised. With
   `losses` and no gradient wanted anywhere it evaluates. */
hn_status hn_hyper_gradients(const hn_hyper *hyper, const hn_hyper_run *run, hn_error *error);

/* Rows that generators have been run on, and calls of the two functions above, since the process started. */
void hn_hyper_counters(int64_t *generator_rows, int64_t *calls);

#endif
