/* The op contract. An op is one constant table; adding one is one file and a line in registry.c.

   An op sees `groups` groups of `rows` rows. Every tensor has a pointer, a stride from group to group (0: all groups
   share it) and a stride from row to row; one row (one sample) is contiguous. Every weight entry has a pointer, a
   stride from group to group (0: shared weights) and, in backward, a gradient pointer. Where a gradient's group stride
   is 0 the gradient is summed over groups and rows, else over rows only.

   Ops know neither files nor instruction sets. They hand independent blocks, cut by shape alone, to hn_parallel. */
#ifndef HN_OPS_OP_H
#define HN_OPS_OP_H

#include "../base/random.h"
#include "../base/status.h"
#include "../base/types.h"
#include "../kernels/kernels.h"

#define HN_MAX_INPUTS 64
#define HN_MAX_ENTRIES 4
#define HN_MAX_SAVED 2
#define HN_MAX_ATTRIBUTES 8
#define HN_SCRATCH_ALIGNMENT 64

/* One attribute of an op, by name. Integers, flags and enumerations use `integer`; lists use `list`. */
typedef enum hn_attribute_type { HN_ATTRIBUTE_INTEGER, HN_ATTRIBUTE_NUMBER, HN_ATTRIBUTE_NAME, HN_ATTRIBUTE_SHAPE }
    hn_attribute_type;

typedef struct hn_attribute {
    const char *name;
    hn_attribute_type type;
    int64_t integer;   /* INTEGER (flags: 0 or 1) */
    double number;     /* NUMBER */
    char text[32];     /* NAME: for example an activation */
    hn_shape shape;    /* SHAPE: a list of integers */
} hn_attribute;

/* What an entry is for: initialisers, decay and hyperfan read it. */
typedef enum hn_role { HN_ROLE_KERNEL = 0, HN_ROLE_BIAS, HN_ROLE_SCALE, HN_ROLE_TABLE } hn_role;

typedef struct hn_entry_spec {
    const char *name;      /* local to the layer: "kernel", "bias", "gamma", "beta", "embeddings", "alpha" */
    hn_role role;
    hn_shape shape;
    int64_t fan_in, fan_out;
} hn_entry_spec;

/* What the op makes of its attributes and its inputs' sample shapes (open axes are -1). */
typedef struct hn_op_spec {
    hn_shape output;
    hn_dtype output_dtype;             /* the network's dtype, or HN_INT64 */
    int32_t entry_count;
    hn_entry_spec entries[HN_MAX_ENTRIES];
} hn_op_spec;

typedef struct hn_tensor_info {
    hn_shape shape;   /* of one sample */
    hn_dtype dtype;
} hn_tensor_info;

/* An instance of an op in a plan: all shapes closed. */
typedef struct hn_node_info {
    int32_t input_count;
    const hn_tensor_info *inputs;
    hn_tensor_info output;
    int32_t entry_count;
    const hn_entry_spec *entries;
    const hn_attribute *attributes;    /* every attribute of the op, defaults filled in, in the table's order */
    uint32_t layer;                    /* names the random stream */
} hn_node_info;

typedef struct hn_view {
    void *data;
    int64_t group_stride, row_stride;  /* elements */
} hn_view;

/* Weights that are not made: entry W of group g is the sum over k of factors[g, k] term k (+ the constants). */
typedef struct hn_mixture {
    int64_t count;                     /* terms */
    const void *factors;               /* (groups, count) */
    int64_t factor_stride;             /* elements from group to group */
    const void *terms;                 /* term k, of the entry's shape, at terms + k * term_stride elements */
    int64_t term_stride;
    const void *constants[2];          /* of the entry's shape, or NULL */
    /* backward; NULL: not wanted */
    void *factor_gradient;             /* (groups, count), added to */
    int64_t factor_gradient_stride;
    void *term_gradient;               /* like terms */
    void *constant_gradient;           /* that of constants[0] */
    int term_accumulate, constant_accumulate; /* 0: overwrite */
    /* 0: the entry is never made; else such blocks of it are, one at a time for all groups, in memory of the caller */
    int64_t slice_rows, slice_columns;
    void *tile, *tile_gradient;        /* (groups, slice_rows x slice_columns); tile_gradient: backward */
    int64_t tile_stride;               /* elements from group to group */
    void *partial;                     /* backward: hn_mixture_partial bytes */
} hn_mixture;

/* One weight entry for one call. */
typedef struct hn_source {
    const void *data;
    int64_t group_stride;              /* elements; 0: shared by all groups */
    void *gradient;                    /* backward: NULL if not wanted */
    int64_t gradient_group_stride;     /* 0: one gradient for all groups */
    int accumulate;                    /* 0: overwrite the gradient, 1: add to it */
    const hn_mixture *mixture;         /* not NULL: data is not there, and `gradient` (which is not written) only tells
                                          whether one is wanted. For ops that mix (HN_OP_MIXES) */
} hn_source;

typedef struct hn_op_call {
    const hn_node_info *node;
    const hn_kernels *kernels;
    int32_t threads;
    int64_t groups, rows;
    int training;
    uint64_t seed;
    uint32_t call;
    uint64_t first_row;                /* global number of group 0's row 0: a row's is first_row + group * rows + row */
    const hn_view *inputs;
    hn_view output;                    /* forward: written. backward: what forward wrote */
    const hn_source *sources;          /* entry_count of them */
    void *saved[HN_MAX_SAVED];         /* written by a forward that precedes a backward; NULL in inference */
    void *scratch;                     /* `threads` blocks of `scratch_stride` bytes, 64-byte aligned */
    size_t scratch_stride;
    /* backward only */
    hn_view output_gradient;           /* may be overwritten by the op */
    const hn_view *input_gradients;    /* data NULL: not wanted. Always overwritten (the plan adds up) */
    int gradient_at_logits;            /* the gradient is already with respect to the input of the final activation */
    double activity_scale;             /* weight of an activity penalty in the (unnormalised) sum of losses */
    double *activity_penalty;          /* forward in training: the penalty is added here (never from a worker) */
} hn_op_call;

enum {
    HN_OP_ALIASES_INPUT = 1,           /* the output is the input's memory in another shape: no forward, no backward */
    HN_OP_RANDOM = 2,                  /* needs seed and call when training */
    HN_OP_IN_PLACE = 4,                /* output may be input 0's memory when nobody else reads it (inference) */
    HN_OP_READS_OUTPUT = 8,            /* backward reads the output (else only inputs and saved values) */
    HN_OP_PENALIZES = 16,              /* backward makes a gradient of its own where activity_scale is not 0 */
    HN_OP_MIXES = 32,                  /* the first entry, of shape (in, out), may come as a mixture */
};

typedef struct hn_op {
    const char *name;                  /* "dense" */
    const hn_attribute *attributes;    /* name, type, default */
    int32_t attribute_count;
    int32_t min_inputs, max_inputs;
    int32_t flags;
    /* Checks shapes and attributes; fills `spec`. Attributes come complete, in the table's order. */
    hn_status (*describe)(const hn_attribute *attributes, int32_t input_count, const hn_tensor_info *inputs,
                          hn_dtype dtype, hn_op_spec *spec, hn_error *error);
    /* Elements a row of each saved array (0: none), for a closed node. May be NULL: none. */
    void (*saved_sizes)(const hn_node_info *node, int64_t sizes[HN_MAX_SAVED]);
    /* Bytes of scratch a thread, behind kernels->scratch (rounded up to HN_SCRATCH_ALIGNMENT), which is always there
       first. May be NULL: none. */
    size_t (*scratch_size)(const hn_node_info *node, hn_dtype dtype);
    /* Estimated floating-point operations of one row, forward. NULL where the output is the input's memory. */
    double (*work)(const hn_node_info *node);
    /* Checks the data that only a run can show (ids in range). May be NULL. */
    hn_status (*check)(const hn_op_call *call, hn_error *error);
    void (*forward)(const hn_op_call *call);
    void (*backward)(const hn_op_call *call);
    /* The final activation, if a loss may be fused with it: "softmax", "sigmoid", else NULL. May be NULL. */
    const char *(*fusable_activation)(const hn_node_info *node);
    /* Turns complete attributes into what the op runs with: numbers behind names, defaults that depend on other
       attributes. Called once, by hn_op_complete; doing it again changes nothing. May be NULL. */
    void (*resolve)(hn_attribute *attributes);
} hn_op;

/* The op called `name`, or NULL. */
const hn_op *hn_op_find(const char *name);

/* Every op: index 0 <= i < hn_op_count(). */
const hn_op *hn_op_at(int32_t index);
int32_t hn_op_count(void);

/* Fills `complete` (room for op->attribute_count) from `given`, any subset of the op's attributes in any order; the
   others take their defaults. HN_ERROR_VALUE for an unknown or repeated name, HN_ERROR_TYPE for a wrong type (an
   integer will do for a number). A number may be infinite, never nan. */
hn_status hn_op_complete(const hn_op *op, const hn_attribute *given, int32_t given_count, hn_attribute *complete,
                         hn_error *error);

/* The number of inputs checked, then op->describe on complete attributes. */
hn_status hn_op_describe(const hn_op *op, const hn_attribute *complete, int32_t input_count,
                         const hn_tensor_info *inputs, hn_dtype dtype, hn_op_spec *spec, hn_error *error);

#endif
