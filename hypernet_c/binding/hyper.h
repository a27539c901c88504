/* Hypernetworks as Python objects, and what their calls share. */
#ifndef HN_BINDING_HYPER_H
#define HN_BINDING_HYPER_H

#include "network.h"

typedef struct HyperObject {
    PyObject_HEAD
    NetworkObject *generator;    /* NULL: the caller hands theta in */
    NetworkObject *target;
    unsigned char *generated;    /* a flag for each of the target's entries */
    int64_t generated_count;     /* P */
    int64_t gradient_count;      /* the generator's parameters and the target's own */
    PyArrayObject *base;         /* (P,) or NULL */
    hn_quantized_head head;      /* in the memory of head_parts; kernel NULL: the generator has its own head */
    PyArrayObject *head_parts[3]; /* kernel, scale, bias; or NULL */
    double *penalties;           /* l1 of each target entry, then l2 of each; or NULL */
    StoreObject *stores[2];      /* borrowed: those whose numbers a run reads, each once */
    int32_t store_count;
    plan_cache cache;
} HyperObject;

typedef struct hyper_call {
    HyperObject *hyper;
    cache_item *item;
    run_memory *memory;
    lead conditions_lead, inputs_lead, lead; /* lead: of the outputs */
    double work;                             /* estimated nanoseconds, forward */
    gil gil;
    void *theta;                             /* where generated weights go, if they alone are wanted */
    int64_t theta_stride;
    const char *weights;                     /* in place of the stores' numbers: as the gradient is laid out; or NULL */
    hn_hyper_run run;
    hn_view conditions[BINDING_MAX_TENSORS], inputs[BINDING_MAX_TENSORS], outputs[BINDING_MAX_TENSORS];
    PyArrayObject *results[BINDING_MAX_TENSORS];
    held held;
} hyper_call;

/* Takes conditions (or theta) and inputs as `mode` has them to meet (NULL: an exception is set already), and finds the
   plan; inputs NULL: there are none, for the generator alone. hyper_call_end frees whatever is there, after an error
   too. */
int hyper_call_begin(hyper_call *call, PyObject *self, PyObject *conditions, PyObject *inputs, const char *mode);
/* Arrays for the outputs: new, or those of `out`. */
int hyper_call_outputs(hyper_call *call, PyObject *out);
int hyper_call_memory(hyper_call *call, hn_mode mode);
/* The flat vector `given` (None: nothing) is to be used instead of the stores' numbers. */
int hyper_call_weights(hyper_call *call, PyObject *given);
/* Points the run's sources at the weights in use, and their gradients into `gradient` (NULL: not wanted), which is laid
   out as the generator's entries and then the target's own. */
int hyper_call_sources(hyper_call *call, char *gradient);
void hyper_call_end(hyper_call *call);

/* ValueError if an array shares memory with the weights or the base. */
int hyper_check_outside(const HyperObject *hyper, PyArrayObject *written, role role);

/* The run itself, without the GIL if that is worth it; `gradients`: hn_hyper_gradients; with `theta` hn_hyper_generate.
   The stores' numbers are kept as they are unless `claimed`. */
int hyper_call_run(hyper_call *call, int gradients, int claimed);

/* The parts of a head in fewer bits, or None; they belong to the object then. */
int hyper_head_take(HyperObject *self, PyObject *given);

PyObject *hyper_generate(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *hyper_predict(PyObject *self, PyObject *const *args, Py_ssize_t count);
/* hyper([cond, x]): the fast path of models whose parts have one input and one output each. */
PyObject *hyper_direct(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *hyper_gradients(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *hyper_step(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *hyper_train_step(PyObject *self, PyObject *const *args, Py_ssize_t count);

#endif
