/* The GIL and signals during a run. */
#include "run.h"
#include "../base/clock.h"

/* Letting go and taking back cost about 100 ns, more if others wait. */
static const double worth_releasing = 5000.0;
/* Signals are promised every 50 ms; a block takes a few, and waiting for the GIL may take 5. */
static const int64_t poll_interval = 20000000;

void gil_release(gil *gil, double work)
{
    gil->polled = 0;
    gil->saved = work > worth_releasing ? PyEval_SaveThread() : NULL;
}

void gil_acquire(gil *gil)
{
    if (gil->saved)
        PyEval_RestoreThread(gil->saved);
    gil->saved = NULL;
}

int gil_poll(void *context)
{
    gil *gil = context;
    int64_t now = hn_clock_now();
    if (gil->polled == 0)
        gil->polled = now;
    if (now - gil->polled < poll_interval)
        return 0;
    int released = gil->saved != NULL;
    gil_acquire(gil);
    int raised = PyErr_CheckSignals();
    if (released)
        gil->saved = PyEval_SaveThread();
    gil->polled = hn_clock_now();
    return raised;
}

int tuple_check(PyObject *tuple, Py_ssize_t count, const char *what)
{
    if (!PyTuple_Check(tuple)) {
        PyErr_Format(PyExc_TypeError, "%s must be a tuple, received %s", what, Py_TYPE(tuple)->tp_name);
        return -1;
    }
    if (PyTuple_GET_SIZE(tuple) == count)
        return 0;
    PyErr_Format(PyExc_ValueError, "%zd %s expected, received %zd", count, what, PyTuple_GET_SIZE(tuple));
    return -1;
}

PyObject *arrays_tuple(PyArrayObject *const *arrays, int32_t count)
{
    PyObject *tuple = PyTuple_New(count);
    for (int32_t i = 0; tuple && i < count; i++)
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(arrays[i] ? (PyObject *)arrays[i] : Py_None));
    return tuple;
}

PyObject *results_tuple(PyArrayObject *const *arrays, int32_t count, PyObject *out)
{
    return out == Py_None ? arrays_tuple(arrays, count) : Py_NewRef(out);
}
