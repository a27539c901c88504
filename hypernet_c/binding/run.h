/* Running without the GIL, polling for signals, and what steps give back. */
#ifndef HN_BINDING_RUN_H
#define HN_BINDING_RUN_H

#include "arrays.h"

/* Held: `saved` is NULL. */
typedef struct gil {
    PyThreadState *saved;
    int64_t polled; /* when signals were last looked at; 0: not yet */
} gil;

/* Lets the GIL go if the work that follows is worth it (estimated nanoseconds). */
void gil_release(gil *gil, double work);
void gil_acquire(gil *gil);

/* Runs signal handlers if that was not done for some time: may be called often. -1: one raised an exception, or forked
   and this is the child. Has the type that hn_cancel wants. */
int gil_poll(void *gil);

/* Finds the thread that signal handlers run in. */
int main_thread_find(void);

/* Estimated nanoseconds of so many floating-point operations. */
static inline double work_of(double operations)
{
    return operations / 16.0;
}

/* One output's loss, its targets and weights. */
typedef struct loss_data {
    int32_t count;
    hn_loss losses[BINDING_MAX_TENSORS];
    hn_target targets[BINDING_MAX_TENSORS];
} loss_data;

/* Takes the losses, targets and weights of every output of `plan`, whose outputs begin with `lead`. */
int losses_take(held *held, const lead *lead, const hn_plan *plan, hn_dtype dtype, PyObject *targets,
                PyObject *weights, PyObject *specs, loss_data *data);

/* (loss, count, weight, activity / rows, [penalty,] outputs); `penalty` may be NULL. Takes `outputs` over. */
PyObject *sums_tuple(const hn_step_sums *sums, int32_t count, int64_t rows, const double *penalty, PyObject *outputs);

/* A tuple argument of exactly `count` items; `what` in plural for the message. */
int tuple_check(PyObject *tuple, Py_ssize_t count, const char *what);

/* New references to arrays as a tuple; NULL stands for None. */
PyObject *arrays_tuple(PyArrayObject *const *arrays, int32_t count);
/* The same of results, which are those of `out` where that is not None. */
PyObject *results_tuple(PyArrayObject *const *arrays, int32_t count, PyObject *out);

#endif
