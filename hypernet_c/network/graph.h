/* A graph: what a network computes, and the layout of its weights. Says nothing of sizes of batches or of memory.

   Tensors are numbered in the order in which hn_graph_input and hn_graph_add make them, so a graph cannot have a cycle.
   Weights are laid out in the order in which their layers are first used: layer by layer, kernel (in, out) row-major,
   then bias, which is Keras's order when layers are added in Keras's order. */
#ifndef HN_NETWORK_GRAPH_H
#define HN_NETWORK_GRAPH_H

#include "../base/status.h"
#include "../base/types.h"
#include "../ops/op.h"

typedef struct hn_graph hn_graph;

/* One weight array of a graph. */
typedef struct hn_entry {
    char *name;            /* "dense/kernel": layer name, slash, entry name; unique in the graph */
    hn_entry_spec spec;    /* shape, role, fans; spec.name is the local name */
    int64_t offset, size;  /* place in the flat vector of all the graph's weights, in elements */
} hn_entry;

/* A new, empty graph whose weights and real tensors are of `dtype` (HN_FLOAT32 or HN_FLOAT64). NULL on error. */
hn_graph *hn_graph_create(hn_dtype dtype, hn_error *error);
void hn_graph_free(hn_graph *graph);

/* Adds an input: `shape` of one sample (-1: open), `dtype` the graph's or HN_INT64 for ids. Returns the tensor's
   number, or -1. */
int32_t hn_graph_input(hn_graph *graph, const char *name, const hn_shape *shape, hn_dtype dtype, hn_error *error);

/* Adds op `op` as layer `layer` on the tensors `inputs`. `attributes` may hold any subset of the op's attributes, in
   any order; the others take their defaults. A layer name that is in the graph already means the same layer again: its
   weights are shared, and op, attributes and weight shapes must be the same. Returns the output tensor's number, or -1
   with the graph unchanged. */
int32_t hn_graph_add(hn_graph *graph, const char *op, const char *layer, const hn_attribute *attributes,
                     int32_t attribute_count, const int32_t *inputs, int32_t input_count, hn_error *error);

/* Calls `inner` as a nested model on `inputs` (one for each of its inputs): its layers are added as "prefix/layer", and
   `outputs` receives the numbers of its outputs in `graph`. Calling it twice with one prefix shares its weights. */
hn_status hn_graph_call(hn_graph *graph, const hn_graph *inner, const char *prefix, const int32_t *inputs,
                        int32_t input_count, int32_t *outputs, hn_error *error);

/* Declares a tensor to be the next output. */
hn_status hn_graph_output(hn_graph *graph, int32_t tensor, hn_error *error);

hn_dtype hn_graph_dtype(const hn_graph *graph);
int32_t hn_graph_input_count(const hn_graph *graph);
int32_t hn_graph_output_count(const hn_graph *graph);
/* The tensor number of an input or output; -1 out of range. */
int32_t hn_graph_input_tensor(const hn_graph *graph, int32_t index);
int32_t hn_graph_output_tensor(const hn_graph *graph, int32_t index);
const char *hn_graph_input_name(const hn_graph *graph, int32_t index);
int32_t hn_graph_tensor_count(const hn_graph *graph);
const hn_tensor_info *hn_graph_tensor(const hn_graph *graph, int32_t tensor);

int32_t hn_graph_entry_count(const hn_graph *graph);
const hn_entry *hn_graph_entry(const hn_graph *graph, int32_t index); /* NULL out of range */
int32_t hn_graph_entry_find(const hn_graph *graph, const char *name); /* -1 if there is none */
int64_t hn_graph_parameter_count(const hn_graph *graph);

/* One use of an op. */
typedef struct hn_graph_node {
    const hn_op *op;
    char *layer;
    hn_attribute *attributes;                   /* all of the op's, in the op's order */
    int32_t input_count, output;                /* output: tensor number */
    int32_t *inputs;                            /* tensor numbers */
    int32_t entry_count;
    int32_t entries[HN_MAX_ENTRIES];            /* numbers of its entries in the graph */
    uint32_t layer_index;                       /* position of the first node with this layer name */
} hn_graph_node;
int32_t hn_graph_node_count(const hn_graph *graph);
const hn_graph_node *hn_graph_node_at(const hn_graph *graph, int32_t index);

/* Fills the flat vector `weights` (parameter_count elements of the graph's dtype): kernels glorot_uniform, tables
   uniform in +-0.05, scales 1, biases 0, from `seed`. */
void hn_graph_initialize(const hn_graph *graph, uint64_t seed, void *weights);

/* Fills one source for each entry from one flat vector: `weights`, and `gradient` of the same layout (or NULL), which
   the first backward overwrites. */
void hn_graph_bind(const hn_graph *graph, const void *weights, void *gradient, hn_source *sources);

#endif
