/* What a plan and a workspace are made of; for the files of this floor only. */
#ifndef HN_NETWORK_PLAN_INTERNAL_H
#define HN_NETWORK_PLAN_INTERNAL_H

#include "plan.h"

enum { PLAN_FOREVER = INT32_MAX };

/* Elements a row that a tensor may have: far beyond memory, and sums over a plan's tensors do not overflow. */
#define PLAN_ROW_MOST ((int64_t)1 << 40)

/* Tensors that share memory (through reshapes) are one class; its first tensor is the root and stands for all. What is
   said of uses, inputs and outputs holds for roots. */
typedef struct plan_tensor {
    hn_tensor_info info;
    int64_t size;            /* elements a row */
    int32_t root;
    int32_t producer;        /* plan node that computes it; -1: an input, or not used */
    int32_t input;           /* number of the input that it is, -1: none */
    int32_t uses, last_use;  /* how often plan nodes read it; the last of them, -1: none */
    int32_t outputs;         /* how many outputs it is */
    int kept;                /* a backward may read it */
    int32_t value_slot, gradient_slot; /* value_slot: in inference; -1: none */
} plan_tensor;

typedef struct plan_node {
    const hn_op *op;
    hn_node_info info;
    int32_t *inputs;         /* roots */
    int32_t output;          /* root */
    int32_t first_view;      /* of its inputs among the workspace's views */
    int32_t first_entry;     /* entries of a node are consecutive */
    int32_t entries[HN_MAX_ENTRIES];
    int64_t saved[HN_MAX_SAVED];
    int32_t fused_output;    /* the output whose gradient may be given at the logits, -1: none */
} plan_node;

/* Memory that tensors take turns in: bytes a row. */
typedef struct plan_slots {
    int32_t count;
    size_t *bytes;
    int32_t *busy_until;     /* only while the plan is made */
} plan_slots;

struct hn_plan {
    const hn_kernels *kernels;
    hn_dtype dtype;
    int32_t tensor_count, node_count, input_count, output_count, entry_count, view_count;
    plan_tensor *tensors;
    plan_node *nodes;
    int32_t *inputs, *outputs;   /* tensor numbers */
    int64_t *entry_sizes;
    int part;                    /* of a graph: what it does not need belongs to others */
    unsigned char *checked;      /* node x input: the node's check reads the input; NULL: no node has a check */
    plan_slots values, gradients;
    int64_t temporary;           /* elements a row that gradients need before they are added */
    size_t scratch;              /* bytes a thread */
    double work;
};

struct hn_workspace {
    const hn_plan *plan;
    size_t bytes;
    int64_t capacity;                 /* groups x rows */
    hn_mode mode;
    int32_t threads;
    hn_view *views, *gradients;       /* a root: of this run */
    hn_view *input_views, *input_gradients; /* the same for every input of every node, as ops want them */
    char **values, **gradient_values; /* memory of a root */
    char **saved;                     /* HN_MAX_SAVED a node */
    unsigned char *wanted;            /* a root: a gradient is wanted */
    unsigned char *started;           /* a root: its gradient holds a first contribution */
    unsigned char *written;           /* an entry: the same */
    char *temporary, *scratch;
    size_t scratch_stride;
};

/* A slot for `bytes` a row from time `first` to `last`; times of calls must not decrease. */
int32_t hn_plan_slot_take(plan_slots *slots, size_t bytes, int32_t first, int32_t last);

/* Assigns slots to values (inference) and to gradients (training). */
hn_status hn_plan_assign(hn_plan *plan, hn_error *error);

/* Finds out which roots' gradients the run wants. */
void hn_plan_find_wanted(const hn_plan *plan, const hn_run *run);

/* Where this run's inputs and values are: fills views and input_views. */
void hn_plan_place_values(const hn_plan *plan, const hn_run *run);

/* 1 if ops may write rows of `size` elements to this view: rows and groups come forward and do not overlap. */
int hn_plan_writable(const hn_run *run, int64_t size, const hn_view *view);

/* The call of an op, all but what backward adds. */
hn_op_call hn_plan_call(const hn_plan *plan, const hn_run *run, const plan_node *node);

/* to = from (accumulate: to += from) for groups x rows samples of `size` elements. Where `to` has group stride 0 and
   there are several groups, their sum. */
void hn_plan_add_rows(const hn_plan *plan, const hn_run *run, int64_t size, const hn_view *from, const hn_view *to,
                      int accumulate);

/* to = from, of any element type. */
void hn_plan_copy_rows(const hn_run *run, int64_t size, size_t element, const hn_view *from, const hn_view *to);

#endif
