/* A plan: a graph compiled for closed sample shapes, and its forward and backward over groups of rows.

   A plan is immutable: any number of threads may run it, each with a workspace of its own. */
#ifndef HN_NETWORK_PLAN_H
#define HN_NETWORK_PLAN_H

#include "graph.h"

typedef struct hn_plan hn_plan;
typedef struct hn_workspace hn_workspace;

typedef enum hn_mode {
    HN_MODE_INFERENCE = 0, /* activations may share memory; no backward */
    HN_MODE_TRAINING       /* activations and saved values are kept, room for gradients */
} hn_mode;

/* One run: N = groups, M = rows. Row r of group g of a tensor is at data + g * group_stride + r * row_stride. */
typedef struct hn_run {
    int64_t groups, rows;
    int training;                      /* dropout acts */
    uint64_t seed;
    uint32_t call;
    uint64_t first_row;                /* global number of the first row, for random numbers */
    int32_t threads;
    const hn_view *inputs;             /* one for each input; a group stride of 0 shares rows between groups */
    const hn_view *outputs;            /* one for each output: where to write; data NULL: not wanted. May be NULL */
    const hn_source *sources;          /* one for each entry */
    hn_workspace *workspace;           /* made for at least these groups x rows and threads */
    /* backward */
    const hn_view *output_gradients;   /* one for each output; data NULL: zero. Left unchanged */
    const unsigned char *gradient_at_logits; /* a flag an output: see hn_plan_fusable; NULL: none */
    const hn_view *input_gradients;    /* one for each input; data NULL: not wanted. Integer inputs: always NULL.
                                          Where the input's group stride is 0, the sum over groups. May be NULL */
    int accumulate_input_gradients;    /* 1: add to them */
    double activity_scale;             /* see hn_op_call */
    double *activity_penalty;          /* forward: added to; may be NULL */
} hn_run;

/* Compiles `graph` for `input_shapes` (closed, one for each input; NULL: the declared ones must be closed). `isa`:
   which kernels; pass hn_isa_default's. The graph may be freed afterwards. NULL on error. */
hn_plan *hn_plan_create(const hn_graph *graph, const hn_shape *input_shapes, hn_isa isa, hn_error *error);
/* The same for the part of a graph that computes these tensors, which become the outputs. Inputs and entries keep their
   numbers; those that the part does not need are not touched by a run. */
hn_plan *hn_plan_create_part(const hn_graph *graph, const int32_t *outputs, int32_t output_count,
                             const hn_shape *input_shapes, hn_isa isa, hn_error *error);
void hn_plan_free(hn_plan *plan);

int32_t hn_plan_input_count(const hn_plan *plan);
int32_t hn_plan_output_count(const hn_plan *plan);
const hn_tensor_info *hn_plan_input(const hn_plan *plan, int32_t index);
const hn_tensor_info *hn_plan_output(const hn_plan *plan, int32_t index);
int32_t hn_plan_entry_count(const hn_plan *plan);
const hn_kernels *hn_plan_kernels(const hn_plan *plan);
/* Estimated floating-point operations of one row, forward. */
double hn_plan_work(const hn_plan *plan);
/* Elements of activations a row (for choosing block sizes). */
int64_t hn_plan_row_elements(const hn_plan *plan, hn_mode mode);

/* "softmax" or "sigmoid" if that is the last thing computed for this output and no other op reads it, so that a loss
   may give its gradient with respect to the logits; else NULL. */
const char *hn_plan_fusable(const hn_plan *plan, int32_t output);

/* A workspace for up to `groups` groups of up to `rows` rows (both numbers may be smaller at run time, as long as the
   product fits) on up to `threads` threads, at most HN_THREADS_MAX. One allocation; its size in bytes is asked with
   hn_workspace_bytes. */
hn_workspace *hn_workspace_create(const hn_plan *plan, int64_t groups, int64_t rows, hn_mode mode, int32_t threads,
                                  hn_error *error);
void hn_workspace_free(hn_workspace *workspace);
size_t hn_workspace_bytes(const hn_workspace *workspace);
/* 1 if a run of this kind may use it. */
int hn_workspace_fits(const hn_workspace *workspace, const hn_plan *plan, int64_t groups, int64_t rows, hn_mode mode,
                      int32_t threads);

/* Checks what only the data shows (ids in range), by the run's groups, rows and inputs alone: it needs no workspace and
   may be asked about more groups than one holds. Call it before the first write. */
hn_status hn_plan_check(const hn_plan *plan, const hn_run *run, hn_error *error);

/* Inputs to outputs. In HN_MODE_TRAINING a backward with the same run may follow, any number of times; it reads the
   inputs again, but never the outputs' memory. */
void hn_plan_forward(const hn_plan *plan, const hn_run *run);

/* Gradients of sum(outputs * output_gradients): to the sources' gradients and to the input gradients. */
void hn_plan_backward(const hn_plan *plan, const hn_run *run);

/* The same, op by op, for a caller that supplies an op's weights just in time: begin, then nodes 0 .. count - 1
   forward, end; begin, nodes count - 1 .. 0 backward, end. An entry's source must be right while a node that uses it
   runs. In one backward, the first node that uses an entry writes its gradient (adds, if the source accumulates) and
   later ones add to it; a node that no gradient reaches clears what is not written yet, unless it accumulates;
   hn_plan_backward_end does so for entries that no node uses. Whether a gradient is wanted (its pointer is not NULL)
   must be known at begin. */
int32_t hn_plan_node_count(const hn_plan *plan);
/* Entry numbers used by a node; `*count` may be 0. */
const int32_t *hn_plan_node_entries(const hn_plan *plan, int32_t node, int32_t *count);
/* The product of a node's input with its first entry, for nodes that take that as a mixture. */
typedef struct hn_node_product {
    int64_t positions, in, out; /* a row of the run is `positions` rows of `in` elements */
    int inner;                  /* the input is no input of the plan: in training its gradient is wanted */
} hn_node_product;
/* 1 if the node's op takes its first entry as a mixture (HN_OP_MIXES), and its product; else 0. */
int hn_plan_node_product(const hn_plan *plan, int32_t node, hn_node_product *product);
/* 1 if backward of this node must read its weights, because a gradient to its inputs is wanted under this run. */
int hn_plan_node_needs_weights(const hn_plan *plan, const hn_run *run, int32_t node);
void hn_plan_forward_begin(const hn_plan *plan, const hn_run *run);
void hn_plan_forward_node(const hn_plan *plan, const hn_run *run, int32_t node);
void hn_plan_forward_end(const hn_plan *plan, const hn_run *run);
void hn_plan_backward_begin(const hn_plan *plan, const hn_run *run);
void hn_plan_backward_node(const hn_plan *plan, const hn_run *run, int32_t node);
void hn_plan_backward_end(const hn_plan *plan, const hn_run *run);

#endif
