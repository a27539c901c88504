/* Graphs as Python objects. */
#ifndef HN_BINDING_GRAPH_H
#define HN_BINDING_GRAPH_H

#include "binding.h"

typedef struct GraphObject {
    PyObject_HEAD
    hn_graph *graph;
    int frozen; /* a network has compiled it: nothing can be added any more */
    binding_mutex mutex;
} GraphObject;

/* No more changes from now on. */
void graph_freeze(GraphObject *graph);

#endif
