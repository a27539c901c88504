/* What a graph is made of; for the files of this floor only. */
#ifndef HN_NETWORK_GRAPH_INTERNAL_H
#define HN_NETWORK_GRAPH_INTERNAL_H

#include "graph.h"

typedef struct graph_input {
    char *name;
    int32_t tensor;
} graph_input;

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
    int64_t parameter_count;
};

/* A copy of `text` in allocated memory. NULL on error. */
char *hn_graph_text_copy(const char *text, hn_error *error);

/* Removes everything after the first `nodes` nodes, `tensors` tensors and `entries` entries. */
void hn_graph_truncate(hn_graph *graph, int32_t nodes, int32_t tensors, int32_t entries);

#endif
