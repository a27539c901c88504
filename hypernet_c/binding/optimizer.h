/* Optimizers as Python objects. */
#ifndef HN_BINDING_OPTIMIZER_H
#define HN_BINDING_OPTIMIZER_H

#include "arrays.h"
#include "store.h"

typedef struct OptimizerObject {
    PyObject_HEAD
    hn_optimizer_kind kind;
    double params[4], weight_decay, clipnorm, clipvalue, global_clipnorm;
    hn_dtype dtype;
    const hn_kernels *kernels;
    hn_span *spans;
    int64_t span_count, size, reach; /* parameters; one past the last weight that a span touches */
    int32_t slot_count;
    void *slots[3];
    int64_t step; /* updates so far */
    _Atomic uint64_t user; /* 0: nobody; else who began after so many forks, and one */
} OptimizerObject;

/* An object as an optimizer that nobody else uses until optimizer_end; NULL with TypeError or RuntimeError. */
OptimizerObject *optimizer_begin(const binding_state *state, PyObject *object);
void optimizer_end(OptimizerObject *optimizer);

/* ValueError unless it fits gradients of `size` and weights of `count` elements of `dtype`. */
int optimizer_check(const OptimizerObject *optimizer, hn_dtype dtype, int64_t size, int64_t count);

/* The update (needs no GIL). With `delta` it only tells. */
void optimizer_update(OptimizerObject *optimizer, void *weights, const void *gradient, double learning_rate,
                      double grad_scale, void *delta);

/* The update of weights in a store that the caller has claimed, as its writer; raises the version. */
void optimizer_write(OptimizerObject *optimizer, StoreObject *store, void *weights, const void *gradient,
                     double learning_rate, double grad_scale);

/* One update: what it reads and writes. */
typedef struct update_call {
    OptimizerObject *optimizer;
    held held;
    StoreObject *store;       /* whose memory the weights are; NULL: a plain array's */
    void *weights;
    PyArrayObject *gradient;
    double learning_rate, grad_scale;
} update_call;

/* Takes the four arguments of `apply` and `delta`; afterwards, even where that fails, update_end must follow. In
   between the optimizer is ours. */
int update_begin(update_call *call, PyObject *self, PyObject *const *args, int writes);
/* The update (needs no GIL). */
void update_run(const update_call *call);
void update_end(update_call *call);

#endif
