/* What a graph is made of; for the files of this floor only. */
#ifndef HN_NETWORK_GRAPH_INTERNAL_H
#define HN_NETWORK_GRAPH_INTERNAL_H

#include "graph.h"

typedef struct graph_input {
    char *name;
    int32_t tensor;
} graph_input;

typedef struct layer_branch layer_branch;

struct hn_graph {
    hn_dtype dtype;
    hn_tensor_info *tensors;
    int32_t tensor_count, tensor_capacity;
    graph_input *inputs;
    int32_t input_count, input_capacity;
    int32_t *outputs;
    int32_t output_count, output_capacity;
    hn_entry **entries; /* pointers, so that an entry stays where it is when others are added */
    int32_t entry_count, entry_capacity;
    hn_graph_node **nodes;
    int32_t node_count, node_capacity;
    layer_branch *branches; /* the tree of the layers' names, whose root is `layers`, if there are any */
    int32_t layer_count, branch_capacity, layers;
    int64_t parameter_count;
};

/* Makes room for one more element of `size` bytes in the array that `array` points to. */
hn_status hn_graph_reserve(void *array, int32_t count, int32_t *capacity, size_t size, hn_error *error);

/* A copy of `text` in allocated memory. NULL on error. */
char *hn_graph_text_copy(const char *text, hn_error *error);

/* Removes everything after the first `nodes` nodes, `tensors` tensors and `entries` entries. */
void hn_graph_truncate(hn_graph *graph, int32_t nodes, int32_t tensors, int32_t entries);

/* The first node of the layer whose name is `length` bytes at `name`; NULL if there is none. */
hn_graph_node *hn_graph_layer_find(const hn_graph *graph, const char *name, size_t length);

/* Makes room for one more layer, without which none may be added. */
hn_status hn_graph_layer_reserve(hn_graph *graph, hn_error *error);

/* Adds the layer whose first node is `node`. */
void hn_graph_layer_add(hn_graph *graph, int32_t node);

/* Removes the layer that was added last, which is called `name`. */
void hn_graph_layer_remove(hn_graph *graph, const char *name);

#endif
