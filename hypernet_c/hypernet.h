/* hypernet: networks that generate the weights of other networks, in C.

   This is the only header that a user includes; the library has no dependency but libc, libm and pthreads, and no
   Python. A program describes layers in a graph, compiles a plan, and runs it on plain arrays:

       hn_graph *graph = hn_graph_create(HN_FLOAT32, &error);
       int32_t x = hn_graph_input(graph, "x", &(hn_shape){1, {100}}, HN_FLOAT32, &error);
       ...hn_graph_add(graph, "dense", "hidden", attributes, 2, &x, 1, &error)...

   See examples/tutorial.c and examples/specialize.c, and README.md beside this file for the architecture. Every
   fallible function returns hn_status, or NULL or -1, and fills an hn_error (NULL is allowed). */
#ifndef HYPERNET_H
#define HYPERNET_H

#ifdef __cplusplus
extern "C" {
#endif

#include "base/cpu.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "base/types.h"
#include "files/model.h"
#include "files/tensors.h"
#include "hyper/hyper.h"
#include "network/graph.h"
#include "network/plan.h"
#include "train/loss.h"
#include "train/optimizer.h"
#include "train/step.h"

#define HYPERNET_VERSION "0.1.0"

#ifdef __cplusplus
}
#endif

#endif
