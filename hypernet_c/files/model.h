/* Saved models: graphs as JSON, and loading what Python saved. Metadata keys of the native file:
   "hypernet_format": "1";  "hypernet_model": the JSON below;  "hypernet_config": Python's configuration (not read
   here). Other keys are ignored. A larger number is a newer format (README.md, "Versions"), which is refused.

   {"kind": "model", "graph": G}   or
   {"kind": "hypermodel", "generator": G, "target": G, "generated": ["dense/kernel", ...], "base": true|false}
   and, where the head is stored in fewer bits and G is only what comes before it,
   "head": {"stored": "bfloat16"|"int8", "bias": true|false}

   G = {"dtype": "float32", "inputs": [{"name", "shape": [100], "dtype": "float32"|"float64"|"int64"}, ...],
        "nodes": [{"op", "layer", "inputs": [tensor numbers], "attributes": {name: number|string|[integers]}}, ...],
        "outputs": [tensor numbers]}

   Tensors are numbered inputs first, then the nodes' outputs in the order of the nodes. -1 in a shape: an open axis.
   Attributes at their defaults may be left out; an infinite number is the string "Infinity" or "-Infinity".

   Tensors of the file: one per entry, "weights/<entry name>" (model), "generator/<entry>", "target/<entry>"
   (hypermodel; own entries and, when it has one, base: "base" of shape (P,)); of a head in fewer bits "head/kernel" of
   shape (width, P), BF16 or I8, "head/scale" (P,) of I8, "head/bias" (P,); others ("optimizer/...") are Python's. */
#ifndef HN_FILES_MODEL_H
#define HN_FILES_MODEL_H

#include "../hyper/hyper.h"
#include "../network/graph.h"
#include "tensors.h"

/* The JSON text of a graph, to be freed with hn_memory_free; NULL on error. */
char *hn_graph_to_json(const hn_graph *graph, hn_error *error);

/* A graph from such a text (strict: unknown ops, attributes, wrong types, missing inputs and forward references are
   HN_ERROR_VALUE). NULL on error. */
hn_graph *hn_graph_from_json(const char *json, hn_error *error);

/* A loaded model or hypermodel. */
typedef struct hn_model {
    hn_graph *graph;              /* the model, or the target */
    void *weights;                /* flat, in the graph's layout (target: own entries filled, generated ones 0) */
    hn_graph *generator;          /* NULL for a plain model */
    void *generator_weights;
    unsigned char *generated;     /* a flag for each target entry; NULL for a plain model */
    void *base;                   /* (P,) or NULL */
    hn_quantized_head head;       /* for hn_hyper_create_quantized; kernel NULL: the generator has its head */
} hn_model;

hn_model *hn_model_load(const char *path, hn_error *error);
void hn_model_free(hn_model *model);

/* The target's flat weights for one condition (float or double as the generator's dtype, or int64 where its input holds
   ids; `condition_size` elements): generated entries from the generator (+ base), the others its own. `weights`:
   parameter_count elements of model->graph. Afterwards model->graph with these weights is an ordinary network.
   HN_ERROR_VALUE for a plain model, HN_ERROR_NOT_IMPLEMENTED for a generator with several inputs. */
hn_status hn_model_specialize(const hn_model *model, const void *condition, int64_t condition_size, void *weights,
                              hn_error *error);

#endif
