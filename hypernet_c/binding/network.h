/* Networks as Python objects, and what their calls share. */
#ifndef HN_BINDING_NETWORK_H
#define HN_BINDING_NETWORK_H

#include "cache.h"
#include "graph.h"
#include "run.h"
#include "store.h"

typedef struct NetworkObject {
    PyObject_HEAD
    GraphObject *graph;
    StoreObject *store;   /* NULL: for functional use */
    hn_source *sources;   /* one for each entry: where its weights are */
    int32_t entry_count, input_count, output_count;
    int64_t parameter_count;
    hn_dtype dtype;
    int has_ids;          /* an input holds integers */
    const hn_tensor_info *inputs[BINDING_MAX_TENSORS]; /* as the graph declares them */
    plan_cache cache;
} NetworkObject;

/* The declared sample shape and dtype of an input. */
const hn_tensor_info *network_input(const NetworkObject *network, int32_t index);

/* Takes a tuple of inputs of this graph. `lead` learns its unknown sizes, `shapes` the closed sample shapes. */
int network_inputs_take(const NetworkObject *network, held *held, PyObject *tuple, lead *lead, const char *what,
                        hn_view *views, hn_shape *shapes);

/* Arrays to write the outputs of `plan` to: new ones, or those of the tuple `out`, checked against the store and all
   that is held: `conditions` conditions, then inputs. */
int network_outputs_take(const NetworkObject *network, held *held, const hn_plan *plan, const lead *lead,
                         PyObject *out, int32_t conditions, PyArrayObject **arrays, hn_view *views);

/* RuntimeError if there are weights but no store that they are in. */
int network_check_store(const NetworkObject *network);

/* ---- one call of a plain network ---- */
typedef struct network_call {
    NetworkObject *network;
    cache_item *item;
    run_memory *memory;
    lead lead;
    hn_mode mode;
    int64_t block;      /* rows that run at a time */
    double row_work;    /* estimated nanoseconds of one row */
    hn_run run;         /* what all blocks share */
    hn_view inputs[BINDING_MAX_TENSORS], outputs[BINDING_MAX_TENSORS];
    PyArrayObject *results[BINDING_MAX_TENSORS];
    held held;
} network_call;

/* Takes inputs and finds the plan. network_call_end frees whatever is there, after an error too. */
int network_call_begin(network_call *call, PyObject *self, PyObject *inputs);
/* Finds memory for blocks of rows, and checks ids. */
int network_call_memory(network_call *call, hn_mode mode);
void network_call_end(network_call *call);

/* One block: rows first .. first + run->rows - 1. Needs no GIL. */
typedef hn_status (*network_block)(network_call *call, hn_run *run, int64_t first, void *context, hn_error *error);
/* All blocks in order, without the GIL if that is worth it, polling for signals between them. */
int network_call_blocks(network_call *call, network_block block, void *context);

/* `count` views moved on by `first` rows; `elements`: bytes of an element of each. */
void views_advance(const hn_view *views, hn_view *moved, const size_t *elements, int32_t count, int64_t first);

PyObject *network_gradients(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *network_step(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *network_train_step(PyObject *self, PyObject *const *args, Py_ssize_t count);

#endif
